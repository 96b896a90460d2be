package numbers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sony/gobreaker/v2"
)

const (
	maxAnswer  = 4 << 10 // bytes of a body
	maxCA      = 1 << 20 // bytes of lookup_ca
	maxWaiting = 16      // look-ups that wait, for each that may run

	breakerOpens  = 5 // failures one after the other
	breakerStays  = 5 * time.Second
	breakerWindow = 10 * time.Second // of which half the look-ups, 20 at the least, may not fail
)

var (
	errBusy       = errors.New("no turn for a look-up in time")
	errTurnedAway = errors.New("too many look-ups wait")
	errStopped    = errors.New("look-ups have ended")
	errAnswer     = errors.New("answer is not of the look-up protocol")
)

// dialFunc is net.Dialer.DialContext, or a test's.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// settings is all that a lookup is made of: two lookups of the same settings are the same.
type settings struct {
	url, token, ca           string // ca is the text of the file
	timeout, cache, negative time.Duration
	concurrency, cacheSize   int
}

// newSettings reads lookup_ca.
func newSettings(cfg Config) (settings, error) {
	s := settings{
		url: cfg.LookupURL, token: string(cfg.LookupToken), timeout: cfg.LookupTimeout, cache: cfg.LookupCache,
		negative: cfg.LookupNegativeCache, concurrency: cfg.LookupConcurrency, cacheSize: cfg.LookupCacheSize,
	}
	if s.url == "" {
		return settings{}, nil
	}
	if cfg.LookupCA == "" {
		return s, nil
	}
	f, _, err := openRegular(cfg.LookupCA)
	if err != nil {
		return s, fmt.Errorf("lookup_ca: %w", err)
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxCA+1))
	switch {
	case err != nil:
		return s, fmt.Errorf("lookup_ca: %w", err)
	case len(pem) > maxCA:
		return s, fmt.Errorf("lookup_ca: %s: is longer than %d bytes", cfg.LookupCA, maxCA)
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		return s, fmt.Errorf("lookup_ca: %s: holds no certificate", cfg.LookupCA)
	}
	s.ca = string(pem)
	return s, nil
}

// A lookup asks the operator's own service. Any number of goroutines may use it.
type lookup struct {
	settings
	client  *http.Client
	places  chan struct{} // one token for each look-up that runs
	breaker *gobreaker.CircuitBreaker[Verdict]
	failure atomic.Pointer[error] // the last one, for the log
	served  *memory
	others  *memory
}

func newLookup(s settings, dial dialFunc, log *slog.Logger) *lookup {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		tlsConfig.RootCAs = x509.NewCertPool()
		tlsConfig.RootCAs.AppendCertsFromPEM([]byte(s.ca))
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: s.timeout}).DialContext
	}
	l := &lookup{
		settings: s,
		client: &http.Client{
			Transport: &http.Transport{ // HTTP/1.1, where a connection that hangs hangs one look-up, and is closed with it
				DialContext:            dial,
				TLSClientConfig:        tlsConfig,
				TLSHandshakeTimeout:    s.timeout,
				MaxIdleConns:           s.concurrency,
				MaxIdleConnsPerHost:    s.concurrency,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 16 << 10,
				DisableCompression:     true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		places: make(chan struct{}, s.concurrency),
		served: newMemory(s.cache, s.cacheSize),
		others: newMemory(s.negative, s.cacheSize),
	}
	l.breaker = gobreaker.NewCircuitBreaker[Verdict](gobreaker.Settings{
		Interval: breakerWindow,
		Timeout:  breakerStays,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= breakerOpens || c.Requests >= 20 && c.TotalFailures*2 >= c.Requests
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				log.Warn("number look-up fails and is not asked for a while", "from", from.String(), "err", *l.failure.Load())
				return
			}
			log.Info("number look-up breaker changed", "from", from.String(), "to", to.String())
		},
	})
	return l
}

// recall is the answer that still holds, if there is one.
func (l *lookup) recall(n uint64) (Verdict, bool) {
	if v, ok := l.served.recall(n); ok {
		return v, true
	}
	return l.others.recall(n)
}

// ask waits for a place, asks the service and notes its answer. It takes no longer than the timeout, and no error holds the number.
func (l *lookup) ask(n uint64, number string) (Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout) // of no request: others may wait for the same answer
	defer cancel()
	// The other half is the service's, so that a crowd here is not taken for slowness there.
	turn := time.NewTimer(l.timeout / 2)
	defer turn.Stop()
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	case <-turn.C:
		return Refused, errBusy
	}
	v, err := l.breaker.Execute(func() (Verdict, error) {
		v, err := l.exchange(ctx, number)
		if err != nil {
			if strings.Contains(err.Error(), number[1:]) {
				err = errAnswer // net/http quotes a line that is no HTTP
			}
			l.failure.Store(&err)
		}
		return v, err
	})
	switch {
	case err != nil:
		return Refused, err
	case v == Served:
		l.served.note(n, v)
	default:
		l.others.note(n, v)
	}
	return v, nil
}

// exchange is one request and its answer.
func (l *lookup) exchange(ctx context.Context, number string) (Verdict, error) {
	body := bytes.NewReader([]byte(`{"phoneNumber":"` + number + `"}`)) // parse saw to it that nothing in it needs an escape
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, body)
	if err != nil {
		return Refused, errors.New("ask look-up: no request can be made of lookup_url")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "otpgw")
	req.Header["Idempotency-Key"] = nil // not sent: tells http.Transport that it may ask again on a new connection
	if l.token != "" {
		req.Header.Set("Authorization", "Bearer "+l.token)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // without the URL, which may hold a secret
		}
		return Refused, fmt.Errorf("ask look-up: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Refused, fmt.Errorf("ask look-up: status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return Refused, fmt.Errorf("read answer of look-up: %w", err)
	}
	if len(text) > maxAnswer {
		return Refused, errAnswer
	}
	var answer struct {
		Verdict string `json:"verdict"`
	}
	if json.Unmarshal(text, &answer, json.RejectUnknownMembers(true)) != nil {
		return Refused, errAnswer
	}
	for v := Served; v < Refused; v++ {
		if answer.Verdict == v.String() {
			return v, nil
		}
	}
	return Refused, errAnswer
}
