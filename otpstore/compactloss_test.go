package otpstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"otpgw/otpstore"
	"otpgw/otpstore/losefs"
)

const (
	swollen = 65 << 20 // octets of a file that a start compacts
	slim    = 2 << 20  // none that was compacted here is as large
)

// A compacting is how a file is made anew on a machine whose power may fail at any moment of it.
type compacting func(m *machine, l *ledger, seed uint64)

// byCommand is "otpgw store compact".
func byCommand(m *machine, _ *ledger, _ uint64) {
	otpstore.Compact(m.disk.Dir) // the plan says whether it was cut off
}

// byStart is a start that compacts, and work that goes on.
func byStart(m *machine, l *ledger, seed uint64) {
	if s, err := m.start(); err == nil {
		load(l, s, seed+1, func(calls int) bool { return calls >= 60 })
		m.stop() // the disk may have failed
	}
}

// failCompacting has the power fail as planned while a store that holds what l was told is compacted, and starts again. It says whether it failed.
func (m *machine) failCompacting(how compacting, seed uint64, plan losefs.Plan, loss losefs.Loss) (*ledger, losefs.Change) {
	m.t.Helper()
	l := m.play(seed, 30)
	path := filepath.Join(m.disk.Dir, otpstore.BoltFile)
	records, err := otpstore.Check(m.disk.Dir)
	if err == nil {
		err = otpstore.Inflate(path, swollen)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	old := headOf(m.t, path)
	m.disk.Set(m.t, plan)
	how(m, l, seed)
	at := m.disk.Last(m.t)
	m.disk.Crash(m.t, loss)

	if now, err := otpstore.Check(m.disk.Dir); err != nil {
		l.breaks(kept, "neither the old file nor the new one: %v", err)
	} else if l.calls == 30 && now != records { // nobody was answered since
		l.breaks(kept, "%d records of %d", now, records)
	} else if info, err := os.Stat(path); err != nil || info.Size() > slim && !bytes.Equal(headOf(m.t, path), old) && l.calls == 30 {
		l.breaks(plain, "%d octets, which is neither the old file nor a new one, %v", info.Size(), err)
	}
	s, err := m.start()
	if err != nil {
		l.breaks(kept, "the store does not open: %v", err)
		return l, at
	}
	l.audit(s, seed, false)
	if err := m.stop(); err != nil {
		l.breaks(plain, "after the power failure: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > slim {
		l.breaks(plain, "the start did not compact: %v, %v", info.Size(), err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		l.breaks(plain, "a copy that was cut off is left: %v", err)
	}
	return l, at
}

// headOf are the first octets of a file: its two heads.
func headOf(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 2*page)
	if _, err := f.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	return head
}

// The power fails at every change that a compaction makes, before it and after it: what is there is the old file or the new one, whole.
func TestPowerLossWhileCompacting(t *testing.T) {
	m := newMachine(t, nil)
	seed, kinds := uint64(time.Now().UnixNano()), map[string]int{}
	for name, how := range map[string]compacting{"command": byCommand, "start": byStart} {
		done := false
		for n := 1; !done && !t.Failed(); n++ {
			for _, after := range []bool{false, true} {
				plan, torn := losefs.Plan{StopAt: n, StopAfter: after}, seed%4 != 0
				l, at := m.failCompacting(how, seed, plan, losefs.Loss{Torn: torn, Seed: seed})
				l.whole(t, fmt.Sprintf("%s, seed %d, %+v, torn %t, at %+v", name, seed, plan, torn, at))
				done = !at.Stopped || n > 40
				kinds[at.Kind]++
				seed++
			}
		}
	}
	t.Logf("stopped at %v", kinds)
	for _, kind := range []string{"name", "write", "truncate", "sync", "sync names"} {
		if kinds[kind] < 4 {
			t.Errorf("stopped %d times at a %s", kinds[kind], kind)
		}
	}
}

// A compaction that does not sync the new file before it renames it, or not the directory after that, is found out.
func TestTheBooksFindOutUnsyncedCompactions(t *testing.T) {
	for kind, how := range map[string]compacting{"sync": byCommand, "sync names": byStart} {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, nil)
			for n := range uint64(60) {
				plan := losefs.Plan{Deaf: kind, StopAt: 1 + int(n)}
				l, at := m.failCompacting(how, n+1, plan, losefs.Loss{Torn: n%2 == 1, Seed: n})
				if cases := slices.Concat(l.broken[kept], l.broken[tries], l.broken[once]); len(cases) > 0 {
					t.Logf("found out by power failure %d, at %+v: %s", n, at, cases[0])
					return
				}
			}
			t.Error("after 60 power failures nothing was seen")
		})
	}
}
