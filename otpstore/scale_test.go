package otpstore

import (
	"context"
	"encoding/binary"
	"errors"
	cmdline "flag" // flag is a function of ours
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// What the design of docs/store.md costs with many records, beside designs that were not chosen: on a real disk, every commit synced. All
// that is compared runs in turns within one run, for a machine is now fast and now slow, and the median of the rounds counts.
var (
	liveRecords = cmdline.String("live", "10000,100000", "how many records BenchmarkDesigns measures with, at most 50 million; a list")
	slice       = cmdline.Duration("slice", 200*time.Millisecond, "how long BenchmarkDesigns measures one thing at a time")
	rounds      = cmdline.Int("rounds", 5, "in how many turns")
)

// A layout is how the keys of records are made.
type layout string

const (
	ordered  layout = "ordered"
	scramble layout = "random"
)

// A crowd is a store of many records, each with one live code.
type crowd struct {
	*Bolt
	layout layout
	size   int
	base   time.Time
	keys   *keyring
}

// id is that of record i of n. Those of one layout are in order.
func (c *crowd) id(i, n int) (id Name) {
	top := uint64(c.base.Add(time.Duration(i)*time.Millisecond).UnixMilli())<<16 | 0x7000
	if c.layout == scramble {
		top = uint64(i) * (math.MaxUint64 / uint64(n))
	}
	binary.BigEndian.PutUint64(id[:], top)
	binary.BigEndian.PutUint64(id[8:], uint64(i)*0x9e3779b97f4a7c15)
	return id
}

// another is the id of a record that is not there yet.
func (c *crowd) another() Name {
	id := newID(time.Now())
	if c.layout == scramble {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// number is what is kept of a number with one code that was sent.
func (c *crowd) number(id Name) number {
	sent := c.base.Truncate(time.Microsecond)
	p := DefaultPolicy()
	n := number{codes: []code{{
		id: id, client: "acme-payments", state: live, terms: p.Terms(), masked: "+34*******01",
		issued: sent, submitted: sent, accepted: sent, expires: sent.Add(p.TTL), smsc: "main", messages: []message{{id: id.String()[:12]}},
	}}}
	binary.BigEndian.PutUint64(n.index[:], binary.BigEndian.Uint64(id[:8])*0xbf58476d1ce4e5b9)
	copy(n.index[8:], id[8:])
	return n
}

func newCrowd(tb testing.TB, dir string, l layout, size int) *crowd {
	tb.Helper()
	b, err := OpenBolt(dir, nil)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := newKeyring(make(Key, keyLength))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := b.Claim(context.Background(), keys.ids()); err != nil {
		tb.Fatal(err)
	}
	c := &crowd{Bolt: b, layout: l, size: size, base: time.Now().Add(-time.Duration(size) * time.Millisecond), keys: keys}
	b.db.NoSync = true // until all are there
	for i := 0; i < size; {
		err := b.db.Update(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(numbersBucket)
			if l == ordered {
				bucket.FillPercent = fillPercent
			}
			for end := min(size, i+20_000); i < end; i++ {
				id := c.id(i, size)
				r := keys.seal(c.number(id))
				b.head.replaces(nil, r)
				b.index.replace(nil, r)
				if err := bucket.Put(id[:], r); err != nil {
					return err
				}
			}
			return b.head.put(tx)
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	b.db.NoSync = false
	if err := b.db.Sync(); err != nil {
		tb.Fatal(err)
	}
	return c
}

// run runs c until the benchmark ends.
func (c *crowd) run(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, c.Close()); err != nil {
			b.Error(err)
		}
	})
}

// A strategy makes a step durable.
type strategy struct {
	name   string
	update func(c *crowd, ref Ref, step Step) error
}

func inOne(c *crowd, ref Ref, step Step) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { // under the file's one write lock
		h := c.head
		if _, err := newTable(tx, c.index, &h).update(c.Now(), ref, step); err != nil {
			return err
		}
		c.head = h
		return h.put(tx)
	}
}

func batched(delay time.Duration) func(c *crowd, ref Ref, step Step) error {
	return func(c *crowd, ref Ref, step Step) error {
		c.db.MaxBatchDelay = delay
		return c.db.Batch(inOne(c, ref, step))
	}
}

var strategies = []strategy{
	{"one committer", func(c *crowd, ref Ref, step Step) error { return c.Update(context.Background(), ref, step) }},
	{"Update per call", func(c *crowd, ref Ref, step Step) error { return c.db.Update(inOne(c, ref, step)) }},
	{"Batch 1 ms", batched(time.Millisecond)},
	{"Batch 10 ms", batched(10 * time.Millisecond)},
}

// A deed is what is done to the records: a code judged wrong, or issued. Codes are judged minutes after they were sent, while many records are
// of codes that have ended: "judge" takes one of the newest 10,000, "judge-any" any, and "judge-again" one of up to 100,000 anywhere that were
// judged before. "issue" takes a number that had no code, "issue-again" any that has one.
type deed struct {
	name string
	do   func(c *crowd, update func(Ref, Step) error) error
}

const (
	recent = 10_000
	judged = 100_000
)

// again gives the id of one of the records, spread over all, that are judged before anything is measured.
func (c *crowd) again(i int) Name { return c.id(i*(c.size/min(judged, c.size)), c.size) }

// judgeOnce judges all of these.
func (c *crowd) judgeOnce(b *testing.B) {
	b.Helper()
	const callers = 256
	var all sync.WaitGroup
	for w := range callers {
		all.Go(func() {
			for i := w; i < min(judged, c.size); i += callers {
				if err := c.judge(c.again(i), func(ref Ref, step Step) error { return c.Update(context.Background(), ref, step) }); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// newest gives the id of the record that was made so many before the last.
func (c *crowd) newest(before int) Name {
	i := c.size - 1 - before
	if c.layout == scramble { // they lie anywhere
		i = int(uint64(before) * 0x9e3779b97f4a7c15 % uint64(c.size))
	}
	return c.id(i, c.size)
}

func (c *crowd) judge(id Name, update func(Ref, Step) error) error {
	found := false
	err := update(Ref{ByID, id}, func(_ time.Time, r Record) (Record, bool) {
		var n number
		if n, found = c.keys.open(r); !found {
			return nil, false
		}
		n.codes[0].attempts = (n.codes[0].attempts + 1) % 100
		return c.keys.seal(n), true
	})
	if err == nil && !found {
		err = errors.New("no such record")
	}
	return err
}

var deeds = []deed{
	{"judge", func(c *crowd, update func(Ref, Step) error) error {
		return c.judge(c.newest(rand.IntN(min(recent, c.size))), update)
	}},
	{"judge-any", func(c *crowd, update func(Ref, Step) error) error {
		return c.judge(c.newest(rand.IntN(c.size)), update)
	}},
	{"judge-again", func(c *crowd, update func(Ref, Step) error) error {
		return c.judge(c.again(rand.IntN(min(judged, c.size))), update)
	}},
	{"issue-again", func(c *crowd, update func(Ref, Step) error) error {
		n, fresh := c.number(c.newest(rand.IntN(c.size))), c.number(c.another())
		return update(Ref{ByNumber, n.index}, func(_ time.Time, r Record) (Record, bool) {
			n, found := c.keys.open(r)
			if !found {
				return nil, false
			}
			n.codes = append(n.codes[:1:1], fresh.codes[0])
			return c.keys.seal(n), true
		})
	}},
	{"issue", func(c *crowd, update func(Ref, Step) error) error {
		n := c.number(c.another())
		return update(Ref{ByNumber, n.index}, func(time.Time, Record) (Record, bool) { return c.keys.seal(n), true })
	}},
}

// rate does a deed from so many callers for a while and gives how often a second it was done.
func (c *crowd) rate(b *testing.B, s strategy, d deed, callers int) float64 {
	b.Helper()
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(began) < *slice {
				if err := d.do(c, func(ref Ref, step Step) error { return s.update(c, ref, step) }); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

func median[T int | float64 | time.Duration](of []T) T {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkDesigns prints tables, with rates a second by callers, and what is to be compared in them.
func BenchmarkDesigns(b *testing.B) {
	var crowds []*crowd
	for text := range strings.SplitSeq(*liveRecords, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1000 || size > 50_000_000 {
			b.Fatalf("-live %s: must be 1000 to 50000000", text)
		}
		for _, l := range []layout{ordered, scramble} {
			if l == scramble && size > 1_000_000 {
				continue
			}
			began := time.Now()
			c := newCrowd(b, b.TempDir(), l, size)
			b.Logf("%d %s records made in %v", size, l, time.Since(began).Round(time.Millisecond))
			c.run(b)
			c.judgeOnce(b)
			crowds = append(crowds, c)
		}
	}
	callers := []int{1, 16, 64, 256}
	type cell struct{ crowd, strategy, callers int }
	for _, d := range deeds {
		rates := map[cell][]float64{}
		for range *rounds {
			for ci, c := range crowds {
				for si, s := range strategies {
					if si > 0 && c.size > 1_000_000 {
						continue
					}
					for ni, n := range callers {
						k := cell{ci, si, ni}
						rates[k] = append(rates[k], c.rate(b, s, d, n))
					}
				}
			}
		}
		var table strings.Builder
		fmt.Fprintf(&table, "%s: rates a second at %v callers\n", d.name, callers)
		for ci, c := range crowds {
			for si, s := range strategies {
				if rates[cell{ci, si, 0}] == nil {
					continue
				}
				fmt.Fprintf(&table, "| %d | %s | %s |", c.size, c.layout, s.name)
				for ni := range callers {
					fmt.Fprintf(&table, " %.0f |", median(rates[cell{ci, si, ni}]))
				}
				table.WriteByte('\n')
			}
		}
		b.Log(table.String())
		const at64 = 2
		quotients := func(of, by cell) float64 { // round by round
			var q []float64
			for i := range rates[of] {
				q = append(q, rates[of][i]/rates[by][i])
			}
			return median(q)
		}
		b.ReportMetric(quotients(cell{0, 0, at64}, cell{0, 1, at64}), d.name+"-committer/update")
		for ci, c := range crowds {
			if ci > 0 && c.layout == ordered {
				b.ReportMetric(quotients(cell{0, 0, at64}, cell{ci, 0, at64}), fmt.Sprintf("%s-cost-%d/%d", d.name, c.size, crowds[0].size))
			}
		}
	}
	for _, c := range crowds {
		if c.layout == ordered {
			b.ReportMetric(float64(c.sweeps(b).Microseconds())/1000, fmt.Sprintf("sweep-ms-%d", c.size))
		}
	}
}

// half removes the older half of all records, so that many pages are free.
func (c *crowd) half(b *testing.B) {
	b.Helper()
	for after, more := (Name{}), true; more; {
		err := c.db.Update(func(tx *bbolt.Tx) (err error) {
			h := c.head
			remove := func(time.Time, Record) (Record, bool) { return nil, true }
			after, more, _, err = newTable(tx, c.index, &h).sweep(c.Now(), after, c.newest(c.size/2).Time(), 20_000, remove)
			c.head = h
			return errors.Join(err, h.put(tx))
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLayouts issues codes in stores that differ in one thing each, half of whose records were removed: what bbolt does with its list of free pages, and
// whether a record can be found by entries of the file, under keys that are in no order, in place of the index in memory.
func BenchmarkLayouts(b *testing.B) {
	const size, callers = 1_000_000, 64
	chosen := fileOptions
	defer func() { fileOptions = chosen }()
	index := []byte("index")
	type design struct {
		name    string
		options func(*bbolt.Options)
		entries int // of the file for each code
	}
	designs := []design{
		{"as chosen", func(*bbolt.Options) {}, 0},
		{"free pages in an array", func(o *bbolt.Options) { o.FreelistType = bbolt.FreelistArrayType }, 0},
		{"free pages written at each commit", func(o *bbolt.Options) { o.NoFreelistSync = false }, 0},
		{"two entries of the file for each code", func(*bbolt.Options) {}, 2},
	}
	var crowds []*crowd
	var issued []*atomic.Int64
	for _, d := range designs {
		fileOptions = chosen
		d.options(&fileOptions)
		c, steps := newCrowd(b, b.TempDir(), ordered, size), new(atomic.Int64)
		if d.entries > 0 {
			c.commit = func(tx *bbolt.Tx) error {
				entries, err := tx.CreateBucketIfNotExists(index)
				for range steps.Swap(0) * int64(d.entries) {
					var key Name
					binary.BigEndian.PutUint64(key[:], rand.Uint64())
					binary.BigEndian.PutUint64(key[8:], rand.Uint64())
					err = errors.Join(err, entries.Put(key[:], key[:]))
				}
				return errors.Join(err, tx.Commit())
			}
			for made := 0; made < size; made += 2000 { // those that are there have theirs
				steps.Store(2000)
				if tx, err := c.db.Begin(true); err != nil {
					b.Fatal(err)
				} else if err := c.commit(tx); err != nil {
					b.Fatal(err)
				}
			}
		}
		c.half(b)
		c.run(b)
		crowds, issued = append(crowds, c), append(issued, steps)
	}
	only := strategy{"one committer", func(c *crowd, ref Ref, step Step) error {
		return c.Update(context.Background(), ref, func(now time.Time, r Record) (Record, bool) {
			issued[slices.Index(crowds, c)].Add(1)
			return step(now, r)
		})
	}}
	issue := deeds[slices.IndexFunc(deeds, func(d deed) bool { return d.name == "issue" })]
	rates := make([][]float64, len(designs))
	for range *rounds {
		for i, c := range crowds {
			rates[i] = append(rates[i], c.rate(b, only, issue, callers))
		}
	}
	for i, d := range designs {
		var against []float64
		for round := range rates[i] {
			against = append(against, rates[i][round]/rates[0][round])
		}
		b.Logf("%s: %.0f codes a second at %d callers, %.2f times as many as chosen", d.name, median(rates[i]), callers, median(against))
	}
}

// sweeps gives how much longer a commit takes that sweeps as many records as one may, all of which go.
func (c *crowd) sweeps(b *testing.B) time.Duration {
	b.Helper()
	var with, without []time.Duration
	remove := func(time.Time, Record) (Record, bool) { return nil, true }
	for range min(50, c.size/sweepBatch/2) {
		began := time.Now()
		if _, more, err := c.Sweep(context.Background(), Name{}, time.Now(), sweepBatch, remove); err != nil || !more {
			b.Fatalf("sweep: %v, more %v", err, more)
		}
		with = append(with, time.Since(began))
		began = time.Now()
		n := c.number(c.another())
		if err := c.Update(context.Background(), Ref{ByNumber, n.index}, func(time.Time, Record) (Record, bool) { return c.keys.seal(n), true }); err != nil {
			b.Fatal(err)
		}
		without = append(without, time.Since(began))
	}
	return median(with) - median(without)
}

// TestManyRecordsAreReadFast: at start every record is read, and its MAC checked. A million in two seconds is the aim; the bound is
// for a machine that has other things to do, and the race detector.
func TestManyRecordsAreReadFast(t *testing.T) {
	const size, bound = 50_000, 20 * time.Second
	dir := t.TempDir()
	c := newCrowd(t, dir, ordered, size)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s, err := Open(Config{Dir: dir, Key: make(Key, keyLength)}, DefaultPolicy(), nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%d records in %v, %.0f a second", size, took, size/took.Seconds())
	if took > bound {
		t.Errorf("took %v, more than %v", took, bound)
	}
	found := len(s.backend.(*Bolt).index.numbers)
	if err := s.Close(); err != nil || found != size {
		t.Errorf("%d of %d records, %v", found, size, err)
	}
}
