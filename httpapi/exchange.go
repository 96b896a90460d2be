package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"otpgw/httpapi/tokens"
)

// A route is one operation of one version, or all that is none.
type route struct {
	name    string // in logs and metrics
	allow   string // the method that is served, where another came
	version version
	kind    int
	scope   string // that a token has to have
	operate func(context.Context, *exchange) error
}

// An exchange is one request and what became known of it.
type exchange struct {
	*route
	request *http.Request
	live    *liveTables

	correlator      string // to be answered
	correlatorFault bool   // the request's own was none
	item            string // that the path names
	client          *caller
	clientID        string
	number          phone
	id              string // authenticationId
	limit           string // that refused
	unsent          bool   // a success, and nothing was sent: repeated, or a test number
	bodyRead        bool
	reply           []byte // body of the success; nil: there is none
}

// serve answers one request by what work makes of it, whatever happens there, and accounts for it. The context of work
// ends at the request's deadline but not when the client hangs up: what was begun for a client has to be recorded.
func (s *Server) serve(c echo.Context, r *route, work func(context.Context, *exchange) error) {
	began := time.Now()
	x := exchange{route: r, request: c.Request(), live: s.live.Load(), item: c.Param("id")}
	x.correlate()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.request.Context()), s.cfg.RequestTimeout)
	defer cancel()

	err := guard(ctx, &x, work)
	status, refusal := s.answer(&x, c.Response(), err)

	took := time.Since(began)
	s.metrics.finished(&x, status, refusal, took)
	s.account(ctx, &x, status, refusal, err, took)
}

// A panicError is a bug of ours that one request ran into.
type panicError struct {
	what  string
	stack []byte
}

func (e *panicError) Error() string { return "panic: " + e.what }

// guard calls work and turns its panic into an error. Of the value only what the runtime made is kept: what else
// panics may carry parts of the request.
func guard(ctx context.Context, x *exchange, work func(context.Context, *exchange) error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case runtime.Error:
			err = &panicError{v.Error(), debug.Stack()}
		default:
			err = &panicError{fmt.Sprintf("%T", v), debug.Stack()}
		}
	}()
	return work(ctx, x)
}

const (
	scope = "one-time-password-sms:send-validate" // that both operations require
	realm = "one-time-password-sms"
)

// admit checks all that does not depend on the body, in the order that decides which error a client is told, and then
// operates.
func (s *Server) admit(ctx context.Context, x *exchange) error {
	slots := s.slots[x.kind]
	if !slots.take() {
		return &waitError{overloaded, time.Second}
	}
	defer slots.giveBack()

	principal, err := x.live.authenticate(ctx, x.request)
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	x.clientID = principal.Client
	if !slices.Contains(principal.Scopes, x.scope) {
		return noScope
	}
	x.client = x.live.callers[principal.Client]
	if x.client == nil || !x.client.Enabled {
		return noClient
	}
	if !x.client.shows(x.request.TLS) {
		return noCertificate
	}
	if x.kind != looking && !x.client.may(x.version.name) {
		return noVersion
	}
	if x.correlatorFault {
		return invalidCorrelator
	}
	if p := negotiate(x.request); p != nil {
		return p
	}
	if err := x.client.take(); err != nil {
		return err
	}
	return x.operate(ctx, x)
}

// correlate chooses the x-correlator of the answer: the request's, or a new one where that is absent, empty, given
// twice or against the pattern. The last two are faults where the version says so; a faulty one is not reflected.
func (x *exchange) correlate() {
	values := x.request.Header["X-Correlator"]
	switch {
	case len(values) == 0, len(values) == 1 && values[0] == "":
	case len(values) == 1 && correlator(values[0]):
		x.correlator = values[0]
		return
	default:
		x.correlatorFault = x.version.correlates
	}
	x.correlator = uuid.NewString()
}

// lateBody is how long an answer waits for a body that nobody is going to read.
const lateBody = time.Second

