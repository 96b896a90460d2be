// Package admin is the operator's side of the daemon over HTTP: is it alive, is it ready and if not why not, and its
// metrics. It has a listener of its own and no authentication: let only the operator's own systems reach it.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is where the admin listener is: [admin].
type Config struct {
	Listen string `toml:"listen" comment:"host:port of health, readiness and metrics. There is no authentication: keep it on loopback or a management network." reload:"restart"`
}

// DefaultConfig listens on loopback.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:9464"} }

// Validate says what is wrong with a key; the text begins with the key.
func (c Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen = %q: must be host:port", c.Listen)
	}
	return nil
}

// A Check is one part that has to be ready for the daemon to be. Ready is nil or says in one line why not, without
// secrets; it is called concurrently and returns at once.
type Check struct {
	Name  string
	Ready func() error
}

// A Server serves /healthz, /readyz and /metrics.
type Server struct {
	handler http.Handler
	log     *slog.Logger
}

// New makes the server of these checks and of what gatherer gathers. It starts nothing.
func New(_ Config, checks []Check, gatherer prometheus.Gatherer, log *slog.Logger) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { readiness(w, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	return &Server{handler: mux, log: log}
}

// A report is the body of /readyz: whether the daemon is ready and, by the name of each check that fails, why not.
type report struct {
	Ready   bool              `json:"ready"`
	Failing map[string]string `json:"failing,omitempty"`
}

func readiness(w http.ResponseWriter, checks []Check) {
	r := report{Failing: map[string]string{}}
	for _, c := range checks {
		if err := c.Ready(); err != nil {
			r.Failing[c.Name] = err.Error()
		}
	}
	r.Ready = len(r.Failing) == 0
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(r) // the caller hung up
}

// Handler is the server without its listener.
func (s *Server) Handler() http.Handler { return s.handler }

// drainTimeout is how long requests may go on after the end was asked for.
const drainTimeout = 5 * time.Second

// Run serves on l until ctx ends or l fails, lets running requests finish, and returns. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		drained <- server.Shutdown(limited)
	})
	err := server.Serve(l)
	if stop() { // the listener failed before ctx ended
		return errors.Join(err, server.Close())
	}
	if err := <-drained; err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), server.Close())
	}
	return nil
}
