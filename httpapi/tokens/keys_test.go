package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi/tokens"

	"github.com/prometheus/client_golang/prometheus"
)

// A bubble is a verifier in a bubble of synctest with a provider that it reaches without a network.
type bubble struct {
	*bench
	provider *provider
	away     atomic.Bool
	slow     atomic.Bool            // answers take for ever
	content  atomic.Pointer[string] // answered in place of the keys
}

func (b *bubble) get(ctx context.Context, from string) ([]byte, error) {
	if b.slow.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if b.away.Load() {
		b.provider.fetched.Add(1)
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	b.provider.answer(w, httptest.NewRequestWithContext(ctx, "GET", from, nil))
	if text := b.content.Load(); text != nil && strings.HasSuffix(from, "/keys") {
		return []byte(*text), nil
	}
	return w.Body.Bytes(), nil
}

func inBubble(t *testing.T, before func(*bubble), change func(*tokens.Config), test func(t *testing.T, b *bubble)) {
	t.Helper()
	keyPairs() // not in the bubble
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{bench: &bench{reg: prometheus.NewRegistry()}, provider: newHandler(t, "https://idp.example.com")}
		if before != nil {
			before(b)
		}
		var err error
		b.Verifier, err = tokens.NewFetching(nil, []tokens.Config{config(b.provider, change)}, b.get, b.reg, slog.New(slog.NewTextHandler(&b.log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		run(t, b.Verifier)
		synctest.Wait()
		test(t, b)
	})
}

// token is a good one by this key, unlike any other.
func (b *bubble) token(kid, key string) string {
	return sign(object{"alg": "RS256", "kid": kid, "typ": "at+jwt"}, b.provider.claims(object{"exp": time.Now().Unix() + 7*86400}), "RS256", keyPairs()[key])
}

func lines(log, text string) int { return strings.Count(log, text) }

func TestARotatedKeyIsFound(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		old := b.token("k1", "rsa")
		b.good(t, old)
		b.provider.rotate(signingKey{"k2", "RS256", "sig", keyPairs()["rsa2"]}, signingKey{"k1", "RS256", "sig", keyPairs()["rsa"]})
		time.Sleep(time.Minute)
		began := time.Now()
		b.good(t, b.token("k2", "rsa2"))
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("it waited %v", waited)
		}
		b.good(t, old)
		b.provider.rotate(signingKey{"k2", "RS256", "sig", keyPairs()["rsa2"]})
		time.Sleep(12 * time.Minute) // the next refresh
		b.refused(t, old, "key")     // although the cache knew it
		if n := b.provider.fetched.Load(); n > 5 {
			t.Errorf("the keys were fetched %d times", n)
		}
	})
}

func TestAKeyThatIsWithdrawnTakesItsTokensWithIt(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		b.provider.rotate(signingKey{"k2", "RS256", "sig", keyPairs()["rsa2"]})
		time.Sleep(9*time.Minute - time.Second)
		old := b.token("k1", "rsa")
		b.good(t, old) // cached for 5 minutes from here
		time.Sleep(2*time.Minute + 2*time.Second)
		b.refused(t, old, "key")
	})
}

// Who applies a configuration, be it the same, has the keys fetched: one may have been replaced under its kid.
func TestApplyingFetchesTheKeysAnew(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		apply := func() {
			t.Helper()
			set, err := b.Prepare(nil, []tokens.Config{config(b.provider, nil)})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			b.Apply(set)
			if took := time.Since(began); took > 0 {
				t.Errorf("it waited %v", took)
			}
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		old, new := b.token("k1", "rsa"), b.token("k1", "rsa2")
		b.good(t, old)
		before := b.provider.fetched.Load()
		b.provider.rotate(signingKey{"k1", "RS256", "sig", keyPairs()["rsa2"]})
		b.refused(t, new, "signature")
		apply()
		b.good(t, new)
		b.refused(t, old, "signature") // although it was known to be good

		// However often, it is once in 30 s.
		b.provider.rotate(signingKey{"k1", "RS256", "sig", keyPairs()["rsa"]})
		for range 100 {
			apply()
			time.Sleep(100 * time.Millisecond)
		}
		b.refused(t, old, "signature")
		time.Sleep(21 * time.Second)
		b.good(t, old)
		each := b.provider.fetched.Load() - before
		time.Sleep(5 * time.Minute)
		if n := b.provider.fetched.Load() - before; n != each || each > 4 { // a fetch is two questions
			t.Errorf("%d questions, then %d", each, n)
		}

		// A provider that does not answer is nothing to wait for, and takes no keys away.
		b.slow.Store(true)
		apply()
		b.good(t, old)
		time.Sleep(4 * time.Second)
		apply()
		b.good(t, old)
		if s := b.Issuers()[0]; s.Away.IsZero() || !s.Usable || s.Keys != 1 {
			t.Errorf("%+v", s)
		}
		b.slow.Store(false)
		time.Sleep(40 * time.Second)
		if s := b.Issuers()[0]; !s.Away.IsZero() || s.Error != "" || time.Since(s.Fetched) > time.Minute {
			t.Errorf("%+v", s)
		}
	})
}

