package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

const otp = "ONE_TIME_PASSWORD_SMS."

// authenticateWith has every request authenticated by f.
func authenticateWith(f httpapi.Authenticate) func(*plant) {
	return func(p *plant) { p.live.Authenticate = f }
}

func issueFails(err error) func(*plant) {
	return func(p *plant) {
		p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) {
			return otpstore.Issued{}, err
		}
	}
}

func verifyFails(err error) func(*plant) {
	return func(p *plant) {
		p.codes.verify = func(context.Context, string, string, string) error { return err }
	}
}

// Every row of CAMARA OTP 1.x's errors that applies, by what leads to it.
func TestEveryError(t *testing.T) {
	limit := func(name string) error {
		return fmt.Errorf("issue: %w", &otpstore.LimitError{Limit: name, RetryAfter: 90500 * time.Millisecond})
	}
	number := func(n string) string { return strings.Replace(sendBody, theNumber, n, 1) }
	for _, row := range []struct {
		name    string
		change  func(*plant)
		r       *http.Request
		status  int
		code    string
		message string // exact
		reason  string
	}{
		{"invalid body", nil, request(sendPath, `{}x`), 400, "INVALID_ARGUMENT", "", "body"},
		{"invalid number", nil, request(sendPath, number("3301")), 400, "INVALID_ARGUMENT", "", "phone_number"},
		{"invalid message", nil, request(sendPath, `{"phoneNumber":"+34600000001","message":"message without code"}`), 400, "INVALID_ARGUMENT", "", "message"},
		{"invalid authenticationId", nil, request(verifyPath, `{"code":"1"}`), 400, "INVALID_ARGUMENT", "", "authentication_id"},
		{"invalid code", nil, request(verifyPath, `{"authenticationId":"1"}`), 400, "INVALID_ARGUMENT", "", "code"},
		{"invalid x-correlator", nil, request(sendPath, sendBody, "x-correlator", "a b"), 400, "INVALID_ARGUMENT", "", "correlator"},
		{"text too long", func(p *plant) {
			p.sender.check = func(smpp.Message) error { return &smpp.TextError{Segments: 2, Max: 1} }
		}, request(sendPath, sendBody), 400, "INVALID_ARGUMENT", "", "message_text"},

		{"wrong code", verifyFails(otpstore.ErrWrongCode), request(verifyPath, verifyBody), 400, otp + "INVALID_OTP",
			"The provided OTP is not valid for this authenticationId", "wrong_code"},
		{"expired", verifyFails(otpstore.ErrExpired), request(verifyPath, verifyBody), 400, otp + "VERIFICATION_EXPIRED",
			"The authenticationId is no longer valid", "expired"},
		{"tries used up", verifyFails(otpstore.ErrFailed), request(verifyPath, verifyBody), 400, otp + "VERIFICATION_FAILED",
			"The maximum number of attempts for this authenticationId was exceeded without providing a valid OTP", "failed"},
		{"unknown id", verifyFails(otpstore.ErrNotFound), request(verifyPath, verifyBody), 404, "NOT_FOUND",
			"The specified resource is not found.", "unknown_id"},
		{"store down at validate-code", verifyFails(fmt.Errorf("get: %w", otpstore.ErrUnavailable)), request(verifyPath, verifyBody), 503, "UNAVAILABLE",
			"Service Unavailable.", "store_unavailable"},
		{"store too slow", verifyFails(context.DeadlineExceeded), request(verifyPath, verifyBody), 504, "TIMEOUT",
			"Request timeout exceeded.", "timeout"},
		{"store broken", verifyFails(errBroken), request(verifyPath, verifyBody), 500, "INTERNAL",
			"Unknown server error. Typically a server bug.", "internal"},

		{"no token", nil, request(sendPath, sendBody, "Authorization", "-"), 401, "UNAUTHENTICATED",
			"Request not authenticated due to missing, invalid, or expired credentials.", "unauthenticated"},
		{"identity provider down", authenticateWith(func(context.Context, *http.Request) (tokens.Principal, error) {
			return tokens.Principal{}, fmt.Errorf("keys: %w", tokens.ErrAuthUnavailable)
		}), request(sendPath, sendBody), 503, "UNAVAILABLE", "Service Unavailable.", "auth_unavailable"},
		{"authentication broken", authenticateWith(func(context.Context, *http.Request) (tokens.Principal, error) {
			return tokens.Principal{}, errBroken
		}), request(sendPath, sendBody), 500, "INTERNAL", "", "internal"},
		{"no scope", nil, request(sendPath, sendBody, "Authorization", "Bearer unscoped-token"), 403, "PERMISSION_DENIED",
			"Client does not have sufficient permissions to perform this action.", "no_scope"},
		{"disabled client", nil, request(sendPath, sendBody, "Authorization", "Bearer retired-token"), 403, "PERMISSION_DENIED", "", "no_client"},
		{"client that was not provisioned", nil, request(sendPath, sendBody, "Authorization", "Bearer stray-token"), 403, "PERMISSION_DENIED", "", "no_client"},

		{"send limit", issueFails(limit("send_limit")), request(sendPath, sendBody), 403, otp + "MAX_OTP_CODES_EXCEEDED",
			"Too many OTPs have been requested for this MSISDN. Try later.", "send_limit"},
		{"too soon", issueFails(limit("resend_after")), request(sendPath, sendBody), 403, otp + "MAX_OTP_CODES_EXCEEDED", "", "resend_after"},
		{"too many failures", issueFails(limit("max_failures")), request(sendPath, sendBody), 403, otp + "MAX_OTP_CODES_EXCEEDED", "", "max_failures"},
		{"store down at send-code", issueFails(otpstore.ErrUnavailable), request(sendPath, sendBody), 503, "UNAVAILABLE", "", "store_unavailable"},
		{"number not allowed", nil, request(sendPath, number("+34606600001")), 403, otp + "PHONE_NUMBER_NOT_ALLOWED",
			"Phone_number can't receive an SMS due to business reasons in the operator.", "not_allowed"},
		{"landline", nil, request(sendPath, number("+34691000001")), 403, otp + "PHONE_NUMBER_NOT_ALLOWED", "", "landline"},
		{"blocked", nil, request(sendPath, number("+34607700001")), 403, otp + "PHONE_NUMBER_BLOCKED",
			"Phone_number is blocked to receive SMS due to any blocking business reason in the operator.", "blocked"},
		{"not ours", nil, request(sendPath, number("+447700900123")), 404, "NOT_FOUND", "The specified resource is not found.", "not_own"},

		{"path", nil, request(base+"/send-codes", sendBody), 404, "NOT_FOUND", "The specified resource is not found.", "unknown_path"},
		{"method", nil, get(sendPath), 405, "METHOD_NOT_ALLOWED", "The requested method is not allowed/supported on the target resource", "method"},
		{"accept", nil, request(sendPath, sendBody, "Accept", "application/xml"), 406, "NOT_ACCEPTABLE",
			"The server can't produce a response matching the content requested by the client through Accept-* headers", "accept"},
		{"media type", nil, request(sendPath, sendBody, "Content-Type", "application/xml"), 415, "UNSUPPORTED_MEDIA_TYPE",
			"The server refuses to accept the request because the payload format is in an unsupported format", "media_type"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var p *plant
			if row.change == nil {
				row.change = func(*plant) {}
			}
			p = newPlant(t, row.change)
			row.r.Body = rewound(t, row.r)
			a := p.do(row.r)
			if !a.is(row.status, row.code) {
				t.Fatalf("%d %s, want %d %s: %s", a.status, a.code, row.status, row.code, a.body)
			}
			if row.message != "" && !strings.Contains(a.body, `"message":"`+row.message+`"`) {
				t.Errorf("body %s, want the message %q", a.body, row.message)
			}
			if got := a.header.Get("x-correlator"); got != correlator && row.reason != "correlator" {
				t.Errorf("x-correlator %q", got)
			}
			if n := p.metric("otpgw_http_refusals_total", "reason", row.reason); n != 1 {
				t.Errorf("%v refusals for %s", n, row.reason)
			}
			if n := p.metric("otpgw_http_requests_total", "status", fmt.Sprint(row.status)); n != 1 {
				t.Errorf("%v requests counted with status %d", n, row.status)
			}
			if !strings.Contains(p.logged.String(), `"reason":"`+row.reason+`"`) {
				t.Errorf("log does not name the reason %s: %s", row.reason, p.logged)
			}
		})
	}
}

