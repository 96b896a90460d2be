package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
func (v *verbs) Trace(_ context.Context, query string, reveal bool) ([]admin.Trace, error) {
	if reveal {
		return []admin.Trace{{ID: query, Number: query}}, v.say("reveal " + query)
	}
	return []admin.Trace{{ID: query}}, v.say("trace " + query)
}
func (v *verbs) Forget(_ context.Context, number string) (admin.Forgotten, error) {
	return admin.Forgotten{Verifications: 2, Live: 1}, v.say("forget " + number)
}
func (v *verbs) Backup(_ context.Context, w io.Writer) error {
	if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		return err
	}
	return v.say("backup")
}
func (v *verbs) SendTest(_ context.Context, client, number string) (admin.Sent, error) {
	return admin.Sent{ID: "an-id", Status: 200}, v.say("send " + client + " " + number)
}
func (v *verbs) Running(changed bool) string { return fmt.Sprint("running ", changed) }
func (v *verbs) Pending(context.Context) (admin.Pending, error) {
	return admin.Pending{File: "/f", Changes: []admin.Change{{Key: "otp.ttl", Old: "1", New: "2", Reload: "hot"}}}, v.say("pending")
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

// audited is a log as JSON lines that is read while it is written.
type audited struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (a *audited) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(line)
}

func (a *audited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

func (a *audited) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(a, nil)) }

func runControl(t *testing.T, v *verbs) *admin.Client { return runAudited(t, v, new(audited)) }

func runAudited(t *testing.T, v *verbs, audit *audited) *admin.Client {
	t.Helper()
	path := socketPath(t)
	l, err := admin.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- admin.NewControl(v, slog.New(slog.DiscardHandler), audit.logger()).Run(ctx, l) }()
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
	h := admin.NewControl(v, slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)).Handler()
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
	go func() {
		done <- admin.NewControl(v, slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)).Run(ctx, tcp)
	}()
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
		traces.Begin(id, "acme", fmt.Sprint("+34", i%5000), "+34***", fmt.Sprint("correlator-", i), "")
		traces.Add(id, time.Time{}, "submitted", "x", fmt.Sprint("message-", i))
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
	if n := traces.Forget("+340"); n != 1 || len(traces.Latest("+340", 10)) != 0 || traces.Forget("+340") != 0 {
		t.Errorf("%d forgotten", n)
	}
	for _, name := range []string{"id-5000", "correlator-5000", "message-5000"} {
		if _, ok := traces.Find(name); ok {
			t.Errorf("%s is found after its number was forgotten", name)
		}
	}
	for range 100 {
		traces.Add("id-1", time.Time{}, "checked", "x")
	}
	if got, _ := traces.Find("id-1"); len(got.Steps) > 30 {
		t.Errorf("%d steps", len(got.Steps))
	}
	traces.Add("nobody", time.Time{}, "x", "y")
}

// Who did what is written down, and no whole number with it.
func TestActionsAreAudited(t *testing.T) {
	v, audit := &verbs{}, new(audited)
	c := runAudited(t, v, audit)
	ctx := t.Context()
	const number = "+34600123456"
	var traces []admin.Trace
	if err := c.Get(ctx, "/trace", url.Values{"query": {number}, "reveal": {"true"}}, &traces); err != nil || traces[0].Number != number {
		t.Errorf("%+v, %v", traces, err)
	}
	if err := c.Get(ctx, "/trace", url.Values{"query": {"an-id"}}, &traces); err != nil {
		t.Error(err)
	}
	var sent admin.Sent
	if err := c.Do(ctx, "send", url.Values{"number": {number}, "client": {"acme"}}, &sent); err != nil || sent.ID != "an-id" {
		t.Errorf("%+v, %v", sent, err)
	}
	var done admin.Forgotten
	if err := c.Do(ctx, "forget", url.Values{"number": {number}}, &done); err != nil || done.Verifications != 2 || done.Live != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if err := c.Do(ctx, "stop", url.Values{"smsc": {"main"}}, nil); err != nil {
		t.Error(err)
	}
	v.err = fmt.Errorf("%w: no", admin.ErrRefused)
	if err := c.Do(ctx, "pause", nil, nil); err != nil {
		t.Error(err) // it cannot fail
	}
	if err := c.Do(ctx, "reload", nil, nil); err == nil {
		t.Error("no error")
	}
	got := audit.String()
	uid := fmt.Sprint(`"uid":`, os.Getuid())
	for _, want := range []string{
		`"action":"reveal",` + uid + `,"number":"+34*******56"`,
		`"action":"send",` + uid + `,"number":"+34*******56","client":"acme","id":"an-id","status":200`,
		`"action":"forget",` + uid + `,"number":"+34*******56"}`,
		`"action":"stop",` + uid + `,"smsc":"main"`, `"action":"pause",` + uid + `}`, `"action":"reload",` + uid + `,"error":"refused: no"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, number[3:]) || strings.Count(got, "\n") != 6 {
		t.Errorf("too much is written down:\n%s", got)
	}
}

func TestConfigurationOverTheSocket(t *testing.T) {
	c := runControl(t, &verbs{})
	var text string
	if err := c.Get(t.Context(), "/config", url.Values{"changed": {"true"}}, &text); err != nil || text != "running true" {
		t.Errorf("%q, %v", text, err)
	}
	var p admin.Pending
	if err := c.Get(t.Context(), "/pending", nil, &p); err != nil || len(p.Changes) != 1 || p.Changes[0].Key != "otp.ttl" {
		t.Errorf("%+v, %v", p, err)
	}
}

// Steps are shown in the order of their times, whichever was told of first.
func TestStepsAreInOrder(t *testing.T) {
	traces := admin.NewTraces()
	traces.Begin("id", "acme", "+34600", "+34***", "c", "parent")
	now := time.Now()
	traces.Add("id", now.Add(2*time.Second), "receipt", "")
	traces.Add("id", now.Add(time.Second), "submit_resp", "")
	got, _ := traces.Find("id")
	if len(got.Steps) != 2 || got.Steps[0].What != "submit_resp" || got.Parent != "parent" {
		t.Errorf("%+v", got)
	}
}

// What is cut off is no backup.
func TestBackupOverTheSocket(t *testing.T) {
	v, audit := &verbs{}, new(audited)
	c := runAudited(t, v, audit)
	var got bytes.Buffer
	if err := c.Stream(t.Context(), "backup", &got); err != nil || got.Len() != 1<<20 {
		t.Errorf("%d octets, %v", got.Len(), err)
	}
	v.err = errors.New("broken")
	if err := c.Stream(t.Context(), "backup", io.Discard); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut off: %v", err)
	}
	if err := c.Stream(t.Context(), "nothing", io.Discard); err == nil || strings.Contains(err.Error(), "cut off") {
		t.Errorf("no such action: %v", err)
	}
	if err := admin.NewClient(socketPath(t)).Stream(t.Context(), "backup", io.Discard); err == nil || !strings.Contains(err.Error(), "no daemon answers") {
		t.Errorf("no daemon: %v", err)
	}
	if n := strings.Count(audit.String(), `"action":"backup"`); n != 2 {
		t.Errorf("%d lines in the audit log: %s", n, audit)
	}
}
