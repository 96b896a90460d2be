package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"otpgw/otpstore"
	"otpgw/otpstore/losefs"
)

var (
	crashes   = flag.Int("crashes", 400, "how many power failures TestPowerLossBreaksNoPromise makes")
	crashSeed = flag.Uint64("crash-seed", 0, "seed of the first power failure; 0: a new one each time")
)

func TestMain(m *testing.M) {
	losefs.Main()
	inspecting()
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		otpstore.CycleNear(0)
	}
	os.Exit(m.Run())
}

// patience bounds what takes milliseconds; only a failing test waits as long.
const patience = 30 * time.Second

var masterKey = otpstore.Key(bytes.Repeat([]byte{7}, 32))

// A making is how a store is made from its file. Nil is the real one.
type making func(b *otpstore.Bolt) otpstore.Backend

// A machine is a store on a disk, and the power supply.
type machine struct {
	t      *testing.T
	disk   *losefs.Disk
	making making
	policy otpstore.Policy
	stop   func() error // ends and closes the store
}

func newMachine(t *testing.T, how making) *machine {
	p := policy()
	p.TTL, p.MaxAttempts, p.SendLimit, p.NumberLimit, p.MaxFailures = 10*time.Minute, 4, 4, 100, 100
	return &machine{t: t, disk: losefs.New(t), making: how, policy: p}
}