func TestRetryAfterTellsTheLimitsOwnTime(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&otpstore.LimitError{Limit: "send_limit", RetryAfter: 90500 * time.Millisecond}, "91"},
		{&otpstore.LimitError{Limit: "resend_after", RetryAfter: time.Millisecond}, "1"},
		{otpstore.ErrUnavailable, "5"},
	} {
		p := newPlant(t, issueFails(c.err))
		if got := p.post(sendPath, sendBody).header.Get("Retry-After"); got != c.want {
			t.Errorf("%v: Retry-After %q, want %q", c.err, got, c.want)
		}
	}
}

// An outcome is what the store is told of a send.
type outcome struct {
	call string // "sent", "discard" or "unknown"
	id   string
	r    otpstore.SendResult
}

// recording has the store remember the outcomes that it is told.
func recording(told *[]outcome) func(*plant) {
	return func(p *plant) {
		p.codes.sent = func(_ context.Context, id string, r otpstore.SendResult) error {
			*told = append(*told, outcome{"sent", id, r})
			return nil
		}
		p.codes.discard = func(_ context.Context, id string) error {
			*told = append(*told, outcome{call: "discard", id: id})
			return nil
		}
		p.codes.unknown = func(_ context.Context, id string) error {
			*told = append(*told, outcome{call: "unknown", id: id})
			return nil
		}
	}
}

