package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/config"
	"otpgw/httpapi/callbacks"
	"otpgw/smpp/counterpart"
)

func TestAuditIsAFileThatOthersCannotRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	log := slog.New(slog.DiscardHandler)
	a, err := openAudit(path, log.Handler(), prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	a.log.With("x", 1).Info("control", "action", "reload")
	if err := a.close(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if a, err = openAudit(path, log.Handler(), prometheus.NewRegistry(), log); err != nil { // what is there stays
		t.Fatal(err)
	}
	a.log.Info("control", "action", "stop")
	if err := a.close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || len(lines) != 2 || !strings.Contains(lines[0], `"msg":"control","x":1,"action":"reload"`) {
		t.Errorf("%v: %s", err, text)
	}
	for _, line := range lines {
		if err := json.Unmarshal([]byte(line), new(map[string]any)); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		path:         "must be closed to others",
		dir:          "is a directory",
		dir + "/x/y": "no such file",
	} {
		if _, err := openAuditFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Without a file it is all in the log, whatever the level of that.
func TestAuditInTheLog(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	log := newLogger(&b, logForm{json: true}, level)
	a, err := openAudit("", log.Handler(), prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	a.log.Info("control", "action", "stop")
	if err := a.close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(b.String(), `"msg":"control","component":"audit","action":"stop"`) {
		t.Errorf("logged %q", b.String())
	}
}

// A disk that hangs holds nobody up: a pipe that is not read stands for it.
func TestAuditNeverBlocks(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	a, err := openAudit("", log.Handler(), prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	a.swap(w)
	began := time.Now()
	for range 3 * logQueued {
		a.log.Info("refused", "reason", strings.Repeat("x", 100))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if n := a.queue.dropped.Load(); n < logQueued {
		t.Errorf("%d lines were dropped", n)
	}
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		read <- string(all)
	}()
	if err := a.close(); err != nil {
		t.Error(err)
	}
	all := <-read
	r.Close()
	missing := 0
	for line := range strings.Lines(all) {
		var l struct {
			Msg   string
			Lines int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		missing += l.Lines
	}
	if int64(missing) != a.queue.dropped.Load() {
		t.Errorf("%d lines are said to be missing, %d are", missing, a.queue.dropped.Load())
	}
}

// A disk that is full is said once.
func TestAuditThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	a := &audit{fault: slog.New(slog.NewTextHandler(&b, nil))}
	a.swap(full)
	for range 3 {
		if _, err := a.Write([]byte("line\n")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
	}
	a.swap(nil)
	if strings.Count(b.String(), "cannot be written") != 1 {
		t.Errorf("logged %q", b.String())
	}
}

// The file of the package, with paths of the test's own, turns the audit log over and loses nothing.
func TestLogrotateTurnsTheAuditLogOver(t *testing.T) {
	counterpart.Need(t, "logrotate", "logrotate")
	if os.Geteuid() != 0 {
		counterpart.Missing(t, "root, as logrotate runs")
	}
	p := newPlant(t)
	path := filepath.Join(p.dir, "audit.log")
	p.replace("[log]\n", fmt.Sprintf("[log]\naudit = %q\n", path))
	p.expectOutput(0, "in force: log.audit", "reload")
	text := read(t, "../../packaging/otpgw.logrotate")
	for old, new := range map[string]string{
		"/var/log/otpgw/audit.log {": path + " {", "0640 otpgw adm": "0640 root root",
		"! systemctl is-active --quiet otpgw.service || /usr/bin/otpgw reload": program + " reload --socket " + p.socket,
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the file has no %q", old)
		}
		text = strings.Replace(text, old, new, 1)
	}
	p.write("logrotate.conf", text, 0o644)
	p.expectOutput(0, "new codes are refused", "drain")
	line := func(path, action string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(path)
			return strings.Contains(string(text), `"action":"`+action+`"`)
		}
	}
	p.await("the drain in the audit log", line(path, "pause"))
	out, err := exec.Command("logrotate", "--force", "--state", filepath.Join(p.dir, "state"), filepath.Join(p.dir, "logrotate.conf")).CombinedOutput()
	if err != nil || len(out) > 0 && !strings.HasPrefix(string(out), "warning: ") {
		t.Fatalf("%v\n%s", err, out)
	}
	p.expectOutput(0, "new codes are sent", "resume")
	p.await("the resume in the new file", line(path, "resume"))
	if !line(path+".1", "pause")() || line(path, "pause")() {
		t.Error("the drain is not in the file before")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
}

// What logrotate does: the file is moved away, the daemon reloads and writes a new one.
func TestAuditIsReopenedByAReload(t *testing.T) {
	p := newPlant(t)
	path := filepath.Join(p.dir, "audit.log")
	p.replace("[log]\n", fmt.Sprintf("[log]\naudit = %q\n", path))
	p.expectOutput(0, "in force: log.audit", "reload")
	holds := func(path, want string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(path)
			return strings.Contains(string(text), want)
		}
	}
	p.await("the reload in the audit log", holds(path, fmt.Sprintf(`"action":"reload","uid":%d`, os.Getuid())))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	p.expectOutput(0, "new codes are refused", "drain")
	p.await("the drain in the old file", holds(path+".1", `"action":"pause"`))
	p.expectOutput(0, "nothing changed", "reload")
	p.expectOutput(0, "new codes are sent", "resume")
	p.await("the resume in the new file", holds(path, `"action":"resume"`))

	p.replace(path, p.dir+"/nowhere/audit.log") // it cannot be opened: nothing of the file takes effect
	p.replace(`sender = "ACME"`, `sender = "ACME2"`)
	p.expectOutput(2, "log.audit", "reload")
	p.expectOutput(1, "client[0].sender", "config", "diff", "--running")
}

// TestRefusedReloadLeavesNoFileOpen: the audit log that it would have written to is not kept.
func TestRefusedReloadLeavesNoFileOpen(t *testing.T) {
	p := newPlant(t)
	p.stop()
	cfg, _, err := config.Load(p.config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(cfg, slog.New(slog.DiscardHandler), new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	cfg.Log.Audit = filepath.Join(t.TempDir(), "audit.log")
	cfg.Sinks = []callbacks.Config{{Name: "crm", CA: filepath.Join(t.TempDir(), "none.pem")}}
	if _, _, err := d.reload(cfg); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v, want that the sink's ca is missing", err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if path, _ := os.Readlink("/proc/self/fd/" + fd.Name()); path == cfg.Log.Audit {
			t.Errorf("%s is open", path)
		}
	}
}
