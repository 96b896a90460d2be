package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"otpgw/otpstore"
)

// The side API: what CAMARA leaves out, at a path and under a scope of its own. A client sees what is its own.
const (
	sidePath  = "/otpgw/v1/verifications"
	sideScope = "otpgw:verifications"
)

// side is the side API as a version: it has the words and the x-correlator of the latest CAMARA API.
var side = version{name: "otpgw/v1", correlates: true, quota: quotaExceeded}

// A verification is what is told of one, with neither code nor number.
type verification struct {
	ID           string     `json:"authenticationId"`
	State        string     `json:"state"`
	Number       string     `json:"phoneNumber,omitempty"` // masked
	Attempts     int        `json:"attempts"`
	AttemptsLeft int        `json:"attemptsLeft"`
	IssuedAt     time.Time  `json:"issuedAt"`
	SentAt       *time.Time `json:"sentAt,omitempty"`
	ExpiresAt    time.Time  `json:"expiresAt"`
	FinishedAt   *time.Time `json:"finishedAt,omitempty"`
	SecondsLeft  int        `json:"secondsLeft,omitempty"`
	Delivery     *delivery  `json:"delivery,omitempty"`
}

type delivery struct {
	State       string     `json:"state,omitempty"` // SMPP 3.4 §5.2.28, as receipts write it
	SMSC        string     `json:"smsc,omitempty"`
	Error       string     `json:"error,omitempty"` // network error code, as the SMSC wrote it
	DeliveredAt *time.Time `json:"deliveredAt,omitempty"`
}

func describe(v otpstore.Verification, now time.Time) verification {
	d := verification{
		ID: v.ID, State: v.State, Number: v.Masked, Attempts: v.Attempts, IssuedAt: v.IssuedAt.UTC(), SentAt: given(v.SentAt),
		ExpiresAt: v.ExpiresAt.UTC(), FinishedAt: given(v.FinishedAt),
	}
	if v.State == "live" || v.State == "pending" {
		d.AttemptsLeft = max(0, v.MaxAttempts-v.Attempts)
	}
	if left := v.ExpiresAt.Sub(now); v.State == "live" && left > 0 {
		d.SecondsLeft = int((left + time.Second - 1) / time.Second)
	}
	if v.SMSC != "" {
		d.Delivery = &delivery{State: v.Receipt, SMSC: v.SMSC, Error: v.ReceiptError, DeliveredAt: given(v.DeliveredAt)}
	}
	return d
}

// given is t, or nil for what has not happened.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Describe is v in JSON as the side API tells it, for callbacks: without the number, even masked. now is by the store's clock.
func Describe(v otpstore.Verification, now time.Time) ([]byte, error) {
	v.Masked = ""
	return json.Marshal(describe(v, now))
}

// readVerification tells of one verification.
func (s *Server) readVerification(ctx context.Context, x *exchange) error {
	if !anyID(x.item) {
		return unknownID
	}
	v, err := s.codes.Lookup(ctx, x.item)
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	if v.Client != x.client.ID {
		return unknownID // as if there were none
	}
	x.id = v.ID
	x.reply, err = json.Marshal(describe(v, s.codes.Now()))
	return err
}

// cancelVerification ends a verification that is of no use any more. Its code is wrong from then on.
func (s *Server) cancelVerification(ctx context.Context, x *exchange) error {
	if !anyID(x.item) {
		return unknownID
	}
	changed, err := s.codes.Cancel(ctx, x.client.ID, x.item)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	x.id = x.item
	if changed {
		s.trace.Add(x.item, time.Time{}, "canceled", "by its client", x.correlator)
		s.sender.Cancel(x.item)
	}
	return nil
}

// A page of verifications, newest first.
type page struct {
	Verifications []verification `json:"verifications"`
	Next          string         `json:"next,omitempty"`
}

// states are those that a verification may be in.
var states = []string{"pending", "live", "unknown", "used", "replaced", "locked", "elapsed", "canceled"}

// listVerifications tells of the client's verifications, page by page.
func (s *Server) listVerifications(ctx context.Context, x *exchange) error {
	options, ok := listOptions(x.request.URL.RawQuery)
	if !ok {
		return invalidList
	}
	list, err := s.codes.List(ctx, x.client.ID, options)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	p := page{Verifications: []verification{}, Next: list.Next}
	now := s.codes.Now()
	for _, v := range list.Verifications {
		p.Verifications = append(p.Verifications, describe(v, now))
	}
	x.reply, err = json.Marshal(p)
	return err
}

const (
	usualPage   = 20
	longestPage = 100
)

// listOptions reads the query of a list. What it does not know it passes over.
func listOptions(query string) (otpstore.ListOptions, bool) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return otpstore.ListOptions{}, false
	}
	for _, name := range []string{"limit", "after", "state"} {
		if len(values[name]) > 1 {
			return otpstore.ListOptions{}, false
		}
	}
	o := otpstore.ListOptions{State: values.Get("state"), After: values.Get("after"), Limit: usualPage}
	if text, given := values["limit"]; given {
		if o.Limit, err = strconv.Atoi(text[0]); err != nil || o.Limit < 1 || o.Limit > longestPage {
			return otpstore.ListOptions{}, false
		}
	}
	_, filtered := values["state"]
	return o, !filtered || slices.Contains(states, o.State)
}
