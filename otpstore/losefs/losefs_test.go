package losefs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func create(t *testing.T, d *Disk, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.Dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // or it is closed
	return f
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func syncDir(d *Disk) error {
	dir, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func write(t *testing.T, f *os.File, at int64, b []byte) {
	t.Helper()
	_, err := f.WriteAt(b, at)
	do(t, err)
}

// content is a file as it is found by its name.
func content(t *testing.T, d *Disk, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.Dir, name))
	do(t, err)
	return b
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestWhatIsSyncedStays(t *testing.T) {
	for _, torn := range []bool{false, true} {
		d := New(t)
		f := create(t, d, "a")
		write(t, f, 0, fill('a', 3*pageSize+7))
		do(t, f.Sync(), syncDir(d), f.Close())
		d.Crash(t, Loss{Torn: torn, Seed: 1})
		if got := content(t, d, "a"); !bytes.Equal(got, fill('a', 3*pageSize+7)) {
			t.Errorf("torn %v: %d octets, not what was synced", torn, len(got))
		}
	}
}

func TestWhatIsNotSyncedIsLost(t *testing.T) {
	d := New(t)
	f := create(t, d, "a")
	write(t, f, 0, fill('a', 2*pageSize))
	do(t, f.Sync(), syncDir(d))
	write(t, f, 100, fill('b', pageSize)) // in both pages
	do(t, f.Truncate(5*pageSize))
	write(t, f, 4*pageSize, fill('c', pageSize))
	if got := content(t, d, "a"); len(got) != 5*pageSize || got[100] != 'b' || got[4*pageSize] != 'c' {
		t.Error("before the crash what was written is not read")
	}
	d.Crash(t, Loss{})
	if got := content(t, d, "a"); !bytes.Equal(got, fill('a', 2*pageSize)) {
		t.Errorf("%d octets, not what was synced", len(got))
	}
	// What was open has become something that changes nothing.
	f.WriteAt(fill('d', pageSize), 0) // whether it is told or not
	f.Sync()
	if got := content(t, d, "a"); !bytes.Equal(got, fill('a', 2*pageSize)) {
		t.Error("a file from before the crash writes into one from after it")
	}
}

func TestNamesAreSyncedByTheirDirectory(t *testing.T) {
	d := New(t)
	old := create(t, d, "old")
	write(t, old, 0, []byte("old"))
	do(t, old.Sync(), syncDir(d))
	fresh := create(t, d, "fresh")
	write(t, fresh, 0, []byte("fresh"))
	do(t, fresh.Sync(), os.Rename(filepath.Join(d.Dir, "fresh"), filepath.Join(d.Dir, "old")))
	if got := content(t, d, "old"); string(got) != "fresh" {
		t.Fatalf("renamed: %q", got)
	}
	d.Crash(t, Loss{})
	if got := content(t, d, "old"); string(got) != "old" {
		t.Errorf("a rename that was not synced is there: %q", got)
	}
	if _, err := os.Stat(filepath.Join(d.Dir, "fresh")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new name that was not synced is there: %v", err)
	}
	do(t, os.Link(filepath.Join(d.Dir, "old"), filepath.Join(d.Dir, "linked")), syncDir(d), os.Remove(filepath.Join(d.Dir, "old")))
	d.Crash(t, Loss{})
	entries, err := os.ReadDir(d.Dir)
	if err != nil || len(entries) != 2 || string(content(t, d, "linked")) != "old" || string(content(t, d, "old")) != "old" {
		t.Errorf("%v, %v: want old and linked", entries, err)
	}
}

// Of many pages some are kept, some are lost, some are both; each of the three happens, and nothing else.
func TestTornPages(t *testing.T) {
	const pages = 120
	d := New(t)
	f := create(t, d, "a")
	write(t, f, 0, fill('a', pages*pageSize))
	do(t, f.Sync(), syncDir(d))
	write(t, f, 0, fill('b', pages*pageSize))
	d.Crash(t, Loss{Torn: true, Seed: 7})
	got := content(t, d, "a")
	kept, lost, cut := 0, 0, 0
	for p := range pages {
		b := got[p*pageSize : (p+1)*pageSize]
		switch n := bytes.Count(b, []byte{'b'}); {
		case n == pageSize:
			kept++
		case n == 0 && bytes.Count(b, []byte{'a'}) == pageSize:
			lost++
		default:
			cut++
			at := bytes.IndexByte(b, b[pageSize-1])
			if at%sectorSize != 0 || !bytes.Equal(b[:at], fill(b[0], at)) || !bytes.Equal(b[at:], fill(b[pageSize-1], pageSize-at)) ||
				n+bytes.Count(b, []byte{'a'}) != pageSize {
				t.Fatalf("page %d is not cut at one sector", p)
			}
		}
	}
	if min(kept, lost, cut) < pages/6 {
		t.Errorf("%d kept, %d lost, %d cut of %d", kept, lost, cut, pages)
	}
	again := New(t)
	f = create(t, again, "a")
	write(t, f, 0, fill('a', pages*pageSize))
	do(t, f.Sync(), syncDir(again))
	write(t, f, 0, fill('b', pages*pageSize))
	again.Crash(t, Loss{Torn: true, Seed: 7})
	if !bytes.Equal(got, content(t, again, "a")) {
		t.Error("the same seed tears other pages")
	}
}

func TestStopsAtTheChangeThatWasPlanned(t *testing.T) {
	for _, after := range []bool{false, true} {
		d := New(t)
		f := create(t, d, "a")
		do(t, f.Sync(), syncDir(d))
		d.Set(t, Plan{StopAt: 4, StopAfter: after})
		write(t, f, 0, []byte("1"))
		do(t, f.Sync())
		write(t, f, 1, []byte("2"))
		if err := f.Sync(); !errors.Is(err, unix.EIO) {
			t.Errorf("the 4th change: %v", err)
		}
		if _, err := f.WriteAt([]byte("3"), 2); !errors.Is(err, unix.EIO) {
			t.Errorf("the 5th change: %v", err)
		}
		if last := d.Last(t); last != (Change{Kind: "sync", Changes: 4, Syncs: 2, Stopped: true}) {
			t.Errorf("stopped at %+v", last)
		}
		d.Crash(t, Loss{})
		if got, want := string(content(t, d, "a")), map[bool]string{false: "1", true: "12"}[after]; got != want {
			t.Errorf("stopped after %v: %q, want %q", after, got, want)
		}
		write(t, create(t, d, "b"), 0, []byte("works again"))
	}
}

// As with Linux, the second sync succeeds and what the first was to write is lost.
func TestFailedSyncForgets(t *testing.T) {
	d := New(t)
	f := create(t, d, "a")
	write(t, f, 0, fill('a', 2*pageSize))
	do(t, f.Sync(), syncDir(d))
	d.Set(t, Plan{FailSync: 1})
	write(t, f, 0, fill('b', pageSize))
	if err := f.Sync(); !errors.Is(err, unix.EIO) {
		t.Fatalf("the sync that was to fail: %v", err)
	}
	write(t, f, pageSize, fill('c', pageSize))
	do(t, f.Sync())
	d.Crash(t, Loss{})
	if got := content(t, d, "a"); got[0] != 'a' || got[pageSize] != 'c' {
		t.Errorf("pages begin with %q, %q; want a, c", got[0], got[pageSize])
	}
}

func TestCapacity(t *testing.T) {
	d := New(t)
	f := create(t, d, "a")
	write(t, f, 0, fill('a', 2*pageSize))
	d.Set(t, Plan{Capacity: 3 * pageSize})
	write(t, f, 0, fill('b', 3*pageSize))
	if _, err := f.WriteAt([]byte("c"), 3*pageSize); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a write beyond: %v", err)
	}
	write(t, f, pageSize, fill('d', pageSize)) // in place
	var s unix.Statfs_t
	if err := unix.Statfs(d.Dir, &s); err != nil || s.Bavail != 0 || s.Blocks != 3 {
		t.Errorf("%d of %d blocks are free, %v", s.Bavail, s.Blocks, err)
	}
	d.Set(t, Plan{})
	write(t, f, 3*pageSize, []byte("c"))
}

