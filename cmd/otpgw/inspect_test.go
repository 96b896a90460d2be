package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The file is checked by another process of the same program, before bbolt opens it.
func TestAnotherProcessChecksTheStore(t *testing.T) {
	strace, err := exec.LookPath("strace")
	needs(t, err, "strace")
	p := newPlant(t)
	id, code := p.send(number(1))
	p.stop()
	calls := filepath.Join(p.dir, "calls")
	p.launch(strace, "-D", "-f", "-e", "trace=execve", "-o", calls)
	p.await("ready", func() bool { return p.probe("/readyz") == 200 })
	if a := p.validate(id, code); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.stop()
	said, err := os.ReadFile(calls)
	needs(t, err, "trace the daemon")
	if n := strings.Count(string(said), `execve("/proc/self/exe", ["/proc/self/exe", "`+inspectCommand+`"], `); n != 1 || strings.Count(string(said), "execve(") != 2 {
		t.Errorf("%d checks, in\n%s", n, said)
	}
	if strings.Contains(p.logged(), "checked by the daemon itself") {
		t.Errorf("the log says\n%s", tail(p.logged()))
	}
}

// asides are the files that were set aside.
func (p *plant) asides() []string {
	p.t.Helper()
	list, err := filepath.Glob(filepath.Join(p.dir, "data", "otp.db.corrupt-*"))
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// Whatever becomes of the process that checks a good store of many records: that it crashed takes the store out of the way, and nothing else does; and the
// next start is as any.
func TestWhatBecomesOfTheCheck(t *testing.T) {
	ready := func(p *plant) {
		p.await("ready", func() bool { return p.probe("/readyz") == 200 })
	}
	ended := func(p *plant, want int) {
		p.t.Helper()
		select {
		case err := <-p.exit:
			p.exit <- err
		case <-time.After(patience):
			p.t.Fatalf("the daemon goes on\n%s", tail(p.logged()))
		}
		if got := p.proc.ProcessState.ExitCode(); got != want {
			p.t.Errorf("exit code %d\n%s", got, tail(p.logged()))
		}
	}
	signal := func(p *plant, pid int, signals ...syscall.Signal) {
		p.t.Helper()
		for _, s := range signals {
			if err := syscall.Kill(pid, s); err != nil {
				p.t.Fatalf("%v: %v", s, err)
			}
		}
	}
	const itself = "checked by the daemon itself"
	for name, c := range map[string]struct {
		does   func(p *plant, pid int) // to the process, which was stopped amid its check
		logged string
		lost   bool
	}{
		"crash": {func(p *plant, pid int) {
			signal(p, pid, syscall.SIGSEGV, syscall.SIGCONT)
			ready(p)
			p.stop()
		}, "the store is damaged: set aside", true},
		"kill": {func(p *plant, pid int) {
			signal(p, pid, syscall.SIGKILL)
			ready(p)
			p.stop()
		}, itself, false},
		"stop of the service": {func(p *plant, pid int) {
			signal(p, pid, syscall.SIGTERM)
			p.signal(syscall.SIGTERM)
			signal(p, pid, syscall.SIGCONT)
			ended(p, 0)
		}, "stopped", false},
		"kill of the daemon": {func(p *plant, _ int) {
			p.signal(syscall.SIGKILL)
			ended(p, -1)
		}, "", false},
		"bad sector": {func(p *plant, pid int) {
			defer p.injectInto(pid, "pread64:error=EIO")()
			signal(p, pid, syscall.SIGCONT)
			ended(p, 1)
		}, "otp.db: input/output error", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t, func(c *plantConfig) { c.level = "info" })
			id, code := p.send(number(9_000_000)) // none of those that follow
			p.stop()
			fillStore(t, filepath.Join(p.dir, "data"), 20_000)
			c.does(p, p.amidCheck())
			if !strings.Contains(p.logged(), c.logged) {
				t.Errorf("the log says\n%s", tail(p.logged()))
			}
			if list := p.asides(); (len(list) == 1) != c.lost || len(list) > 1 {
				t.Errorf("set aside: %v\n%s", list, tail(p.logged()))
			}
			warned := strings.Count(p.logged(), itself)
			p.start()
			if a := p.validate(id, code); (a.status == 204) == c.lost || c.lost && a.code != prefixAPI+"VERIFICATION_EXPIRED" {
				t.Errorf("a code of before: %d %s", a.status, a.body)
			}
			p.stop()
			if list := p.asides(); (len(list) == 1) != c.lost || len(list) > 1 || strings.Count(p.logged(), itself) != warned {
				t.Errorf("set aside after the next start: %v\n%s", list, tail(p.logged()))
			}
		})
	}
}

// amidCheck starts the daemon and gives the process that checks its store, stopped after it has read a part of it.
func (p *plant) amidCheck() int {
	p.t.Helper()
	const begun, most = 256 << 10, 3 << 20 // octets: more than a process of this program reads before, and less than the file has
	for range 100 {
		p.launch()
		parent := p.proc.Process.Pid
		pid, logged := 0, strings.Count(p.logged(), `"msg":"starting"`)
		for deadline := time.Now().Add(patience); pid == 0 && strings.Count(p.logged(), `"msg":"starting"`) == logged && time.Now().Before(deadline); {
			pid = childOf(parent)
		}
		for pid != 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil {
			state := stateOf(pid)
			for state != "T" && state != "Z" && state != "" { // until it has stopped, or ended
				state = stateOf(pid)
			}
			if state != "T" {
				break
			}
			if read := readBy(pid); read > most {
				break // it may be all
			} else if read > begun {
				return pid
			}
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				p.t.Fatal(err)
			}
		}
		p.kill() // it was over too soon
	}
	p.t.Fatal("no check was seen")
	return 0
}

// childOf is a process that another one has started and that checks a store, 0 if there is none.
func childOf(parent int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, path := range lists {
		list, _ := os.ReadFile(path) // its thread may have ended
		for child := range strings.FieldsSeq(string(list)) {
			line, err := os.ReadFile("/proc/" + child + "/cmdline")
			if err == nil && strings.Contains(string(line), inspectCommand) {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	return 0
}

// stateOf is the letter that proc(5) has for what a process does, "" when it is gone.
func stateOf(pid int) string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(status), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

// readBy is how many octets a process has read.
func readBy(pid int) int {
	var n int
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	_, _ = fmt.Sscanf(string(status), "rchar: %d", &n)
	return n
}
