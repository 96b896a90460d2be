package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needs skips a test, loudly, or fails it where everything has to be there.
func needs(t *testing.T, err error, what string) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("SKIPPED: %s: %v", what, err)
}

// onTmpfs moves the stopped daemon's store to a file system of its own of that many MiB, of which so many are free.
func (p *plant) onTmpfs(size, free int) (data string) {
	p.t.Helper()
	data = filepath.Join(p.dir, "data")
	kept := map[string][]byte{}
	for _, name := range []string{"otp.db", "otpgw.key"} {
		content, err := os.ReadFile(filepath.Join(data, name))
		if err != nil {
			p.t.Fatal(err)
		}
		kept[name] = content
	}
	needs(p.t.(*testing.T), syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", size)), "mount a tmpfs")
	p.t.Cleanup(func() {
		p.kill()
		if err := syscall.Unmount(data, 0); err != nil {
			p.t.Errorf("unmount: %v", err)
		}
	})
	for name, content := range kept {
		path := filepath.Join(data, name)
		err := os.WriteFile(path, bytes.TrimRight(content, "\x00"), 0o600) // its end is a hole
		if err == nil {
			err = os.Truncate(path, int64(len(content)))
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(data, "ballast"), make([]byte, (size-free)<<20), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return data
}

// servesFull sees that the daemon, whose disk is full, refuses codes and judges those that were sent: 9 times a wrong one, and then the right one.
func (p *plant) servesFull(right, code, guessed, wrong string) {
	p.t.Helper()
	for n := range 20 {
		if a := p.post("/send-code", sendBody(number(10+n)), nil); a.status != 503 || a.header.Get("Retry-After") == "" {
			p.t.Fatalf("send-code on a full disk: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
	}
	for range 9 {
		if a := p.validate(guessed, wrong); a.code != prefixAPI+"INVALID_OTP" {
			p.t.Errorf("a wrong code on a full disk: %d %s", a.status, a.body)
		}
	}
	if a := p.validate(right, code); a.status != 204 {
		p.t.Errorf("the right code on a full disk: %d %s", a.status, a.body)
	}
}

func TestFullDisk(t *testing.T) {
	p := newPlant(t, otp("max_attempts", "10"), otp("max_failures", "100"))
	right, code := p.send(number(1))
	guessed, other := p.send(number(2))
	p.stop()
	data := p.onTmpfs(16, 5)
	p.start()
	p.servesFull(right, code, guessed, wrongFor(other))
	p.expectOutput(0, "trouble: store: no space left: no new codes", "status")
	if m := p.metrics(); !strings.Contains(m, "\notpgw_store_room 0\n") || !strings.Contains(m, "\notpgw_store_full_total 20\n") {
		t.Error("the metrics do not say so")
	}
	if got := len(p.smsc.Messages(number(10))); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_REMOUNT, "size=96m"); err != nil {
		t.Fatal(err)
	}
	p.await("a code", func() bool { return p.post("/send-code", sendBody(number(3)), nil).status == 200 })
	if m := p.metrics(); !strings.Contains(m, "\notpgw_store_room 1\n") {
		t.Error("the metrics do not say that there is room again")
	}
	if out, _ := p.operate("status"); strings.Contains(out, "no space left") {
		t.Errorf("status says\n%s", out)
	}
}

// A small disk is told of before it is full.
func TestLowSpaceIsAnnounced(t *testing.T) {
	p := newPlant(t)
	p.stop()
	p.onTmpfs(60, 40)
	p.start()
	if a := p.post("/send-code", sendBody(number(1)), nil); a.status != 200 {
		t.Errorf("send-code: %d", a.status)
	}
	p.expectOutput(0, "low space", "status")
	p.await("a line of log", func() bool { return strings.Contains(p.logged(), "low space") })
}

// refusesAll sees that a daemon whose store is read-only does nothing, and says so.
func (p *plant) refusesAll(id, code string) {
	p.t.Helper()
	for n := range 5 {
		if got := p.probe("/readyz"); got != http.StatusServiceUnavailable {
			p.t.Errorf("/readyz answers %d", got)
		}
		a, b := p.post("/send-code", sendBody(number(2+n)), nil), p.validate(id, code)
		if a.status != 503 || b.status != 503 || a.header.Get("Retry-After") == "" || b.header.Get("Retry-After") == "" {
			p.t.Errorf("send-code %d, validate-code %d", a.status, b.status)
		}
	}
	p.expectOutput(1, "trouble: store: read-only file system", "status")
	if m := p.metrics(); !strings.Contains(m, "\notpgw_store_read_only 1\n") {
		p.t.Error("the metrics do not say so")
	}
}

// A file system that is read-only when the daemon starts: it is there and refuses all, and goes on when the file system is writable.
func TestReadOnlyAtTheStart(t *testing.T) {
	p := newPlant(t)
	id, code := p.send(number(1))
	p.stop()
	data := p.onTmpfs(32, 24)
	if err := syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=32m"); err != nil {
		t.Fatal(err)
	}
	p.launch()
	p.await("an answer", func() bool { return p.probe("/healthz") == http.StatusOK })
	p.refusesAll(id, code)
	if err := syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_REMOUNT, "size=32m"); err != nil {
		t.Fatal(err)
	}
	p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })
	if a := p.validate(id, code); a.status != 204 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
	if m := p.metrics(); !strings.Contains(m, "\notpgw_store_read_only 0\n") {
		t.Error("the metrics do not say that it is over")
	}
	if out := p.logged(); strings.Count(out, "all is refused until the store can be opened") != 1 || strings.Contains(out, "goroutine ") {
		t.Errorf("the log says\n%s", out)
	}
}

