package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Verifier keeps the issuers of the set in force. Any number of goroutines may use it.
type Verifier struct {
	log     *slog.Logger
	metrics *metrics
	fetcher func(*http.Client) getter
	now     atomic.Pointer[Set]
	changed chan struct{}
}

// A Set is a configuration made ready: the tokens of the file, and issuers.
type Set struct {
	file    file
	issuers []*issuer
	naming  []string // claims that name clients
	algs    []string // of proofs
	metrics *metrics // nil: nothing is counted
}

// New makes the verifier of list, the tokens of the file, and issuers, which must be valid and differ in name and issuer. It reads
// the files of issuers, and starts nothing.
func New(list []Token, issuers []Config, reg prometheus.Registerer, log *slog.Logger) (*Verifier, error) {
	return newVerifier(list, issuers, fetcher, reg, log)
}

func newVerifier(list []Token, issuers []Config, fetcher func(*http.Client) getter, reg prometheus.Registerer, log *slog.Logger) (*Verifier, error) {
	v := &Verifier{log: log, fetcher: fetcher, changed: make(chan struct{}, 1)}
	v.metrics = newMetrics(reg, v)
	first, err := v.Prepare(list, issuers)
	if err != nil {
		return nil, err
	}
	v.now.Store(first)
	return v, nil
}

// Set returns the set in force.
func (v *Verifier) Set() *Set { return v.now.Load() }

