package httpapi_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
	"otpgw/smpp"
)

// A success: each verb once, in order, with what it needs to know.
func TestSendCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []string
		now := time.Now()
		p := newPlant(t, func(p *plant) {
			p.codes.issue = func(ctx context.Context, r otpstore.Request) (otpstore.Issued, error) {
				client, number := r.Client, r.Number
				steps = append(steps, "issue")
				if client != "acme" || number != theNumber {
					t.Errorf("issue for client %q, number %q", client, number)
				}
				return otpstore.Issued{ID: authID, Code: theCode, ExpiresAt: now.Add(5 * time.Minute)}, nil
			}
			p.sender.check = func(m smpp.Message) error {
				steps = append(steps, "check")
				if want := (smpp.Message{From: "ACME", To: theNumber, Text: "000000 is your code, 000000", Client: "acme"}); m != want {
					t.Errorf("check of %+v, want %+v", m, want)
				}
				return nil
			}
			p.sender.send = func(ctx context.Context, m smpp.Message) (smpp.Accepted, error) {
				steps = append(steps, "send")
				if want := (smpp.Message{From: "ACME", To: theNumber, Text: "730152 is your code, 730152", Validity: 5 * time.Minute, Ref: authID, Client: "acme"}); m != want {
					t.Errorf("sent %+v, want %+v", m, want)
				}
				if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(now.Add(p.cfg.RequestTimeout)) {
					t.Errorf("deadline %v", deadline)
				}
				return smpp.Accepted{SMSC: "smsc-a", MessageIDs: []string{"1", "2"}, SubmittedAt: now.Add(1), AnsweredAt: now.Add(2)}, nil
			}
			p.codes.sent = func(_ context.Context, id string, r otpstore.SendResult) error {
				steps = append(steps, "sent")
				if id != authID || r.SMSC != "smsc-a" || !slices.Equal(r.MessageIDs, []string{"1", "2"}) || !r.SubmittedAt.Equal(now.Add(1)) || !r.AnsweredAt.Equal(now.Add(2)) {
					t.Errorf("sent %s %+v", id, r)
				}
				return nil
			}
		})
		a := p.post(sendPath, `{"phoneNumber":"+34600000001","message":"{{code}} is your code, {{code}}"}`)
		if a.status != http.StatusOK || a.body != `{"authenticationId":"`+authID+`"}` || a.header.Get("x-correlator") != correlator {
			t.Errorf("%d %s", a.status, a.body)
		}
		if want := []string{"check", "issue", "send", "sent"}; !slices.Equal(steps, want) {
			t.Errorf("steps %v, want %v", steps, want)
		}
	})
}

// The system's clock is off from the store's, which does not follow it: a code is sent all the same, and for as long as it lives.
func TestCodesLiveByTheClockOfTheStore(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 49 * time.Minute, 10 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			sent := false
			p := newPlant(t, sided, func(p *plant) {
				p.codes.skew = skew
				p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) {
					return otpstore.Issued{ID: authID, Code: theCode, ExpiresAt: p.codes.Now().Add(10 * time.Second)}, nil
				}
				p.codes.lookup = func(context.Context, string) (otpstore.Verification, error) {
					return otpstore.Verification{ID: authID, Client: "acme", State: "live", ExpiresAt: p.codes.Now().Add(10 * time.Second)}, nil
				}
				p.sender.send = func(ctx context.Context, m smpp.Message) (smpp.Accepted, error) {
					sent = true
					if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 10*time.Second || m.Validity != 10*time.Second || ctx.Err() != nil {
						t.Errorf("system's clock ahead by %v: deadline in %v, validity %v, %v", skew, time.Until(deadline), m.Validity, ctx.Err())
					}
					return smpp.Accepted{SMSC: "smsc-a", MessageIDs: []string{"1"}}, nil
				}
			})
			if a := p.do(request(sendPath, sendBody, "Authorization", "Bearer sender")); a.status != http.StatusOK || !sent {
				t.Errorf("system's clock ahead by %v: %d %s", skew, a.status, a.body)
			}
			if a := p.ask("GET", sidePath+"/"+authID); !strings.Contains(a.body, `"secondsLeft":10}`) {
				t.Errorf("system's clock ahead by %v: %d %s", skew, a.status, a.body)
			}
		})
	}
}