// A file system that becomes read-only while the daemon runs: all is refused, nothing is begun, and it goes on when it is writable again. Linux lets
// nobody remount one with a file open for writing; it is one that went so by itself (errors=remount-ro), or by force, of which the daemon is told here.
func TestReadOnlyWhileRunning(t *testing.T) {
	p := newPlant(t, otp("max_attempts", "10"), otp("max_failures", "100"))
	id, code := p.send(number(1))
	p.expectOutput(0, "ready", "status")
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir, &fs); err != nil {
		t.Fatal(err)
	}
	fs.Flags |= unix.ST_RDONLY
	var octets bytes.Buffer
	if err := binary.Write(&octets, binary.NativeEndian, fs); err != nil {
		t.Fatal(err)
	}
	var release func()
	for tries := 0; release == nil || !p.traced(); tries++ { // a thread may come up while the others are taken
		if tries == 10 {
			t.Fatal("not every thread of the daemon is traced")
		}
		if release != nil {
			release()
		}
		release = p.inject(fmt.Sprintf("fstatfs:poke_exit=@arg2=%x", octets.Bytes()), "pwrite64,ftruncate,fallocate,fsync,fdatasync:error=EROFS")
	}
	p.await("not ready", func() bool { return p.probe("/readyz") == http.StatusServiceUnavailable })
	p.refusesAll(id, code)
	resp, err := p.client.Get("http://" + p.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "read-only") {
		t.Errorf("/readyz says %s, %v", body, err)
	}
	if got := len(p.smsc.Messages(number(2))); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
	release()
	p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })
	if m := p.metrics(); !strings.Contains(m, "\notpgw_store_read_only 0\n") {
		t.Error("the metrics do not say that it is writable again")
	}
	p.send(number(20))
	if a := p.validate(id, code); a.status != 204 {
		t.Errorf("a code of before: %d %s", a.status, a.body)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// traced reports whether every thread of the daemon is traced, and so will be those that they begin.
func (p *plant) traced() bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.proc.Process.Pid))
	if err != nil || len(tasks) == 0 {
		p.t.Fatalf("threads of the daemon: %v, %v", tasks, err)
	}
	return !slices.ContainsFunc(tasks, func(path string) bool {
		status, err := os.ReadFile(path)
		return err == nil && bytes.Contains(status, []byte("TracerPid:\t0\n")) // else it has ended
	})
}

// fault makes a system call of the daemon fail from now on.
func (p *plant) fault(call, failure string) {
	p.t.Helper()
	p.inject(call + ":error=" + failure)
}

// inject has strace change what system calls of the daemon do, each rule as strace has it, until release is called, at the latest when the test ends.
func (p *plant) inject(rules ...string) (release func()) {
	p.t.Helper()
	return p.injectInto(p.proc.Process.Pid, rules...)
}

