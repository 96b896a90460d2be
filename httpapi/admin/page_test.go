package admin_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/httpapi/admin"
)

func newPage(v *verbs, password string) (*admin.Server, *admin.History, *prometheus.Registry) {
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	history := admin.NewHistory(registry, log)
	return admin.New(nil, registry, &admin.Page{Verbs: v, History: history, Password: admin.Password(password)}, log), history, registry
}

func ask(s *admin.Server, method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	for _, f := range change {
		f(r)
	}
	s.Handler().ServeHTTP(w, r)
	return w
}

func as(password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
}

func TestThePageAndItsFiles(t *testing.T) {
	s, _, _ := newPage(&verbs{}, "")
	for path, kind := range map[string]string{"/status": "text/html", "/status/status.js": "text/javascript", "/status/status.css": "text/css"} {
		w := ask(s, "GET", path)
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %d %q, policy %q", path, w.Code, w.Header().Get("Content-Type"), policy)
		}
	}
	page := ask(s, "GET", "/status").Body.String()
	if strings.Contains(page, "<form method=\"post\"") || !strings.Contains(page, `data-actions="false"`) {
		t.Error("a page without a password has buttons")
	}
	for _, foreign := range []string{"http://", "https://", "<style", "style=", "onclick"} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
	if w := ask(s, "GET", "/"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/status" {
		t.Errorf("/: %d", w.Code)
	}
}

func TestActionsNeedThePassword(t *testing.T) {
	v := &verbs{}
	const password = "correct horse battery"
	s, _, _ := newPage(v, password)
	for _, path := range []string{"/status", "/status/events", "/status/trace?query=x", "/status/status.js"} {
		for _, change := range []func(*http.Request){func(*http.Request) {}, as(""), as("wrong"), as(password + "x")} {
			if w := ask(s, "GET", path, change); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	}
	if w := ask(s, "POST", "/status/pause"); w.Code != http.StatusUnauthorized {
		t.Errorf("without a password: %d", w.Code)
	}
	foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	origin := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
	for _, change := range []func(*http.Request){foreign, origin} {
		if w := ask(s, "POST", "/status/pause", as(password), change); w.Code != http.StatusForbidden {
			t.Errorf("from another site: %d", w.Code)
		}
	}
	if len(v.asked) > 0 {
		t.Fatalf("asked %q", v.asked)
	}
	for _, path := range []string{"/status/pause", "/status/resume", "/status/stop?smsc=main", "/status/start?smsc=main"} {
		if w := ask(s, "GET", path, as(password)); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
		if w := ask(s, "POST", path, as(password)); w.Code != http.StatusSeeOther {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
	if got := strings.Join(v.asked, ", "); got != "pause true, pause false, stop main, start main" {
		t.Errorf("asked %s", got)
	}

	open, _, _ := newPage(v, "")
	if w := ask(open, "POST", "/status/pause"); w.Code != http.StatusForbidden || len(v.asked) != 4 {
		t.Errorf("a page without a password: %d", w.Code)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} { // for machines
		if w := ask(s, "GET", path); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestPasswordHidesItself(t *testing.T) {
	var p admin.Password
	if err := p.UnmarshalSecret([]byte("short")); err == nil {
		t.Error("a short password")
	}
	if err := p.UnmarshalSecret([]byte("long enough it is")); err != nil || p.String() != "***" || p.GoString() != "***" || p.LogValue().String() != "***" {
		t.Errorf("%v, %v", err, p)
	}
	if text, _ := p.MarshalText(); string(text) != "***" {
		t.Errorf("%s", text)
	}
}

type told struct {
	Points []admin.Point
	Tables admin.Tables
	Status admin.Status
}

func TestHistoryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, history, registry := newPage(&verbs{}, "")
		codes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "otpgw_codes_total"}, []string{"outcome"})
		requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "otpgw_http_requests_total"}, []string{"route", "status"})
		seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "otpgw_http_request_seconds", Buckets: []float64{.001, .01, .1}}, []string{"route"})
		registry.MustRegister(codes, requests, seconds)
		go history.Run(t.Context())
		synctest.Wait()
		codes.WithLabelValues("sent").Add(10)
		requests.WithLabelValues("v1/send-code", "503").Add(2)
		requests.WithLabelValues("v1/send-code", "429").Add(3)
		for i := range 100 {
			took := 0.0005
			if i >= 98 {
				took = 0.05
			}
			seconds.WithLabelValues("v1/send-code").Observe(took)
		}
		time.Sleep(time.Second)
		synctest.Wait()

		reader, writer := io.Pipe()
		ended := make(chan struct{})
		r := httptest.NewRequest("GET", "/status/events", nil)
		go func() {
			defer close(ended)
			s.Handler().ServeHTTP(&streamed{header: http.Header{}, Writer: writer}, r)
		}()
		lines := bufio.NewReader(reader)
		next := func() (f told) {
			t.Helper()
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &f); err != nil {
				t.Fatal(err)
			}
			lines.ReadString('\n')
			return f
		}
		f := next()
		if len(f.Points) != 1 || f.Points[0].Sent != 10 || f.Points[0].Failed != 2 || f.Points[0].Refused != 3 || f.Status.Version != "1.2" {
			t.Errorf("%+v", f)
		}
		if p99 := f.Points[0].SendP99; p99 < 0.01 || p99 > 0.1 {
			t.Errorf("p99 is %v, 98 of 100 took less than 1 ms and 2 more than 10", p99)
		}
		if len(f.Tables.Codes) != 1 || f.Tables.Codes[0] != (admin.Count{Name: "sent", Count: 10}) {
			t.Errorf("%+v", f.Tables)
		}
		codes.WithLabelValues("sent").Add(5)
		f = next()
		if len(f.Points) != 1 || f.Points[0].Sent != 5 || f.Points[0].Failed != 0 {
			t.Errorf("a second later: %+v", f.Points)
		}
		reader.Close()
		time.Sleep(2 * time.Second)
		<-ended // a viewer that went is noticed at the next frame
	})
}

// streamed is a ResponseWriter whose other end is a pipe.
type streamed struct {
	header http.Header
	io.Writer
}

func (s *streamed) Header() http.Header { return s.header }
func (s *streamed) WriteHeader(int)     {}
func (s *streamed) Flush()              {}

func TestViewersAreBounded(t *testing.T) {
	s, _, _ := newPage(&verbs{}, "")
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	var open []*http.Response
	defer func() {
		for _, r := range open {
			r.Body.Close()
		}
	}()
	for range 50 {
		resp, err := server.Client().Get(server.URL + "/status/events")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
		if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d, %v", resp.StatusCode, err)
		}
	}
	resp, err := server.Client().Get(server.URL + "/status/events")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", resp.StatusCode)
	}
	if w := ask(s, "GET", "/status"); w.Code != 200 {
		t.Errorf("the page itself: %d", w.Code)
	}
}
