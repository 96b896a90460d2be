// Package losefs is a file system for tests that forgets what was not synced: the power fails when a test says so.
//
// It is a real file system, mounted through FUSE, so that what is under test runs as it is: pwrite, fdatasync, mmap, flock and rename go
// through the kernel. Beside what was written it keeps what was synced, a file's content and a directory's names each by its own sync, as
// POSIX promises and no more. [Disk.Crash] makes an image of the two, as a disk might hold after the power failed, and shows it
// as new files: what is open still sees the old ones and can change nothing.
//
// It holds one flat directory in memory. Modes and owners of files are never lost; times are not kept.
//
// The file system is served by a process of its own, the test binary once more: served by the process that maps its files, a page fault
// would wait for a goroutine that the garbage collector has stopped until the page fault is over.
package losefs

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Plan says what goes wrong, and when. Counting begins with [Disk.Set]; 0 stands for never.
type Plan struct {
	StopAt    int    // the n-th change is the last: it, and all that follow, give EIO. A change is a write, truncation, sync or a new name
	StopAfter bool   // the n-th takes effect all the same, only nobody is told
	FailSync  int    // the n-th sync gives EIO, and what it was to make durable never will be unless it is written anew, as with Linux
	Capacity  int    // in octets: a write that needs more gives ENOSPC
	Deaf      string // "sync" or "sync names": those say that they were done and do nothing, as if nobody had asked for them
}

// A Change is what a Plan stopped at, or what a file system did last.
type Change struct {
	Kind    string // "write", "truncate", "sync", "sync names", "name"; "" for none
	Offset  int64  // of a write
	Changes int    // since Set
	Syncs   int    // of them
	Stopped bool
}

// A Loss says what the power failure leaves.
type Loss struct {
	Torn bool   // each page and name that was not synced is kept, lost, or cut in two at a sector, at random; else all are lost
	Seed uint64 // of that
}

// A Disk is a mounted file system. Its methods are safe for concurrent use.
type Disk struct {
	Dir string // where it is mounted

	server *exec.Cmd
	calls  *rpc.Client
}

// served is set for the process that serves: the directory to mount at.
const served = "OTPGW_TEST_LOSEFS"

// patience bounds every wait for the other process.
const patience = 30 * time.Second

// Main serves a file system and exits where this process was started to do that. TestMain calls it first.
func Main() {
	dir := os.Getenv(served)
	if dir == "" {
		return
	}
	if err := serve(dir, pipes{os.Stdin, os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, "losefs:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close()) }

// New mounts an empty file system until the test ends. Where this machine has no FUSE the test is skipped, and fails with CI=true.
func New(t testing.TB) *Disk {
	t.Helper()
	d, err := mount(t.TempDir())
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no power failure can be tested: %v", err)
		}
		t.Skipf("NO POWER FAILURE IS TESTED: %v (it takes /dev/fuse, and root or fusermount3)", err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Errorf("losefs: %v", err)
		}
	})
	return d
}

func mount(dir string) (*Disk, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^$") // nothing, should TestMain not call Main
	cmd.Env = append(os.Environ(), served+"="+dir, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &Disk{Dir: dir, server: cmd, calls: rpc.NewClient(pipes{out, in})}
	if err := d.call("Mounted", struct{}{}, new(struct{})); err != nil {
		return nil, errors.Join(fmt.Errorf("mount: %w", err), d.close())
	}
	return d, nil
}

func (d *Disk) call(method string, in, out any) error {
	select {
	case c := <-d.calls.Go("Disk."+method, in, out, make(chan *rpc.Call, 1)).Done:
		return c.Error
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer within %v", method, patience)
	}
}

// close unmounts the file system. Its files must be closed.
func (d *Disk) close() error {
	err := d.calls.Close() // the other process unmounts and ends
	if err == rpc.ErrShutdown {
		err = nil
	}
	late := time.AfterFunc(patience, func() { d.server.Process.Kill() })
	defer late.Stop()
	if ended := d.server.Wait(); ended != nil {
		unix.Unmount(d.Dir, unix.MNT_DETACH) // or it is none by now
		err = errors.Join(err, ended)
	}
	return err
}

// Set begins a plan: the disk works until it says otherwise.
func (d *Disk) Set(t testing.TB, p Plan) {
	t.Helper()
	if err := d.call("Set", p, new(struct{})); err != nil {
		t.Fatalf("losefs: %v", err)
	}
}

// Last gives the latest change.
func (d *Disk) Last(t testing.TB) (c Change) {
	t.Helper()
	if err := d.call("Last", struct{}{}, &c); err != nil {
		t.Fatalf("losefs: %v", err)
	}
	return c
}

// Crash puts the image that a power failure leaves in the place of all files, and ends the plan.
func (d *Disk) Crash(t testing.TB, l Loss) {
	t.Helper()
	if err := d.call("Crash", l, new(struct{})); err != nil {
		t.Fatalf("losefs: %v", err)
	}
}

// Clear removes all files, and ends the plan.
func (d *Disk) Clear(t testing.TB) {
	t.Helper()
	if err := d.call("Clear", struct{}{}, new(struct{})); err != nil {
		t.Fatalf("losefs: %v", err)
	}
}
