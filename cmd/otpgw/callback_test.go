package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// What the plants of this file sign with: of no other use.
const webhookSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// A hearer is where a plant's client is told: a real HTTPS server.
type hearer struct {
	t     *testing.T
	url   string
	table string // [[sink]] in the plant's configuration

	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request, callback)
	got    []callback // what was signed as it has to be
}

// A callback is one post.
type callback struct {
	ID   string // of the event
	Type string
	Data struct {
		AuthenticationID, State, PhoneNumber string
		Delivery                             struct{ State string }
	}
	body string
}

// listen starts a hearer and writes down the sink that reaches it.
func listen(t *testing.T, more string) *hearer {
	t.Helper()
	l := &hearer{t: t}
	server := httptest.NewTLSServer(l)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca, secret := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "secret")
	for path, text := range map[string][]byte{
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), secret: []byte(webhookSecret + "\n"),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.url = server.URL
	l.table = fmt.Sprintf("[[sink]]\nname = \"main\"\nurl = %q\nclients = [\"acme\"]\nnamespace = \"com.example.otp\"\nsecret = \"file:%s\"\nca = %q\n%s\n",
		server.URL, secret, ca, more)
	return l
}

func (l *hearer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the plant was killed
	}
	hook, err := webhooks.NewWebhook(webhookSecret)
	if err == nil {
		err = hook.Verify(body, r.Header)
	}
	c := callback{body: string(body)}
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil || c.ID != r.Header.Get("Webhook-Id") || r.Header.Get("Content-Type") != "application/cloudevents+json" {
		l.t.Errorf("%v: %s %s", err, r.Header, body)
	}
	l.mu.Lock()
	answer := l.answer
	l.mu.Unlock()
	if answer != nil {
		answer(w, r, c)
	}
	l.mu.Lock()
	l.got = append(l.got, c)
	l.mu.Unlock()
}

func (l *hearer) set(answer func(http.ResponseWriter, *http.Request, callback)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// ids are the events that came, in the order of their names.
func (l *hearer) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, c := range l.got {
		all = append(all, c.ID)
	}
	slices.Sort(all)
	return all
}

// await waits until all of these events came, and no longer.
func (l *hearer) await(p *plant, ids ...string) {
	p.t.Helper()
	p.await(fmt.Sprint(ids), func() bool {
		got := l.ids()
		return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(got, id) })
	})
}

func withSink(l *hearer) plantOption { return func(c *plantConfig) { c.clients += l.table } }

// TestKilledBetweenFactAndCall kills the daemon when facts are durable and nobody could be told, and then once more when a
// call was made and is not marked: each is told after the restart, under the same id.
func TestKilledBetweenFactAndCall(t *testing.T) {
	l := listen(t, "")
	l.set(func(w http.ResponseWriter, _ *http.Request, _ callback) { w.WriteHeader(http.StatusServiceUnavailable) })
	p := newPlant(t, withSink(l))
	id, code := p.send(number(1))
	l.await(p, id+"-delivered") // was refused
	if a := p.validate(id, code); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	p.kill()
	l.mu.Lock()
	l.got, l.answer = nil, nil
	l.mu.Unlock()
	p.start()
	l.await(p, id+"-delivered", id+"-used")
	for _, c := range l.got {
		if c.Type != "com.example.otp.v1."+strings.TrimPrefix(c.ID, id+"-") || c.Data.AuthenticationID != id || c.Data.State != "used" || c.Data.Delivery.State != "DELIVRD" {
			t.Errorf("told %s", c.body)
		}
		for _, secret := range []string{code, number(1)[1:], "phoneNumber", "is your code"} {
			if strings.Contains(c.body, secret) {
				t.Errorf("%q is in %s", secret, c.body)
			}
		}
	}
	p.await("the marks", func() bool {
		return strings.Contains(p.metrics(), `otpgw_callbacks_total{result="taken",sink="main"} 2`)
	})

	second, code := p.send(number(2))
	l.await(p, second+"-delivered")
	killed := make(chan struct{})
	var once sync.Once
	l.set(func(http.ResponseWriter, *http.Request, callback) {
		once.Do(func() { // at the first call, before its answer
			if err := p.proc.Process.Kill(); err != nil {
				t.Error(err)
			}
			close(killed)
		})
	})
	_, _ = p.call(http.MethodPost, "/validate-code", validateBody(second, code), nil) // its answer may be cut off
	select {
	case <-killed:
	case <-time.After(patience):
		t.Fatal("no call was made")
	}
	p.kill()
	l.mu.Lock()
	l.got, l.answer = nil, nil
	l.mu.Unlock()
	p.start()
	l.await(p, second+"-used")
	third, code := p.send(number(3))
	p.validate(third, code)
	l.await(p, third+"-delivered", third+"-used")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	got := slices.DeleteFunc(l.ids(), func(id string) bool { return strings.HasPrefix(id, third) })
	if !slices.Equal(got, []string{second + "-used"}) && !slices.Equal(got, []string{second + "-delivered", second + "-used"}) {
		t.Errorf("told after the restart: %q", got) // delivered may have been taken and not marked yet
	}
	p.start() // and nothing is left to be told
	fourth, code := p.send(number(4))
	p.validate(fourth, code)
	l.await(p, fourth+"-delivered", fourth+"-used")
	p.await("the trace", func() bool {
		out, _ := p.operate("trace", fourth)
		return strings.Contains(out, "told          main used, 200 OK in ")
	})
	if n := len(l.ids()); n != len(got)+4 {
		t.Errorf("told twice: %q", l.ids())
	}
}

