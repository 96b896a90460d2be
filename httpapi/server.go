// Package httpapi speaks the CAMARA One Time Password SMS API to clients, over HTTP, and in verbs (issue, send, verify) to
// the rest. It owns what a request has to be and what an answer looks like; it knows no rule about codes, which are
// the store's, and nothing of SMPP but the three outcomes of a send.
//
// Start reading at serve in exchange.go, which every request passes, then send.go and validate.go. errors.go is the one
// table that turns errors into answers; version.go holds in what the versions of the API differ.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"otpgw/httpapi/numbers"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// Codes is what the handlers need of *otpstore.Store.
type Codes interface {
	Issue(ctx context.Context, r otpstore.Request) (otpstore.Issued, error)
	Sent(ctx context.Context, id string, r otpstore.SendResult) error
	Discard(ctx context.Context, id string) error
	Unknown(ctx context.Context, id string) error
	Verify(ctx context.Context, client, id, code string) error
	Lookup(ctx context.Context, id string) (otpstore.Verification, error)
	Cancel(ctx context.Context, client, id string) (changed bool, err error)
	List(ctx context.Context, client string, o otpstore.ListOptions) (otpstore.List, error)
	Now() time.Time // of the clock by which codes live; the system's may be off from it
}

// Sender is what the handlers need of *smpp.Pool.
type Sender interface {
	Check(m smpp.Message) error
	Send(ctx context.Context, m smpp.Message) (smpp.Accepted, error)
	Cancel(ref string)
}

// Numbers is what the handlers need of *numbers.Directory.
type Numbers interface {
	Judge(ctx context.Context, number string) (numbers.Verdict, error)
	Refused(number string)
}

// Trace is told what happened to a verification, step by step: neither codes nor texts. number is for finding only, masked for
// showing, parent the traceparent of the request or "", names are those by which the trace can be found besides the id. A step that
// happened at the zero time happens now. It is called concurrently and returns at once.
type Trace interface {
	Begin(id, client, number, masked, correlator, parent string)
	Add(id string, at time.Time, what, detail string, names ...string)
}

// Parts are what a server stands on. Trace and Audit may be nil.
type Parts struct {
	Codes   Codes
	Sender  Sender
	Numbers Numbers
	Trace   Trace
	Audit   *slog.Logger // is told of what the limits against abuse refused
}

type untraced struct{}

func (untraced) Begin(string, string, string, string, string, string) {}
func (untraced) Add(string, time.Time, string, string, ...string)     {}

// A Server serves the API. Its methods may be called concurrently, but Run only once.
type Server struct {
	cfg     Config
	slots   [kinds]*slots
	codes   Codes
	sender  Sender
	numbers Numbers
	trace   Trace
	tests   testCodes
	log     *slog.Logger
	audit   *slog.Logger

	handler  *echo.Echo
	metrics  *metrics
	identity atomic.Pointer[Identity] // nil: plain HTTP

	paused  atomic.Bool
	closing atomic.Bool // answers say that their connection ends
	swap    sync.Mutex  // held while live is replaced
	live    atomic.Pointer[liveTables]
}

// New makes a server of cfg and reads its certificate. It starts nothing and opens no listener. reg may be nil.
func New(cfg Config, live Live, parts Parts, reg prometheus.Registerer, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s := &Server{cfg: cfg, codes: parts.Codes, sender: parts.Sender, numbers: parts.Numbers, trace: parts.Trace, log: log, audit: parts.Audit}
	if s.trace == nil {
		s.trace = untraced{}
	}
	if s.audit == nil {
		s.audit = slog.New(slog.DiscardHandler)
	}
	if cfg.TLSCert != "" {
		identity, err := LoadIdentity(cfg)
		if err != nil {
			return nil, err
		}
		s.identity.Store(&identity)
	}
	s.slots = newSlots(cfg.MaxInFlight)
	s.metrics = newMetrics(reg, s.slots, s.identity.Load)
	s.SetLive(live)

	s.handler = echo.New()
	s.handler.IPExtractor = echo.ExtractIPDirect() // nobody's X-Forwarded-For is believed
	if len(cfg.Origins) > 0 {
		s.handler.Pre(crossOrigin(cfg.Origins))
	}
	served, err := servedVersions(cfg.Versions)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s.handler.HTTPErrorHandler = func(err error, c echo.Context) {
		s.serve(c, otherRoute(served, c.Request().URL.Path), func(context.Context, *exchange) error { return err })
	}
	for _, v := range served {
		s.route(http.MethodPost, apiPath+v.name+"/send-code", &route{version: v, kind: sending, scope: scope, operate: s.sendCode})
		s.route(http.MethodPost, apiPath+v.name+"/validate-code", &route{version: v, kind: validating, scope: scope, operate: s.validateCode})
	}
	s.route(http.MethodGet, sidePath, &route{version: side, kind: looking, scope: sideScope, operate: s.listVerifications})
	s.route(http.MethodGet, sidePath+"/:id", &route{version: side, kind: looking, scope: sideScope, operate: s.readVerification})
	s.route(http.MethodPost, sidePath+"/:id/cancel", &route{version: side, kind: looking, scope: sideScope, operate: s.cancelVerification})
	return s, nil
}

