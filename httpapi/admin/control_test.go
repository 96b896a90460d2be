package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/httpapi/admin"
)

// verbs takes down what it was asked.
type verbs struct {
	mu    sync.Mutex // guards all
	asked []string
	err   error
}

func (v *verbs) say(what string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, what)
	return v.err
}

func (v *verbs) Status(context.Context) admin.Status {
	return admin.Status{Version: "1.2", State: "running", Ready: true}
}
func (v *verbs) Reload(context.Context) (admin.Reloaded, error) {
	return admin.Reloaded{Changed: []string{"otp.ttl"}}, v.say("reload")
}
func (v *verbs) StopSMSC(name string) error  { return v.say("stop " + name) }
func (v *verbs) StartSMSC(name string) error { return v.say("start " + name) }
func (v *verbs) Inspect(what string) ([]byte, error) {
	return []byte("all of " + what), v.say("inspect " + what)
}
func (v *verbs) Pause(paused bool) { _ = v.say(fmt.Sprint("pause ", paused)) }
func (v *verbs) LogLevel(level string, during time.Duration) error {
	return v.say(fmt.Sprint("level ", level, " ", during))
}
func (v *verbs) Trace(_ context.Context, query string) ([]admin.Trace, error) {
	return []admin.Trace{{ID: query}}, v.say("trace " + query)
}

// socketPath is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func runControl(t *testing.T, v *verbs) *admin.Client {
	t.Helper()
	path := socketPath(t)
	l, err := admin.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- admin.NewControl(v, slog.New(slog.DiscardHandler)).Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket was left behind")
		}
	})
	return admin.NewClient(path)
}

func TestEveryVerbOverTheSocket(t *testing.T) {
	v := &verbs{}
	c := runControl(t, v)
	ctx := t.Context()
	var s admin.Status
	if err := c.Get(ctx, "/status", nil, &s); err != nil || s.Version != "1.2" || !s.Ready {
		t.Errorf("%+v, %v", s, err)
	}
	var r admin.Reloaded
	if err := c.Do(ctx, "reload", nil, &r); err != nil || len(r.Changed) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for action, values := range map[string]url.Values{
		"stop": {"smsc": {"main"}}, "start": {"smsc": {"main"}}, "pause": nil, "resume": nil, "log-level": {"level": {"debug"}, "for": {"5m"}},
	} {
		if err := c.Do(ctx, action, values, nil); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	var traces []admin.Trace
	if err := c.Get(ctx, "/trace", url.Values{"query": {"+34 x"}}, &traces); err != nil || len(traces) != 1 || traces[0].ID != "+34 x" {
		t.Errorf("%+v, %v", traces, err)
	}
	var content []byte
	if err := c.Get(ctx, "/inspect", url.Values{"what": {"heap"}}, &content); err != nil || string(content) != "all of heap" {
		t.Errorf("%q, %v", content, err)
	}
	got := strings.Join(v.asked, "\n")
	for _, want := range []string{"reload", "stop main", "start main", "pause true", "pause false", "level debug 5m0s", "trace +34 x"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q was not asked: %s", want, got)
		}
	}

	v.err = fmt.Errorf("%w: no such thing", admin.ErrRefused)
	if err := c.Do(ctx, "reload", nil, nil); !errors.Is(err, admin.ErrRefused) || err.Error() != "refused: no such thing" {
		t.Errorf("refused: %v", err)
	}
	v.err = errors.New("broken")
	if err := c.Do(ctx, "reload", nil, nil); err == nil || errors.Is(err, admin.ErrRefused) || err.Error() != "broken" {
		t.Errorf("broken: %v", err)
	}
	if err := c.Do(ctx, "log-level", url.Values{"level": {"debug"}, "for": {"x"}}, nil); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("bad duration: %v", err)
	}
	if err := c.Get(ctx, "/reload", nil, nil); err == nil {
		t.Error("a GET reloaded")
	}
}

// What does not come over a unix socket of this user or root is refused.
func TestControlIsNotForEverybody(t *testing.T) {
	v := &verbs{}
	h := admin.NewControl(v, slog.New(slog.DiscardHandler)).Handler()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/reload", nil).WithContext(context.Background()))
	// Without a connection there is no user: 0 would be root, so the handler alone must not take it for that.
	if w.Code != http.StatusForbidden || len(v.asked) > 0 {
		t.Errorf("%d, asked %q", w.Code, v.asked)
	}

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- admin.NewControl(v, slog.New(slog.DiscardHandler)).Run(ctx, tcp) }()
	resp, err := http.Post("http://"+tcp.Addr().String()+"/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil || resp.StatusCode != http.StatusForbidden || len(v.asked) > 0 {
		t.Errorf("over TCP: %d, asked %q, %v", resp.StatusCode, v.asked, err)
	}
}

func TestListenControl(t *testing.T) {
	path := socketPath(t)
	first, err := admin.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if l, err := admin.ListenControl(path); err == nil {
		l.Close()
		t.Error("two listen")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process
	first.Close()
	second, err := admin.ListenControl(path)
	if err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	second.Close()

	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := admin.ListenControl(path); err == nil {
		l.Close()
		t.Error("a file was replaced")
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("a file was removed")
	}
}

func TestTraces(t *testing.T) {
	traces := admin.NewTraces()
	for i := range 5001 {
		id := fmt.Sprint("id-", i)
		traces.Begin(id, "acme", fmt.Sprint("+34", i%5000), "+34***", fmt.Sprint("correlator-", i))
		traces.Add(id, "submitted", "x", fmt.Sprint("message-", i))
	}
	if _, ok := traces.Find("id-0"); ok {
		t.Error("the oldest is still there")
	}
	for _, name := range []string{"correlator-0", "message-0"} {
		if _, ok := traces.Find(name); ok {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range []string{"id-5000", "correlator-5000", "message-5000"} {
		if got, ok := traces.Find(name); !ok || got.ID != "id-5000" || len(got.Steps) != 1 || got.Number != "+34***" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := traces.Latest("+340", 10); len(got) != 1 || got[0].ID != "id-5000" {
		t.Errorf("by number: %+v", got)
	}
	for range 100 {
		traces.Add("id-1", "checked", "x")
	}
	if got, _ := traces.Find("id-1"); len(got.Steps) > 30 {
		t.Errorf("%d steps", len(got.Steps))
	}
	traces.Add("nobody", "x", "y")
}