func sendFails(err error) func(*plant) {
	return func(p *plant) {
		p.sender.send = func(context.Context, smpp.Message) (smpp.Accepted, error) { return smpp.Accepted{}, err }
	}
}

// Each outcome of a send: what the store is told of it, and what the client.
func TestOutcomesOfASend(t *testing.T) {
	type row struct {
		err    error
		told   string
		status int
		code   string
	}
	rows := []row{
		{&smpp.UnavailableError{Reason: "no bind", RetryAfter: 3 * time.Second}, "discard", 503, "UNAVAILABLE"},
		{fmt.Errorf("pool: %w", smpp.ErrUnavailable), "discard", 503, "UNAVAILABLE"},
		{&smpp.UnknownError{Reason: "no answer"}, "unknown", 504, "TIMEOUT"},
		{context.DeadlineExceeded, "unknown", 504, "TIMEOUT"},
		{errBroken, "unknown", 500, "INTERNAL"},
		{&smpp.TextError{Segments: 3, Max: 1}, "discard", 400, "INVALID_ARGUMENT"},
		{&smpp.AddressError{Field: "from", Reason: "too long"}, "discard", 500, "INTERNAL"},
	}
	refused := func(code int, codeName string, classes ...string) {
		for i, class := range classes {
			rows = append(rows, row{&smpp.StatusError{Status: 0x400 + uint32(i), Class: class, Command: "submit_sm"}, "discard", code, codeName})
		}
	}
	refused(403, otp+"PHONE_NUMBER_NOT_ALLOWED", smpp.ClassDestination, smpp.ClassRejected)
	refused(503, "UNAVAILABLE", smpp.ClassThrottled, smpp.ClassTemporary, smpp.ClassUnavailable)
	refused(500, "INTERNAL", smpp.ClassSender, smpp.ClassRequest)
	for _, row := range rows {
		t.Run(row.err.Error(), func(t *testing.T) {
			var told []outcome
			p := newPlant(t, recording(&told), sendFails(row.err))
			a := p.post(sendPath, sendBody)
			if !a.is(row.status, row.code) {
				t.Errorf("%d %s, want %d %s", a.status, a.code, row.status, row.code)
			}
			if len(told) != 1 || told[0].call != row.told || told[0].id != authID {
				t.Errorf("the store was told %+v, want %s", told, row.told)
			}
		})
	}
}

// A store that cannot record the outcome changes nothing of what the client is told, but for the one that was accepted.
func TestOutcomeNotRecorded(t *testing.T) {
	broken := func(p *plant) {
		p.codes.sent = func(context.Context, string, otpstore.SendResult) error { return errBroken }
		p.codes.discard = func(context.Context, string) error { return errBroken }
		p.codes.unknown = p.codes.discard
	}
	for _, c := range []struct {
		name   string
		send   func(*plant)
		status int
		log    string
	}{
		{"accepted", func(*plant) {}, 500, `"msg":"message accepted but not recorded","client":"acme","id":"` + authID + `","smsc":"smsc-a","message_ids":["4711"]`},
		{"not sent", sendFails(smpp.ErrUnavailable), 503, `"msg":"outcome of a send not recorded"`},
		{"unknown", sendFails(smpp.ErrUnknown), 504, `"msg":"outcome of a send not recorded"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlant(t, broken, c.send)
			if a := p.post(sendPath, sendBody); a.status != c.status {
				t.Errorf("%d %s, want %d", a.status, a.code, c.status)
			}
			if !strings.Contains(p.logged.String(), c.log) {
				t.Errorf("log: %s", p.logged)
			}
		})
	}
}

func TestPanicIsAnErrorInfo(t *testing.T) {
	for _, c := range []struct {
		name  string
		panic func()
		log   string
	}{
		{"of the runtime", func() { _ = []int{}[len(theCode)] }, "index out of range [6] with length 0"},
		{"of our own", func() { panic("the code is " + theCode) }, "panic: string"},
		{"with an error", func() { panic(errors.New("to " + theNumber)) }, "panic: *errors.errorString"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlant(t, func(p *plant) {
				p.codes.verify = func(context.Context, string, string, string) error { c.panic(); return nil }
			})
			if a := p.post(verifyPath, verifyBody); !a.is(500, "INTERNAL") {
				t.Errorf("%d %s", a.status, a.body)
			}
			log := p.logged.String()
			if !strings.Contains(log, c.log) || !strings.Contains(log, `"stack":`) || !strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("log: %s", log)
			}
			if strings.Contains(log, theCode) || strings.Contains(log, theNumber) {
				t.Errorf("the log tells a secret: %s", log)
			}
			if p.post(verifyPath, `{}`).status != 400 {
				t.Error("the server does not go on")
			}
			if n := p.metric("otpgw_http_in_flight", "operation", "validate-code"); n != 0 {
				t.Errorf("%v requests in flight", n)
			}
		})
	}
}