// route serves r at path, which takes one method.
func (s *Server) route(method, path string, r *route) {
	r.name = strings.TrimPrefix(strings.TrimPrefix(path, apiPath), "/")
	s.handler.Add(method, path, func(c echo.Context) error {
		s.serve(c, r, s.admit)
		return nil
	})
	// Echo would answer OPTIONS by itself, and not with an ErrorInfo.
	s.handler.OPTIONS(path, func(echo.Context) error { return echo.ErrMethodNotAllowed })
}

// apiPath is where the versions of the CAMARA API are.
const apiPath = "/one-time-password-sms/"

// otherRoute is the route of what no operation serves: it speaks in the words of the version that its path names.
func otherRoute(served []version, path string) *route {
	r := &route{name: "other", allow: http.MethodPost, version: v1}
	rest, _ := strings.CutPrefix(path, apiPath)
	for _, v := range served {
		if strings.HasPrefix(rest, v.name+"/") {
			r.version = v
		}
	}
	if strings.HasPrefix(path, sidePath) {
		r.version = side
		if !strings.HasSuffix(path, "/cancel") {
			r.allow = http.MethodGet
		}
	}
	return r
}

// Pause makes send-code answer 503 from now on, or with false no longer. Codes that were sent can be checked all the time.
func (s *Server) Pause(paused bool) { s.paused.Store(paused) }

// Handler is the server without its listener: no TLS, and none of the limits that hold on a connection.
func (s *Server) Handler() http.Handler { return s.handler }

// Limits on what a client may take of a connection (the request's own are Config.RequestTimeout and maxBody).
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 16 << 10
	maxStreams        = 100 // of one HTTP/2 connection
	writeTimeout      = 5 * time.Second
)

// Run serves on l until ctx ends or l fails. Then it accepts nothing more, finishes the requests that it has, each of
// which has a deadline, and returns. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	longest := s.cfg.RequestTimeout + recordTimeout // that a handler takes
	server := &http.Server{
		Handler:                      s.handler,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  min(readTimeout, s.cfg.RequestTimeout),
		WriteTimeout:                 longest + writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:                     slog.NewLogLogger(serverLog{s.log.Handler()}, slog.LevelWarn),
	}
	l = netutil.LimitListener(l, s.cfg.MaxConnections)
	arriving := new(arrivals)
	server.ConnState = arriving.note

	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest+writeTimeout)
		defer cancel()
		drained <- s.drain(limited, server, l, arriving)
	})
	var err error
	if s.identity.Load() == nil {
		err = server.Serve(l)
	} else {
		server.TLSConfig = s.tlsConfig()
		err = server.ServeTLS(l, "", "")
	}
	if stop() { // the listener failed before ctx ended
		return errors.Join(err, server.Close())
	}
	if err := <-drained; err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), server.Close())
	}
	return nil
}

// serverLog takes what net/http has to say. What any stranger can provoke at will does not pass as a warning.
type serverLog struct{ slog.Handler }

func (h serverLog) Handle(ctx context.Context, r slog.Record) error {
	said := r.Message
	level := r.Level
	if strings.Contains(said, "TLS handshake error") || strings.Contains(said, "http2: ") {
		level = slog.LevelDebug
	}
	if !h.Enabled(ctx, level) {
		return nil
	}
	record := slog.NewRecord(r.Time, level, "http server", 0)
	record.AddAttrs(slog.String("said", strings.TrimSpace(said)))
	return h.Handler.Handle(ctx, record)
}
