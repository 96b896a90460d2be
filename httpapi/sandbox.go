package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A TestNumber is a number that no message goes to and that always ends the same way, for those who write a client:
// [[test_number]]. It is in force where the sandbox is on.
type TestNumber struct {
	Number  string   `toml:"number" comment:"The number as +E.164." reload:"hot"`
	Clients []string `toml:"clients" comment:"Ids of the clients for which it is a test number. Empty: all." reload:"hot"`
	Outcome string   `toml:"outcome" comment:"How it ends. Of send-code: sent, not_own, not_allowed, blocked, send_limit, client_rate, quota, smsc_unavailable, outcome_unknown or internal; of validate-code, after a send-code that went well: expired, failed, wrong_code or unknown_id." reload:"hot"`
	Code    string   `toml:"code" comment:"The code that is right with outcome = \"sent\": 1 to 10 letters and digits." reload:"hot"`
}

// DefaultTestNumber is sent and has a code that nobody overlooks.
func DefaultTestNumber() TestNumber { return TestNumber{Outcome: "sent", Code: "000000"} }

// sendOutcomes and checkOutcomes are the rows of the table of errors that a test number may end in; "sent" is neither.
var (
	sendOutcomes = map[string]error{
		"not_own": numberNotOwn, "not_allowed": numberNotAllowed, "blocked": numberBlocked,
		"send_limit":       &waitError{tooManyCodes, time.Minute},
		"client_rate":      &waitError{tooManyRequests, time.Second},
		"quota":            &waitError{quotaExceeded, time.Hour},
		"smsc_unavailable": &waitError{smscUnavailable, retryAfter},
		"outcome_unknown":  outcomeUnknown,
		"internal":         internal,
	}
	checkOutcomes = map[string]error{"expired": expiredCode, "failed": failedCode, "wrong_code": wrongCode, "unknown_id": unknownID}
)

var testCode = regexp.MustCompile(`^[A-Za-z0-9]{1,10}$`)

// Validate joins one error for every key that cannot be served; each begins with the key.
func (n TestNumber) Validate() error {
	var errs []error
	if _, ok := strict(n.Number); !ok {
		errs = append(errs, fmt.Errorf("number = %q: must be + and 5 to 15 digits, the first not 0", n.Number))
	}
	if n.Outcome != "sent" && sendOutcomes[n.Outcome] == nil && checkOutcomes[n.Outcome] == nil {
		words := slices.Sorted(maps.Keys(sendOutcomes))
		words = append(words, slices.Sorted(maps.Keys(checkOutcomes))...)
		errs = append(errs, fmt.Errorf("outcome = %q: must be sent, %s", n.Outcome, strings.Join(words, ", ")))
	}
	if !testCode.MatchString(n.Code) {
		errs = append(errs, fmt.Errorf("code = %q: must be 1 to 10 letters and digits", n.Code))
	}
	return errors.Join(errs...)
}

// A sandbox is the test numbers in force, by number.
type sandbox map[string][]TestNumber

func newSandbox(live Live) sandbox {
	if !live.Sandbox {
		return nil
	}
	s := sandbox{}
	for _, n := range live.TestNumbers {
		s[n.Number] = append(s[n.Number], n)
	}
	return s
}

// find gives the test number that number is for client.
func (s sandbox) find(client, number string) (TestNumber, bool) {
	for _, n := range s[number] {
		if len(n.Clients) == 0 || slices.Contains(n.Clients, client) {
			return n, true
		}
	}
	return TestNumber{}, false
}

// testLife is how long a verification of a test number lasts, testTries how many codes may be wrong, and testKept how many there
// are at once; the oldest go.
const (
	testLife  = 5 * time.Minute
	testTries = 3
	testKept  = 1000
)

// testCodes are the verifications of test numbers. They are kept in memory only.
type testCodes struct {
	mu    sync.Mutex // guards the rest
	known map[string]*testVerification
	order []string // oldest first
}

type testVerification struct {
	client  string
	number  TestNumber
	expires time.Time
	wrong   int
	ended   error // what every later check is told
}

// issue begins a verification, or says how the number ends.
func (t *testCodes) issue(client string, n TestNumber) (id string, err error) {
	if err := sendOutcomes[n.Outcome]; err != nil {
		return "", err
	}
	fresh, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	id = fresh.String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[string]*testVerification{}
	}
	if len(t.order) == testKept {
		delete(t.known, t.order[0])
		t.order = t.order[1:]
	}
	for _, v := range t.known {
		if v.client == client && v.number.Number == n.Number && v.ended == nil {
			v.ended = expiredCode // replaced
		}
	}
	t.known[id] = &testVerification{client: client, number: n, expires: time.Now().Add(testLife)}
	t.order = append(t.order, id)
	return id, nil
}

// verify judges a code. known is false when id is no verification of a test number of client.
func (t *testCodes) verify(client, id, code string) (err error, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.known[id]
	if v == nil || v.client != client {
		return nil, false
	}
	fixed := checkOutcomes[v.number.Outcome]
	switch {
	case fixed != nil:
		return fixed, true
	case v.ended != nil:
		return v.ended, true
	case !time.Now().Before(v.expires):
		return expiredCode, true
	case code == v.number.Code:
		v.ended = expiredCode
		return nil, true
	}
	if v.wrong++; v.wrong == testTries {
		v.ended = failedCode
		return failedCode, true
	}
	return wrongCode, true
}
