package httpapi_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// sendRecording is a send that takes down the text.
func sendRecording(text *string, send func(context.Context, smpp.Message) (smpp.Accepted, error)) func(context.Context, smpp.Message) (smpp.Accepted, error) {
	return func(ctx context.Context, m smpp.Message) (smpp.Accepted, error) {
		*text = m.Text
		return send(ctx, m)
	}
}

// requests takes down what the store is asked for.
func requests(p *plant) *[]otpstore.Request {
	var all []otpstore.Request
	issue := p.codes.issue
	p.codes.issue = func(ctx context.Context, r otpstore.Request) (otpstore.Issued, error) {
		all = append(all, r)
		return issue(ctx, r)
	}
	return &all
}

func TestWhatACodeIsIssuedUnder(t *testing.T) {
	bank := otpstore.Terms{Name: "bank", Length: 8, TTL: time.Minute}
	p := newPlant(t, func(p *plant) {
		p.live.Policies = []otpstore.Terms{{Name: "other"}, bank}
		p.live.Clients[0].Policy, p.live.Clients[0].DayLimit = "bank", 100
		p.live.Budgets = []httpapi.Budget{
			{Name: "all", Limit: 1000, Window: time.Hour},
			{Name: "spain", Prefixes: []string{"+33", "+34"}, Limit: 10, Window: time.Minute, EachClient: true},
			{Name: "france", Prefixes: []string{"+33"}, Limit: 1, Window: time.Minute},
			{Name: "others", Clients: []string{"retired"}, Limit: 1, Window: time.Minute},
			{Name: "ours", Clients: []string{"acme"}, Prefixes: []string{"+34600"}, Limit: 5, Window: time.Minute},
		}
	})
	asked := requests(p)
	if a := p.post(sendPath, sendBody); a.status != 200 {
		t.Fatal(a.status)
	}
	want := otpstore.Request{
		Client: "acme", Number: theNumber, Masked: "+34*******01", Terms: bank,
		Budgets: []otpstore.Budget{
			{Limit: "client_day", Scope: "client/acme", Max: 100, Window: 24 * time.Hour},
			{Limit: "all", Scope: "budget/all", Max: 1000, Window: time.Hour},
			{Limit: "spain", Scope: "budget/spain/acme", Max: 10, Window: time.Minute},
			{Limit: "ours", Scope: "budget/ours", Max: 5, Window: time.Minute},
		},
	}
	if !reflect.DeepEqual((*asked)[0], want) {
		t.Errorf("%+v\nwant %+v", (*asked)[0], want)
	}
}

func TestEveryLimitHasItsAnswer(t *testing.T) {
	const max = "ONE_TIME_PASSWORD_SMS.MAX_OTP_CODES_EXCEEDED"
	for limit, want := range map[string]string{
		"send_limit": max, "resend_after": max, "day_limit": max, "max_failures": max, "number_limit": max, "number_day_limit": max,
		"client_day": "QUOTA_EXCEEDED", "spain": "QUOTA_EXCEEDED",
	} {
		p := newPlant(t)
		p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) {
			return otpstore.Issued{}, &otpstore.LimitError{Limit: limit, RetryAfter: 90 * time.Second}
		}
		a := p.post(sendPath, sendBody)
		if a.code != want || a.header.Get("Retry-After") != "90" || !strings.Contains(p.logged.String(), `"limit":"`+limit+`"`) {
			t.Errorf("%s: %d %s, Retry-After %q, log %s", limit, a.status, a.code, a.header.Get("Retry-After"), p.logged)
		}
		if want == "QUOTA_EXCEEDED" {
			if a := p.post(apiPath+"v0/send-code", sendBody); !a.is(429, "TOO_MANY_REQUESTS") {
				t.Errorf("%s in version 0: %d %s", limit, a.status, a.code)
			}
		}
	}
}

func TestClientVersions(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.live.Clients[0].Versions = []string{"v2"} })
	for version, want := range map[string]int{"v0": 403, "v1": 403, "v2": 200} {
		if a := p.post(apiPath+version+"/send-code", sendBody); a.status != want {
			t.Errorf("%s: %d", version, a.status)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.live.Clients[0].Idempotency = true })
	asked := requests(p)
	for _, pair := range [][2]string{{`k-1`, `k-1`}, {`"k 1"`, `k 1`}, {`"a\"b\\"`, `a"b\`}, {strings.Repeat("k", 255), strings.Repeat("k", 255)}} {
		if a := p.post(sendPath, sendBody, "Idempotency-Key", pair[0]); a.status != 200 || (*asked)[len(*asked)-1].Key != pair[1] {
			t.Errorf("%s: %d, key %q", pair[0], a.status, (*asked)[len(*asked)-1].Key)
		}
	}
	p.post(sendPath, strings.Replace(sendBody, "is your", "was your", 1), "Idempotency-Key", "k-1")
	if first, last := (*asked)[0], (*asked)[len(*asked)-1]; first.Digest == last.Digest || first.Digest == [32]byte{} {
		t.Error("the digest does not tell messages apart")
	}
	for _, key := range []string{"", `""`, `"`, `"a`, `a"b`, "a b", "a,b", `"a\b"`, `"a"b"`, "é", strings.Repeat("k", 256), "a\tb"} {
		if a := p.post(sendPath, sendBody, "Idempotency-Key", key); !a.is(400, "INVALID_ARGUMENT") {
			t.Errorf("%q: %d", key, a.status)
		}
	}
	p.sender.send = nil // must not be called
	p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) {
		return otpstore.Issued{ID: authID, Replayed: true}, nil
	}
	if a := p.post(sendPath, sendBody, "Idempotency-Key", "k-1"); a.status != 200 || a.body != `{"authenticationId":"`+authID+`"}` {
		t.Errorf("replayed: %d %s", a.status, a.body)
	}
	for err, want := range map[error]int{otpstore.ErrKeyReused: 422, otpstore.ErrInWork: 409} {
		p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) { return otpstore.Issued{}, err }
		r := request(sendPath, sendBody, "Idempotency-Key", "k-1")
		if a := p.do(r); a.status != want {
			t.Errorf("%v: %d", err, a.status)
		}
	}

	p = newPlant(t) // a client that did not ask for it
	asked = requests(p)
	if a := p.post(sendPath, sendBody, "Idempotency-Key", `"`); a.status != 200 || (*asked)[0].Key != "" {
		t.Errorf("header of another client: %d, key %q", a.status, (*asked)[0].Key)
	}
}

func TestClientThatGuessesIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, func(p *plant) { p.live.Clients[0].FailureShare = 0.5 })
		verdict := otpstore.ErrWrongCode
		p.codes.verify = func(context.Context, string, string, string) error { return verdict }
		for i := range 200 {
			if a := p.post(verifyPath, verifyBody); a.status != 400 {
				t.Fatalf("check %d: %d", i, a.status)
			}
		}
		for range 3 { // one a second
			if a := p.post(verifyPath, verifyBody); a.status != 400 {
				t.Fatalf("%d", a.status)
			}
			a := p.post(verifyPath, verifyBody)
			if !a.is(429, "TOO_MANY_REQUESTS") || a.header.Get("Retry-After") != "1" {
				t.Fatalf("%d %s", a.status, a.code)
			}
			<-time.After(time.Second)
		}
		if a := p.post(sendPath, sendBody); a.status != 200 {
			t.Errorf("send-code: %d", a.status)
		}
		p.SetLive(p.live)
		p.post(verifyPath, verifyBody)
		if a := p.post(verifyPath, verifyBody); a.status != 429 {
			t.Errorf("a reload forgot it: %d", a.status)
		}
		<-time.After(10 * time.Minute)
		verdict = nil
		for i := range 300 {
			if a := p.post(verifyPath, verifyBody); a.status != 204 {
				t.Fatalf("right code %d later: %d", i, a.status)
			}
		}
		verdict = otpstore.ErrWrongCode
		for i := range 299 { // less than half
			if a := p.post(verifyPath, verifyBody); a.status != 400 {
				t.Fatalf("wrong code %d: %d", i, a.status)
			}
		}
	})
}

func TestBudgetConfig(t *testing.T) {
	expect(t, httpapi.Budget{Name: "A", Prefixes: []string{"34"}}.Validate(), "name", "prefixes", "limit", "window")
	expect(t, httpapi.Budget{Name: "client_day", Limit: 1, Window: time.Hour}.Validate(), "name")
	b := httpapi.DefaultBudget()
	b.Name, b.Limit = "spain_hour", 5
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
}

// One client whose bodies do not come leaves room for the others.
func TestSlowBodiesOfOneClient(t *testing.T) {
	p := newPlant(t, func(p *plant) {
		p.cfg.MaxInFlight = 16 // 12 for send-code
		p.live.Clients[1].Enabled, p.live.Clients[1].Burst = true, 100
	})
	synctest.Test(t, func(t *testing.T) {
		p.t = t
		release := make(chan struct{})
		done := make(chan int, 6)
		for range 6 {
			go func() {
				r := request(sendPath, sendBody)
				r.Body = slowBody{release}
				done <- p.do(r).status
			}()
		}
		synctest.Wait()
		if a := p.post(sendPath, sendBody); !a.is(429, "TOO_MANY_REQUESTS") {
			t.Errorf("the slow client's next: %d %s", a.status, a.code)
		}
		if a := p.post(sendPath, sendBody, "Authorization", "Bearer retired-token"); a.status != 200 {
			t.Errorf("another client: %d %s", a.status, a.code)
		}
		close(release)
		for range 6 {
			if status := <-done; status != 400 {
				t.Errorf("a slow request: %d", status)
			}
		}
	})
}

// A slowBody comes, broken off, when its channel is closed.
type slowBody struct{ release chan struct{} }

func (b slowBody) Read([]byte) (int, error) { <-b.release; return 0, errBroken }
func (b slowBody) Close() error             { return nil }

func TestStepsAreTraced(t *testing.T) {
	p := newPlant(t)
	p.post(sendPath, sendBody)
	p.post(verifyPath, verifyBody)
	p.sender.send = func(context.Context, smpp.Message) (smpp.Accepted, error) {
		return smpp.Accepted{}, &smpp.StatusError{Status: 0x0B, Class: smpp.ClassDestination}
	}
	p.codes.discard = func(context.Context, string) error { return nil }
	p.post(sendPath, sendBody)
	got := strings.Join(p.steps.all, "\n")
	for _, want := range []string{
		authID + " acme +34*******01 " + correlator + "\n" + authID + " accepted: v1/send-code ",
		" submitted: smsc-a bind ", "id 4711  in ", " checked: right code " + correlator, " not accepted: ", "ESME_RINVDSTADR", " answered: 200 ", " answered: 403 smsc_refused ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, theCode) || strings.Contains(got, theNumber) {
		t.Errorf("a secret in\n%s", got)
	}
}
