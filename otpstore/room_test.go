package otpstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// sized is a record of number n whose newest id is key, with a body of so many octets.
func sized(n uint64, key Name, octets int) Record {
	var number Name
	binary.BigEndian.PutUint64(number[:], n)
	return NewRecord(number, []Name{key}, nil, make([]byte, octets))
}

func randomName(rng *rand.Rand) (n Name) {
	binary.BigEndian.PutUint64(n[:], rng.Uint64())
	binary.BigEndian.PutUint64(n[8:], rng.Uint64())
	return n
}

// What a transaction is reckoned to write is no less than what bbolt then writes, whatever it did to records of whatever size, and one step adds no
// more than is kept for it.
func TestExtentIsAnUpperBound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, beyond := range []int{nearRecords, 1, 300} {
		t.Run(fmt.Sprint(beyond), func(t *testing.T) { extentIsAnUpperBound(t, seed, beyond) })
	}
}

func extentIsAnUpperBound(t *testing.T, seed uint64, beyond int) {
	PatchBeyond(beyond)
	defer CycleNear(0)
	for n, sizes := range [][]int{{150, 700}, {150, 900}, {200, 3000}, {100, 12000}, {100, 300, 60000}} {
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		path := filepath.Join(t.TempDir(), boltFile)
		if err := createFile(path, time.Time{}); err != nil {
			t.Fatal(err)
		}
		db, err := openDB(path)
		if err != nil {
			t.Fatal(err)
		}
		db.NoSync = true
		page, index := int64(db.Info().PageSize), newIndex(0)
		var h head
		var records []Record
		size := func() int {
			i := 1 + rng.IntN(len(sizes)-1)
			return sizes[0] + rng.IntN(sizes[i]-sizes[0])
		}
		last, wrote, reckoned := uint64(0), int64(0), int64(0)
		headAlone := func() {
			tx, err := db.Begin(true)
			if err == nil {
				err = errors.Join(h.put(tx), tx.Commit())
			}
			if err != nil {
				t.Fatal(err)
			}
			if stats := tx.Stats(); stats.GetPageAlloc() > headMost*page {
				t.Errorf("a head alone takes %d octets", stats.GetPageAlloc())
			}
		}
		for round := range 90 {
			tx, err := db.Begin(true)
			if err != nil {
				t.Fatal(err)
			}
			before := h.extent
			h.extent.begin()
			table := newTable(tx, index, &h)
			steps, from, ordered := 1+rng.IntN(400), rng.IntN(len(records)+1), rng.IntN(2) == 0
			if round%3 == 0 {
				steps = 1
			}
			for s := range steps {
				i := 0
				if len(records) > 0 {
					if i = rng.IntN(len(records)); ordered { // neighbours, as a sweep takes them
						i = (from + s) % len(records)
					}
				}
				var old, next Record
				switch what := rng.IntN(8); {
				case len(records) == 0 || what < 3 && len(records) < 3000: // one that comes into being, at the end or anywhere
					last++
					key := randomName(rng)
					if ordered {
						binary.BigEndian.PutUint64(key[:], last)
					}
					next = sized(last, key, size())
					records = append(records, next)
				case what < 5: // it grows, or shrinks
					old = records[i]
					next = sized(binary.BigEndian.Uint64(old[1:]), old.Newest(), min(size(), len(old)+growthMost-100))
					records[i] = next
				case what < 6: // it moves
					old = records[i]
					ids := []Name{old.Newest(), randomName(rng)}
					if rng.IntN(4) == 0 { // without the code that it had
						ids = ids[1:]
					}
					next = NewRecord(old.Number(), ids, nil, make([]byte, min(size(), len(old)+growthMost-100)))
					records[i] = next
				default:
					old = records[i]
					records = slices.Delete(records, i, i+1)
				}
				if err := table.replace(keyOf(old), old, next); err != nil {
					t.Fatal(err)
				}
			}
			bound := h.extent.octets(tx, page)
			if err := errors.Join(h.put(tx), tx.Commit()); err != nil {
				t.Fatal(err)
			}
			stats := tx.Stats()
			got := stats.GetPageAlloc()
			if got > bound {
				t.Errorf("sizes %v, round %d, %d steps: %d octets written, %d reckoned", sizes, round, steps, got, bound)
			}
			if most := before.step(page); steps == 1 && before.largest > 0 && h.extent.largest < before.largest+growthMost && got > most {
				t.Errorf("sizes %v, round %d: one step wrote %d octets, %d were kept for it", sizes, round, got, most)
			}
			wrote, reckoned = wrote+got, reckoned+bound
			if round%10 == 5 && len(records) > 0 {
				records = sweepSome(t, db, index, &h, records, rng)
			}
			headAlone()
		}
		t.Logf("%v: %d records, %d MiB written, %d reckoned", sizes, len(records), wrote>>20, reckoned>>20)
		if reckoned > 40*wrote {
			t.Errorf("sizes %v: %d octets reckoned for %d: every batch would be cut into pieces", sizes, reckoned, wrote)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is reckoned after a start counts what no record is any more, and is still on a page.
func TestExtentCountsWhatIsPatched(t *testing.T) {
	PatchBeyond(1)
	defer CycleNear(0)
	const large = 5000
	for name, last := range map[string][]int{"patched": {large, 10}, "went on": {large, -10}, "a patch": {10, large, 10}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			run := func(records ...Record) *Bolt {
				b, err := OpenBolt(dir, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Scan(t.Context(), func(time.Time, Record) (Record, bool) { return nil, false }); err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					if err := b.Note(t.Context(), Ref{ByNumber, r.Number()}, func(time.Time, Record) (Record, bool) { return r, true }, func(error) {}); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := errors.Join(b.Run(ctx), b.Close()); err != nil {
					t.Fatal(err)
				}
				return b
			}
			key := func(n uint64) (k Name) { binary.BigEndian.PutUint64(k[:], n); return k }
			other := uint64(10)
			for _, octets := range last {
				r := sized(1, key(1), max(octets, 0))
				if octets < 0 {
					r = NewRecord(r.Number(), []Name{key(1), key(other)}, nil, make([]byte, -octets))
				}
				other++
				run(r, sized(2, key(2), int(other)), sized(other, key(other), 0)) // far from the end now, in both trees
				other++
			}
			if got := run().head.extent.largest; got < large {
				t.Errorf("the largest has %d octets", got)
			}
		})
	}
}

// sweepSome removes as many records, one after the other in the order of their keys, as are said to write no more than some octets.
func sweepSome(t *testing.T, db *bbolt.DB, index *index, h *head, records []Record, rng *rand.Rand) []Record {
	t.Helper()
	const octets = 1 << 18
	slices.SortFunc(records, func(a, b Record) int { return bytes.Compare(keyOf(a), keyOf(b)) })
	tx, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	page := int64(db.Info().PageSize)
	h.extent.begin()
	table := newTable(tx, index, h)
	from := rng.IntN(len(records))
	to := min(len(records), from+h.extent.sweep(octets, page))
	for _, r := range records[from:to] {
		if err := table.replace(keyOf(r), r, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(h.put(tx), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	if stats := tx.Stats(); stats.GetPageAlloc() > octets+headNodes*page && to-from > 1 {
		t.Errorf("a sweep of %d records wrote %d octets, and was to write %d", to-from, stats.GetPageAlloc(), octets)
	}
	return slices.Delete(records, from, to)
}

func keyOf(r Record) []byte {
	key := r.Newest()
	return key[:]
}

// A smallDisk is a file system of its own that is filled up to what is wanted.
type smallDisk struct {
	t   *testing.T
	dir string
}

func newSmallDisk(t *testing.T, mib int) *smallDisk {
	t.Helper()
	d := &smallDisk{t: t, dir: t.TempDir()}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("SKIPPED: mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return d
}

// leave has ballast take all but so many octets, all of it where that is less than 0.
func (d *smallDisk) leave(octets int64) {
	d.t.Helper()
	ballast := filepath.Join(d.dir, "ballast")
	if err := os.RemoveAll(ballast); err != nil {
		d.t.Fatal(err)
	}
	if octets < 0 {
		return
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	free := int64(s.Bavail) * s.Bsize
	if free < octets {
		d.t.Fatalf("%d octets are free, %d are to be left", free, octets)
	}
	if err := os.WriteFile(ballast, make([]byte, free-octets), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// A batch of many large records on a disk that is nearly full is committed as far as there is room; no write ever fails. The control commits it
// whole, as if that could not be too much.
func TestLargeBatchOnAFullDisk(t *testing.T) {
	for name, test := range map[string]struct {
		octets int // of a record
		whole  bool
	}{
		"usual":   {600, false},
		"large":   {16000, false},
		"control": {16000, true},
	} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for _, left := range []int64{0, 5 << 19, 4 << 20, 6 << 20, 7 << 20} {
				if err := largeBatch(t, 600, test.octets, left, test.whole); errors.Is(err, syscall.ENOSPC) {
					failed++
				} else if err != nil {
					t.Errorf("%d octets left: %v", left, err)
				}
			}
			if test.whole != (failed > 0) {
				t.Errorf("a commit found the disk full %d times", failed)
			}
		})
	}
}

// largeBatch gives the error that ended Run.
func largeBatch(t *testing.T, records, large int, left int64, whole bool) error {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(large)))
	d := newSmallDisk(t, 96)
	open := func() (b *Bolt, stop func() error) {
		t.Helper()
		b, err := OpenBolt(d.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			b.covers = func(int64, int64, int64) (bool, error) { return true, nil }
		}
		if err := b.Scan(t.Context(), func(time.Time, Record) (Record, bool) { return nil, false }); err != nil {
			t.Fatal(err)
		}
		return b, func() error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel() // all that is queued is done, and that is all
			return b.Run(ctx)
		}
	}
	b, run := open()
	keys := make([]Name, records)
	for i := range keys {
		keys[i] = randomName(rng)
		r := sized(uint64(i), keys[i], large)
		if err := b.Note(t.Context(), Ref{ByNumber, r.Number()}, func(time.Time, Record) (Record, bool) { return r, true }, func(err error) {
			if err != nil {
				t.Errorf("put: %v", err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(run(), b.Close()); err != nil {
		t.Fatal(err)
	}

	b, run = open()
	const beyond = 1 << 30
	if err := unix.Fallocate(int(b.room.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, b.used, beyond); err != nil { // what was set aside before
		t.Fatal(err)
	}
	b.room.end, b.room.tried = b.used, time.Time{}
	d.leave(left)
	changed := make([]error, records)
	for i, key := range keys {
		r := sized(uint64(i), key, large+100)
		r[len(r)-1] = 1
		if err := b.Note(t.Context(), Ref{ByID, key}, func(time.Time, Record) (Record, bool) { return r, true }, func(err error) { changed[i] = err }); err != nil {
			t.Fatal(err)
		}
	}
	ended := run()
	if err := b.Close(); err != nil && ended == nil {
		t.Errorf("Close: %v", err)
	}

	d.leave(-1)
	b, _ = open()
	defer b.Close()
	done := 0
	for i, key := range keys {
		var r Record
		if err := b.db.View(func(tx *bbolt.Tx) error {
			r = slices.Clone(Record(newTable(tx, b.index, new(head)).current(key[:])))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		is := len(r) > 0 && r[len(r)-1] == 1
		switch {
		case changed[i] == nil && !is, errors.Is(changed[i], ErrFull) && is:
			t.Fatalf("%d octets left: record %d: %v, and it is changed: %t", left, i, changed[i], is)
		case changed[i] == nil:
			done++
		}
	}
	t.Logf("%d octets left: %d of %d changed, %v", left, done, records, ended)
	if ended == nil && left >= roomReserve && done < records/4 {
		t.Errorf("%d octets left, and %d records of %d are changed", left, done, records)
	}
	return ended
}

// A store that the disk has no octet left for ends in order, starts again, and checks what was sent.
func TestStartOnAFullDisk(t *testing.T) {
	d := newSmallDisk(t, 64)
	s, _, stop := runStore(t, d.dir)
	issue := func(number string) (Issued, error) {
		i, err := s.IssueFor(t.Context(), "c", number)
		if err == nil {
			err = s.Sent(t.Context(), i.ID, SendResult{SMSC: "m", MessageIDs: []string{number}})
		}
		return i, err
	}
	var codes []Issued
	for n := range 300 {
		i, err := issue(fmt.Sprintf("+34%d", n))
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, i)
	}
	for n := range 10 { // pending at the end: the next start settles them
		if _, err := s.IssueFor(t.Context(), "c", fmt.Sprintf("+35%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	d.leave(0)
	for n := range 3 {
		stop()
		s, _, stop = runStore(t, d.dir)
		if err := s.Verify(t.Context(), "c", codes[n].ID, codes[n].Code); err != nil {
			t.Errorf("start %d: %v", n, err)
		}
	}
	for n, i := range codes[3:] {
		if err := s.Verify(t.Context(), "c", i.ID, i.Code); err != nil {
			t.Fatalf("code %d: %v", n, err)
		}
	}
	d.leave(-1)
	deadline := time.Now().Add(30 * time.Second)
	for _, err := issue("+36"); err != nil; _, err = issue("+36") {
		if !errors.Is(err, ErrFull) || time.Now().After(deadline) {
			t.Fatalf("with room again: %v", err)
		}
	}
}

// A copy of a store without the blocks that it had set aside, on a disk without any: a start that has records to settle says so, in one line, and
// changes nothing; one that has none is well.
func TestStartWithoutRoom(t *testing.T) {
	for _, unsettled := range []bool{false, true} {
		d := newSmallDisk(t, 32)
		s, _, stop := runStore(t, d.dir)
		for n := range 10 {
			if _, err := s.IssueFor(t.Context(), "c", fmt.Sprintf("+1%d", n)); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		path := filepath.Join(d.dir, boltFile)
		if err := Trim(path); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err == nil {
			err = errors.Join(os.Remove(path), os.WriteFile(path, file, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		d.leave(0)
		b, err := OpenBolt(d.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Scan(t.Context(), func(_ time.Time, r Record) (Record, bool) { return slices.Clone(r), unsettled })
		if unsettled && (!errors.Is(err, ErrFull) || strings.Contains(err.Error(), "\n")) || !unsettled && err != nil {
			t.Errorf("unsettled %t: %v", unsettled, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if now, err := os.ReadFile(path); err != nil || unsettled && !slices.Equal(now, file) {
			t.Errorf("the file was changed, %v", err)
		}
	}
}