func TestValidateCode(t *testing.T) {
	p := newPlant(t, func(p *plant) {
		p.codes.verify = func(_ context.Context, client, id, code string) error {
			if client != "acme" || id != authID || code != theCode {
				t.Errorf("verify %q %q %q", client, id, code)
			}
			return nil
		}
	})
	if a := p.post(verifyPath, verifyBody); a.status != http.StatusNoContent || a.header.Get("x-correlator") != correlator {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := p.sender.canceled; !slices.Equal(got, []string{authID}) {
		t.Errorf("canceled %v: what was validated need not be delivered any more", got)
	}
	p.codes.verify = func(context.Context, string, string, string) error { return otpstore.ErrWrongCode }
	if a := p.post(verifyPath, verifyBody); a.status != http.StatusBadRequest || len(p.sender.canceled) != 1 {
		t.Errorf("%d, canceled %v after a wrong code", a.status, p.sender.canceled)
	}
}

func TestEveryPlaceholderIsReplaced(t *testing.T) {
	for template, want := range map[string]string{
		"{{code}}":                     theCode,
		"{{code}}{{code}}":             theCode + theCode,
		"{{{code}}}":                   "{" + theCode + "}",
		"{{code}}{{CODE}}{{ code }}":   theCode + "{{CODE}}{{ code }}",
		"{{co{{code}}de}}":             "{{co" + theCode + "de}}",
		strings.Repeat("{{code}}", 20): strings.Repeat(theCode, 20),
		"é😀{{code}}é {{code}} {{code}": "é😀" + theCode + "é " + theCode + " {{code}",
	} {
		var sent string
		p := newPlant(t, func(p *plant) {
			p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) {
				sent = m.Text
				return smpp.Accepted{}, nil
			}
		})
		if a := p.post(sendPath, `{"phoneNumber":"+34600000001","message":"`+template+`"}`); a.status != 200 || sent != want {
			t.Errorf("%q: %d, sent %q, want %q", template, a.status, sent, want)
		}
	}
}

// The text is judged by the longest code that may come, when it is not known how long that will be.
func TestCheckAssumesTheLongestCode(t *testing.T) {
	for length, want := range map[int]string{-1: "0000000000!", 0: "0000000000!", 4: "0000!", 10: "0000000000!", 11: "0000000000!"} {
		var text string
		p := newPlant(t, func(p *plant) {
			p.live.Default.Length = length
			p.sender.check = func(m smpp.Message) error { text = m.Text; return nil }
		})
		p.post(sendPath, `{"phoneNumber":"+34600000001","message":"{{code}}!"}`)
		if text != want {
			t.Errorf("length %d: checked %q, want %q", length, text, want)
		}
	}
}

// A client that hangs up while the SMSC has the message, or an answer that comes at the last moment, loses no fact.
func TestHangUpLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hungUp, hangUp := context.WithCancel(t.Context())
		var recorded bool
		p := newPlant(t, func(p *plant) {
			p.sender.send = func(ctx context.Context, _ smpp.Message) (smpp.Accepted, error) {
				hangUp()
				synctest.Wait()
				if ctx.Err() != nil {
					t.Error("the send ends with the client")
				}
				<-ctx.Done() // accepted with the last of the request's time
				return smpp.Accepted{SMSC: "smsc-a"}, nil
			}
			p.codes.sent = func(ctx context.Context, _ string, _ otpstore.SendResult) error {
				deadline, ok := ctx.Deadline()
				if ctx.Err() != nil || !ok || time.Until(deadline) < time.Second || time.Until(deadline) > time.Minute {
					t.Errorf("no time to record: %v, deadline %v", ctx.Err(), deadline)
				}
				recorded = true
				return nil
			}
		})
		began := time.Now()
		if a := p.do(request(sendPath, sendBody).WithContext(hungUp)); a.status != 200 || !recorded {
			t.Errorf("%d, recorded: %v", a.status, recorded)
		}
		if took := time.Since(began); took != p.cfg.RequestTimeout {
			t.Errorf("took %v", took)
		}
	})
}

