// Package httpapi speaks the CAMARA One Time Password SMS API to clients, over HTTP, and in verbs (issue, send, verify) to
// the rest. It owns what a request has to be and what an answer looks like; it knows no rule about codes, which are
// the store's, and nothing of SMPP but the three outcomes of a send.
//
// Start reading at serve in exchange.go, which every request passes, then send.go and validate.go. errors.go is the one
// table that turns errors into answers; version.go holds in what the versions of the API differ.
package httpapi

import (
	"context"
	"crypto/tls"
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

	"otpgw/otpstore"
	"otpgw/smpp"
)

// Codes is what the handlers need of *otpstore.Store.
type Codes interface {
	Issue(ctx context.Context, client, number string) (otpstore.Issued, error)
	Sent(ctx context.Context, id string, r otpstore.SendResult) error
	Discard(ctx context.Context, id string) error
	Unknown(ctx context.Context, id string) error
	Verify(ctx context.Context, client, id, code string) error
}

// Sender is what the handlers need of *smpp.Pool.
type Sender interface {
	Check(m smpp.Message) error
	Send(ctx context.Context, m smpp.Message) (smpp.Accepted, error)
	Cancel(ref string)
}

// A Server serves the API. Its methods may be called concurrently, but Run only once.
type Server struct {
	cfg    Config
	codes  Codes
	sender Sender
	log    *slog.Logger

	handler     *echo.Echo
	metrics     *metrics
	certificate atomic.Pointer[tls.Certificate] // nil: plain HTTP

	swap sync.Mutex // held while live is replaced
	live atomic.Pointer[liveTables]
}

// New makes a server of cfg and reads its certificate. It starts nothing and opens no listener. reg may be nil.
func New(cfg Config, live Live, codes Codes, sender Sender, reg prometheus.Registerer, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s := &Server{cfg: cfg, codes: codes, sender: sender, log: log}
	if cfg.TLSCert != "" {
		pair, err := LoadCertificate(cfg)
		if err != nil {
			return nil, err
		}
		s.certificate.Store(&pair)
	}
	s.SetLive(live)

	kept := max(1, cfg.MaxInFlight/4) // for validate-code: it outlives a flood of send-code
	sending, validating := &slots{limit: int64(cfg.MaxInFlight - kept)}, &slots{limit: int64(kept)}
	s.metrics = newMetrics(reg, sending, validating, s.certificate.Load)

	s.handler = echo.New()
	s.handler.IPExtractor = echo.ExtractIPDirect() // nobody's X-Forwarded-For is believed
	served, err := servedVersions(cfg.Versions)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s.handler.HTTPErrorHandler = func(err error, c echo.Context) {
		s.serve(c, otherRoute(served, c.Request().URL.Path), func(context.Context, *exchange) error { return err })
	}
	for _, v := range served {
		for _, r := range []*route{
			{name: v.name + "/send-code", version: v, slots: sending, operate: s.sendCode},
			{name: v.name + "/validate-code", version: v, slots: validating, operate: s.validateCode},
		} {
			path := apiPath + r.name
			s.handler.POST(path, func(c echo.Context) error {
				s.serve(c, r, s.admit)
				return nil
			})
			// Echo would answer OPTIONS by itself, and not with an ErrorInfo.
			s.handler.OPTIONS(path, func(echo.Context) error { return echo.ErrMethodNotAllowed })
		}
	}
	return s, nil
}

// apiPath is where the versions of the CAMARA API are.
const apiPath = "/one-time-password-sms/"

// otherRoute is the route of what no operation serves: it speaks in the words of the version that its path names.
func otherRoute(served []version, path string) *route {
	r := &route{name: "other", version: v1}
	rest, _ := strings.CutPrefix(path, apiPath)
	for _, v := range served {
		if strings.HasPrefix(rest, v.name+"/") {
			r.version = v
		}
	}
	return r
}

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

	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest+writeTimeout)
		defer cancel()
		drained <- server.Shutdown(limited)
	})
	var err error
	if s.certificate.Load() == nil {
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

// slots bound the requests of one kind that are in work at once.
type slots struct {
	limit int64
	taken atomic.Int64
}

// take says whether there was a free slot; if so it must be given back.
func (s *slots) take() bool {
	if s.taken.Add(1) > s.limit {
		s.giveBack()
		return false
	}
	return true
}

func (s *slots) giveBack() { s.taken.Add(-1) }
