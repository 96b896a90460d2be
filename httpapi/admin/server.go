// Package admin is the operator's side of the daemon: over HTTP whether it is alive, whether it is ready and if not why not, its metrics and
// a status page, and over a unix socket the operator's verbs. The HTTP listener is for the operator's own systems: it asks for certificates
// where it is told to, and the page for a password.
package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// Config is where the admin listener is: [admin].
type Config struct {
	Control string `toml:"control" comment:"Path of the unix socket by which otpgw reload, status, trace and the like reach the daemon; root and the daemon's user may use it. Empty: there is none." reload:"restart"`
	Listen  string `toml:"listen" comment:"host:port of health, readiness, metrics and status page, or the path of a unix socket that the daemon's user and group may use. Only the page asks for a password: keep it on loopback or a management network." reload:"restart"`

	TLSCert     string `toml:"tls_cert" comment:"PEM file of the certificate that the admin listener shows, with those between it and the root. Empty: plain HTTP." reload:"restart"`
	TLSKey      string `toml:"tls_key" comment:"PEM file of its private key." reload:"restart"`
	TLSClientCA string `toml:"tls_client_ca" comment:"PEM file of the certificates that issue those of who may use the admin listener, Prometheus and probes included. Empty: no certificate is asked for." reload:"restart"`

	Password Password `toml:"password" comment:"Password of the status page as file:PATH, cred:NAME or env:NAME, for any user name, 12 characters at least. Empty: nothing can be changed from the page and, without view_password and tls_client_ca, it is shown on this host only." reload:"restart"`

	ViewPassword Password `toml:"view_password" comment:"Password, likewise, of those who may look at the status page and change nothing." reload:"restart"`
}

// DefaultConfig listens on loopback.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:9464", Control: "/run/otpgw/control.sock"}
}

// Validate says what is wrong with a key; the text begins with the key.
func (c Config) Validate() error {
	var errs []error
	_, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch {
	case filepath.IsAbs(c.Listen) && (len(c.Listen) > 100 || c.Listen == c.Control):
		errs = append(errs, fmt.Errorf("listen = %q: must have at most 100 octets, as the path of a socket, and be another than control", c.Listen))
	case !filepath.IsAbs(c.Listen) && err != nil:
		errs = append(errs, fmt.Errorf("listen = %q: must be host:port, or the absolute path of a unix socket", c.Listen))
	}
	if len(c.Control) > 100 {
		errs = append(errs, fmt.Errorf("control = %q: must have at most 100 octets, as the path of a socket", c.Control))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("tls_key: goes with tls_cert, neither without the other"))
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		errs = append(errs, fmt.Errorf("tls_client_ca = %q: needs tls_cert", c.TLSClientCA))
	}
	return errors.Join(errs...)
}

// TLS is what the listener speaks, nil for plain HTTP. The error begins with the key whose file cannot be used.
func (c Config) TLS() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	identity, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls_cert = %q: %w", c.TLSCert, err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity}, NextProtos: []string{"http/1.1"}}
	if c.TLSClientCA == "" {
		return out, nil
	}
	text, err := os.ReadFile(c.TLSClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls_client_ca = %q: %w", c.TLSClientCA, err)
	}
	out.ClientCAs, out.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !out.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls_client_ca = %q: holds no certificate in PEM", c.TLSClientCA)
	}
	return out, nil
}

// A Check is one part that has to be ready for the daemon to be. Ready is nil or says in one line why not, without
// secrets; it is called concurrently and returns at once.
type Check struct {
	Name  string
	Ready func() error
}

// A Server serves /healthz, /readyz, /metrics and the status page.
type Server struct {
	mux  *http.ServeMux
	page *Page
	log  *slog.Logger
}

// New makes the server of these checks, of what gatherer gathers, and of the status page; page may be nil. It starts nothing.
func New(checks []Check, gatherer prometheus.Gatherer, page *Page, log *slog.Logger) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { readiness(w, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	if page != nil {
		page.mount(mux)
	}
	return &Server{mux: mux, page: page, log: log}
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

// Mount serves h below path, which ends with a slash: for what else the operator's people look at. It is called before Run.
func (s *Server) Mount(path string, h http.Handler) { s.mux.Handle(path, h) }

// Listen opens the listener that Config.Listen names: a TCP port, or a unix socket that the owner and the group of this process may use.
func Listen(address string) (net.Listener, error) {
	if filepath.IsAbs(address) {
		return ListenControl(address)
	}
	return net.Listen("tcp", address)
}

// Handler is the server without its listener.
func (s *Server) Handler() http.Handler { return s.mux }

// drainTimeout is how long requests may go on after the end was asked for.
const drainTimeout = 5 * time.Second

// Run serves on l until ctx ends or l fails, lets running requests finish, and returns. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	// Whoever watches the page is let go when the end comes.
	base := func(net.Listener) context.Context { return ctx }
	server := &http.Server{Handler: s.mux, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second, BaseContext: base, ConnContext: withPeer}
	if s.page == nil {
		return serve(ctx, l, server, s.log)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.page.History.Run(ctx) })
	g.Go(func() error { return serve(ctx, l, server, s.log) })
	return g.Wait()
}

// serve runs server on l until ctx ends or l fails, lets running requests finish, and closes l.
func serve(ctx context.Context, l net.Listener, server *http.Server, log *slog.Logger) error {
	server.ReadHeaderTimeout, server.IdleTimeout, server.MaxHeaderBytes = 5*time.Second, time.Minute, 16<<10
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
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
