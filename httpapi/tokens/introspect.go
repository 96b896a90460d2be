package tokens

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"
)

const (
	askTimeout     = 2 * time.Second // of one question; half of it more may be spent waiting for a turn
	askPlaces      = 64              // questions at once
	maxClaims      = 64 << 10        // octets of an answer
	inactiveFor    = 10 * time.Second
	breakerOpens   = 5 // failures one after the other
	breakerStays   = 5 * time.Second
	inactiveKept   = 10_000
	activeKept     = 100_000
	breakerHistory = 10 * time.Second
)

// An introspector asks an issuer about tokens (RFC 7662). Any number of goroutines may use it.
type introspector struct {
	url, basic string
	client     *http.Client
	places     chan struct{} // one for each question that is asked
	flights    singleflight.Group
	breaker    *gobreaker.CircuitBreaker[*claims]
	inactive   *memory[*Refusal]
}

func newIntrospector(i *issuer) *introspector {
	own := *i.client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	id, secret := url.QueryEscape(i.ClientID), url.QueryEscape(string(i.ClientSecret)) // RFC 6749 §2.3.1
	return &introspector{
		url:      i.IntrospectionURL,
		basic:    "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)),
		client:   &own,
		places:   make(chan struct{}, askPlaces),
		inactive: newMemory[*Refusal](inactiveKept),
		breaker: gobreaker.NewCircuitBreaker[*claims](gobreaker.Settings{
			Interval:    breakerHistory,
			Timeout:     breakerStays,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerOpens },
			// What the issuer cannot make out may be the token's fault, and must not shut everybody out.
			IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, statusError(http.StatusBadRequest)) },
			OnStateChange: func(_ string, from, to gobreaker.State) {
				if from == gobreaker.StateClosed || to == gobreaker.StateClosed { // half open is no news
					i.announce(to != gobreaker.StateClosed)
				}
			},
		}),
	}
}

// ask is what the issuer says of token. It takes askTimeout and half of it for its turn at the most; an error that is no Refusal is
// ErrAuthUnavailable.
func (q *introspector) ask(ctx context.Context, i *issuer, token string, hash [32]byte) (*claims, error) {
	if refusal, known := q.inactive.recall(hash, time.Now()); known {
		i.metrics.hits.WithLabelValues(i.Name).Inc()
		return nil, refusal
	}
	c, err := q.question(ctx, i, token)
	if err != nil {
		return nil, fmt.Errorf("%w: issuer %s: %w", ErrAuthUnavailable, i.Name, err)
	}
	refusal := c.fault
	if refusal == nil && !c.active {
		refusal = refuse(reasonInactive, "the issuer says that it is not active")
	}
	if refusal != nil {
		q.inactive.note(hash, refusal, time.Now().Add(inactiveFor))
		return nil, refusal
	}
	return c, nil
}

// question waits for its turn and asks, unless the issuer is known not to answer.
func (q *introspector) question(ctx context.Context, i *issuer, token string) (*claims, error) {
	turn := time.NewTimer(askTimeout / 2)
	defer turn.Stop()
	select {
	case q.places <- struct{}{}:
		defer func() { <-q.places }()
	case <-turn.C:
		i.metrics.asked(i.Name, "busy", 0)
		return nil, errors.New("no turn to ask in time")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout) // others may wait for the same answer
	defer cancel()
	began := time.Now()
	c, err := q.breaker.Execute(func() (*claims, error) { return q.exchange(ctx, i, token) })
	result := "active"
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		result = "breaker"
	case err != nil:
		result = "failed"
	case !c.active || c.fault != nil:
		result = "inactive"
	}
	i.metrics.asked(i.Name, result, time.Since(began))
	return c, err
}

// exchange is one question and its answer.
func (q *introspector) exchange(ctx context.Context, i *issuer, token string) (*claims, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.url, strings.NewReader(form))
	if err != nil {
		return nil, errors.New("no request can be made of introspection_url")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", q.basic)
	text, err := answer(q.client, req, maxClaims)
	if err != nil {
		if strings.Contains(err.Error(), token) {
			err = errors.New("the answer is no HTTP") // net/http quotes it
		}
		i.failed(err)
		return nil, err
	}
	said := false
	err = members(text, func(name string, v jsontext.Value) error {
		said = said || name == "active" && (v.Kind() == 't' || v.Kind() == 'f')
		return nil
	})
	if err != nil || !said {
		err = errors.New("the answer is not of introspection")
		i.failed(err)
		return nil, err
	}
	c, err := parseClaims(text, i.ClientClaims)
	if err != nil { // the issuer is there: it is the token that is odd
		c.fault = refuse(reasonMalformed, "the issuer says of it: %v", err)
	}
	return c, nil
}
