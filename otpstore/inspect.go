package otpstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	ossignal "os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The check in a process of its own. Should a file make the check crash, run on for ever or eat up the memory, which is a fault of ours, that process
// ends by it, and the daemon takes the file for damaged. It is handed the open file, on which the lock of the daemon lies, and knows nothing else.

const (
	inspectWithin = 2 * time.Minute  // a million records take 0.1 s, from a disk that gives 2 MiB a second two minutes; a service manager waits for 5
	inspectBusy   = 30 * time.Second // of processor time: who used that much, and has not ended, goes round in circles
	inspectMemory = 64 << 20         // octets that it may take beside what it begins with: it needs a page for each level of the trees, and 1 MiB for 32 GiB of file
	inspectSaid   = 4 << 10          // octets that are kept of what it says

	inspectedFile = 3 // descriptor of the file that it is handed
	inspectBegun  = "begun\n"
)

// An inspection checks a file of so many octets, on which a lock lies. The error wraps ErrCorrupt where that is the verdict.
type inspection func(f *os.File, size int64) (soundness, error)

// inspectHere checks a file in this process.
func inspectHere(f *os.File, size int64) (soundness, error) { return check(f, size) }

// inspect is how the file of a store is checked before it is opened.
func (c Config) inspect(log *slog.Logger) inspection {
	if len(c.Inspector) == 0 {
		return inspectHere
	}
	return inspector{command: c.Inspector, within: inspectWithin, busy: inspectBusy, log: log}.inspect
}

// An inspector has files checked by another process.
type inspector struct {
	command []string
	within  time.Duration // until it is ended
	busy    time.Duration // processor time that one that is ended may have used, and the file is not to blame
	log     *slog.Logger
}

// inspect is an [inspection]. A process that could not be begun, or that was ended from outside, says nothing about the file, and this process checks
// it: SIGKILL is for want of memory elsewhere, as its own is bounded, and SIGTERM goes to all processes of a service that is stopped.
func (i inspector) inspect(f *os.File, size int64) (soundness, error) {
	ctx, cancel := context.WithTimeout(context.Background(), i.within)
	defer cancel()
	var said, complained beginning
	cmd := exec.CommandContext(ctx, i.command[0], i.command[1:]...)
	cmd.Env = []string{"GOMAXPROCS=1", fmt.Sprintf("GOMEMLIMIT=%d", inspectMemory/2)}
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stdout, cmd.Stderr = &said, &complained
	endWithParent(cmd)
	runtime.LockOSThread() // it ends with this thread, which must not end before it
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
	}
	verdict, begun := strings.CutPrefix(string(said.kept), inspectBegun)
	var ended *exec.ExitError
	switch late := ctx.Err() != nil; {
	case begun && err == nil:
		s, err, understood := readVerdict(verdict, f.Name(), size)
		if !understood {
			err = fmt.Errorf("%w: its check said %.100q", ErrCorrupt, verdict)
		}
		return s, err
	case !begun, !errors.As(err, &ended), !late && endedFromOutside(ended):
		i.log.Warn("the store is checked by the daemon itself: the process for that did not do it", "error", err, "output", complained.line())
		return inspectHere(f, size)
	case late && computed(ended) < i.busy:
		return soundness{}, fmt.Errorf("was not read within %s, of which its check computed for %s: the disk is slow, or does not answer", i.within, computed(ended))
	case late:
		return soundness{}, fmt.Errorf("%w: its check did not end within %s", ErrCorrupt, i.within)
	}
	return soundness{}, fmt.Errorf("%w: its check failed, %w: %s", ErrCorrupt, err, cmp.Or(complained.line(), "it said nothing"))
}

// computed is the processor time that a process used.
func computed(ended *exec.ExitError) time.Duration { return ended.UserTime() + ended.SystemTime() }

// endedFromOutside reports whether a process was ended by a signal that somebody sent it.
func endedFromOutside(ended *exec.ExitError) bool {
	status, ok := ended.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP:
		return true
	}
	return false
}

// Inspect is the whole work of a process that [Config.Inspector] begins, and gives its exit code: it checks the file that it was handed as descriptor 3
// and says on its standard output what it found. It leaves signals that stop a service to its parent.
func Inspect() int {
	ossignal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	boundMemory(inspectMemory)
	if _, err := os.Stdout.WriteString(inspectBegun); err != nil {
		return 1
	}
	f := os.NewFile(inspectedFile, boltFile)
	info, err := f.Stat()
	var s soundness
	if err == nil {
		s, err = check(f, info.Size())
	}
	if _, err := os.Stdout.WriteString(verdict(s, err)); err != nil {
		return 1
	}
	return 0
}

// The words of a verdict, each before what belongs to it.
const (
	verdictSound   = "sound"   // fellBack, used, pageSize
	verdictCorrupt = "corrupt" // why
	verdictUnread  = "unread"  // the number of the error, 0 where it has none, and its text
)

// verdict is the line that says what a check found.
func verdict(s soundness, err error) string {
	var number syscall.Errno
	switch {
	case err == nil:
		return fmt.Sprintln(verdictSound, s.fellBack, s.used, s.pageSize)
	case errors.Is(err, ErrCorrupt):
		return fmt.Sprintln(verdictCorrupt, strings.TrimPrefix(err.Error(), ErrCorrupt.Error()+": "))
	case errors.As(err, &number):
	}
	return fmt.Sprintln(verdictUnread, int(number), err)
}

// readVerdict reads a line of verdict, about a file of so many octets.
func readVerdict(line, path string, size int64) (s soundness, err error, understood bool) {
	line, whole := strings.CutSuffix(line, "\n")
	word, rest, _ := strings.Cut(line, " ")
	if !whole || rest == "" || strings.Contains(rest, "\n") {
		return s, nil, false
	}
	switch word {
	case verdictSound:
		_, err := fmt.Sscanf(rest, "%t %d %d", &s.fellBack, &s.used, &s.pageSize)
		return s, nil, err == nil && s.pageSize > 0 && s.used >= leastPages*s.pageSize && s.used <= size && s.used%s.pageSize == 0
	case verdictCorrupt:
		return s, fmt.Errorf("%w: %s", ErrCorrupt, rest), true
	case verdictUnread:
		digits, text, _ := strings.Cut(rest, " ")
		number, err := strconv.ParseUint(digits, 10, 16)
		if number == 0 {
			return s, errors.New(text), err == nil && text != ""
		}
		return s, &fs.PathError{Op: "read", Path: path, Err: syscall.Errno(number)}, err == nil
	}
	return s, nil, false
}

// A beginning keeps the first octets of what is written to it.
type beginning struct{ kept []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), inspectSaid-len(b.kept))]...)
	return len(p), nil
}

// line is the first line.
func (b *beginning) line() string {
	line, _, _ := strings.Cut(string(b.kept), "\n")
	return line
}