func TestATokenIsForgottenWhenItExpires(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		token := sign(object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, b.provider.claims(object{"exp": time.Now().Unix() + 60}), "RS256", keyPairs()["rsa"])
		b.good(t, token)
		time.Sleep(89 * time.Second)
		b.good(t, token) // within the leeway
		time.Sleep(time.Second)
		b.refused(t, token, "expired")
	})
}

// TestForgedTokensFetchNoKeys is the flood of tokens with ids of keys that nobody has.
func TestForgedTokensFetchNoKeys(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		const forged, every = 10_000, 15 * time.Millisecond
		began := time.Now()
		for n := range forged {
			head := encode(object{"alg": "RS256", "kid": fmt.Sprint("forged-", n), "typ": "at+jwt"})
			b.refused(t, head+"."+encode(b.provider.claims(nil))+".AAAA", "key")
			time.Sleep(every)
		}
		took := time.Since(began)
		if most := int64(took/(30*time.Second)) + 1; b.provider.fetched.Load() > most {
			t.Errorf("%d forged tokens in %v fetched the keys %d times, want %d at the most", forged, took, b.provider.fetched.Load(), most)
		}
		if slack := took - forged*every; slack > 10*time.Second {
			t.Errorf("the forged tokens were waited for, %v", slack)
		}
		b.good(t, b.token("k1", "rsa"))
	})
}

// TestAFloodDoesNotWaitForASlowProvider holds how many requests wait for keys, and how long.
func TestAFloodDoesNotWaitForASlowProvider(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		b.slow.Store(true)
		time.Sleep(time.Minute)
		began := time.Now()
		var wait sync.WaitGroup
		var waited atomic.Int64
		for n := range 1000 {
			wait.Go(func() {
				head := encode(object{"alg": "RS256", "kid": fmt.Sprint("forged-", n), "typ": "at+jwt"})
				b.unavailable(t, head+"."+encode(b.provider.claims(nil))+".AAAA") // it may be good
				if time.Since(began) > 0 {
					waited.Add(1)
				}
			})
		}
		wait.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if n := waited.Load(); n > 64 {
			t.Errorf("%d requests waited", n)
		}
		began = time.Now()
		b.good(t, b.token("k1", "rsa")) // with what is known nobody waits
		if took := time.Since(began); took > 0 {
			t.Errorf("a good token waited %v", took)
		}
	})
}

func TestKeysOutliveAnOutageForMaxStale(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		fetched := time.Now()
		if got, want := b.Issuers(), (tokens.IssuerState{Name: "idp", Kind: "jwt", Usable: true, Keys: 1, Fetched: fetched}); len(got) != 1 || got[0] != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		b.away.Store(true)
		for range 23 {
			time.Sleep(time.Hour)
			b.good(t, b.token("k1", "rsa"))
			if err := b.Ready(); err != nil {
				t.Fatal(err)
			}
		}
		if age := b.metric(t, "otpgw_token_key_age_seconds"); age < 22*3600 {
			t.Errorf("the keys are %v s old", age)
		}
		time.Sleep(2 * time.Hour)
		b.unavailable(t, b.token("k1", "rsa"))
		b.refused(t, "a.b.c", "malformed") // what is no token is none, provider or not
		b.refused(t, sign(object{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, b.provider.claims(nil), "HS256", []byte("x")), "algorithm")
		if err := b.Ready(); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("ready: %v", err)
		}
		if s := b.Issuers()[0]; s.Usable || s.Keys != 1 || !s.Fetched.Equal(fetched) || s.Error != "discovery: connection refused" || s.Away.Sub(fetched) > 12*time.Minute || s.Away.Before(fetched) {
			t.Errorf("%+v", s)
		}
		b.away.Store(false)
		time.Sleep(time.Minute)
		b.good(t, b.token("k1", "rsa"))
		if s := b.Issuers()[0]; !s.Usable || !s.Away.IsZero() || s.Error != "" {
			t.Errorf("%+v", s)
		}
		if log := b.log.String(); lines(log, "issuer is away") != 1 || lines(log, "issuer is back") != 1 {
			t.Errorf("the log tells of it otherwise than once: %s", log)
		}
	})
}

