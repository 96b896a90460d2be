package httpapi_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi"
	"otpgw/httpapi/tokens"
	"otpgw/smpp"
)

func TestClientRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, func(p *plant) { p.live.Clients[0].Rate, p.live.Clients[0].Burst = 0.25, 2 })
		status := func() int { t.Helper(); return p.post(verifyPath, verifyBody).status }
		if a, b := status(), p.post(sendPath, sendBody).status; a != 204 || b != 200 {
			t.Fatalf("within the burst: %d, %d", a, b)
		}
		for range 3 { // a refusal takes nothing
			a := p.post(sendPath, sendBody)
			if !a.is(429, "TOO_MANY_REQUESTS") || a.header.Get("Retry-After") != "4" {
				t.Fatalf("%d %s, Retry-After %q", a.status, a.code, a.header.Get("Retry-After"))
			}
		}
		<-time.After(4 * time.Second)
		if a, b := status(), status(); a != 204 || b != 429 {
			t.Errorf("after a token's time: %d, %d", a, b)
		}

		p.SetLive(p.live)
		if got := status(); got != 429 {
			t.Errorf("the bucket was filled by SetLive: %d", got)
		}
		p.live.Clients[0].Burst = 3
		p.SetLive(p.live)
		if got := status(); got != 204 {
			t.Errorf("a new rate: %d", got)
		}
		p.live.Clients[0].Rate = 0
		p.SetLive(p.live)
		for range 100 {
			if got := status(); got != 204 {
				t.Fatalf("without a limit: %d", got)
			}
		}
	})
}

func TestSetLive(t *testing.T) {
	p := newPlant(t)
	if a := p.post(sendPath, sendBody); a.status != 200 {
		t.Fatalf("%d", a.status)
	}
	p.SetLive(httpapi.Live{
		Clients:      []httpapi.Client{{ID: "retired", Enabled: true, Sender: "OLD", Burst: 1}},
		Authenticate: tokens.File([]tokens.Token{token("new", "retired", time.Hour, scope)}),
	})
	if a := p.post(sendPath, sendBody); a.status != 401 {
		t.Errorf("old token: %d", a.status)
	}
	if a := p.post(sendPath, sendBody, "Authorization", "Bearer new"); a.status != 200 {
		t.Errorf("new token: %d", a.status)
	}
}

// A request in work keeps what was in force when it came.
func TestSetLiveDuringARequest(t *testing.T) {
	p := newPlant(t)
	p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) {
		p.SetLive(httpapi.Live{Authenticate: tokens.File(nil)})
		return smpp.Accepted{}, nil
	}
	if a, b := p.post(sendPath, sendBody), p.post(sendPath, sendBody); a.status != 200 || b.status != 401 {
		t.Errorf("%d, then %d", a.status, b.status)
	}
}

// What exceeds the requests in work is refused at once, and a flood of send-code leaves validate-code its share.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := newPlant(t, func(p *plant) {
			p.cfg.MaxInFlight = 8
			p.sender.send = func(context.Context, smpp.Message) (smpp.Accepted, error) {
				<-release
				return smpp.Accepted{}, nil
			}
		})
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if a := p.post(sendPath, sendBody); a.status != 200 {
					t.Errorf("a request in work: %d", a.status)
				}
			})
		}
		synctest.Wait()
		if n := p.metric("otpgw_http_in_flight", "operation", "send-code"); n != 6 {
			t.Errorf("%v in flight", n)
		}
		for range 3 {
			a := p.post(sendPath, sendBody)
			if !a.is(503, "UNAVAILABLE") || a.header.Get("Retry-After") != "1" {
				t.Errorf("one too many: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
			}
			if b := p.post(verifyPath, verifyBody); b.status != 204 {
				t.Errorf("validate-code meanwhile: %d", b.status)
			}
		}
		close(release)
		wg.Wait()
		if a := p.post(sendPath, sendBody); a.status != 200 {
			t.Errorf("afterwards: %d", a.status)
		}
		if n := p.metric("otpgw_http_refusals_total", "reason", "overloaded"); n != 3 {
			t.Errorf("%v refusals", n)
		}
	})
}

func TestRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, func(p *plant) {
			p.cfg.RequestTimeout = 3 * time.Second
			p.codes.verify = func(ctx context.Context, _, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		})
		began := time.Now()
		if a := p.post(verifyPath, verifyBody); !a.is(http.StatusGatewayTimeout, "TIMEOUT") || time.Since(began) != 3*time.Second {
			t.Errorf("%d after %v", a.status, time.Since(began))
		}
	})
}

// TestRefusalsCostNoTokens: however many are refused at once, a client has its burst again when its time has passed.
func TestRefusalsCostNoTokens(t *testing.T) {
	const burst = 10
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, func(p *plant) { p.live.Clients[0].Rate, p.live.Clients[0].Burst = 100, burst })
		ask := func(callers, each int) int {
			var admitted atomic.Int64
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range each {
						if p.post(verifyPath, verifyBody).status != http.StatusTooManyRequests {
							admitted.Add(1)
						}
					}
				})
			}
			wg.Wait()
			return int(admitted.Load())
		}
		if n := ask(8, 2000); n != burst { // no time passes meanwhile
			t.Errorf("%d admitted at once, want %d", n, burst)
		}
		time.Sleep(time.Second)
		if n := ask(1, 2*burst); n != burst {
			t.Errorf("%d admitted a second later, want %d", n, burst)
		}
	})
}
