//go:build linux

// Package counterpart lets tests speak with programs that are not ours: it runs them as the other side (Start), keeps
// what is said on the way to them (Tap), and has tshark judge it (Dissect). Only tests import it.
package counterpart

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Missing ends a test for which something is not there: it is skipped, loudly, and fails where CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("MISSING: %s", what)
	}
	t.Skipf("NOT TESTED, NOT PASSED. MISSING: %s", what)
}

// Need ends a test as Missing does where one of the programs is not there. packages are those of Debian that hold them.
func Need(t testing.TB, packages string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Missing(t, program+" (apt-get install "+packages+")")
		}
	}
}

// Command is a program that does not outlive ctx, nor this process.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.WaitDelay = time.Second // for children of its own that hold its output
	return command
}

// A Process is a program that runs beside a test. Its methods are for the goroutine of the test.
type Process struct {
	t       testing.TB
	command *exec.Cmd
	ended   chan struct{} // closed at its end, after its last output
	err     error         // of its end
	read    int           // lines that Until has returned

	mu      sync.Mutex // guards the rest
	partial []byte     // of a line
	lines   []string   // of both outputs
	more    chan struct{}
}

// Start runs a program until the end of the test, and no longer than life. Where the test fails the end of its output
// is logged.
func Start(t testing.TB, life time.Duration, name string, args ...string) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), life)
	p := &Process{t: t, command: Command(ctx, name, args...), ended: make(chan struct{}), more: make(chan struct{}, 1)}
	p.command.Stdout, p.command.Stderr = p, p
	if err := p.command.Start(); err != nil {
		cancel()
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		cancel() // kills it
		<-p.ended
		if t.Failed() {
			t.Logf("%s ended with %v after these last lines:\n%s", name, p.err, p.tail())
		}
	})
	return p
}

// Write takes output of the program.
func (p *Process) Write(octets []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, octets...)
	for {
		line, rest, whole := bytes.Cut(p.partial, []byte("\n"))
		if !whole {
			break
		}
		p.lines, p.partial = append(p.lines, string(line)), rest
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(octets), nil
}

// Until waits for a line of which last is true, and returns all lines since the last call with it at the end. ok is
// false where the program ended before, or patience did.
func (p *Process) Until(patience time.Duration, last func(line string) bool) (lines []string, ok bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for over := false; ; {
		p.mu.Lock()
		fresh := p.lines[p.read:]
		p.mu.Unlock()
		for _, line := range fresh {
			p.read++
			lines = append(lines, line)
			if last(line) {
				return lines, true
			}
		}
		if over {
			return lines, false
		}
		select {
		case <-p.more:
		case <-p.ended: // its last output is there
			over = true
		case <-timer.C:
			over = true
		}
	}
}

// Stop asks the program to end, and says how it did. Where it takes longer than patience the test fails.
func (p *Process) Stop(patience time.Duration) error {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.End(patience)
}

// End waits for the program to end by itself, and says how it did. Where it takes longer than patience the test fails.
func (p *Process) End(patience time.Duration) error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended", p.command.Path)
	}
	return p.err
}

func (p *Process) tail() string {
	const most = 60
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(append(p.lines[max(0, len(p.lines)-most):], string(p.partial)), "\n")
}

// Ports are n ports of 127.0.0.1 that nobody listens on, for programs that cannot be told to take any. Another may take
// them before they do.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at the end: each is another
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
