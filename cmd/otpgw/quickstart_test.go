package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQuickstartRunsAsWritten runs the shell blocks of docs/quickstart.md, on ports of its own.
func TestQuickstartRunsAsWritten(t *testing.T) {
	text, err := os.ReadFile("../../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 5 {
		t.Fatalf("%d blocks", len(blocks))
	}
	script := "set -eu\n"
	for _, b := range blocks {
		script += b[1]
	}
	commands := strings.Count(strings.TrimSpace(blocks[0][1]), "\n") + 1
	if commands != 5 {
		t.Errorf("the daemon is up after %d commands, promised are 5", commands)
	}

	dir, err := os.MkdirTemp("", "qs") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-o", bin+"/", "../otpgw", "../smscsim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	api, smsc, phone, admin := freePort(t), freePort(t), freePort(t), freePort(t)
	script = strings.NewReplacer(
		"make build\n", "",
		"quickstart play", "quickstart play --listen "+api+" --smsc "+smsc+" --admin "+admin,
		"127.0.0.1:8080", api, "127.0.0.1:2775", smsc, "127.0.0.1:8025", phone,
	).Replace(script)

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it leaves running is ours to end
	var out strings.Builder
	log, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = log, log, time.Second
	failure := cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	content, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	out.Write(content)
	for _, want := range []string{"wrote ", ": valid (0 errors", `"authenticationId"`, "204\n", "USED", "right code", "running, ready", "console/send-code", "http://" + admin + "/status"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if failure != nil || t.Failed() {
		t.Fatalf("%v\n%s", failure, out.String())
	}
}

func TestQuickstartTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	if code, _, said := otpgw(t, "quickstart", dir); code != exitInvalid || !strings.Contains(said, "is there already") {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, out, said := otpgw(t, "quickstart", dir+"/new"); code != exitOK || !strings.Contains(out, "check-config") {
		t.Errorf("exit %d: %s%s", code, out, said)
	}
	for _, name := range []string{"otpgw.toml", "smsc.password", "tokens.toml"} {
		if info, err := os.Stat(dir + "/new/" + name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