func TestStartWithoutTheProvider(t *testing.T) {
	inBubble(t, func(b *bubble) { b.away.Store(true) }, nil, func(t *testing.T, b *bubble) {
		for range 100 {
			b.unavailable(t, b.token("k1", "rsa"))
			if b.Ready() == nil {
				t.Fatal("ready without keys")
			}
			time.Sleep(10 * time.Second)
		}
		if n := b.provider.fetched.Load(); n < 20 || n > 60 {
			t.Errorf("it tried %d times in %v", n, 1000*time.Second)
		}
		b.away.Store(false)
		time.Sleep(40 * time.Second)
		b.good(t, b.token("k1", "rsa"))
		if err := b.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheFirstKeysAreWaitedFor(t *testing.T) {
	inBubble(t, func(b *bubble) { b.slow.Store(true) }, nil, func(t *testing.T, b *bubble) {
		time.AfterFunc(500*time.Millisecond, func() { b.slow.Store(false) }) // too late for the first try
		began := time.Now()
		b.unavailable(t, b.token("k1", "rsa"))
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %v", took)
		}
		time.Sleep(5 * time.Second)
		b.good(t, b.token("k1", "rsa"))
	})
}

func TestWhileTheProviderIsAwayAnUnknownKeyMayBeGood(t *testing.T) {
	inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
		b.provider.rotate(signingKey{"k2", "RS256", "sig", keyPairs()["rsa2"]})
		b.away.Store(true)
		time.Sleep(time.Minute)
		b.unavailable(t, b.token("k2", "rsa2"))
		b.unavailable(t, b.token("k2", "rsa2"))
		b.away.Store(false)
		time.Sleep(time.Minute)
		b.good(t, b.token("k2", "rsa2"))
		b.refused(t, b.token("k3", "rsa2"), "key")
	})
}

func TestWrongContentKeepsTheKeys(t *testing.T) {
	for name, content := range map[string]string{
		"nothing":             "",
		"an empty object":     `{}`,
		"no keys":             `{"keys":[]}`,
		"null":                `{"keys":null}`,
		"a page":              `<html><body>Sign in</body></html>`,
		"a list":              `[]`,
		"keys as a string":    `{"keys":"x"}`,
		"keys of nothing":     `{"keys":[{},1,"x",null,{"kid":"k1"},{"kid":"k1","kty":"RSA"}]}`,
		"a shared secret":     `{"keys":[{"kid":"k1","kty":"oct","k":"AAAA"}]}`,
		"a key off its curve": `{"keys":[{"kid":"k1","kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`,
		"members twice":       `{"keys":[],"keys":[]}`,
		"cut short":           `{"keys":[{"kid":"k1",`,
		"200 keys":            `{"keys":[` + strings.Repeat(`{},`, 199) + `{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, nil, func(t *testing.T, b *bubble) {
				b.content.Store(&content)
				time.Sleep(time.Hour)
				b.good(t, b.token("k1", "rsa"))
				if failed := b.metric(t, "otpgw_token_key_refreshes_total", "failed"); failed == 0 {
					t.Error("no refresh failed")
				}
				b.content.Store(nil)
				time.Sleep(time.Minute)
				b.good(t, b.token("k1", "rsa"))
				if !strings.Contains(b.log.String(), "issuer is back") {
					t.Errorf("the log: %s", b.log.String())
				}
			})
		})
	}
}

func TestDiscoveryIsOfTheIssuer(t *testing.T) {
	for name, document := range map[string]string{
		"of another issuer":  `{"issuer":"https://evil.example.com","jwks_uri":"ISSUER/keys"}`,
		"of no issuer":       `{"jwks_uri":"ISSUER/keys"}`,
		"without keys":       `{"issuer":"ISSUER"}`,
		"keys without TLS":   `{"issuer":"ISSUER","jwks_uri":"http://192.0.2.1/keys"}`,
		"keys of a file":     `{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`,
		"issuer there twice": `{"issuer":"ISSUER","issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.meddle(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
					return false
				}
				io.WriteString(w, strings.ReplaceAll(document, "ISSUER", p.issuer))
				return true
			})
			b := newBench(t, false, config(p, nil))
			b.await(t, func() bool { return b.metric(t, "otpgw_token_key_refreshes_total", "failed") > 0 })
			b.unavailable(t, p.grant(t, scope))
			p.honest()
			b.await(t, func() bool { return b.Ready() == nil })
			b.good(t, p.grant(t, scope))
		})
	}
}