// Prepare makes a set ready. An issuer of which nothing changed is that of the set in force, with its keys and all that it knows.
func (v *Verifier) Prepare(list []Token, issuers []Config) (*Set, error) {
	s := &Set{file: newFile(list), metrics: v.metrics}
	for _, cfg := range issuers {
		ca, err := readCA(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: ca: %w", cfg.Name, err)
		}
		i := v.now.Load().named(cfg.Name)
		if i == nil || !i.is(cfg, ca) {
			before := i
			i = newIssuer(cfg, ca, v.fetcher, v.metrics, v.log)
			if before != nil {
				i.inherit(before)
			}
		}
		s.issuers = append(s.issuers, i)
		s.naming = append(s.naming, cfg.ClientClaims...)
		if cfg.DPoP {
			s.algs = append(s.algs, cfg.Algorithms...)
		}
	}
	for _, list := range []*[]string{&s.naming, &s.algs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return s, nil
}

func (s *Set) named(name string) *issuer {
	if s == nil {
		return nil
	}
	n := slices.IndexFunc(s.issuers, func(i *issuer) bool { return i.Name == name })
	if n < 0 {
		return nil
	}
	return s.issuers[n]
}

// Apply puts s, which Prepare made, in force. The keys of an issuer that stays are fetched anew, at most every 30 s; nobody waits for that.
func (v *Verifier) Apply(s *Set) {
	before := v.now.Swap(s)
	for _, i := range s.issuers {
		if i.keys != nil && slices.Contains(before.issuers, i) {
			i.keys.renew()
		}
	}
	select {
	case v.changed <- struct{}{}:
	default:
	}
	for _, i := range before.issuers {
		if !slices.Contains(s.issuers, i) {
			i.client.CloseIdleConnections()
		}
	}
}

// Run keeps the keys of the issuers in force until ctx ends, and returns nil after all that it started has ended.
func (v *Verifier) Run(ctx context.Context) error {
	var running sync.WaitGroup
	stops := map[*issuer]context.CancelFunc{}
	for {
		set := v.now.Load()
		for i, stop := range stops {
			if !slices.Contains(set.issuers, i) {
				stop()
				delete(stops, i)
			}
		}
		for _, i := range set.issuers {
			if stops[i] == nil {
				own, stop := context.WithCancel(ctx)
				stops[i] = stop
				running.Go(func() { i.run(own) }) // ends with ctx, or when another set is without it
			}
		}
		select {
		case <-v.changed:
			continue
		case <-ctx.Done():
		}
		for _, stop := range stops {
			stop()
		}
		running.Wait()
		for _, i := range v.now.Load().issuers {
			i.client.CloseIdleConnections()
		}
		return nil
	}
}

// Ready is nil while an issuer can verify tokens, or where there is none. One of several that is away makes nothing unready: that would
// shut out the clients of all others.
func (v *Verifier) Ready() error {
	var errs []error
	for _, i := range v.now.Load().issuers {
		err := i.ready()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Trouble says which issuers cannot verify tokens now, a line each.
func (v *Verifier) Trouble() (list []string) {
	for _, i := range v.now.Load().issuers {
		if err := i.ready(); err != nil {
			list = append(list, err.Error())
		}
	}
	return list
}

// Authenticate finds out whose request r is. It looks at headers and the connection only and never at the body. Whatever is wrong with
// the credentials is ErrUnauthenticated, as a *Refusal; ErrAuthUnavailable means that it cannot be known now.
func (s *Set) Authenticate(ctx context.Context, r *http.Request) (Principal, error) {
	var v verdict
	from := ""
	c, err := credentialsOf(r.Header)
	if err == nil {
		var i *issuer
		now := time.Now()
		i, v, err = s.judge(ctx, c.token, now)
		if i != nil {
			from = i.Name
		}
		if err == nil {
			err = i.holds(r, c, v, now)
		}
	}
	if s.metrics != nil {
		s.metrics.checked(from, err)
	}
	if refusal, is := errors.AsType[*Refusal](err); is {
		own := *refusal
		own.proved, own.algs = c.proved, s.algs
		err = &own
	}
	if err != nil {
		return Principal{}, err
	}
	return v.Principal, nil
}

// holds is an error unless r shows all that the token is bound to. i is nil for tokens of the file.
func (i *issuer) holds(r *http.Request, c credentials, v verdict, now time.Time) error {
	b := v.bound
	switch {
	case b == nil && c.proved:
		return refuse(reasonBound, "is not bound to a key, and comes with the scheme DPoP")
	case b == nil:
		return nil
	case b.key != "" && !i.DPoP:
		return refuse(reasonBound, "is bound to a key (DPoP), which this issuer is not configured for")
	case (b.key != "") != c.proved:
		return refuse(reasonBound, "a token goes with the scheme DPoP where it is bound to a key, and else with Bearer")
	}
	if b.certificate != "" {
		if err := b.shown(r.TLS); err != nil {
			return err
		}
	}
	if b.key != "" {
		return i.proven(r, b, c.token, now)
	}
	return nil
}

// judge is the verdict on a token, and whose it is: nil for the file, and for nobody.
func (s *Set) judge(ctx context.Context, token string, now time.Time) (*issuer, verdict, error) {
	hash := hashOf(token)
	if v, known, err := s.file.judge(hash, now); known {
		return nil, v, err
	}
	for _, i := range s.issuers {
		if v, known := i.verified.recall(hash, now); known {
			i.metrics.hits.WithLabelValues(i.Name).Inc()
			return i, v, nil
		}
	}
	if len(s.issuers) == 0 || !printable(token) {
		return nil, verdict{}, refuse(reasonUnknown, "is not in the file")
	}
	return s.find(ctx, token, hash, now)
}

// find is the verdict of the issuer that the token is of. A JWT says so itself; about any other those are asked that can be.
func (s *Set) find(ctx context.Context, token string, hash [32]byte, now time.Time) (*issuer, verdict, error) {
	if looksSigned(token) {
		own, parsed, c, err := s.issuerOf(token)
		switch {
		case err != nil && (own != nil && own.keys != nil || !slices.ContainsFunc(s.issuers, (*issuer).opaque)):
			return own, verdict{}, err // it is nobody else's
		case own != nil && own.keys != nil:
			v, err := own.verify(ctx, parsed, c, now)
			if err == nil {
				own.verified.note(hash, v, v.until)
			}
			return own, v, err
		case own != nil:
			v, err := own.introspect(ctx, token, hash)
			return own, v, err
		}
	}
	var refusal error = refuse(reasonUnknown, "is in no file and of no issuer that is known")
	var last *issuer
	for _, i := range s.issuers {
		if !i.opaque() {
			continue
		}
		v, err := i.introspect(ctx, token, hash)
		if err == nil {
			return i, v, nil
		}
		if last == nil || errors.Is(err, ErrAuthUnavailable) {
			last, refusal = i, err
		}
	}
	return last, verdict{}, refusal
}

func (i *issuer) opaque() bool { return i.asks != nil }

// issuerOf takes a JWT apart and finds the issuer that it names, nil where none is known. Nothing of it is verified.
func (s *Set) issuerOf(token string) (*issuer, *signed, *claims, error) {
	parsed, err := parseSigned(token)
	if err != nil {
		return nil, nil, nil, refuse(reasonMalformed, "%v", err)
	}
	c, err := parseClaims(parsed.payload, s.naming)
	if err != nil {
		var named struct {
			Issuer string `json:"iss"`
		}
		_ = json.Unmarshal(parsed.payload, &named) // as far as it goes
		at := slices.IndexFunc(s.issuers, func(i *issuer) bool { return i.Issuer != "" && i.Issuer == named.Issuer })
		if at < 0 {
			return nil, parsed, nil, refuse(reasonMalformed, "claims: %v", err)
		}
		return s.issuers[at], parsed, nil, refuse(reasonMalformed, "claims: %v", err)
	}
	for _, i := range s.issuers {
		if i.Issuer != "" && i.Issuer == c.issuer {
			return i, parsed, c, nil
		}
	}
	return nil, parsed, c, nil
}

// reasonOf is err in a word, for metrics.
func reasonOf(err error) string {
	if err == nil {
		return "ok"
	}
	if refusal, is := errors.AsType[*Refusal](err); is {
		return refusal.Reason
	}
	return "unavailable"
}
