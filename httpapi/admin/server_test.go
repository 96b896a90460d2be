package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"otpgw/httpapi/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer(gatherer prometheus.Gatherer, checks ...admin.Check) *admin.Server {
	return admin.New(checks, gatherer, nil, slog.New(slog.DiscardHandler))
}

func get(t *testing.T, s *admin.Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestHealthIsIndependentOfReadiness(t *testing.T) {
	s := newServer(prometheus.NewRegistry(), admin.Check{Name: "store", Ready: func() error { return errors.New("gone") }})
	if w := get(t, s, "/healthz"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	var store, bind error
	s := newServer(prometheus.NewRegistry(),
		admin.Check{Name: "store", Ready: func() error { return store }},
		admin.Check{Name: "smsc smsc-a", Ready: func() error { return bind }})
	for _, c := range []struct {
		store, bind error
		status      int
		body        string
	}{
		{nil, nil, 200, `{"ready":true}`},
		{nil, errors.New("no bind"), 503, `{"ready":false,"failing":{"smsc smsc-a":"no bind"}}`},
		{errors.New(`disk "full"`), errors.New("no bind"), 503, `{"ready":false,"failing":{"smsc smsc-a":"no bind","store":"disk \"full\""}}`},
		{nil, nil, 200, `{"ready":true}`},
	} {
		store, bind = c.store, c.bind
		w := get(t, s, "/readyz")
		if w.Code != c.status || strings.TrimSpace(w.Body.String()) != c.body || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.status, c.body)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("header %v", w.Header())
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "otpgw_test_total", Help: "A test."})
	reg.MustRegister(c)
	c.Inc()
	if w := get(t, newServer(reg), "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "\notpgw_test_total 1\n") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOnlyGetOnKnownPaths(t *testing.T) {
	s := newServer(prometheus.NewRegistry())
	for _, path := range []string{"/", "/healthz/", "/debug/pprof/", "/one-time-password-sms/v1/send-code"} {
		if w := get(t, s, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}

// When the end is asked for, nothing more is accepted and what is in work is finished.
func TestRunDrains(t *testing.T) {
	inWork, release := make(chan struct{}), make(chan struct{})
	s := newServer(prometheus.NewRegistry(), admin.Check{Name: "slow", Ready: func() error {
		close(inWork)
		<-release
		return nil
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()

	client := &http.Client{Transport: new(http.Transport), Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	answered := make(chan string, 1)
	go func() {
		resp, err := client.Get("http://" + l.Addr().String() + "/readyz")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answered <- string(text)
	}()
	<-inWork
	stop()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
	}
	close(release)
	if got := <-answered; got != `{"ready":true}`+"\n" {
		t.Errorf("the request in work: %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestListenerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newServer(prometheus.NewRegistry()).Run(t.Context(), l); err == nil {
		t.Error("served on a closed listener")
	}
}

func TestConfig(t *testing.T) {
	if err := admin.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := (admin.Config{Listen: "nowhere"}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "listen = ") {
		t.Errorf("%v", err)
	}
}

// The admin listener may be a unix socket, which its owner and group may use.
func TestListenOnASocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "adm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "admin.sock")
	cfg := admin.DefaultConfig()
	cfg.Listen = path
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- admin.New(nil, prometheus.NewRegistry(), nil, slog.New(slog.DiscardHandler)).Run(ctx, l)
	}()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	answer, err := client.Get("http://otpgw/healthz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	client.CloseIdleConnections()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"admin.sock", "/" + strings.Repeat("x", 100), cfg.Control, ""} {
		cfg.Listen = bad
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), "listen") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
