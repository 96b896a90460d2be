package tokens

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"otpgw/httpapi/remote"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A key is a public key of an issuer, or of a proof.
type key struct {
	public any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	alg    string // the only one that it is for; "" for any that fits
}

func (k key) takes(alg string) bool { return fits(k.public, alg) && (k.alg == "" || k.alg == alg) }

const (
	minRSA  = 2048 // bits
	maxRSA  = 8192 // bits: beyond it a check takes too long
	maxKeys = 128  // of an issuer
)

// parseKey reads a public key in JSON (RFC 7517) that signatures may be verified with.
func parseKey(text jsontext.Value) (key, error) {
	if text == nil {
		return key{}, errors.New("is missing")
	}
	var m jwkset.JWKMarshal
	private := false
	err := members(slices.Clone(text), func(name string, v jsontext.Value) (err error) {
		switch name {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			private = true
		case "kty":
			return json.Unmarshal(v, &m.KTY)
		case "crv":
			return json.Unmarshal(v, &m.CRV)
		case "x":
			m.X, err = textOf(v)
		case "y":
			m.Y, err = textOf(v)
		case "n":
			m.N, err = textOf(v)
		case "e":
			m.E, err = textOf(v)
		case "alg":
			return json.Unmarshal(v, &m.ALG)
		case "use":
			return json.Unmarshal(v, &m.USE)
		case "key_ops":
			return json.Unmarshal(v, &m.KEYOPS)
		}
		return err
	})
	switch {
	case err != nil:
		return key{}, err
	case private:
		return key{}, errors.New("is no public key")
	case m.USE != "" && m.USE != jwkset.UseSig, len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return key{}, errors.New("is not for signatures")
	}
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipMetadata: true})
	if err != nil {
		return key{}, err
	}
	k := key{public: jwk.Key(), alg: string(m.ALG)}
	if public, is := k.public.(*rsa.PublicKey); is && (public.N.BitLen() < minRSA || public.N.BitLen() > maxRSA) {
		return key{}, fmt.Errorf("is of RSA with %d bits, must have %d to %d", public.N.BitLen(), minRSA, maxRSA)
	}
	if !slices.ContainsFunc(algorithms, k.takes) {
		return key{}, errors.New("is for no algorithm that is known")
	}
	return k, nil
}

