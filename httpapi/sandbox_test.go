package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi"
)

// sandboxed has test numbers, and neither a store nor a sender that may be used.
func sandboxed(numbers ...httpapi.TestNumber) func(*plant) {
	return func(p *plant) {
		p.live.Sandbox, p.live.TestNumbers = true, numbers
		p.codes.issue, p.sender.check, p.sender.send = nil, nil, nil
		for _, n := range numbers {
			if err := n.Validate(); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

func testNumber(outcome string) httpapi.TestNumber {
	return httpapi.TestNumber{Number: theNumber, Outcome: outcome, Code: "424242"}
}

func TestEveryErrorOfATestNumber(t *testing.T) {
	for outcome, want := range map[string]struct {
		status int
		code   string
	}{
		"not_own":          {404, "NOT_FOUND"},
		"not_allowed":      {403, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_NOT_ALLOWED"},
		"blocked":          {403, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_BLOCKED"},
		"send_limit":       {403, "ONE_TIME_PASSWORD_SMS.MAX_OTP_CODES_EXCEEDED"},
		"client_rate":      {429, "TOO_MANY_REQUESTS"},
		"quota":            {429, "QUOTA_EXCEEDED"},
		"smsc_unavailable": {503, "UNAVAILABLE"},
		"outcome_unknown":  {504, "TIMEOUT"},
		"internal":         {500, "INTERNAL"},
	} {
		p := newPlant(t, sandboxed(testNumber(outcome)))
		if a := p.post(sendPath, sendBody); !a.is(want.status, want.code) {
			t.Errorf("%s: %d %s", outcome, a.status, a.code)
		}
		if !strings.Contains(p.logged.String(), `"level":"WARN","msg":"test number answered, nothing was sent"`) {
			t.Errorf("%s: not said in the log", outcome)
		}
	}
	p := newPlant(t, sandboxed(testNumber("not_own")))
	if a := p.post(apiPath+"v2/send-code", sendBody); !a.is(404, "IDENTIFIER_NOT_FOUND") {
		t.Errorf("version 2: %d %s", a.status, a.code)
	}
	for outcome, code := range map[string]string{
		"expired": "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED", "failed": "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED",
		"wrong_code": "ONE_TIME_PASSWORD_SMS.INVALID_OTP", "unknown_id": "NOT_FOUND",
	} {
		p := newPlant(t, sandboxed(testNumber(outcome)))
		id := p.testID(t)
		if a := p.checkCode(id, "424242"); a.code != code {
			t.Errorf("%s: %d %s", outcome, a.status, a.code)
		}
	}
}

// testID asks for a code for the test number.
func (p *plant) testID(t *testing.T) string {
	t.Helper()
	a := p.post(sendPath, sendBody)
	if a.status != 200 || len(a.body) != len(`{"authenticationId":""}`)+36 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return a.body[len(`{"authenticationId":"`) : len(a.body)-2]
}

func (p *plant) checkCode(id, code string) answer {
	p.t.Helper()
	return p.post(verifyPath, fmt.Sprintf(`{"authenticationId":%q,"code":%q}`, id, code))
}

func TestTheLifeOfATestNumber(t *testing.T) {
	const expired, failed, wrong = "ONE_TIME_PASSWORD_SMS.VERIFICATION_EXPIRED", "ONE_TIME_PASSWORD_SMS.VERIFICATION_FAILED", "ONE_TIME_PASSWORD_SMS.INVALID_OTP"
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, sandboxed(testNumber("sent")))
		expectCodes := func(id string, pairs ...string) {
			t.Helper()
			for i := 0; i < len(pairs); i += 2 {
				if a := p.checkCode(id, pairs[i]); a.code != pairs[i+1] {
					t.Errorf("%s: %d %s, want %s", pairs[i], a.status, a.code, pairs[i+1])
				}
			}
		}
		expectCodes(p.testID(t), "1", wrong, "424242", "", "424242", expired)
		expectCodes(p.testID(t), "1", wrong, "2", wrong, "3", failed, "424242", failed)
		first := p.testID(t)
		second := p.testID(t)
		expectCodes(first, "424242", expired)
		expectCodes(second, "424242", "")
		old := p.testID(t)
		<-time.After(5 * time.Minute)
		expectCodes(old, "424242", expired)
	})
}

func TestWhoseTestNumber(t *testing.T) {
	n := testNumber("blocked")
	n.Clients = []string{"retired"}
	p := newPlant(t, sandboxed(n))
	p.codes.issue, p.sender.check, p.sender.send = newPlant(t).codes.issue, newPlant(t).sender.check, newPlant(t).sender.send
	if a := p.post(sendPath, sendBody); a.status != 200 {
		t.Errorf("another client's test number: %d %s", a.status, a.code)
	}
	p = newPlant(t, sandboxed(testNumber("sent")))
	id := p.testID(t)
	p.live.Clients[1].Enabled = true
	p.SetLive(p.live)
	if a := p.post(verifyPath, fmt.Sprintf(`{"authenticationId":%q,"code":"424242"}`, id), "Authorization", "Bearer retired-token"); !a.is(404, "NOT_FOUND") {
		t.Errorf("another client's id: %d %s", a.status, a.code)
	}
}

func TestTheSandboxIsOffByDefault(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.live.TestNumbers = []httpapi.TestNumber{testNumber("blocked")} })
	if a := p.post(sendPath, sendBody); a.status != 200 {
		t.Errorf("%d %s", a.status, a.code)
	}
	expect(t, httpapi.TestNumber{Number: "34", Outcome: "x"}.Validate(), "number", "outcome", "code")
}