// TestHostileAnswers holds that no answer costs memory or time without end.
func TestHostileAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a body of 1 GB": func(w http.ResponseWriter, r *http.Request) {
			block := []byte(strings.Repeat(" ", 1<<20))
			for range 1024 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"a body that does not end": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"keys":[`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"itself":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"204":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			b := newBench(t, true, config(p, func(c *tokens.Config) { c.JWKSURL = p.issuer + "/keys" }))
			p.meddle(func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			if err := b.Fetch(t.Context(), "idp"); err == nil {
				t.Error("it was taken for keys")
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 128<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
			b.good(t, sign(object{"alg": "RS256", "kid": "k1", "typ": "JWT"}, p.claims(nil), "RS256", keyPairs()["rsa"]))
		})
	}
}

func TestARedirectOnTheSameHostIsFollowed(t *testing.T) {
	p := newProvider(t)
	p.meddle(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/keys", http.StatusMovedPermanently)
			return true
		}
		return false
	})
	b := newBench(t, true, config(p, func(c *tokens.Config) { c.JWKSURL = p.issuer + "/old" }))
	b.good(t, p.grant(t, scope))
}

func TestARedirectToAnotherHostIsNot(t *testing.T) {
	p, other := newProvider(t), newProvider(t) // both show the same key
	p.meddle(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.issuer+"/keys", http.StatusFound)
		return true
	})
	b := newBench(t, false, config(p, func(c *tokens.Config) { c.JWKSURL = p.issuer + "/keys" }))
	if err := b.Fetch(t.Context(), "idp"); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("%v", err)
	}
	if n := other.fetched.Load(); n > 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestReloadKeepsKeys(t *testing.T) {
	p, other := newProvider(t), newProvider(t)
	first := config(p, nil)
	b := newBench(t, true, first)
	token := p.grant(t, scope)
	b.good(t, token)
	p.meddle(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(500); return true })

	reload := func(list []tokens.Token, issuers ...tokens.Config) {
		t.Helper()
		set, err := b.Prepare(list, issuers)
		if err != nil {
			t.Fatal(err)
		}
		b.Apply(set)
	}
	second := config(other, func(c *tokens.Config) { c.Name = "other" })
	reload(nil, second, first)
	b.await(t, func() bool { return b.metric(t, "otpgw_token_issuer_ready", "other") == 1 })
	b.good(t, token)
	if hits := b.metric(t, "otpgw_token_cache_hits_total", "idp"); hits != 1 {
		t.Errorf("%v hits: the reload forgot the token", hits)
	}
	b.good(t, other.grant(t, scope))

	changed := config(p, func(c *tokens.Config) { c.Audience = []string{"https://another.example.com"} })
	reload(nil, changed) // the keys stay, what is known of tokens does not
	b.good(t, token)
	if hits := b.metric(t, "otpgw_token_cache_hits_total", "idp"); hits != 1 {
		t.Errorf("%v hits: another audience kept what was known of tokens", hits)
	}
	changed.Audience = []string{"https://nobody.example.com"}
	reload(nil, changed)
	b.refused(t, token, "audience")
	reload(nil)
	b.refused(t, token, "unknown")
	if n := p.fetched.Load(); n > 4 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if _, err := b.Prepare(nil, []tokens.Config{config(p, func(c *tokens.Config) { c.CA = "/dev/null/none" })}); err == nil {
		t.Error("a file of certificates that is not there was taken")
	}
}
