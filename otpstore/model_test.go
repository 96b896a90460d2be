package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"otpgw/otpstore"
)

// The model is the rules once more, as plainly as can be: no trimming, no states that follow from the clock, one pass over all
// codes for every question.
type model struct {
	policy  otpstore.Policy
	terms   map[string]otpstore.Terms // of each client
	budget  otpstore.Budget           // of client a
	codes   []*modelCode              // of all numbers, oldest first
	failed  map[string]modelFailures  // by client and number
	orphans []modelOrphan             // oldest first
}

type modelOrphan struct {
	otpstore.Receipt
	addressed bool
	until     time.Time
}

type modelFailures struct {
	count int
	last  time.Time
}

type modelCode struct {
	otpstore.Issued
	client, number string
	key, digest    string
	issued         time.Time
	expires        time.Time
	state          string // as Verification.State, but never "elapsed" before a verdict said so
	wrong          int
	message        string // its id, "" while none is known
	receipt        string // state of the last that counted
}

func (m *model) failures(client, number string, now time.Time) int {
	if f := m.failed[client+number]; now.Sub(f.last) < m.terms[client].FailureWindow {
		return f.count
	}
	return 0
}

func (m *model) refusal(client, number string, now time.Time) string {
	terms := m.terms[client]
	if m.failures(client, number, now) >= terms.MaxFailures {
		return "max_failures"
	}
	within := func(window time.Duration, client string) (count int) {
		for _, c := range m.codes {
			if c.number == number && (client == "" || c.client == client) && c.state != "discarded" && now.Sub(c.issued) < window {
				count++
			}
		}
		return count
	}
	const day = 24 * time.Hour
	switch {
	case within(terms.SendWindow, client) >= terms.SendLimit:
		return "send_limit"
	case terms.DayLimit > 0 && within(day, client) >= terms.DayLimit:
		return "day_limit"
	case within(m.policy.SendWindow, "") >= m.policy.NumberLimit:
		return "number_limit"
	case m.policy.NumberDayLimit > 0 && within(day, "") >= m.policy.NumberDayLimit:
		return "number_day_limit"
	case within(terms.ResendAfter, client) > 0:
		return "resend_after"
	}
	return ""
}

// repeated gives the code that a request with that key is again.
func (m *model) repeated(client, number, key, digest string, now time.Time) (*modelCode, error) {
	for _, c := range m.codes {
		if key == "" || c.client != client || c.number != number || c.key != key || c.state == "discarded" {
			continue
		}
		switch {
		case c.digest != digest:
			return nil, otpstore.ErrKeyReused
		case c.state == "unknown", c.state == "pending" && m.late(c, now):
			return nil, otpstore.ErrNoOutcome
		case c.state == "pending":
			return nil, otpstore.ErrInWork
		}
		return c, nil
	}
	return nil, nil
}

// late says that the outcome of c did not come while c could have been sent.
func (m *model) late(c *modelCode, now time.Time) bool {
	return !now.Before(c.issued.Add(m.terms[c.client].TTL + otpstore.Acceptance))
}

// spent counts the codes of the budget within a window.
func (m *model) spent(now time.Time, window time.Duration) (count int) {
	for _, c := range m.codes {
		if c.client == "a" && c.state != "discarded" && now.Sub(c.issued) < window {
			count++
		}
	}
	return count
}

func (m *model) accept(c *modelCode, now time.Time) {
	c.state = "live"
	seen := false
	for _, o := range m.codes {
		switch {
		case o == c:
			seen = true
		case o.number != c.number || o.client != c.client:
		case seen && !slices.Contains([]string{"pending", "unknown", "discarded"}, o.state):
			c.state = "replaced"
		case !seen && o.state == "live":
			o.state = "replaced" // or it elapsed before: the same to everyone
		}
	}
}

func (m *model) verdict(c *modelCode, client, code string, now time.Time) error {
	switch {
	case c.client != client, slices.Contains([]string{"pending", "unknown", "discarded"}, c.state):
		return otpstore.ErrNotFound
	case c.state == "used", c.state == "replaced", c.state == "elapsed", c.state == "canceled":
		return otpstore.ErrExpired
	case c.state == "locked":
		return otpstore.ErrFailed
	case !now.Before(c.expires):
		c.state = "elapsed"
		return otpstore.ErrExpired
	}
	terms, who := m.terms[c.client], c.client+c.number
	failures := m.failures(c.client, c.number, now)
	switch {
	case failures >= terms.MaxFailures:
	case code == c.Code:
		c.state = "used"
		delete(m.failed, who)
		return nil
	default:
		c.wrong++
		m.failed[who] = modelFailures{failures + 1, now}
		if c.wrong < terms.MaxAttempts && failures+1 < terms.MaxFailures {
			return otpstore.ErrWrongCode
		}
	}
	c.state = "locked"
	return otpstore.ErrFailed
}