// start opens the store and runs it. The error is that of the opening.
func (m *machine) start() (*otpstore.Store, error) {
	var s *otpstore.Store
	var err error
	if m.making == nil {
		s, err = otpstore.Open(otpstore.Config{Dir: m.disk.Dir}, m.policy, nil, quiet())
	} else {
		var b *otpstore.Bolt
		if b, err = otpstore.OpenBolt(m.disk.Dir, nil); err == nil {
			if s, err = otpstore.New(m.making(b), masterKey, m.policy, nil, quiet()); err != nil {
				err = errors.Join(err, b.Close())
			}
		}
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	m.stop = func() error {
		cancel()
		return errors.Join(<-ended, s.Close())
	}
	return s, nil
}

// load lets workers play until the store is gone, or enough is true of the calls that were answered.
func load(l *ledger, s *otpstore.Store, seed uint64, enough func(calls int) bool) {
	var workers sync.WaitGroup
	known := len(l.accounts) // numbers of an earlier load are others
	for w := range 4 {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for n := known; l.play(s, fmt.Sprintf("+346%02d%06d", w, n), rng); n++ {
				l.mu.Lock()
				done := enough(l.calls)
				l.mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	workers.Wait()
}

// fail plays until the power fails, and compares what is there after it with what was answered before. It says at which change it failed.
func (m *machine) fail(seed uint64, torn bool) (*ledger, losefs.Change) {
	m.t.Helper()
	otpstore.CycleNear(seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := newLedger(m.policy)
	m.disk.Clear(m.t)
	plan := losefs.Plan{StopAt: 1 + rng.IntN(120), StopAfter: rng.IntN(2) == 0}
	first := rng.IntN(10) == 0 // at the first start, or soon after it
	if first {
		m.disk.Set(m.t, plan)
	}
	s, err := m.start()
	if err == nil {
		if !first {
			m.disk.Set(m.t, plan)
		}
		deadline := time.Now().Add(patience)
		load(l, s, seed, func(int) bool { return time.Now().After(deadline) })
		m.stop() // it says that the disk failed, or that nothing was left to write
	}
	at := m.disk.Last(m.t)
	if !at.Stopped {
		m.t.Fatalf("seed %d: the power did not fail (%+v, %v)", seed, at, err)
	}
	loss := losefs.Loss{Torn: torn, Seed: seed}
	m.disk.Crash(m.t, loss)
	if rng.IntN(5) == 0 { // it fails once more while the first failure is made good
		m.disk.Set(m.t, losefs.Plan{StopAt: 1 + rng.IntN(6), StopAfter: rng.IntN(2) == 0})
		if _, err := m.start(); err == nil {
			m.stop()
		}
		m.disk.Crash(m.t, loss)
	}
	s, err = m.start()
	if err != nil {
		l.breaks(kept, "the store does not open: %v", err)
		return l, at
	}
	l.audit(s, seed, false)
	if err := m.stop(); err != nil {
		l.breaks(plain, "after the power failure: %v", err)
	}
	return l, at
}

// TestPowerLossBreaksNoPromise stops the disk at some write or sync under load, loses or tears what was not synced, starts again
// and goes through the books.
func TestPowerLossBreaksNoPromise(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64() >> 16
	}
	t.Logf("%d power failures, -crash-seed %d", *crashes, seed)
	m := newMachine(t, nil)
	stages, calls := map[string]int{}, 0
	for n := 0; n < *crashes && !t.Failed(); n++ {
		l, at := m.fail(seed+uint64(n), (seed+uint64(n))%8 != 0)
		l.whole(t, fmt.Sprintf("-crashes 1 -crash-seed %d, at %+v", seed+uint64(n), at))
		stages[stage(at)]++
		calls += l.calls
	}
	t.Logf("%d answered calls, stopped at %v", calls, stages)
	for _, s := range []string{"write of pages", "write of meta", "sync"} {
		if least := *crashes / 20; stages[s] < least {
			t.Errorf("stopped %d times at a %s, %d at least were to be", stages[s], s, least)
		}
	}
	if calls < 5**crashes {
		t.Errorf("%d calls were answered: the load was no load", calls)
	}
}

// stage is the step of a commit at which it stopped.
func stage(c losefs.Change) string {
	switch {
	case c.Kind == "write" && c.Offset < 2*4096:
		return "write of meta"
	case c.Kind == "write":
		return "write of pages"
	}
	return c.Kind
}

// Each of these is broken in one way. The books must find it out, or they find out nothing.
func TestTheBooksFindOutBrokenStores(t *testing.T) {
	for name, broken := range map[string]struct {
		making making
		finds  []promise // one of them
	}{
		"does not sync": {
			func(b *otpstore.Bolt) otpstore.Backend { otpstore.SkipSyncs(b); return b }, []promise{kept},
		},
		"answers before it commits": {
			func(b *otpstore.Bolt) otpstore.Backend { return &hasty{Backend: b} }, []promise{kept, tries, once},
		},
		"checks, then acts": {
			func(b *otpstore.Bolt) otpstore.Backend { return racy{b} }, []promise{once, tries},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, broken.making)
			for n := range uint64(100) {
				l, _ := m.fail(n+1, false) // torn pages of a store that does not sync may be no file at all
				for _, p := range broken.finds {
					if cases := l.broken[p]; len(cases) > 0 {
						t.Logf("found out by power failure %d: %s: %s", n+1, p, cases[0])
						return
					}
				}
			}
			t.Errorf("after 100 power failures nothing of %q was seen", broken.finds)
		})
	}
}

// hasty answers when a step has been run, and commits then.
type hasty struct {
	otpstore.Backend
	commits sync.WaitGroup
}

func (h *hasty) Update(ctx context.Context, ref otpstore.Ref, step otpstore.Step) error {
	answer := make(chan error, 2)
	h.commits.Go(func() {
		answer <- h.Backend.Update(ctx, ref, func(now time.Time, r otpstore.Record) (otpstore.Record, bool) {
			next, changed := step(now, r)
			answer <- nil
			return next, changed
		})
	})
	return <-answer
}

func (h *hasty) Close() error {
	err := h.Backend.Close()
	h.commits.Wait()
	return err
}

// racy reads, decides and writes in steps of their own.
type racy struct{ otpstore.Backend }

func (r racy) Update(ctx context.Context, ref otpstore.Ref, step otpstore.Step) error {
	var at time.Time
	var old otpstore.Record
	err := r.Backend.Update(ctx, ref, func(now time.Time, r otpstore.Record) (otpstore.Record, bool) {
		at, old = now, bytes.Clone(r)
		return nil, false
	})
	if err != nil {
		return err
	}
	next, changed := step(at, old)
	if !changed {
		return nil
	}
	return r.Backend.Update(ctx, ref, func(time.Time, otpstore.Record) (otpstore.Record, bool) { return next, true })
}

// play makes so many calls to a new store, which ends in order, and gives what they were told.
func (m *machine) play(seed uint64, most int) *ledger {
	m.t.Helper()
	otpstore.CycleNear(seed)
	m.disk.Clear(m.t)
	l := newLedger(m.policy)
	s, err := m.start()
	if err != nil {
		m.t.Fatal(err)
	}
	load(l, s, seed, func(calls int) bool { return calls >= most })
	if err := m.stop(); err != nil {
		m.t.Fatal(err)
	}
	return l
}

// damage plays without a power failure, changes a bit of every record and goes through the books.
func (m *machine) damage(seed uint64) *ledger {
	m.t.Helper()
	l := m.play(seed, 100)
	rng := rand.New(rand.NewPCG(seed, 0))
	if err := otpstore.FlipRecordBit(filepath.Join(m.disk.Dir, otpstore.BoltFile), rng.IntN(1<<20), uint(rng.IntN(8))); err != nil {
		m.t.Fatal(err)
	}
	s, err := m.start()
	if err != nil {
		m.t.Fatal(err)
	}
	l.audit(s, seed, true)
	if err := m.stop(); err != nil {
		m.t.Fatal(err)
	}
	return l
}

func TestNoChangedBitIsBelieved(t *testing.T) {
	m := newMachine(t, nil)
	for seed := range uint64(30) {
		l := m.damage(seed)
		l.whole(t, fmt.Sprintf("seed %d", seed))
		if with := slices.DeleteFunc(slices.Clone(l.accounts), func(a *account) bool { return len(a.entries) == 0 }); l.dropped < len(with) {
			t.Errorf("seed %d: %d of %d damaged records are there", seed, len(with)-l.dropped, len(with))
		}
	}
}

// The same without the MACs: what is there then is not what was written.
func TestTheBooksFindOutChangedBits(t *testing.T) {
	m := newMachine(t, func(b *otpstore.Bolt) otpstore.Backend { return otpstore.WithoutSeals(b, masterKey) })
	for seed := range uint64(60) {
		l := m.damage(seed)
		for _, p := range []promise{kept, tries, once, oneActive, limits, ended} {
			if cases := l.broken[p]; len(cases) > 0 {
				t.Logf("found out by seed %d: %s: %s", seed, p, cases[0])
				return
			}
		}
	}
	t.Error("60 times a bit of every record was changed, and nothing was seen")
}

// A failed sync ends the store at once: the kernel takes what it did not write for written.
func TestFailedSyncEndsTheStore(t *testing.T) {
	m := newMachine(t, nil)
	for n := range 20 {
		m.disk.Clear(t)
		s, err := m.start()
		if err != nil {
			t.Fatal(err)
		}
		m.disk.Set(t, losefs.Plan{FailSync: 1 + n})
		l := newLedger(m.policy)
		deadline := time.Now().Add(patience)
		load(l, s, uint64(n), func(int) bool { return time.Now().After(deadline) })
		syncs := m.disk.Last(t).Syncs
		if err := s.Ready(); !errors.Is(err, otpstore.ErrUnavailable) {
			t.Errorf("sync %d failed, and the store is ready: %v", n+1, err)
		}
		if err := m.stop(); err == nil {
			t.Errorf("sync %d failed, and Run says nothing", n+1)
		}
		if syncs > n+1 {
			t.Errorf("sync %d failed, and %d more followed", n+1, syncs-n-1)
		}
		if n%2 == 0 { // else the process ends alone, and the machine goes on
			m.disk.Crash(t, losefs.Loss{Torn: true, Seed: uint64(n)})
		}
		m.disk.Set(t, losefs.Plan{})
		if s, err = m.start(); err != nil {
			t.Fatal(err)
		}
		l.audit(s, uint64(n), false)
		l.whole(t, fmt.Sprintf("sync %d failed", n+1))
		if err := m.stop(); err != nil {
			t.Error(err)
		}
	}
}

// A full disk costs no answer that was given, whether the store goes on or ends.
func TestFullDiskLosesNothing(t *testing.T) {
	m := newMachine(t, nil)
	for n := range 4 {
		m.disk.Clear(t)
		s, err := m.start()
		if err != nil {
			t.Fatal(err)
		}
		m.disk.Set(t, losefs.Plan{Capacity: (8 + 2*n) * 4096})
		l := newLedger(m.policy)
		deadline := time.Now().Add(patience)
		load(l, s, uint64(n), func(int) bool { return time.Now().After(deadline) })
		m.stop() // it may say that the disk is full
		m.disk.Set(t, losefs.Plan{})
		if s, err = m.start(); err != nil {
			t.Fatal(err)
		}
		l.audit(s, uint64(n), false)
		l.whole(t, fmt.Sprintf("%d pages", 8+2*n))
		if err := m.stop(); err != nil {
			t.Error(err)
		}
	}
}
