package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// patching has all stores of a test patch what is not among so many of the newest records.
func patching(t *testing.T, beyond int) {
	otpstore.PatchBeyond(beyond)
	t.Cleanup(func() { otpstore.CycleNear(0) })
}

// entries are how many entries the closed store in dir has in either tree.
func entries(t *testing.T, dir string) (records, patches int) {
	t.Helper()
	records, patches, err := otpstore.Entries(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		t.Fatal(err)
	}
	return records, patches
}

// What happens to a code is the same where its record is patched: while the store runs, and after restarts.
func TestLifeOfAPatchedRecord(t *testing.T) {
	patching(t, 4)
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	restart := func() {
		t.Helper()
		s.close()
		s = open(t, dir, policy(), nil)
	}
	used, guessed, resent, discarded := s.send("+3461"), s.send("+3462"), s.send("+3463"), s.send("+3464")
	for n := range 20 {
		s.send(fmt.Sprintf("+3465%d", n))
	}
	s.verify(used, used.Code, nil)
	s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
	again := s.send("+3463") // its record goes to the end, and leaves a patch
	back := s.issue("+3464") // and this one comes back
	if err := s.Discard(t.Context(), back.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delivered(t.Context(), receipt(discarded)); err != nil {
		t.Fatal(err)
	}
	restart()
	if v := s.lookup(discarded); v.State != "live" || v.Receipt != "DELIVRD" {
		t.Errorf("delivered, then %+v", v)
	}
	s.verify(used, used.Code, otpstore.ErrExpired)
	s.verify(resent, resent.Code, otpstore.ErrExpired)
	for range policy().MaxAttempts - 2 {
		s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
	}
	s.verify(guessed, wrong(guessed), otpstore.ErrFailed)
	s.verify(discarded, discarded.Code, nil)
	restart()
	s.verify(again, again.Code, nil)
	s.verify(guessed, guessed.Code, otpstore.ErrFailed)
	s.verify(discarded, discarded.Code, otpstore.ErrExpired)
	states := map[string]int{}
	for _, id := range s.pages(client, otpstore.ListOptions{Limit: 7}) {
		v, err := s.Lookup(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		states[v.State]++
	}
	if states["live"] != 20 || states["used"] != 3 || states["replaced"] != 1 || states["locked"] != 1 || len(states) != 4 {
		t.Errorf("the list has %v", states)
	}
	s.close()
	if records, patches := entries(t, dir); records != 25 || patches != 4 { // one went elsewhere
		t.Errorf("%d entries, %d patches", records, patches)
	}
	if records, err := otpstore.Check(dir); err != nil || records != 24 {
		t.Errorf("%d records, %v", records, err)
	}
	values, err := otpstore.Values(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := otpstore.Compact(dir); err != nil {
		t.Fatal(err)
	}
	if records, patches := entries(t, dir); records != 24 || patches != 0 {
		t.Errorf("compacted: %d entries, %d patches", records, patches)
	}
	if now, err := otpstore.Values(filepath.Join(dir, otpstore.BoltFile)); err != nil || !bytes.Equal(bytes.Join(now, nil), bytes.Join(values, nil)) {
		t.Errorf("compacted, the records are others, %v", err)
	}
	s = open(t, dir, policy(), nil)
	s.verify(guessed, guessed.Code, otpstore.ErrFailed)
	s.verify(used, used.Code, otpstore.ErrExpired)
}

// The sweep takes what was patched, and what went elsewhere, out of both trees.
func TestSweepTakesPatches(t *testing.T) {
	patching(t, 1)
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, policy(), nil)
		for n := range 30 {
			i := s.send(fmt.Sprintf("+3460%d", n))
			if n%2 == 0 && n > 0 {
				s.send(fmt.Sprintf("+3460%d", n/2))
			}
			s.verify(i, wrong(i), otpstore.ErrWrongCode)
			time.Sleep(time.Millisecond) // ids of one are in no order
		}
		s.close()
		if records, patches := entries(t, dir); records <= 30 || patches < 10 {
			t.Errorf("%d entries, %d patches", records, patches)
		}
		s = open(t, dir, policy(), nil)
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		if n := s.Stats().Records; n != 0 {
			t.Errorf("%d records", n)
		}
		s.close()
		if records, patches := entries(t, dir); records != 0 || patches != 0 {
			t.Errorf("%d entries and %d patches are left", records, patches)
		}
	})
}

