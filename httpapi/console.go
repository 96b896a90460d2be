package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"otpgw/smpp"
)

// consoleRoute is the route of what the operator sends, in logs, metrics and traces.
const consoleRoute = "console/send-code"

// consoleText is what the operator's message says, where the client may write what it wants.
const consoleText = placeholder + " is a test code"

// A ConsoleSend is how a test code was answered, as an application would have been.
type ConsoleSend struct {
	ID         string `json:"authenticationId,omitempty"` // where it was sent
	Correlator string `json:"correlator"`
	Status     int    `json:"status"`           // of HTTP
	Code       string `json:"code,omitempty"`   // of the ErrorInfo
	Reason     string `json:"reason,omitempty"` // in the words of the log
	Detail     string `json:"detail,omitempty"` // what the SMSC's side said, where it did
	Test       bool   `json:"testNumber"`       // it is a [[test_number]]: no message goes to it, whatever the status
}

// SendTest sends a code to number, as +E.164, on behalf of a configured client: by the same rules and limits, counted, logged and traced
// like any other, but for token, certificate and body. The code is told to nobody but the phone. The error says what is wrong with
// the arguments; a refusal is no error.
func (s *Server) SendTest(ctx context.Context, client, number string) (ConsoleSend, error) {
	began := time.Now()
	x := exchange{
		route:   &route{name: consoleRoute, version: v1, kind: sending},
		request: &http.Request{Header: http.Header{}},
		live:    s.live.Load(),
	}
	x.correlate()
	normal, ok := v1.number(number)
	if !ok {
		return ConsoleSend{}, fmt.Errorf("number: must be + and 5 to 15 digits, the first not 0")
	}
	c := x.live.callers[client]
	if c == nil {
		return ConsoleSend{}, fmt.Errorf("there is no [[client]] with id = %q", client)
	}
	x.client, x.clientID = c, client

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.RequestTimeout)
	defer cancel()
	err := guard(ctx, &x, func(ctx context.Context, x *exchange) error {
		switch {
		case !s.slots[sending].take():
			return &waitError{overloaded, time.Second}
		case !c.Enabled:
			s.slots[sending].giveBack()
			return noClient
		}
		defer s.slots[sending].giveBack()
		if err := c.take(); err != nil {
			return err
		}
		return s.sendTo(ctx, x, normal, c.consoleText())
	})
	_, test := x.live.sandbox.find(client, normal)
	sent := ConsoleSend{ID: x.id, Correlator: x.correlator, Status: http.StatusOK, Test: test}
	var refusal *problem
	if err != nil {
		refusal, _ = x.version.problem(err)
		sent.Status, sent.Code, sent.Reason = refusal.status, refusal.code, refusal.reason
		if detail, is := outcomeOf(err); is {
			sent.Detail = detail
		}
	}
	took := time.Since(began)
	s.metrics.finished(&x, sent.Status, refusal, took)
	s.account(ctx, &x, sent.Status, refusal, err, took)
	return sent, nil
}

// outcomeOf is what smpp said of a message, which holds nothing of it.
func outcomeOf(err error) (string, bool) {
	for ; err != nil; err = unwrapped(err) {
		switch e := err.(type) {
		case *smpp.StatusError, *smpp.UnavailableError, *smpp.UnknownError, *smpp.TextError, *smpp.AddressError:
			return e.Error(), true
		}
	}
	return "", false
}

func unwrapped(err error) error {
	if u, is := err.(interface{ Unwrap() error }); is {
		return u.Unwrap()
	}
	return nil
}

// consoleText is a text that the client may send.
func (c *caller) consoleText() string {
	if c.Text != textTemplates || len(c.Templates) == 0 {
		return consoleText
	}
	return blank.ReplaceAllStringFunc(c.Templates[0], fillBlank)
}

var blankLength = regexp.MustCompile(`[0-9]+`)

// fillBlank fills a blank of a template with something that fits.
func fillBlank(blank string) string {
	length, _ := strconv.Atoi(blankLength.FindString(blank)) // of {{code}} there is none
	switch {
	case strings.HasPrefix(blank, "{{text:"):
		return "test"[:min(length, len("test"))]
	case strings.HasPrefix(blank, "{{digits:"):
		return "0"
	}
	return blank
}