// injectInto does that to any process.
func (p *plant) injectInto(pid int, rules ...string) (release func()) {
	p.t.Helper()
	strace, err := exec.LookPath("strace")
	needs(p.t.(*testing.T), err, "strace")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.t.Cleanup(cancel)
	var calls, args []string
	for _, rule := range rules {
		name, _, _ := strings.Cut(rule, ":")
		calls, args = append(calls, name), append(args, "-e", "inject="+rule)
	}
	args = append(args, "-f", "-e", "trace="+strings.Join(calls, ","), "-p", fmt.Sprint(pid))
	cmd := exec.CommandContext(ctx, strace, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it lets go of the daemon first
	said, err := cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines, attached := bufio.NewScanner(said), make(chan error, 1)
	read := make(chan struct{})
	go func() { // ends with strace
		defer close(read)
		for lines.Scan() {
			switch {
			case strings.Contains(lines.Text(), "attached"):
				select {
				case attached <- nil:
				default:
				}
			case strings.Contains(lines.Text(), "not permitted"):
				attached <- errors.New(lines.Text())
			}
		}
	}()
	release = sync.OnceFunc(func() {
		cancel()
		<-read
		_ = cmd.Wait() // it was ended
	})
	p.t.Cleanup(release)
	select {
	case err := <-attached:
		needs(p.t.(*testing.T), err, "trace the daemon")
	case <-time.After(patience):
		p.t.Fatal("strace did not attach")
	}
	return release
}

// A sync that fails ends the daemon at once: nobody knows what the disk holds then. What was answered is there afterwards.
func TestFailedSyncEndsTheDaemon(t *testing.T) {
	for _, failure := range []string{"EIO", "ENOSPC", "EROFS"} {
		t.Run(failure, func(t *testing.T) {
			p := newPlant(t)
			id, code := p.send(number(1))
			p.fault("fdatasync", failure)
			refused := false
			for n := range 1000 { // threads may not all be traced at once
				a, err := p.call(http.MethodPost, "/send-code", sendBody(number(2+n)), nil)
				if err == nil && a.status == 503 {
					refused = true
				}
				if err != nil || a.status != 200 {
					break
				}
			}
			if !refused {
				t.Error("no send-code was answered with 503")
			}
			select {
			case err := <-p.exit:
				p.exit <- err
			case <-time.After(patience):
				t.Fatalf("the daemon goes on\n%s", tail(p.logged()))
			}
			if got := p.proc.ProcessState.ExitCode(); got != 1 {
				t.Errorf("exit code %d", got)
			}
			if strings.Contains(p.logged(), "goroutine ") {
				t.Errorf("the end was none of ours\n%s", tail(p.logged()))
			}
			p.start()
			if a := p.validate(id, code); a.status != 204 {
				t.Errorf("afterwards: %d %s", a.status, a.body)
			}
		})
	}
}

// A store that was damaged while the daemon was down is set aside; the daemon serves, and says so.
func TestDamagedStoreIsSetAside(t *testing.T) {
	p := newPlant(t)
	id, code := p.send(number(1))
	p.stop()
	path := filepath.Join(p.dir, "data", "otp.db")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(file[8192:]) // all but its heads
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() (string, int) {
		cmd := exec.Command(program, "store", "check", filepath.Dir(path))
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := check(); code != 1 || !strings.Contains(out, "damaged") {
		t.Errorf("store check: exit %d, %s", code, out)
	}
	p.start()
	if a := p.validate(id, code); a.code != prefixAPI+"VERIFICATION_EXPIRED" {
		t.Errorf("a code of before: %d %s", a.status, a.body)
	}
	if a := p.validate("01a20a47-09a4-71c9-aecf-94fbb789f1bd"[:35]+"x", code); a.status != 404 {
		t.Errorf("no id at all: %d %s", a.status, a.body)
	}
	again, fresh := p.send(number(1))
	if a := p.validate(again, fresh); a.status != 204 {
		t.Errorf("a code of after: %d %s", a.status, a.body)
	}
	p.expectOutput(0, "trouble: store: something was lost at", "status")
	if m := p.metrics(); strings.Contains(m, "\notpgw_store_lost_timestamp_seconds 0\n") || !strings.Contains(p.logged(), `"level":"ERROR","msg":"the store is damaged`) {
		t.Error("nobody is alarmed")
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if asides, _ := filepath.Glob(path + ".corrupt-*"); len(asides) != 1 {
		t.Errorf("set aside: %v", asides)
	}
	if out, code := check(); code != 0 || !strings.Contains(out, "whole, 1 record") {
		t.Errorf("store check: exit %d, %s", code, out)
	}
}

func TestKeysByCommand(t *testing.T) {
	p := newPlant(t)
	p.send(number(1))
	p.expectOutput(0, "records 1,", "store", "stats")
	line, err := exec.Command(program, "keys", "new").Output()
	if err != nil || len(line) != 65 {
		t.Fatalf("%q, %v", line, err)
	}
	p.stop()
	path := filepath.Join(p.dir, "data", "otpgw.key")
	old, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(line, old...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	p.send(number(2))
	out, status := p.operate("keys", "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != 0 || len(lines) != 3 || !strings.HasSuffix(lines[1], " 1        seals and reads") || !strings.HasSuffix(lines[2], " 1        reads") {
		t.Errorf("exit %d\n%s", status, out)
	}
	if strings.Contains(out, string(line[:16])) || strings.Contains(p.logged(), string(line[:16])) {
		t.Error("a key is told")
	}
}
