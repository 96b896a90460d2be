package tokens

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// An issuer is one whose tokens are taken. Any number of goroutines may use it.
type issuer struct {
	Config
	ca      string // the text of Config.CA
	client  *http.Client
	log     *slog.Logger
	metrics *metrics

	keys     *keyring      // of kind jwt
	asks     *introspector // of kind opaque
	verified *memory[verdict]
	proofs   *proofs

	failure atomic.Pointer[error]     // of the last question, for the log
	away    atomic.Pointer[time.Time] // since when questions are not answered; nil: they are
}

// A verdict is what a good token says, and until when it can be taken for that.
type verdict struct {
	Principal
	bound *bound
	until time.Time
}

// verifiedFor is how long a token is known to be good without another look at it.
const verifiedFor = 5 * time.Minute

func newIssuer(cfg Config, ca string, fetcher func(*http.Client) getter, m *metrics, log *slog.Logger) *issuer {
	i := &issuer{
		Config: cfg, ca: ca, client: newClient(ca, askPlaces), log: log, metrics: m,
		verified: newMemory[verdict](activeKept),
	}
	if cfg.DPoP {
		i.proofs = newProofs(proofsKept)
	}
	if cfg.Kind == kindOpaque {
		i.asks = newIntrospector(i)
		return i
	}
	i.keys = &keyring{
		name: cfg.Name, issuer: cfg.Issuer, jwksURL: cfg.JWKSURL, maxStale: cfg.MaxStale,
		get: fetcher(i.client), lost: i.verified.forget, log: log, metrics: m, wake: make(chan struct{}, 1), anew: make(chan struct{}, 1), round: make(chan struct{}),
	}
	return i
}

// is says that i is made of these settings.
func (i *issuer) is(cfg Config, ca string) bool {
	return reflect.DeepEqual(i.Config, cfg) && i.ca == ca
}

// inherit takes the keys of before, where they are the same issuer's, so that another audience asks for no new keys.
func (i *issuer) inherit(before *issuer) {
	if i.keys != nil && before.keys != nil && i.Issuer == before.Issuer && i.JWKSURL == before.JWKSURL {
		i.keys.now.Store(before.keys.now.Load())
	}
	if i.proofs != nil && before.proofs != nil {
		i.proofs = before.proofs
	}
}

// run keeps the keys until ctx ends.
func (i *issuer) run(ctx context.Context) {
	if i.keys != nil {
		i.keys.keep(ctx)
	}
}

// ready is nil while tokens can be verified.
func (i *issuer) ready() error {
	switch {
	case i.keys != nil && i.keys.usable(time.Now()) == nil:
		return fmt.Errorf("issuer %s: %w", i.Name, i.keys.why())
	case i.asks != nil && i.asks.breaker.State() == gobreaker.StateOpen:
		return fmt.Errorf("issuer %s: %w", i.Name, *i.failure.Load())
	}
	return nil
}

func (i *issuer) failed(err error) { i.failure.Store(&err) }

// announce logs that questions are no longer answered, or are again.
func (i *issuer) announce(away bool) {
	if away {
		now := time.Now()
		i.away.CompareAndSwap(nil, &now)
		i.log.Warn("issuer is away, it does not answer questions", "issuer", i.Name, "error", *i.failure.Load())
		return
	}
	i.away.Store(nil)
	i.log.Info("issuer is back, it answers questions", "issuer", i.Name)
}

// verify is the verdict on a JWT of this issuer.
func (i *issuer) verify(ctx context.Context, s *signed, c *claims, now time.Time) (verdict, error) {
	for _, check := range headerChecks {
		if _, err := check.run(i, s, c, now); err != nil {
			return verdict{}, err
		}
	}
	keys, err := i.keys.find(ctx, s.header.kid)
	if err != nil {
		return verdict{}, err
	}
	if err := signedBy(s, keys); err != nil {
		return verdict{}, err
	}
	return i.claim(s, c, now)
}

func signedBy(s *signed, keys []key) error {
	for _, k := range keys {
		if s.verify(k) {
			return nil
		}
	}
	return refuse(reasonSignature, "is not of the issuer's key with that kid and algorithm")
}

// claim is the verdict on claims that are the issuer's. s is nil where it was asked.
func (i *issuer) claim(s *signed, c *claims, now time.Time) (verdict, error) {
	for _, check := range claimChecks {
		if _, err := check.run(i, s, c, now); err != nil {
			return verdict{}, err
		}
	}
	v := verdict{Principal: Principal{Client: c.client(i.ClientClaims), Scopes: c.scopes()}, bound: c.bound, until: now.Add(verifiedFor)}
	if s == nil {
		v.until = now.Add(i.ActiveFor)
	}
	if end := c.expires.Add(i.Leeway); !c.expires.IsZero() && end.Before(v.until) {
		v.until = end
	}
	return v, nil
}

// introspect is the verdict of this issuer on a token. Those who bring the same one at the same time share one question.
func (i *issuer) introspect(ctx context.Context, token string, hash [32]byte) (verdict, error) {
	v, err, _ := i.asks.flights.Do(string(hash[:]), func() (any, error) {
		now := time.Now()
		if v, known := i.verified.recall(hash, now); known { // since it was looked for
			return v, nil
		}
		c, err := i.asks.ask(ctx, i, token, hash)
		if err != nil {
			return verdict{}, err
		}
		if i.Issuer != "" && c.issuer != "" && c.issuer != i.Issuer {
			return verdict{}, refuse(reasonClaims, "is of the issuer %.200q", c.issuer)
		}
		v, err := i.claim(nil, c, now)
		if err == nil {
			i.verified.note(hash, v, v.until)
		}
		return v, err
	})
	return v.(verdict), err
}

const maxCA = 1 << 20 // octets of a file of certificates

// readCA is the text of a file of certificates; "" where there is none.
func readCA(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCA+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxCA:
		return "", fmt.Errorf("%s: is longer than %d octets", path, maxCA)
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		return "", errors.New(path + ": holds no certificate in PEM")
	}
	return string(text), nil
}
