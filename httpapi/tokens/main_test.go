package tokens_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"otpgw/httpapi/tokens"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is a verifier that runs, with all that it logs.
type bench struct {
	*tokens.Verifier
	reg *prometheus.Registry
	log record
}

type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func config(p *provider, change func(*tokens.Config)) tokens.Config {
	cfg := tokens.DefaultConfig()
	cfg.Name, cfg.Issuer, cfg.Audience = "idp", p.issuer, []string{audience}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func asking(p *provider, change func(*tokens.Config)) tokens.Config {
	return config(p, func(c *tokens.Config) {
		c.Name, c.Kind = "asked", "opaque"
		c.IntrospectionURL, c.ClientID, c.ClientSecret = p.issuer+"/oauth/introspect", "otpgw:1", "s3cr%t +/"
		if change != nil {
			change(c)
		}
	})
}

// newBench runs a verifier of these issuers, each of which must be valid. With ready it waits for their keys.
func newBench(t testing.TB, ready bool, issuers ...tokens.Config) *bench {
	t.Helper()
	b := &bench{reg: prometheus.NewRegistry()}
	for _, cfg := range issuers {
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.Verifier, err = tokens.New(nil, issuers, b.reg, slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	run(t, b.Verifier)
	if ready {
		for _, cfg := range issuers {
			b.await(t, func() bool { return b.metric(t, "otpgw_token_issuer_ready", cfg.Name) == 1 })
		}
	}
	return b
}

// run runs v until the test ends.
func run(t testing.TB, v *tokens.Verifier) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// await polls is, 20 s at the most.
func (b *bench) await(t testing.TB, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it did not come in time; the log: %s", b.log.String())
		}
	}
}

func request(scheme, token string) *http.Request {
	r := httptest.NewRequest("POST", "http://10.0.0.1/one-time-password-sms/v1/send-code?x=y", nil)
	r.Header.Set("Authorization", scheme+" "+token)
	return r
}

func (b *bench) bearer(t testing.TB, token string) (tokens.Principal, error) {
	t.Helper()
	return b.Set().Authenticate(t.Context(), request("Bearer", token))
}

// good wants token to be taken, for acme.
func (b *bench) good(t testing.TB, token string) {
	t.Helper()
	p, err := b.bearer(t, token)
	if err != nil {
		t.Fatalf("%v (%s)", err, detail(err))
	}
	if p.Client != "acme" || len(p.Scopes) == 0 || p.Scopes[0] != scope {
		t.Fatalf("%+v", p)
	}
}

// refused wants token to be refused for this reason.
func (b *bench) refused(t testing.TB, token, reason string) {
	t.Helper()
	p, err := b.bearer(t, token)
	wantRefusal(t, p, err, reason)
}

func wantRefusal(t testing.TB, p tokens.Principal, err error, reason string) {
	t.Helper()
	if !errors.Is(err, tokens.ErrUnauthenticated) || errors.Is(err, tokens.ErrAuthUnavailable) || p.Client != "" || p.Scopes != nil {
		t.Fatalf("%+v %v, want a refusal", p, err)
	}
	if refusal, _ := errors.AsType[*tokens.Refusal](err); refusal.Reason != reason {
		t.Fatalf("refused for %s (%s), want %s", refusal.Reason, refusal.Detail(), reason)
	}
}

func (b *bench) unavailable(t testing.TB, token string) {
	t.Helper()
	if p, err := b.bearer(t, token); !errors.Is(err, tokens.ErrAuthUnavailable) || errors.Is(err, tokens.ErrUnauthenticated) || p.Client != "" {
		t.Fatalf("%+v %v, want unavailable", p, err)
	}
}

func detail(err error) string {
	if refusal, is := errors.AsType[*tokens.Refusal](err); is {
		return refusal.Detail()
	}
	return ""
}

// metric is the sum of a metric's values over the series that have all these label values.
func (b *bench) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			found := 0
			for _, want := range labels {
				for _, l := range m.GetLabel() {
					if l.GetValue() == want {
						found++
						break
					}
				}
			}
			if found == len(labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func sum(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// onlyKeys fails whoever asks for keys.
func onlyKeys(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/keys" {
		return false
	}
	w.WriteHeader(http.StatusInternalServerError)
	return true
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (o object) with(change object) object {
	maps.Copy(o, change)
	return o
}