// Of a number that is forgotten nothing is in either tree, wherever its record was before, but what limits it.
func TestForgetTakesPatches(t *testing.T) {
	for _, beyond := range []int{1, 3, 1000} {
		patching(t, beyond)
		dir := t.TempDir()
		s := open(t, dir, policy(), nil)
		var ids []string
		send := func(number string) {
			i, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: number, Masked: "masked" + number, Terms: policy().Terms()})
			if err != nil {
				t.Fatal(err)
			}
			s.sent(i)
			if number == phone {
				ids = append(ids, i.ID)
			}
		}
		for n := range 16 {
			send(fmt.Sprintf("+3461%d", n))
			if n%4 == 0 {
				send(phone)
			}
			for _, id := range ids { // so that it changes
				_, err := s.Delivered(t.Context(), otpstore.Receipt{SMSC: "main", MessageIDs: []string{"m-" + id}, Converted: 1, State: fmt.Sprint("S", n)})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		s.forget(phone, otpstore.Forgotten{Verifications: 4, Live: 1})
		s.close()
		all, err := otpstore.Raw(filepath.Join(dir, otpstore.BoltFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			for what, octets := range map[string][]byte{"id": otpstore.IDOctets(id), "message id": []byte("m-" + id), "masked number": []byte("masked" + phone)} {
				if bytes.Contains(all, octets) {
					t.Errorf("beyond %d: %s of %s is left", beyond, what, id)
				}
			}
		}
		if !bytes.Contains(all, []byte("masked+34610")) {
			t.Error("what is looked for would not be found")
		}
	}
}

// Whatever is amiss with patches, no try is given back: the store is begun anew, or the record is dropped. What a patch has replaced matters to nobody.
func TestDamagedPatches(t *testing.T) {
	patching(t, 1)
	for name, test := range map[string]struct {
		damage        func(path string) error
		anew, dropped bool
	}{
		"missing":                 {otpstore.DropPatch, true, false},
		"earlier":                 {otpstore.RevertPatch, true, false},
		"of no record":            {otpstore.EstrangePatch, true, false},
		"followed":                {otpstore.DoublePatch, true, false},
		"out of its chain":        {otpstore.UnchainPatch, true, false},
		"a bit has changed":       {otpstore.FlipPatch, false, true},
		"earlier, and another":    {otpstore.RevertPatchAndFlip, false, true},
		"a bit of what it covers": {otpstore.FlipPatched, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, policy(), nil)
			guessed := s.send("+3461")
			other := s.send("+3462")
			time.Sleep(2 * time.Millisecond) // ids of one are in no order, and this one is to be the last
			s.send("+3463")
			for range policy().MaxAttempts - 1 {
				s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
			}
			s.close()
			if _, patches := entries(t, dir); patches < 1 {
				t.Fatal("nothing is patched")
			}
			if err := test.damage(filepath.Join(dir, otpstore.BoltFile)); err != nil {
				t.Fatal(err)
			}
			if _, err := otpstore.Check(dir); (err != nil) != (test.anew || test.dropped) {
				t.Errorf("the check says %v", err)
			}
			starts := 2
			if test.dropped { // it is told of until the next start alone
				starts = 1
			}
			for range starts {
				s = open(t, dir, policy(), nil)
				asides, err := filepath.Glob(filepath.Join(dir, otpstore.BoltFile+".corrupt-*"))
				if err != nil || len(asides) == 1 != test.anew {
					t.Fatalf("set aside: %v, %v", asides, err)
				}
				if test.anew || test.dropped {
					s.verify(guessed, guessed.Code, otpstore.ErrExpired)
				} else {
					s.verify(guessed, wrong(guessed), otpstore.ErrFailed)
				}
				if !test.anew {
					s.lookup(other)
				}
				s.close()
			}
		})
	}
}

