package tokens_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/httpapi/tokens"
)

func onlyIntrospection(answer func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/oauth/introspect" {
			return false
		}
		answer(w, r)
		return true
	}
}

func TestOpaqueTokensOfARealProvider(t *testing.T) {
	p := newProvider(t)
	p.opaque.Store(true)
	b := newBench(t, true, asking(p, nil))
	token := p.grant(t, scope+" openid")
	for range 5 {
		b.good(t, token)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times, want once", n)
	}
	for range 5 {
		b.refused(t, "nobody-s", "inactive")
	}
	if n := p.asked.Load(); n != 2 {
		t.Errorf("the provider was asked %d times, want twice", n)
	}
	if n := b.metric(t, "otpgw_token_introspections_total", "asked", "inactive"); n != 1 {
		t.Errorf("%v answers were counted as inactive", n)
	}
	b.refused(t, "to ken", "unknown") // not worth a question
	if n := p.asked.Load(); n != 2 {
		t.Errorf("the provider was asked about what is no token")
	}
}

func TestARevokedTokenIsRefusedOnceItIsForgotten(t *testing.T) {
	p := newProvider(t)
	p.opaque.Store(true)
	b := newBench(t, true, asking(p, func(c *tokens.Config) { c.ActiveFor = 0 }))
	token := p.grant(t, scope)
	b.good(t, token)
	p.revoke()
	b.refused(t, token, "inactive")
}

func TestJWTsMayBeAskedAbout(t *testing.T) {
	p := newProvider(t)
	b := newBench(t, true, asking(p, nil))
	token := p.grant(t, scope)
	b.good(t, token)
	p.revoke()
	b.good(t, token) // for active_for
	b.refused(t, flip(token), "inactive")
}

func TestOneQuestionForAllThatWait(t *testing.T) {
	p := newProvider(t)
	p.opaque.Store(true)
	b := newBench(t, true, asking(p, nil))
	token := p.grant(t, scope)
	arrived, hold := make(chan struct{}), make(chan struct{})
	p.meddle(func(_ http.ResponseWriter, r *http.Request) bool {
		close(arrived) // a second question would panic
		<-hold
		return false
	})
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if _, err := b.bearer(t, token); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	<-arrived
	close(hold)
	wait.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

func TestAProviderThatDoesNotAnswerIsNotAsked(t *testing.T) {
	p := newProvider(t)
	p.opaque.Store(true)
	b := newBench(t, true, asking(p, nil))
	known, unknown := p.grant(t, scope), p.grant(t, scope)
	b.good(t, known)
	for name, answer := range map[string]http.HandlerFunc{
		"500":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"a page":             func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"an empty object":    func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") },
		"active as a string": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"active":"true"}`) },
		"active twice":       func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"active":false,"active":true}`) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		},
		"more than it may be": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat(" ", 70<<10)) },
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(c, unknown+"\r\n\r\n")
			c.Close()
		},
	} {
		p.meddle(onlyIntrospection(answer))
		t.Run(name, func(t *testing.T) {
			own := newBench(t, true, asking(p, nil))
			for range 8 {
				own.unavailable(t, unknown)
			}
			if failed, closed := own.metric(t, "otpgw_token_introspections_total", "failed"), own.metric(t, "otpgw_token_introspections_total", "breaker"); failed != 5 || closed != 3 {
				t.Errorf("%v questions failed and %v were not asked, want 5 and 3", failed, closed)
			}
			if own.Ready() == nil {
				t.Error("ready")
			}
			if s := own.Issuers()[0]; s.Usable || s.Kind != "opaque" || s.Error == "" || time.Since(s.Away) > time.Minute || strings.Contains(s.Error, unknown) {
				t.Errorf("%+v", s)
			}
			if log := own.log.String(); lines(log, "issuer is away") != 1 || strings.Contains(log, unknown) {
				t.Errorf("the log: %s", log)
			}
		})
	}
	b.good(t, known) // what is known holds
}

