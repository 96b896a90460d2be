package otpstore

// What somebody found who looked for what goes wrong between the parts.

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
)

// runUntil runs s until stop, or the end of the test, which closes it.
func runUntil(t *testing.T, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Errorf("Run and Close: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// runStore opens a store, changes it, and runs it until stop.
func runStore(t *testing.T, dir string, changes ...func(*Bolt)) (s *Store, b *Bolt, stop func()) {
	t.Helper()
	p := DefaultPolicy()
	p.ResendAfter = 0
	s, err := Open(Config{Dir: dir}, p, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(s.backend.(*Bolt))
	}
	return s, s.backend.(*Bolt), runUntil(t, s)
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

// On a read-only file system everything is refused before it is begun, and an orderly end writes nothing. Nothing counts, and nothing is lost.
func TestReadOnlyFileSystem(t *testing.T) {
	var fixed atomic.Bool
	fix := func(b *Bolt) {
		b.room.fixed = func(*os.File) bool { return fixed.Load() }
		b.commit = func(tx *bbolt.Tx) error {
			if fixed.Load() {
				t.Error("a commit was begun")
				return errors.Join(syscall.EROFS, tx.Rollback())
			}
			return tx.Commit()
		}
	}
	dir := t.TempDir()
	s, b, stop := runStore(t, dir, fix)
	issued, err := s.IssueFor(t.Context(), "c", "+1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sent(t.Context(), issued.ID, SendResult{SMSC: "m", MessageIDs: []string{"1"}}); err != nil {
		t.Fatal(err)
	}
	r := Request{Client: "c", Number: "+2", Terms: DefaultPolicy().Terms(), Budgets: []Budget{{Limit: "day", Scope: "client/c", Max: 1, Window: time.Hour}}}
	for range 2 {
		fixed.Store(true)
		refused := map[string]error{"Verify": s.Verify(t.Context(), "c", issued.ID, issued.Code), "Ready": s.Ready()}
		_, refused["Issue"] = s.Issue(t.Context(), r)
		_, refused["Lookup"] = s.Lookup(t.Context(), issued.ID)
		refused["Delivered"] = func() error {
			_, err := s.Delivered(t.Context(), Receipt{SMSC: "m", MessageIDs: []string{"1"}, State: "DELIVRD", Final: true, Delivered: true})
			return err
		}()
		for what, err := range refused {
			if !errors.Is(err, ErrReadOnly) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if told := s.Trouble(); len(told) != 1 || !strings.Contains(told[0], "read-only") {
			t.Errorf("told of %q", told)
		}
		fixed.Store(false)
		if err := s.Ready(); err != nil || len(s.Trouble()) > 0 {
			t.Errorf("writable again: %v, %q", err, s.Trouble())
		}
		if err := s.Verify(t.Context(), "c", issued.ID, "x"); !errors.Is(err, ErrWrongCode) {
			t.Errorf("writable again: %v", err)
		}
	}
	if _, err := s.Issue(t.Context(), r); err != nil {
		t.Errorf("what was refused counted: %v", err)
	}
	fixed.Store(true)
	stop()
	if b.head.closed {
		t.Error("the end was written")
	}
	fixed.Store(false)
	s, _, _ = runStore(t, dir)
	if err := s.Verify(t.Context(), "c", issued.ID, issued.Code); err != nil {
		t.Errorf("after a restart: %v", err)
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

// Ids of a store that was ahead of the system's clock are later than the loss of it.
func TestIDsOfALostStoreThatWasAhead(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := runStore(t, dir)
	ahead := newID(time.Now().Add(time.Hour)).id()
	if err := s.Verify(t.Context(), "c", ahead, "1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("without a loss: %v", err)
	}
	stop()
	if _, err := setAside(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	s, _, _ = runStore(t, dir)
	if err := s.Verify(t.Context(), "c", ahead, "1"); !errors.Is(err, ErrExpired) {
		t.Errorf("after it: %v", err)
	}
	since := newID(s.Now().Add(time.Millisecond))
	for !s.Now().After(since.Time()) {
	}
	if err := s.Verify(t.Context(), "c", since.id(), "1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that this store could have given: %v", err)
	}
}

// A record that lies under the name of an older key and is not as it was written is dropped by the next send to its number.
func TestDamagedRecordUnderAnOlderName(t *testing.T) {
	dir, older, newer := t.TempDir(), NewKey(), NewKey()
	var reg *prometheus.Registry
	open := func(text string) (*Store, func()) {
		var key Key
		if err := key.UnmarshalSecret([]byte(text)); err != nil {
			t.Fatal(err)
		}
		p := DefaultPolicy()
		p.ResendAfter = 0
		reg = prometheus.NewRegistry()
		s, err := Open(Config{Dir: dir, Key: key}, p, reg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s, runUntil(t, s)
	}
	s, stop := open(older)
	lost, err := s.IssueFor(t.Context(), "c", "+1")
	if err == nil {
		err = s.Sent(t.Context(), lost.ID, SendResult{SMSC: "m", MessageIDs: []string{"1"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	stop()
	s, _ = open(newer + "\n" + older)
	names := s.keys.numbers("+1")
	err = s.backend.Update(t.Context(), Ref{ByNumber, names[1]}, func(_ time.Time, r Record) (Record, bool) {
		r = slices.Clone(r)
		r[len(r)-1] ^= 1
		return r, true
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.IssueFor(t.Context(), "c", "+1"); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Records; got != 1 {
		t.Errorf("%d records of one number", got)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.
	for _, f := range families {
		if f.GetName() == "otpgw_store_damaged_records_total" {
			counted = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != 1 {
		t.Errorf("%v damaged records are counted", counted)
	}
	if err := s.Verify(t.Context(), "c", lost.ID, lost.Code); !errors.Is(err, ErrExpired) {
		t.Errorf("its code: %v", err)
	}
}

// A page that cannot be read ends Run, however much work there is.
func TestUnreadPageEndsRunUnderLoad(t *testing.T) {
	b, err := OpenBolt(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Scan(t.Context(), func(time.Time, Record) (Record, bool) { return nil, false }); err != nil {
		t.Fatal(err)
	}
	const most = 1000
	ran := 0
	var again func() // queues a job that queues the next one when it is done
	again = func() {
		err := b.queue.put(t.Context(), &job{
			waited: true,
			apply:  func(*table, time.Time) (bool, error) { ran++; return false, nil },
			done: func(error) {
				if ran == 10 {
					if err := b.view(func(*bbolt.Tx) error { panic("a page") }); !errors.Is(err, ErrCorrupt) {
						t.Errorf("a reader: %v", err)
					}
				}
				if ran < most {
					again()
				}
			},
		})
		if err != nil && ran < 10 {
			t.Error(err)
		}
	}
	again()
	if err := b.Run(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Run: %v", err)
	}
	if ran != 10 {
		t.Errorf("%d jobs ran, and the page was found after 10", ran)
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
	older, err := openFile(file, newBoltMetrics(nil), inspectHere)
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