func TestSinkOfAReload(t *testing.T) {
	l := listen(t, "")
	p := newPlant(t)
	before, code := p.send(number(1))
	if code, _, errs := otpgw(t, "callback", "test", "main", "--config", p.config); code != 2 || !strings.Contains(errs, "there is no [[sink]]") {
		t.Errorf("callback test without a sink: %d %s", code, errs)
	}
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	p.write("otpgw.toml", string(text)+l.table, 0o600)
	p.expectOutput(0, "in force: sink", "reload")
	if a := p.validate(before, code); a.status != http.StatusNoContent { // issued when there was none
		t.Fatalf("%d %s", a.status, a.body)
	}
	id, _ := p.send(number(2))
	l.await(p, id+"-delivered")
	newer, code := p.send(number(2))
	l.await(p, id+"-replaced", newer+"-delivered")
	for range 3 {
		p.validate(newer, wrongFor(code))
	}
	l.await(p, newer+"-locked")
	if want := []string{id + "-delivered", id + "-replaced", newer + "-delivered", newer + "-locked"}; !slices.Equal(l.ids(), slices.Sorted(slices.Values(want))) {
		t.Errorf("told %q", l.ids())
	}

	code0, out, errs := otpgw(t, "callback", "test", "main", "--config", p.config)
	if code0 != 0 || !strings.HasPrefix(out, "200 OK in ") || errs != "" {
		t.Errorf("callback test: %d %s %s", code0, out, errs)
	}
	l.set(func(w http.ResponseWriter, _ *http.Request, _ callback) {
		http.Error(w, "what is this?", http.StatusUnauthorized)
	})
	if code0, out, _ = otpgw(t, "callback", "test", "main", "--config", p.config); code0 != 1 || !strings.Contains(out, "401") || !strings.Contains(out, "what is this?") {
		t.Errorf("callback test: %d %s", code0, out)
	}
	if code0, _, errs = otpgw(t, "callback", "test", "other", "--config", p.config); code0 != 2 || !strings.Contains(errs, "there are main") {
		t.Errorf("callback test of another: %d %s", code0, errs)
	}

	l.set(func(w http.ResponseWriter, _ *http.Request, _ callback) { w.WriteHeader(http.StatusGone) })
	p.send(number(3))
	p.await("the sink to be stopped", func() bool { return strings.Contains(p.metrics(), `otpgw_callbacks_stopped{sink="main"} 1`) })
	p.expectOutput(0, "\nsink main  stopped for 0s: it answered 410; a reload starts it again, callbacks waiting: 0\n", "status", "auth")
	last, code := p.send(number(4))
	p.validate(last, code)
	l.set(nil)
	p.signal(syscall.SIGHUP)
	l.await(p, last+"-delivered", last+"-used")
	p.write("otpgw.toml", string(text), 0o600)
	p.expectOutput(0, "in force: sink", "reload")
	p.await("the sink's series to go", func() bool { return !strings.Contains(p.metrics(), `sink="main"`) })
	if logged := p.logged(); strings.Contains(logged, webhookSecret[6:]) || strings.Contains(logged, l.url) {
		t.Error("the log holds the secret or the URL")
	}
}

func TestSlowSinkLeavesTheAPIAlone(t *testing.T) {
	release := make(chan struct{})
	l := listen(t, "timeout = \"30s\"\nmax_in_flight = 2\n")
	l.set(func(http.ResponseWriter, *http.Request, callback) { <-release })
	p := newPlant(t, withSink(l))
	begun := time.Now()
	for n := range 50 {
		id, code := p.send(number(n))
		if a := p.validate(id, code); a.status != http.StatusNoContent {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if took := time.Since(begun); took > 25*time.Second { // one call alone takes longer
		t.Errorf("50 codes took %v", took)
	}
	p.await("the rest to wait", func() bool { return strings.Contains(p.metrics(), `otpgw_callbacks_pending{sink="main"} 100`) })
	close(release)
	p.await("all to be told", func() bool { return len(l.ids()) == 100 })
}
