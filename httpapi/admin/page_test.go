package admin_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/config/secret"
	"otpgw/httpapi/admin"
)

func newPage(v *verbs, password string) (*admin.Server, *admin.History, *prometheus.Registry) {
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	history := admin.NewHistory(registry, log)
	return admin.New(nil, registry, &admin.Page{Verbs: v, History: history, Password: admin.Password{Text: secret.Text(password)}, Audit: log}, log), history, registry
}

func ask(s *admin.Server, method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "127.0.0.1:1234"
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
		r.RemoteAddr = "[::1]:1234"
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

func TestLookingIsNotActing(t *testing.T) {
	const acts, looks = "correct horse battery", "only for the screen"
	v, audit, registry := &verbs{}, new(audited), prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	page := &admin.Page{
		Verbs: v, History: admin.NewHistory(registry, log), Audit: audit.logger(),
		Password: admin.Password{Text: secret.Text(acts)}, ViewPassword: admin.Password{Text: secret.Text(looks)},
	}
	s := admin.New(nil, registry, page, log)
	if w := ask(s, "GET", "/status"); w.Code != http.StatusUnauthorized {
		t.Errorf("without a password: %d", w.Code)
	}
	if w := ask(s, "GET", "/status", as("not the password")); w.Code != http.StatusUnauthorized {
		t.Errorf("with a wrong password: %d", w.Code)
	}
	if got := audit.String(); !strings.Contains(got, `"msg":"page refused","reason":"wrong password","peer":"127.0.0.1:1234"`) || strings.Contains(got, "not the") {
		t.Errorf("audited:\n%s", got)
	}
	if w := ask(s, "GET", "/status", as(looks)); w.Code != 200 || strings.Contains(w.Body.String(), `method="post"`) {
		t.Errorf("who looks: %d, with buttons %v", w.Code, strings.Contains(w.Body.String(), `method="post"`))
	}
	if w := ask(s, "POST", "/status/pause", as(looks)); w.Code != http.StatusForbidden || len(v.asked) > 0 {
		t.Errorf("who looks acted: %d, %q", w.Code, v.asked)
	}
	if w := ask(s, "GET", "/status", as(acts)); w.Code != 200 || !strings.Contains(w.Body.String(), `method="post"`) {
		t.Errorf("who acts: %d", w.Code)
	}
	if w := ask(s, "POST", "/status/stop?smsc=main", as(acts)); w.Code != http.StatusSeeOther {
		t.Errorf("who acts: %d", w.Code)
	}
	if got := audit.String(); !strings.Contains(got, `"msg":"page","action":"stop","user":"anybody","peer":"127.0.0.1:1234","smsc":"main"`) || strings.Count(got, "\n") != 3 || !strings.Contains(got, `"reason":"for looking only"`) {
		t.Errorf("audited:\n%s", got)
	}
}

func TestFiguresOfBindsAndClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, history, registry := newPage(&verbs{}, "")
		counter := func(name string, labels ...string) *prometheus.CounterVec {
			c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, labels)
			registry.MustRegister(c)
			return c
		}
		codes, refusals := counter("otpgw_client_codes_total", "client", "outcome"), counter("otpgw_client_refusals_total", "client", "reason")
		submits, throttled := counter("otpgw_smpp_submit_total", "smsc", "result", "status"), counter("otpgw_smpp_throttled_total", "smsc", "status")
		ended := counter("otpgw_smpp_disconnects_total", "smsc", "bind", "reason")
		seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "otpgw_smpp_submit_seconds", Buckets: []float64{.001, .01, .1}}, []string{"smsc", "bind"})
		inflight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "otpgw_smpp_inflight"}, []string{"smsc", "bind"})
		registry.MustRegister(seconds, inflight)
		go history.Run(t.Context())
		synctest.Wait()

		inflight.WithLabelValues("main", "1").Set(0)
		codes.WithLabelValues("acme", "sent").Add(10)
		codes.WithLabelValues("acme", "verified").Add(4)
		codes.WithLabelValues("shop", "sent").Add(20)
		refusals.WithLabelValues("acme", "send_limit").Add(2)
		refusals.WithLabelValues("acme", "not_own").Add(3)
		submits.WithLabelValues("main", "accepted", "ESME_ROK").Add(30)
		submits.WithLabelValues("main", "refused", "ESME_RSYSERR").Add(2)
		throttled.WithLabelValues("main", "ESME_RTHROTTLED").Add(5)
		ended.WithLabelValues("main", "1", "closed").Add(3)
		for range 100 {
			seconds.WithLabelValues("main", "1").Observe(0.05)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := history.Tables()
		if len(got.Clients) != 2 || got.Clients[0].ID != "shop" || got.Clients[1].Verified != 4 || got.Clients[0].PerS != 2 {
			t.Errorf("clients: %+v", got.Clients)
		}
		if r := got.Clients[1].Refused; len(r) != 2 || r[0] != (admin.Count{Name: "not_own", Count: 3}) {
			t.Errorf("refused: %+v", r)
		}
		if len(got.SMSCs) != 1 || got.SMSCs[0] != (admin.SMSCFigures{SMSC: "main", Accepted: 30, Failed: 2, Throttled: 5}) {
			t.Errorf("smscs: %+v", got.SMSCs)
		}
		if len(got.Binds) != 1 || got.Binds[0].Ended != 3 || got.Binds[0].AnswerP99 < 0.01 || got.Binds[0].AnswerP99 > 0.1 {
			t.Errorf("binds: %+v", got.Binds)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		got = history.Tables()
		if got.Binds[0].AnswerP99 != 0 || got.Clients[0].PerS != 0 {
			t.Errorf("a minute without messages: %+v, %+v", got.Binds, got.Clients)
		}
	})
}