func TestASlowAnswerIsNotWaitedFor(t *testing.T) {
	p := newProvider(t)
	p.opaque.Store(true)
	b := newBench(t, true, asking(p, nil))
	p.meddle(onlyIntrospection(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
		<-r.Context().Done()
	}))
	began := time.Now()
	b.unavailable(t, "slow-token")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestWhatTheProviderDoesNotUnderstandShutsNobodyOut(t *testing.T) {
	p := newProvider(t)
	p.opaque.Store(true)
	b := newBench(t, true, asking(p, nil))
	p.meddle(onlyIntrospection(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }))
	for range 20 {
		b.unavailable(t, "odd-token")
	}
	p.honest()
	b.good(t, p.grant(t, scope))
}

func TestAWrongSecretIsNoRefusal(t *testing.T) {
	p := newProvider(t)
	b := newBench(t, true, asking(p, func(c *tokens.Config) { c.ClientSecret = "wrong" }))
	b.unavailable(t, "some-token")
	if strings.Contains(b.log.String(), "wrong") {
		t.Error("the log holds the secret")
	}
}

// TestHostileAnswersToQuestions holds that an answer counts for what it says and no more.
func TestHostileAnswersToQuestions(t *testing.T) {
	p := newProvider(t)
	answer := func(change object) object {
		return p.claims(object{"active": true, "token_type": "Bearer", "iat": nil, "nbf": nil}.with(change))
	}
	now := time.Now().Unix()
	for _, c := range []struct {
		name   string
		says   object
		reason string // "": taken
	}{
		{"good", nil, ""},
		{"without exp", object{"exp": nil}, ""},
		{"without iss", object{"iss": nil}, ""},
		{"active null and more", object{"active": false}, "inactive"},
		{"expired", object{"exp": now - 100}, "expired"},
		{"exp as a string", object{"exp": "9999999999"}, "malformed"},
		{"of another issuer", object{"iss": "https://evil.example.com"}, "claims"},
		{"for another audience", object{"aud": "x"}, "audience"},
		{"for no audience", object{"aud": nil}, "audience"},
		{"not yet", object{"nbf": now + 100}, "early"},
		{"without a client", object{"client_id": nil}, "claims"},
		{"a refresh token", object{"typ": "Refresh"}, "type"},
		{"bound to a certificate", object{"cnf": object{"x5t#S256": "x"}}, "bound"},
		{"bound to a key", object{"cnf": object{"jkt": "x"}}, "bound"},
		{"bound to what nobody knows", object{"cnf": object{"x": "x"}}, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.meddle(onlyIntrospection(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer(c.says)) }))
			b := newBench(t, true, asking(p, nil))
			if c.reason == "" {
				b.good(t, "token")
				return
			}
			for range 8 {
				b.refused(t, "token", c.reason)
			}
			if b.Ready() != nil {
				t.Error("what a token says shut out everybody")
			}
		})
	}
}

func TestTokensOfAllKindsSideBySide(t *testing.T) {
	jwts, opaque := newProvider(t), newProvider(t)
	opaque.opaque.Store(true)
	b := newBench(t, true, config(jwts, nil), asking(opaque, nil))
	set, err := b.Prepare([]tokens.Token{{SHA256: sum("by-hand"), Client: "acme", Scopes: []string{scope}, Expires: time.Now().Add(time.Hour)},
		{SHA256: sum("of-old"), Client: "acme", Scopes: []string{scope}}}, []tokens.Config{config(jwts, nil), asking(opaque, nil)})
	if err != nil {
		t.Fatal(err)
	}
	b.Apply(set)
	b.good(t, "by-hand")
	b.refused(t, "of-old", "expired")
	b.good(t, jwts.grant(t, scope))
	b.good(t, opaque.grant(t, scope))
	b.refused(t, flip(jwts.grant(t, scope)), "signature")
	if n := opaque.asked.Load(); n != 1 {
		t.Errorf("the provider of opaque tokens was asked %d times: JWTs of another are not its business", n)
	}
	b.refused(t, "nobody-s", "inactive")
}