// answer writes the response and returns its status and, for an error, its row.
func (s *Server) answer(x *exchange, w http.ResponseWriter, err error) (int, *problem) {
	h := w.Header()
	h["X-Correlator"] = []string{x.correlator}
	h["Cache-Control"] = []string{"no-store"}
	if s.closing.Load() {
		h["Connection"] = []string{"close"}
	}
	if err == nil {
		if x.reply == nil {
			w.WriteHeader(http.StatusNoContent)
			return http.StatusNoContent, nil
		}
		x.write(w, http.StatusOK, x.reply)
		return http.StatusOK, nil
	}

	if !x.bodyRead && x.request.ContentLength != 0 {
		// net/http reads the rest of the body before it answers; it is not to wait for one that does not come.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lateBody)) // fails where there is no connection
	}
	p, wait := x.version.problem(err)
	if wait > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)}
	}
	switch p.code {
	case methodNotAllowed.code:
		h["Allow"] = []string{x.allow}
	case unauthenticated.code:
		h["Www-Authenticate"] = tokens.Challenges(err, realm, len(x.request.Header["Authorization"]) > 0)
	case noScope.code:
		h["Www-Authenticate"] = []string{`Bearer realm="` + realm + `", error="insufficient_scope", scope="` + x.scope + `"`}
	}
	x.write(w, p.status, p.appendJSON(nil, x.version.says(p)))
	return p.status, p
}

func (x *exchange) write(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = []string{"application/json"} // exactly: no charset
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client hung up
}

// account logs one line on a finished request, and ends the trace of a message with what its client was told. The text of an error is logged only where it is not the client's doing.
func (s *Server) account(ctx context.Context, x *exchange, status int, refusal *problem, err error, took time.Duration) {
	if x.kind == sending && x.id != "" {
		told := strconv.Itoa(status)
		if refusal != nil {
			told += " " + refusal.reason
		}
		s.trace.Add(x.id, time.Time{}, "answered", told)
	}
	if refusal.abuse() {
		s.audit.LogAttrs(ctx, slog.LevelInfo, "refused", x.attrs(refusal)...)
	}
	level := slog.LevelDebug
	switch {
	case status == http.StatusInternalServerError:
		level = slog.LevelError
	case status > http.StatusInternalServerError,
		x.live.logged == LoggedAll, x.live.logged == LoggedFailures && refusal != nil:
		level = slog.LevelInfo
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	var room [14]slog.Attr
	attrs := append(room[:0], slog.Int("status", status), slog.Duration("duration", took))
	attrs = append(attrs, x.attrs(refusal)...)
	if refused, is := errors.AsType[*tokens.Refusal](err); is {
		attrs = append(attrs, slog.String("check", refused.Reason))
	}
	if status >= http.StatusInternalServerError {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if bug, ok := err.(*panicError); ok {
		attrs = append(attrs, slog.String("stack", string(bug.stack)))
	}
	s.log.LogAttrs(ctx, level, "request", attrs...)
}

// attrs are what may be written down of a request.
func (x *exchange) attrs(refusal *problem) []slog.Attr {
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs,
		slog.String("client", x.clientID),
		slog.String("route", x.name),
		slog.String("correlator", x.correlator))
	if x.id != "" {
		attrs = append(attrs, slog.String("id", x.id))
	}
	if parent := x.parent(); parent != "" {
		attrs = append(attrs, slog.String("traceparent", parent))
	}
	if x.number != "" {
		attrs = append(attrs, slog.Any("number", x.number))
	}
	if refusal != nil {
		attrs = append(attrs, slog.String("code", refusal.code), slog.String("reason", refusal.reason))
	}
	if x.limit != "" {
		attrs = append(attrs, slog.String("limit", x.limit))
	}
	return attrs
}

// parent is the request's traceparent, "" where it has none.
func (x *exchange) parent() string {
	if parent := x.request.Header.Get("Traceparent"); traceparent(parent) {
		return parent
	}
	return ""
}

// traceparent says whether s is one (W3C Trace Context §3.2), and so safe to write down.
func traceparent(s string) bool {
	const form = "00-00000000000000000000000000000000-0000000000000000-00"
	if len(s) != len(form) {
		return false
	}
	for i, c := range []byte(s) {
		if dash := form[i] == '-'; dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// A phone is a number that masks itself in logs: "+34*******01".
type phone string

// LogValue keeps at most the country and the last two digits, and of a short number only these.
func (p phone) LogValue() slog.Value { return slog.StringValue(p.masked()) }

func (p phone) masked() string {
	const tail = 2
	head := 3
	if len(p) < 10 {
		head = 1
	}
	return string(p[:head]) + strings.Repeat("*", len(p)-head-tail) + string(p[len(p)-tail:])
}
