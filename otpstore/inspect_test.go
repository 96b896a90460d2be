package otpstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/otpstore"
)

const inspectAs = "inspect-as"

// inspectorThat is a process of this test that inspects a file, or does something else instead.
func inspectorThat(does ...string) []string { return append([]string{os.Args[0], inspectAs}, does...) }

// inspecting is the work of a process that [inspectorThat] names. TestMain calls it.
func inspecting() {
	if len(os.Args) < 3 || os.Args[1] != inspectAs {
		return
	}
	say := func(lines ...string) {
		for _, line := range lines {
			fmt.Println(line)
		}
	}
	end := syscall.Exit // os.Exit waits for a second with the race detector
	does := os.Args[2]
	if does != "inspects" && does != "crashes at once" && does != "says nothing" && does != "is a parent" {
		say("begun")
	}
	switch does {
	case "inspects":
		end(otpstore.Inspect())
	case "is a parent": // of one that hangs, and tells of it
		err := otpstore.InspectFile(os.Args[3], inspectorThat("hangs", os.Args[4]), time.Hour, time.Hour, quiet())
		fmt.Fprintln(os.Stderr, err)
		end(1)
	case "crashes at once", "crashes":
		panic("of the walk")
	case "aborts": // as a fault in the runtime may, without leaving a core
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
		debug.SetTraceback("crash")
		panic("of the walk")
	case "meets a bad address":
		page, err := syscall.Mmap(inspectFD, 1<<30, 4096, syscall.PROT_READ, syscall.MAP_SHARED) // behind the end
		if err != nil {
			end(9)
		}
		end(int(page[0]))
	case "takes all memory":
		otpstore.BoundMemory()
		for taken := [][]byte{}; ; {
			taken = append(taken, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "is killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "is stopped":
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {}
	case "ends with 3":
		say("sound false 16384 4096")
		end(3)
	case "babbles":
		for {
			say("sound false 16384 4096")
		}
	case "goes round":
		for n := 1; n != 0; n |= 1 {
		}
	case "hangs":
		if len(os.Args) > 3 {
			_ = os.WriteFile(os.Args[3], nil, 0o600)
		}
		time.Sleep(time.Hour)
	case "says": // what follows
		say(os.Args[3:]...)
	}
	end(0)
}

const inspectFD = 3

// Whatever becomes of the process that inspects a sound file, the daemon knows what to think of it.
func TestInspectorsEnd(t *testing.T) {
	const corrupt, here, unread = "corrupt", "here", "unread"
	for _, c := range []struct {
		does  []string
		want  string
		says  string        // in the error, or in the line of log
		after time.Duration // is its time over
		busy  time.Duration
	}{
		{[]string{"inspects"}, "", "", patience, patience},
		{[]string{"crashes"}, corrupt, "its check failed, exit status 2: panic: of the walk", patience, patience},
		{[]string{"aborts"}, corrupt, "its check failed, signal: aborted: panic: of the walk", patience, patience},
		{[]string{"meets a bad address"}, corrupt, "exit status 2: unexpected fault address", patience, patience},
		{[]string{"takes all memory"}, corrupt, "its check failed, exit status", patience, patience},
		{[]string{"ends with 3"}, corrupt, "its check failed, exit status 3", patience, patience},
		{[]string{"goes round"}, corrupt, "did not end within 2s", 2 * time.Second, 100 * time.Millisecond},
		{[]string{"babbles"}, corrupt, "did not end within 2s", 2 * time.Second, 100 * time.Millisecond},
		{[]string{"hangs"}, unread, "the disk is slow, or does not answer", 2 * time.Second, patience},

		{[]string{"says", "corrupt page 7 is empty"}, corrupt, "damaged, or not a store: page 7 is empty", patience, patience},
		{[]string{"says", "unread 5 page 3: read otp.db: input/output error"}, unread, "input/output error", patience, patience},
		{[]string{"says", "unread 0 page 3: EOF"}, unread, "page 3: EOF", patience, patience},
		{[]string{"says"}, corrupt, `its check said ""`, patience, patience},
		{[]string{"says", "sound"}, corrupt, `its check said "sound\n"`, patience, patience},
		{[]string{"says", "sound false 4096"}, corrupt, "its check said", patience, patience},
		{[]string{"says", "sound false 16384 0"}, corrupt, "its check said", patience, patience},
		{[]string{"says", "sound false 1099511627776 4096"}, corrupt, "its check said", patience, patience}, // more than there is
		{[]string{"says", "sound false 16384 4096", "corrupt page 7 is empty"}, corrupt, "its check said", patience, patience},
		{[]string{"says", "unread five of it"}, corrupt, "its check said", patience, patience},
		{[]string{"says", "perfect 16384 4096"}, corrupt, "its check said", patience, patience},
		{[]string{"says", strings.Repeat("corrupt ", 10_000)}, corrupt, "its check said", patience, patience},

		{[]string{"is killed"}, here, "signal: killed", patience, patience},
		{[]string{"is stopped"}, here, "signal: terminated", patience, patience},
		{[]string{"crashes at once"}, here, "panic: of the walk", patience, patience},
		{[]string{"says nothing"}, here, "", patience, patience},
	} {
		name := strings.Join(c.does, " ")
		t.Run(name[:min(len(name), 60)], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			open(t, dir, policy(), nil).close()
			path := filepath.Join(dir, otpstore.BoltFile)
			var log bytes.Buffer
			err := otpstore.InspectFile(path, inspectorThat(c.does...), c.after, c.busy, slog.New(slog.NewTextHandler(&log, nil)))
			said := log.String()
			if err != nil {
				said += err.Error()
			}
			if damaged := errors.Is(err, otpstore.ErrCorrupt); (err != nil) != (c.want == corrupt || c.want == unread) || damaged != (c.want == corrupt) {
				t.Errorf("the verdict is %v", err)
			}
			if warned := strings.Count(log.String(), "level=WARN"); (warned == 1) != (c.want == here) || warned > 1 {
				t.Errorf("logged %s", &log)
			}
			if !strings.Contains(said, c.says) || len(said) > 1000 || strings.Contains(strings.TrimSpace(said), "\n") {
				t.Errorf("said %.2000s", said)
			}
			if err := otpstore.CheckFile(path); err != nil {
				t.Errorf("afterwards: %v", err) // the lock is free, and nothing was written
			}
		})
	}
}

// What cannot be started says nothing about the file.
func TestInspectorsThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, policy(), nil).close()
	path := filepath.Join(dir, otpstore.BoltFile)
	for name, program := range map[string]string{"missing": filepath.Join(dir, "none"), "not executable": path, "nameless": ""} {
		var log bytes.Buffer
		if err := otpstore.InspectFile(path, []string{program}, patience, patience, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("%s: logged %s", name, &log)
		}
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if err := otpstore.InspectFile(path, []string{filepath.Join(dir, "none")}, patience, patience, quiet()); !errors.Is(err, otpstore.ErrCorrupt) {
		t.Errorf("a damaged file: %v", err)
	}
}