// open says that a receipt may be of a message of c that is not known yet.
func (c *modelCode) open() bool {
	return c.message == "" && (c.state == "pending" || c.state == "unknown")
}

// take records a receipt of the message of c.
func (c *modelCode) take(r otpstore.Receipt) (changed bool) {
	old := c.receipt
	switch {
	case old == "DELIVRD", old == "UNDELIV", old == "UNKNOWN" && r.State != "DELIVRD":
	default:
		c.receipt = r.State
	}
	return c.receipt != old
}

// known gives the newest code whose message has the first of the forms that any has.
func (m *model) known(forms []string, whose func(number string) bool) (found *modelCode, form int) {
	for form, id := range forms {
		for _, c := range slices.Backward(m.codes) {
			if c.message == id && c.state != "discarded" && whose(c.number) {
				return c, form
			}
		}
	}
	return nil, 0
}

func (m *model) deliver(r otpstore.Receipt, now time.Time) (match otpstore.Match) {
	named := func(number string) bool { return slices.Contains(r.Numbers, number) }
	c, form := m.known(r.MessageIDs, named)
	addressed := c == nil && slices.ContainsFunc(m.codes, func(c *modelCode) bool { return named(c.number) && c.open() })
	if c == nil && !addressed {
		c, form = m.known(r.MessageIDs[:r.Converted], func(string) bool { return true })
	}
	if c != nil {
		return otpstore.Match{Found: true, Form: form, Changed: c.take(r)}
	}
	m.expire(now)
	for _, o := range m.orphans {
		if o.addressed == addressed && reflect.DeepEqual(o.Receipt, r) {
			return otpstore.Match{}
		}
	}
	m.orphans = append(m.orphans, modelOrphan{r, addressed, now.Add(otpstore.ParkedFor)})
	return otpstore.Match{}
}

func (m *model) expire(now time.Time) {
	m.orphans = slices.DeleteFunc(m.orphans, func(o modelOrphan) bool { return !now.Before(o.until) })
}

// answer gives c its message, and the message the receipts that wait for it.
func (m *model) answer(c *modelCode, id string, now time.Time) {
	c.message = id
	m.expire(now)
	mine := func(o modelOrphan) bool {
		return slices.Contains(o.MessageIDs, id) && slices.Contains(o.Numbers, c.number)
	}
	if !slices.ContainsFunc(m.orphans, mine) {
		mine = func(o modelOrphan) bool { return slices.Contains(o.MessageIDs[:o.Converted], id) && !o.addressed }
	}
	for _, o := range m.orphans {
		if mine(o) {
			c.take(o.Receipt)
		}
	}
	m.orphans = slices.DeleteFunc(m.orphans, mine)
}

// restarted is what the end of a process leaves.
func (m *model) restarted() {
	m.orphans = nil
	for _, c := range m.codes {
		if c.state == "pending" {
			c.state = "unknown"
		}
	}
}

// receiptIDs are the forms of an id as it may come in a receipt: as it is, in hexadecimal, and taken for hexadecimal.
func receiptIDs(id string) []string {
	decimal, _ := strconv.ParseInt(id, 10, 64)
	hexadecimal, _ := strconv.ParseInt(id, 16, 64)
	return []string{id, strconv.FormatInt(decimal, 16), strconv.FormatInt(hexadecimal, 10)}
}

// Random sequences of calls, of time, of restarts and of crashes are answered as the model answers them.
func TestStoreFollowsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) { checkModel(t, rt) })
	})
}