// Without a password the page is for this host, and for who shows a certificate.
func TestWhoMayLookWithoutAPassword(t *testing.T) {
	s, _, _ := newPage(&verbs{}, "")
	for peer, want := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200, "@": 200, "": 200, "nonsense": 403, "192.0.2.1:1": 403, "[2001:db8::1]:1": 403} {
		from := func(r *http.Request) { r.RemoteAddr = peer }
		for _, path := range []string{"/status", "/status/status.js", "/status/trace?query=x"} {
			if w := ask(s, "GET", path, from); w.Code != want {
				t.Errorf("%s from %s: %d, want %d", path, peer, w.Code, want)
			}
		}
		if w := ask(s, "GET", "/metrics", from); w.Code != 200 {
			t.Errorf("metrics from %s: %d", peer, w.Code)
		}
	}
	certified := func(r *http.Request) {
		r.RemoteAddr, r.TLS = "192.0.2.1:1", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}
	}
	if w := ask(s, "GET", "/status", certified); w.Code != 200 {
		t.Errorf("with a certificate: %d", w.Code)
	}
	protected, _, _ := newPage(&verbs{}, "correct horse battery")
	if w := ask(protected, "GET", "/status"); w.Code != http.StatusUnauthorized {
		t.Errorf("from this host, where there is a password: %d", w.Code)
	}
}

// Over a unix socket it is written down which user asked, and never more than a little of what was sent.
func TestPageOverASocketIsAuditedByUser(t *testing.T) {
	path := socketPath(t)
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery"
	long := strings.Repeat("ö", 5000)
	v, audit, registry := &verbs{err: fmt.Errorf("%w: there is no smsc %q", admin.ErrRefused, long)}, new(audited), prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	s := admin.New(nil, registry, &admin.Page{Verbs: v, History: admin.NewHistory(registry, log), Audit: audit.logger(), Password: admin.Password{Text: secret.Text(password)}}, log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }() // ends with ctx, awaited below
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	post := func(given, smsc string, origin string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://otpgw/status/stop", strings.NewReader(url.Values{"smsc": {smsc}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		r.SetBasicAuth(long[:2000], given)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	post("not the one", "main", "")
	post(password, "main", "https://"+strings.Repeat("x", 5000))
	post(password, long[:600], "")
	post(password, long, "") // too long a form: it names nobody
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(v.asked); got != fmt.Sprintf("[stop %s stop ]", long[:600]) {
		t.Errorf("asked %s", got)
	}
	got := audit.String()
	if n := strings.Count(got, fmt.Sprintf(`"uid":%d`, os.Getuid())); n != 4 || strings.Contains(got, `"peer"`) {
		t.Errorf("%d lines of four name the user: %s", n, got)
	}
	for line := range strings.Lines(got) {
		if len(line) > 1500 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
	if !strings.Contains(got, `"smsc":"`+long[:64]+`…"`) {
		t.Errorf("audited %s", got)
	}
}