// A store of format 3, which has no patches, is read and goes on with them.
func TestFormatWithoutPatches(t *testing.T) {
	patching(t, 1)
	dir := t.TempDir()
	path := filepath.Join(dir, otpstore.BoltFile)
	s := open(t, dir, policy(), nil)
	flying, guessed, used := s.issue("+3460"), s.send("+3461"), s.send("+3462") // the first start settles it
	s.send("+3463")
	s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
	s.verify(used, used.Code, nil)
	s.close()
	if err := otpstore.MakeUnpatched(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if records, err := otpstore.Check(dir); err != nil || records != 4 {
		t.Errorf("%d records, %v", records, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the check changed it, %v", err)
	}
	if _, err := otpstore.Compact(dir); err != nil {
		t.Error(err)
	}
	for range policy().MaxAttempts - 2 {
		s = open(t, dir, policy(), nil)
		s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
		s.close()
	}
	s = open(t, dir, policy(), nil)
	s.verify(guessed, wrong(guessed), otpstore.ErrFailed)
	s.verify(used, used.Code, otpstore.ErrExpired)
	s.verify(flying, flying.Code, otpstore.ErrNotFound)
	if v := s.lookup(flying); v.State != "unknown" {
		t.Errorf("what was on its way is %s", v.State)
	}
	s.close()
	if records, patches := entries(t, dir); records != 4 || patches != 2 {
		t.Errorf("%d entries, %d patches", records, patches)
	}
}

// Where a commit failed, what is patched is not known any more: a list is refused, and not made of what may not be in the file.
func TestListAfterAFailedCommit(t *testing.T) {
	patching(t, 1)
	bolt, err := otpstore.OpenBolt(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &breakable{Backend: bolt, fails: func() { otpstore.BreakCommits(bolt, false) }}
	st, err := otpstore.New(b, make(otpstore.Key, 32), policy(), nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, st)
	guessed := s.send("+3461")
	s.send("+3462")
	b.broken = true
	s.verify(guessed, wrong(guessed), otpstore.ErrUnavailable)
	if _, err := s.List(t.Context(), client, otpstore.ListOptions{Limit: 10}); !errors.Is(err, otpstore.ErrUnavailable) || errors.Is(err, otpstore.ErrCorrupt) {
		t.Errorf("the list gives %v", err)
	}
	if err := s.stop(); !errors.Is(err, otpstore.ErrDisk) {
		t.Errorf("Run gives %v", err)
	}
}

// A breakable backend has commits fail from within a step, in the goroutine that commits.
type breakable struct {
	otpstore.Backend
	fails  func()
	broken bool
}

func (b *breakable) Update(ctx context.Context, ref otpstore.Ref, step otpstore.Step) error {
	broken := b.broken
	return b.Backend.Update(ctx, ref, func(now time.Time, r otpstore.Record) (otpstore.Record, bool) {
		if broken {
			b.fails()
		}
		return step(now, r)
	})
}

// A list says of every code what was answered before it was asked for, though patches come and go meanwhile.
func TestListSeesPatches(t *testing.T) {
	patching(t, 8)
	const numbers, workers = 200, 4
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	var codes []otpstore.Issued
	for n := range numbers {
		codes = append(codes, s.send(fmt.Sprintf("+346%06d", n)))
	}
	var answered sync.Map // id: tries that were answered
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for try := 1; try < policy().MaxAttempts; try++ {
				for n := w; n < numbers && ctx.Err() == nil; n += workers {
					if err := s.Verify(t.Context(), client, codes[n].ID, wrong(codes[n])); err == nil {
						t.Error("a wrong code is right")
					}
					answered.Store(codes[n].ID, try)
				}
			}
		})
	}
	worked := make(chan struct{})
	go func() { all.Wait(); close(worked) }()
	for lists, done := 0, false; !done; lists++ {
		select {
		case <-worked:
			done = true
		default:
		}
		known := map[string]int{}
		answered.Range(func(id, try any) bool { known[id.(string)] = try.(int); return true })
		o, seen := otpstore.ListOptions{Limit: 64}, 0
		for {
			page, err := s.List(t.Context(), client, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Verifications {
				if seen++; v.Attempts < known[v.ID] {
					t.Fatalf("list %d: %d tries of %d that were answered", lists, v.Attempts, known[v.ID])
				}
			}
			if o.After = page.Next; o.After == "" {
				break
			}
		}
		if seen != numbers {
			t.Fatalf("list %d: %d codes of %d", lists, seen, numbers)
		}
	}
	s.close()
	if _, patches := entries(t, dir); patches < numbers/2 {
		t.Errorf("%d patches", patches)
	}
}