// A shared mapping sees what is written to the file, before and after it grows.
func TestMappingSeesWrites(t *testing.T) {
	d := New(t)
	f := create(t, d, "a")
	do(t, f.Truncate(64*pageSize))
	m, err := unix.Mmap(int(f.Fd()), 0, 128*pageSize, unix.PROT_READ, unix.MAP_SHARED)
	do(t, err)
	defer unix.Munmap(m)
	for p := range 64 {
		if m[p*pageSize] != 0 {
			t.Fatalf("page %d is not zero", p)
		}
		write(t, f, int64(p)*pageSize, fill(byte(p+1), pageSize))
	}
	do(t, f.Truncate(128*pageSize))
	write(t, f, 127*pageSize, fill('z', pageSize))
	do(t, unix.Fdatasync(int(f.Fd())))
	for p := range 64 {
		if m[p*pageSize] != byte(p+1) || m[(p+1)*pageSize-1] != byte(p+1) {
			t.Fatalf("page %d: the mapping does not see what was written", p)
		}
	}
	if m[127*pageSize] != 'z' {
		t.Error("the mapping does not see what the file grew by")
	}
}

func TestLocksExclude(t *testing.T) {
	d := New(t)
	f := create(t, d, "a")
	g, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
	do(t, err)
	defer g.Close()
	do(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if err := unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("a second lock: %v", err)
	}
	f.Close()
	do(t, unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}