// parseKeys reads a set of keys by their kid. Keys without one and keys that are no use here are passed over; it is an error when none
// is left.
func parseKeys(text []byte) (map[string][]key, error) {
	var list []jsontext.Value
	there := false
	err := members(text, func(name string, v jsontext.Value) error {
		if name == "keys" {
			there = true
			return json.Unmarshal(v, &list)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, jsonFaultOf(err)
	case !there:
		return nil, errors.New("the answer is no set of keys")
	case len(list) > maxKeys:
		return nil, fmt.Errorf("there are more than %d keys", maxKeys)
	}
	keys := map[string][]key{}
	for _, text := range list {
		var id struct {
			Kid string `json:"kid"`
		}
		if json.Unmarshal(text, &id) != nil || id.Kid == "" || len(id.Kid) > maxKeyID {
			continue
		}
		if k, err := parseKey(text); err == nil {
			keys[id.Kid] = append(keys[id.Kid], k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("none of the keys can be used")
	}
	return keys, nil
}

// jsonFaultOf is err without what stands in the text, but for the faults that members finds.
func jsonFaultOf(err error) error {
	if _, is := errors.AsType[*json.SemanticError](err); is {
		return errObject
	}
	return err
}

const (
	refreshEvery = 10 * time.Minute // with a tenth of jitter
	retryFirst   = time.Second      // after a failure without keys; doubled up to retryMost
	retryMost    = 30 * time.Second
	askEvery     = 30 * time.Second // how often an unknown kid may have the keys fetched
	patience     = time.Second      // how long a request waits for that
	maxPatient   = 64               // requests that do
	fetchTimeout = 3 * time.Second
)

// A keyring is the keys of one issuer. keep fetches them; any number of goroutines may call find.
type keyring struct {
	name     string
	issuer   string
	jwksURL  string // "": found by discovery
	maxStale time.Duration
	get      getter
	lost     func() // is called when a key is no more
	log      *slog.Logger
	metrics  *metrics

	now  atomic.Pointer[keySet]
	away atomic.Pointer[absence] // the last fetch failed; nil: it did not
	wake chan struct{}
	anew chan struct{} // an operator wants the keys fetched

	mu      sync.Mutex    // guards what follows
	fetched time.Time     // when the last fetch began
	round   chan struct{} // closed when the first fetch, or one that was asked for, has ended; nil: there is none
	waiting int           // for round
}

type keySet struct {
	keys map[string][]key
	at   time.Time
}

// An absence is why an issuer does not answer, and since when.
type absence struct {
	err   error
	since time.Time
}

// usable are the keys that may still be used, or nil.
func (k *keyring) usable(now time.Time) *keySet {
	if set := k.now.Load(); set != nil && now.Sub(set.at) < k.maxStale {
		return set
	}
	return nil
}

// find is the keys of that id. One that is not known has the keys fetched, at most every askEvery, whoever asks for whatever. While the
// keys cannot be had it cannot be known whether there is such a key.
func (k *keyring) find(ctx context.Context, id string) ([]key, error) {
	set := k.usable(time.Now())
	if set != nil && set.keys[id] != nil {
		return set.keys[id], nil
	}
	settled := k.await(ctx, set != nil)
	set = k.usable(time.Now())
	switch {
	case set != nil && set.keys[id] != nil:
		return set.keys[id], nil
	case set == nil || !settled || k.away.Load() != nil:
		return nil, fmt.Errorf("%w: issuer %s: %w", ErrAuthUnavailable, k.name, k.why())
	}
	return nil, refuse(reasonKey, "no key of the issuer has this kid")
}

// await waits for the keys that are being fetched and, with ask, has them fetched where that may be. It waits for patience at the
// most, for the first time too, and says whether nothing is being fetched any more.
func (k *keyring) await(ctx context.Context, ask bool) (settled bool) {
	round, place := k.join(ask, time.Now())
	if round == nil || !place {
		return round == nil
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-round:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// why is what keeps the keys away.
func (k *keyring) why() error {
	if away := k.away.Load(); away != nil {
		return away.err
	}
	return errors.New("the keys have not been fetched yet")
}

// join is the fetch to wait for, nil where there is none, and whether there is a place to wait.
func (k *keyring) join(ask bool, now time.Time) (round <-chan struct{}, place bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.round == nil {
		if !ask || now.Sub(k.fetched) < askEvery {
			return nil, true
		}
		k.round, k.waiting = make(chan struct{}), 0
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
	k.waiting++
	return k.round, k.waiting <= maxPatient
}

// keep fetches the keys until ctx ends.
func (k *keyring) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := retryFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.wake:
		case <-k.anew:
			if wait := k.wait(time.Now()); wait > 0 {
				if k.away.Load() == nil { // else it is tried soon anyway
					timer.Reset(wait)
				}
				continue
			}
		}
		err := k.refresh(ctx)
		switch {
		case err == nil:
			retry = retryFirst
			timer.Reset(jitter(refreshEvery))
		case k.usable(time.Now()) != nil:
			timer.Reset(jitter(retryMost))
		default:
			timer.Reset(jitter(retry))
			retry = min(2*retry, retryMost)
		}
	}
}

// wait is how long no fetch may be asked for.
func (k *keyring) wait(now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return askEvery - now.Sub(k.fetched)
}

// renew has the keys fetched as soon as that may be. It returns at once.
func (k *keyring) renew() {
	select {
	case k.anew <- struct{}{}:
	default: // it is asked for already
	}
}

// jitter is d, give or take a tenth.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// refresh fetches the keys once. When it fails those that there are stay. The waiters that were there when it began are told of its end.
func (k *keyring) refresh(ctx context.Context) error {
	k.mu.Lock()
	round := k.round
	k.fetched = time.Now()
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if round != nil && k.round == round {
			k.round, k.waiting = nil, 0
			close(round)
		}
	}()

	within, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, err := k.fetch(within)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		k.metrics.refreshes.WithLabelValues(k.name, "failed").Inc()
		away := &absence{err, time.Now()}
		before := k.away.Load() // nobody else changes it
		if before != nil {
			away.since = before.since
		}
		k.away.Store(away)
		if before == nil {
			k.log.Warn("issuer is away, its keys cannot be fetched", "issuer", k.name, "error", err, "usable", k.usable(time.Now()) != nil)
		}
		return err
	}
	before := k.now.Swap(&keySet{keys, time.Now()})
	if before != nil && gone(before.keys, keys) {
		k.lost()
	}
	k.metrics.refreshes.WithLabelValues(k.name, "ok").Inc()
	if k.away.Swap(nil) != nil {
		k.log.Info("issuer is back, its keys are fetched", "issuer", k.name, "keys", len(keys))
	}
	return nil
}

// gone says that a key of before is not among those of after.
func gone(before, after map[string][]key) bool {
	for id, keys := range before {
		if !reflect.DeepEqual(keys, after[id]) {
			return true
		}
	}
	return false
}

// fetch asks the issuer where its keys are, unless that is known, and for the keys.
func (k *keyring) fetch(ctx context.Context) (map[string][]key, error) {
	from := k.jwksURL
	if from == "" {
		text, err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration")
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		if from, err = parseDiscovery(text, k.issuer); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	text, err := k.get(ctx, from)
	if err != nil {
		return nil, err
	}
	return parseKeys(text)
}

// parseDiscovery is jwks_uri of a document that issuer has to be the issuer of (OpenID Connect Discovery 1.0 §4.3).
func parseDiscovery(text []byte, issuer string) (string, error) {
	var own, keys string
	err := members(text, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "issuer":
			own, err = textOf(v)
		case "jwks_uri":
			keys, err = textOf(v)
		}
		return err
	})
	switch {
	case err != nil:
		return "", err
	case own != issuer:
		return "", fmt.Errorf("the document is of the issuer %.200q, not of %q", own, issuer)
	case !remote.Usable(keys):
		return "", errors.New("jwks_uri " + remote.Must)
	}
	return keys, nil
}
