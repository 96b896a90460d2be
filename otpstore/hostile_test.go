package otpstore

// What somebody found who looked for what goes wrong between the parts.

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// runStore opens a store and runs it until stop.
func runStore(t *testing.T, dir string) (s *Store, b *Bolt, stop func()) {
	t.Helper()
	p := DefaultPolicy()
	p.ResendAfter = 0
	s, err := Open(Config{Dir: dir}, p, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		s.Close()
	})
	t.Cleanup(stop)
	return s, s.backend.(*Bolt), stop
}

// fill leaves so little room that no new records are taken.
func fill(b *Bolt) {
	b.room.state.Store(int32(short))
	b.room.tried = time.Now().Add(time.Hour)
	b.room.end = b.used + 3<<20
}

// What is refused for want of room counts nowhere, and looking takes none.
func TestFullDiskSpendsNothing(t *testing.T) {
	s, b, _ := runStore(t, t.TempDir())
	if _, err := s.IssueFor(t.Context(), "c", "+1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Update(t.Context(), Ref{ByNumber, Name{}}, func(time.Time, Record) (Record, bool) { fill(b); return nil, false }); err != nil {
		t.Fatal(err)
	}
	r := Request{Client: "c", Number: "+2", Terms: DefaultPolicy().Terms(), Budgets: []Budget{{Limit: "day", Scope: "client/c", Max: 3, Window: time.Hour}}}
	for range 3 {
		if _, err := s.Issue(t.Context(), r); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if found, err := s.LookupNumber(t.Context(), "+1"); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	if err := b.Choose(t.Context(), nil, func(time.Time, []Record) (int, Record, bool) { b.room.tried = time.Time{}; return 0, nil, false }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Issue(t.Context(), r); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A start that ends between the setting aside of a damaged file and anything else leaves one that knows of it.
func TestLossIsNotForgotten(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := runStore(t, dir)
	i, err := s.IssueFor(t.Context(), "c", "+1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sent(t.Context(), i.ID, SendResult{SMSC: "m", MessageIDs: []string{"1"}}); err != nil {
		t.Fatal(err)
	}
	stop()
	aside, err := setAside(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	s, _, _ = runStore(t, dir)
	if s.backend.Lost().IsZero() || len(s.Trouble()) == 0 {
		t.Errorf("nobody knows that something was lost: %v %v", s.backend.Lost(), s.Trouble())
	}
	if err := s.Verify(t.Context(), "c", i.ID, i.Code); !errors.Is(err, ErrExpired) {
		t.Errorf("an id of before: %v", err)
	}
}

// failing gives an error for what lies before an offset.
type failing struct {
	io.ReaderAt
	before int64
}

func (r failing) ReadAt(b []byte, at int64) (int, error) {
	if at < r.before {
		return 0, errors.New("input/output error")
	}
	return r.ReaderAt.ReadAt(b, at)
}

// What the disk does not give is not damaged: nothing is set aside for it.
func TestUnreadIsNotDamaged(t *testing.T) {
	dir := t.TempDir()
	_, _, stop := runStore(t, dir)
	stop()
	f, err := os.Open(filepath.Join(dir, boltFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []int64{1, 8192} {
		if _, err := check(failing{f, before}, info.Size()); err == nil || errors.Is(err, ErrCorrupt) {
			t.Errorf("up to %d: %v", before, err)
		}
	}
}

// Of the two heads of a file that was not closed in order, none says that the other one holds the same.
func TestFirstCommitIsMissed(t *testing.T) {
	dir := t.TempDir()
	_, _, stop := runStore(t, dir)
	stop()
	s, b, _ := runStore(t, dir)
	if _, err := s.IssueFor(t.Context(), "c", "+1"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, boltFile)) // as after SIGKILL
	if err != nil {
		t.Fatal(err)
	}
	size := b.db.Info().PageSize
	file := filepath.Join(t.TempDir(), boltFile)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := readMeta(f, 0)
	second, _, _ := readMeta(f, int64(size))
	newer := int64(0)
	if second.tx > first.tx {
		newer = int64(size)
	}
	if _, err := f.WriteAt([]byte{data[newer+40] ^ 1}, newer+40); err != nil {
		t.Fatal(err)
	}
	f.Close()
	older, err := openFile(file, newBoltMetrics(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	if older.head.closed && older.head.count == 0 {
		t.Error("a code that was acknowledged is gone, and the head that is left says that the other one held the same")
	}
}

// An entry that goes on in the next page is none, whatever the buffers of the check held before.
func TestEntryBeyondItsPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	db, err := openDB(path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(metaBucket)
		b, err2 := tx.CreateBucket(numbersBucket)
		err = errors.Join(err, err2, b.Put([]byte("a"), make([]byte, 20000))) // makes a buffer larger than a page
		for i := range 600 {
			err = errors.Join(err, b.Put([]byte{'b', byte(i / 256), byte(i)}, make([]byte, 100)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size, done := os.Getpagesize(), false
	for at := 2 * size; at < len(data) && !done; at += size {
		p := data[at:min(at+size, len(data))]
		count := int(native.Uint16(p[10:]))
		if native.Uint64(p) != uint64(at/size) || native.Uint16(p[8:]) != leafPage || native.Uint32(p[12:]) != 0 || count < 5 || p[pageHeader+count*pageElement] != 'b' {
			continue
		}
		e := pageHeader + (count-1)*pageElement
		native.PutUint32(p[e+12:], native.Uint32(p[e+12:])+3000)
		done = true
	}
	if !done {
		t.Fatal("no leaf")
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}