// The process says what this one would have found, word for word.
func TestInspectorsFindTheSame(t *testing.T) {
	_, files, before := fill(t, 50)
	path := filepath.Join(memory(t), otpstore.BoltFile)
	corrupt := 0
	for n := range uint64(30) {
		what, file := damage(rand.New(rand.NewPCG(n, 1)), files[otpstore.BoltFile], before)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		here, there := otpstore.CheckFile(path), otpstore.InspectFile(path, inspectorThat("inspects"), patience, patience, quiet())
		if fmt.Sprint(here) != fmt.Sprint(there) || errors.Is(here, otpstore.ErrCorrupt) != errors.Is(there, otpstore.ErrCorrupt) {
			t.Errorf("%s: here %v, there %v", what, here, there)
		}
		if here != nil {
			corrupt++
		}
	}
	if corrupt == 0 || corrupt == 30 {
		t.Errorf("%d of 30 were damaged", corrupt)
	}
}

// openInspected opens the store in dir, whose file a process of its own checks.
func openInspected(t *testing.T, dir string, reg prometheus.Registerer, does ...string) (*otpstore.Store, error) {
	t.Helper()
	return otpstore.Open(otpstore.Config{Dir: dir, Inspector: inspectorThat(does...)}, policy(), reg, quiet())
}

func asides(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, otpstore.BoltFile+".corrupt-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A file that makes its check crash is set aside, once, and the store is there, though each check crashes.
func TestFileThatCrashesItsCheckIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	before := s.send(phone)
	s.close()
	reg := prometheus.NewRegistry()
	opened, err := openInspected(t, dir, reg, "crashes")
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, opened)
	s.verify(before, before.Code, otpstore.ErrExpired)
	after := s.send(phone)
	s.close()
	if list := asides(t, dir); len(list) != 1 || metric(t, reg, "otpgw_store_lost_timestamp_seconds", "") == 0 {
		t.Errorf("set aside: %v", list)
	}
	if opened, err = openInspected(t, dir, nil, "inspects"); err != nil {
		t.Fatal(err)
	}
	s = start(t, opened)
	s.verify(after, after.Code, nil)
	s.close()
	if list := asides(t, dir); len(list) != 1 {
		t.Errorf("set aside at the next start: %v", list)
	}
}

// A disk that does not read, and a check that is ended from outside, cost no store.
func TestGoodFileIsNotSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	i := s.send(phone)
	s.close()
	if opened, err := openInspected(t, dir, nil, "says", "unread 5 page 3: read otp.db: input/output error"); !errors.Is(err, syscall.EIO) {
		if err == nil {
			opened.Close()
		}
		t.Fatalf("a disk that does not read: %v", err)
	}
	for _, does := range []string{"is killed", "is stopped", "crashes at once"} {
		opened, err := openInspected(t, dir, nil, does)
		if err != nil {
			t.Fatalf("%s: %v", does, err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, policy(), nil)
	s.verify(i, i.Code, nil)
	s.close()
	if list := asides(t, dir); len(list) != 0 {
		t.Errorf("set aside: %v", list)
	}
}

// The lock is held as long as the process inspects, and both end with the daemon, however that ends.
func TestInspectorEndsWithItsParent(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, policy(), nil).close()
	path, hangs := filepath.Join(dir, otpstore.BoltFile), filepath.Join(dir, "hangs")
	does := inspectorThat("is a parent", path, hangs)
	parent := exec.Command(does[0], does[1:]...)
	var said bytes.Buffer
	parent.Stderr = &said
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	until := func(what string, is func() bool) {
		t.Helper()
		deadline, poll := time.After(patience), time.NewTicker(time.Millisecond)
		defer poll.Stop()
		for !is() {
			select {
			case <-poll.C:
			case <-deadline:
				t.Fatalf("%s: not within %s; %s", what, patience, &said)
			}
		}
	}
	until("inspects", func() bool { _, err := os.Stat(hangs); return err == nil })
	if err := otpstore.CheckFile(path); !errors.Is(err, otpstore.ErrInUse) {
		t.Errorf("while it inspects: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until("ends", func() bool { return otpstore.CheckFile(path) == nil })
}