func TestNumberPlan(t *testing.T) {
	p := newPlant(t)
	for number, want := range map[string]int{
		"+34600000001":     200,
		"+34691234000":     200, // own, more exactly than it is a landline
		"+34691230000":     403,
		"+34606600001":     403,
		"+34606500001":     200,
		"+34607700001":     403,
		"+34500000001":     404,
		"+35600000001":     404,
		"+3466661113334":   200,
		"+999999999999999": 404,
		"+12345":           404,
	} {
		if a := p.post(sendPath, strings.Replace(sendBody, theNumber, number, 1)); a.status != want {
			t.Errorf("%s: %d %s, want %d", number, a.status, a.code, want)
		}
	}
}

// What the SMSC refused for good is not asked of it again for a while.
func TestRefusedNumberIsRemembered(t *testing.T) {
	p := newPlant(t)
	submits := 0
	p.sender.send = func(context.Context, smpp.Message) (smpp.Accepted, error) {
		submits++
		return smpp.Accepted{}, &smpp.StatusError{Status: 0x0B, Class: smpp.ClassDestination}
	}
	p.codes.discard = func(context.Context, string) error { return nil }
	for range 3 {
		if a := p.post(sendPath, sendBody); !a.is(403, "ONE_TIME_PASSWORD_SMS.PHONE_NUMBER_NOT_ALLOWED") {
			t.Errorf("%d %s", a.status, a.code)
		}
	}
	if got := strings.Join(p.reasons(), " "); submits != 1 || got != "smsc_refused smsc_refused_before smsc_refused_before" {
		t.Errorf("%d submits, refused for %s", submits, got)
	}
	p.sender.send = func(context.Context, smpp.Message) (smpp.Accepted, error) {
		submits++
		return smpp.Accepted{}, &smpp.StatusError{Status: 0x0A, Class: smpp.ClassSender}
	}
	other := strings.Replace(sendBody, theNumber, "+34600000002", 1)
	p.post(sendPath, other)
	if p.post(sendPath, other); submits != 3 {
		t.Errorf("a fault of the sender was held against the number: %d submits", submits)
	}
}

func TestLookUpThatDoesNotAnswer(t *testing.T) {
	p := newPlant(t, func(p *plant) {
		p.numbers.LookupURL = "http://127.0.0.1:1/"
		p.codes.issue = nil // must not be called
	})
	if a := p.post(sendPath, sendBody); !a.is(503, "UNAVAILABLE") || strings.Join(p.reasons(), " ") != "lookup_unavailable" {
		t.Errorf("%d %s %q", a.status, a.code, p.reasons())
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newPlant(t)
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			for range 20 {
				if n%8 == 0 {
					p.SetLive(p.live)
				}
				if a := p.post(sendPath, sendBody); a.status != 200 || a.body != `{"authenticationId":"`+authID+`"}` {
					t.Errorf("send-code: %d %s", a.status, a.body)
				}
				if a := p.post(verifyPath, verifyBody); a.status != 204 {
					t.Errorf("validate-code: %d %s", a.status, a.body)
				}
				if a := p.post(verifyPath, `{"code":`); a.status != 400 {
					t.Errorf("bad body: %d %s", a.status, a.body)
				}
			}
		})
	}
	wg.Wait()
	for _, operation := range []string{"send-code", "validate-code"} {
		if n := p.metric("otpgw_http_in_flight", "operation", operation); n != 0 {
			t.Errorf("%v of %s in flight", n, operation)
		}
	}
	if n := p.metric("otpgw_http_request_seconds", "route", "v1/send-code"); n != 64*20 {
		t.Errorf("%v requests measured", n)
	}
}