func checkModel(t *testing.T, rt *rapid.T) {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		rt.Fatal(err)
	}
	m := &model{failed: map[string]modelFailures{}, policy: otpstore.Policy{
		Length: 6, Alphabet: "digits", TTL: 5 * time.Minute, MaxAttempts: rapid.IntRange(2, 4).Draw(rt, "max_attempts"),
		SendLimit: rapid.IntRange(1, 6).Draw(rt, "send_limit"), SendWindow: 20 * time.Minute,
		ResendAfter: time.Duration(rapid.IntRange(0, 1).Draw(rt, "resend_after")) * time.Minute, DayLimit: rapid.IntRange(0, 8).Draw(rt, "day_limit"),
		NumberLimit: rapid.IntRange(2, 9).Draw(rt, "number_limit"), NumberDayLimit: rapid.IntRange(0, 12).Draw(rt, "number_day_limit"),
		MaxFailures: rapid.IntRange(2, 6).Draw(rt, "max_failures"), FailureWindow: 40 * time.Minute, Retention: 240 * time.Hour,
	}}
	special := m.policy.Terms()
	special.Name, special.Alphabet, special.TTL, special.MaxAttempts = "special", "letters", 2*time.Minute, rapid.IntRange(2, 4).Draw(rt, "b_max_attempts")
	special.SendLimit, special.SendWindow = rapid.IntRange(1, 6).Draw(rt, "b_send_limit"), time.Hour
	m.terms = map[string]otpstore.Terms{"a": m.policy.Terms(), "b": special}
	m.budget = otpstore.Budget{Limit: "client_budget", Scope: "client/a", Max: rapid.IntRange(2, 12).Draw(rt, "budget"), Window: 64 * time.Minute}
	clients, numbers := []string{"a", "b"}, []string{"+3461", "+3462"}
	s := open(t, dir, m.policy, nil)
	defer func() { s.stop() }()
	code := func(rt *rapid.T) *modelCode {
		if len(m.codes) == 0 {
			rt.Skip("no code yet")
		}
		return m.codes[len(m.codes)-1-min(len(m.codes)-1, rapid.IntRange(0, 4).Draw(rt, "code"))]
	}
	check := func(rt *rapid.T, err error) {
		if err != nil {
			rt.Fatal(err)
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"issue": func(rt *rapid.T) {
			client, number := rapid.SampledFrom(clients).Draw(rt, "client"), rapid.SampledFrom(numbers).Draw(rt, "number")
			key, digest := rapid.SampledFrom([]string{"", "", "k"}).Draw(rt, "key"), rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "digest")
			r := otpstore.Request{Client: client, Number: number, Masked: "+34*", Terms: m.terms[client], Key: key, Digest: [32]byte{digest[0]}}
			if client == "a" {
				r.Budgets = []otpstore.Budget{m.budget}
			}
			now := time.Now()
			want := m.refusal(client, number, now)
			old, trouble := m.repeated(client, number, key, digest, now)
			i, err := s.Issue(context.Background(), r)
			got := ""
			var limit *otpstore.LimitError
			switch {
			case errors.As(err, &limit):
				got = limit.Limit
			case !errors.Is(err, trouble):
				rt.Fatalf("error %v, want %v", err, trouble)
			}
			if got == m.budget.Limit { // judged first; a slot that has begun to leave the window counts in full
				if most := m.spent(now, m.budget.Window*65/64+time.Second); most < m.budget.Max {
					rt.Fatalf("%d codes in the window, and the budget of %d is spent", most, m.budget.Max)
				}
				return
			}
			if least := m.spent(now, m.budget.Window); client == "a" && least >= m.budget.Max {
				rt.Fatalf("%d codes in the window, and the budget of %d is not spent: %v", least, m.budget.Max, err)
			}
			switch {
			case trouble != nil:
				return
			case old != nil:
				if !i.Replayed || i.ID != old.ID || i.Code != "" {
					rt.Fatalf("a repeated request got %+v, want %s", i, old.ID)
				}
				return
			}
			if got != want {
				rt.Fatalf("refused by %q, want %q", got, want)
			}
			if limit != nil && (m.refusal(client, number, now.Add(limit.RetryAfter-time.Microsecond)) != got || m.refusal(client, number, now.Add(limit.RetryAfter)) == got) {
				rt.Fatalf("%s: retry after %s", got, limit.RetryAfter)
			}
			if err == nil {
				for _, c := range m.codes { // the next write to a number settles what nobody settled
					if c.number == number && c.state == "pending" && m.late(c, now) {
						c.state = "unknown"
					}
				}
				m.codes = append(m.codes, &modelCode{
					Issued: i, client: client, number: number, key: key, digest: digest, issued: now, expires: i.ExpiresAt, state: "pending",
				})
			}
		},
		"cancel": func(rt *rapid.T) {
			c := code(rt)
			changed, err := s.Cancel(context.Background(), c.client, c.ID)
			switch live := c.state == "live" && time.Now().Before(c.expires); {
			case live && (!changed || err != nil), c.state == "canceled" && (changed || err != nil):
				rt.Fatalf("canceled a code that is %s: %t, %v", c.state, changed, err)
			case live:
				c.state = "canceled"
			case c.state != "canceled" && (changed || err == nil):
				rt.Fatalf("canceled a code that is %s: %t, %v", c.state, changed, err)
			}
		},
		"sent": func(rt *rapid.T) {
			c := code(rt)
			// Each number has ids of its own, some of which are conversions of the other's.
			id := rapid.SampledFrom(map[string][]string{"+3461": {"10", "1"}, "+3462": {"16", "22"}}[c.number]).Draw(rt, "message")
			err := s.Sent(context.Background(), c.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{id}})
			if c.state == "discarded" {
				if !errors.Is(err, otpstore.ErrNotFound) {
					rt.Fatalf("sent after it was discarded: %v", err)
				}
				return
			}
			check(rt, err)
			switch now := time.Now(); {
			case c.state == "unknown" && c.message == "":
				m.answer(c, id, now)
			case c.state == "pending":
				m.answer(c, id, now)
				ttl := m.terms[c.client].TTL
				c.expires = now.Add(ttl)
				if latest := c.issued.Add(otpstore.Acceptance + ttl); latest.Before(c.expires) {
					c.expires = latest
				}
				m.accept(c, now)
			}
		},
		"receipt": func(rt *rapid.T) {
			r := otpstore.Receipt{
				SMSC: "main", MessageIDs: receiptIDs(rapid.SampledFrom([]string{"1", "10", "16", "22"}).Draw(rt, "message")),
				Numbers:   rapid.SampledFrom([][]string{nil, {"+3461"}, {"+3462"}, {"+61"}, {"+3499", "+3461"}, {"+3462", "+3461"}}).Draw(rt, "numbers"),
				Converted: rapid.IntRange(1, 2).Draw(rt, "converted"),
				State:     rapid.SampledFrom([]string{"ENROUTE", "UNKNOWN", "UNDELIV", "DELIVRD"}).Draw(rt, "state"),
			}
			r.Final, r.Delivered = r.State != "ENROUTE", r.State == "DELIVRD"
			want := m.deliver(r, time.Now())
			got, err := s.Delivered(context.Background(), r)
			check(rt, err)
			if got.ID, got.Client = "", ""; got != want {
				rt.Fatalf("receipt: %+v, want %+v", got, want)
			}
		},
		"discard": func(rt *rapid.T) {
			c := code(rt)
			check(rt, s.Discard(context.Background(), c.ID))
			if c.open() {
				c.state = "discarded"
			}
		},
		"unknown": func(rt *rapid.T) {
			c := code(rt)
			check(rt, s.Unknown(context.Background(), c.ID))
			if c.state == "pending" {
				c.state = "unknown"
			}
		},
		"verify": func(rt *rapid.T) {
			c := code(rt)
			client, digits := c.client, c.Code
			switch rapid.IntRange(0, 5).Draw(rt, "how") {
			case 0:
				client = "another"
			case 1, 2, 3:
				digits = wrong(c.Issued)
			}
			want := m.verdict(c, client, digits, time.Now())
			if got := s.Verify(context.Background(), client, c.ID, digits); !errors.Is(got, want) {
				rt.Fatalf("verdict %v, want %v", got, want)
			}
		},
		"time": func(rt *rapid.T) {
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, time.Minute, m.policy.TTL - time.Minute, m.policy.TTL, 20 * time.Minute, time.Hour}).Draw(rt, "passed"))
		},
		"restart": func(rt *rapid.T) {
			check(rt, s.stop())
			s = open(t, dir, m.policy, nil)
			m.restarted()
		},
		"crash": func(rt *rapid.T) { // all that was answered is in the file already
			synctest.Wait() // nothing is being written
			crashed, err := os.MkdirTemp(t.TempDir(), "")
			check(rt, err)
			snapshot(t, dir, crashed)
			check(rt, s.stop())
			dir = crashed
			s = open(t, dir, m.policy, nil)
			m.restarted()
		},
		"": func(rt *rapid.T) {
			for _, c := range m.codes[max(0, len(m.codes)-5):] {
				check(rt, look(s, c))
			}
		},
	})
	check(rt, s.stop())
}

// look compares what the store tells of a code with the model.
func look(s *running, c *modelCode) error {
	if c.state == "pending" {
		return nil
	}
	v, err := s.Lookup(context.Background(), c.ID)
	if c.state == "discarded" {
		if !errors.Is(err, otpstore.ErrNotFound) {
			return fmt.Errorf("discarded: %+v, %w", v, err)
		}
		return nil
	}
	want := map[string]bool{c.state: true}
	if (c.state == "live" || c.state == "replaced") && !time.Now().Before(c.expires) {
		want = map[string]bool{"elapsed": true, c.state: c.state == "replaced"}
	}
	if err != nil || !want[v.State] || v.Attempts != c.wrong || v.Client != c.client ||
		strings.Join(v.MessageIDs, " ") != c.message || v.Receipt != c.receipt {
		return fmt.Errorf("%s: got %+v, %w; want %v, %d wrong, message %q, receipt %q",
			c.ID, v, err, slices.Collect(maps.Keys(want)), c.wrong, c.message, c.receipt)
	}
	return nil
}
