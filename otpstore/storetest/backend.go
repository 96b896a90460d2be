package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"otpgw/otpstore"
)

type (
	name = otpstore.Name
	rec  = otpstore.Record
)

func testNames(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	start(t, b)
	now := time.Now()
	first, second, third := id(now, 1), id(now.Add(time.Millisecond), 2), id(now.Add(time.Second), 3)

	put(t, b, record(number(1), []name{first}, nil, "a"))
	expect(t, b, otpstore.ByNumber, number(1), "a")
	expect(t, b, otpstore.ByID, first, "a")
	expect(t, b, otpstore.ByNumber, number(2), "")
	expect(t, b, otpstore.ByID, second, "")
	expect(t, b, otpstore.ByMessage, message(1), "")

	put(t, b, record(number(1), []name{first, second}, []name{message(1), message(2)}, "b"))
	put(t, b, record(number(2), []name{third}, []name{message(3)}, "c"))
	for _, n := range []name{first, second} {
		expect(t, b, otpstore.ByID, n, "b")
	}
	for _, m := range []name{message(1), message(2)} {
		expect(t, b, otpstore.ByMessage, m, "b")
	}
	expect(t, b, otpstore.ByID, third, "c")
	expect(t, b, otpstore.ByMessage, message(3), "c")

	// The newest goes, as when it is discarded, and one of the messages: the rest still leads to the record.
	put(t, b, record(number(1), []name{first}, []name{message(2)}, "d"))
	expect(t, b, otpstore.ByNumber, number(1), "d")
	expect(t, b, otpstore.ByID, first, "d")
	expect(t, b, otpstore.ByID, second, "")
	expect(t, b, otpstore.ByMessage, message(1), "")
	expect(t, b, otpstore.ByMessage, message(2), "d")

	// Changes are possible by each of the names.
	change(t, b, otpstore.Ref{By: otpstore.ByID, Name: first}, record(number(1), []name{first, second}, []name{message(2)}, "e"))
	change(t, b, otpstore.Ref{By: otpstore.ByID, Name: first}, record(number(1), []name{first, second}, []name{message(2)}, "f"))
	expect(t, b, otpstore.ByID, second, "f")
	change(t, b, otpstore.Ref{By: otpstore.ByMessage, Name: message(2)}, record(number(1), []name{second}, []name{message(2)}, "g"))
	expect(t, b, otpstore.ByNumber, number(1), "g")
	expect(t, b, otpstore.ByID, first, "")
	expect(t, b, otpstore.ByID, second, "g")
	expect(t, b, otpstore.ByNumber, number(2), "c")
}

func testRemoved(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	start(t, b)
	now := time.Now()
	older, newest := id(now, 1), id(now.Add(time.Second), 2)
	put(t, b, record(number(1), []name{older, newest}, []name{message(1)}, "a"))
	change(t, b, otpstore.Ref{By: otpstore.ByID, Name: older}, nil)
	expect(t, b, otpstore.ByNumber, number(1), "")
	expect(t, b, otpstore.ByID, older, "")
	expect(t, b, otpstore.ByID, newest, "")
	expect(t, b, otpstore.ByMessage, message(1), "")
	change(t, b, otpstore.Ref{By: otpstore.ByID, Name: older}, nil) // removing nothing is no error
	put(t, b, record(number(1), []name{newest}, nil, "b"))
	expect(t, b, otpstore.ByNumber, number(1), "b")
}

func testMessageMoves(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	start(t, b)
	now := time.Now()
	put(t, b, record(number(1), []name{id(now, 1)}, []name{message(1)}, "a"))
	put(t, b, record(number(2), []name{id(now.Add(time.Second), 2)}, []name{message(1)}, "b"))
	expect(t, b, otpstore.ByMessage, message(1), "b")
	change(t, b, otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, nil)
	expect(t, b, otpstore.ByMessage, message(1), "b")
}

func testUnchanged(t *testing.T, open Open) {
	dir := t.TempDir()
	b := open(t, dir)
	stop := start(t, b)
	put(t, b, record(number(1), []name{id(time.Now(), 1)}, nil, "a"))
	err := b.Update(within(t), otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, func(time.Time, rec) (rec, bool) {
		return record(number(1), []name{id(time.Now(), 2)}, nil, "b"), false
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, b, otpstore.ByNumber, number(1), "a")
	stop()
	b = open(t, dir)
	start(t, b)
	expect(t, b, otpstore.ByNumber, number(1), "a")
}

func testChoose(t *testing.T, open Open) {
	dir := t.TempDir()
	b := open(t, dir)
	stop := start(t, b)
	now := time.Now()
	older, newest, other := id(now, 1), id(now.Add(time.Millisecond), 2), id(now.Add(time.Second), 3)
	put(t, b, record(number(1), []name{older, newest}, []name{message(1), message(2)}, "a"))
	put(t, b, record(number(2), []name{other}, []name{message(3)}, "b"))
	byNumber := func(n byte) otpstore.Ref { return otpstore.Ref{By: otpstore.ByNumber, Name: number(n)} }
	byMessage := func(n byte) otpstore.Ref { return otpstore.Ref{By: otpstore.ByMessage, Name: message(n)} }
	byID := func(n name) otpstore.Ref { return otpstore.Ref{By: otpstore.ByID, Name: n} }
	choose := func(refs []otpstore.Ref, i int, next rec, changed bool) (seen string) {
		t.Helper()
		ran := false
		err := b.Choose(within(t), refs, func(_ time.Time, records []rec) (int, rec, bool) {
			ran, seen = true, ""
			for _, r := range records {
				seen += string(body(r))
			}
			return i, next, changed
		})
		if err != nil || !ran {
			t.Fatalf("Choose: %v, ran: %t", err, ran)
		}
		return seen
	}
	for _, test := range []struct {
		refs []otpstore.Ref
		want string
	}{
		{nil, ""},
		{[]otpstore.Ref{byNumber(9), byMessage(9), byID(id(now, 9))}, ""},
		{[]otpstore.Ref{byMessage(1)}, "a"},
		{[]otpstore.Ref{byNumber(9), byMessage(3), byMessage(2), byNumber(1), byID(older)}, "ba"},
		{[]otpstore.Ref{byNumber(1), byNumber(2), byID(newest), byMessage(3), byID(other)}, "ab"},
	} {
		if got := choose(test.refs, 0, record(number(1), []name{newest}, nil, "x"), false); got != test.want {
			t.Errorf("%v: saw %q, want %q", test.refs, got, test.want)
		}
	}
	expect(t, b, otpstore.ByNumber, number(1), "a")

	// The second is changed, and known by other names from now on; the first stays.
	choose([]otpstore.Ref{byNumber(1), byMessage(3)}, 1, record(number(2), []name{other}, []name{message(4)}, "c"), true)
	check := func() {
		t.Helper()
		expect(t, b, otpstore.ByNumber, number(1), "a")
		expect(t, b, otpstore.ByID, other, "c")
		expect(t, b, otpstore.ByMessage, message(3), "")
		expect(t, b, otpstore.ByMessage, message(4), "c")
	}
	check()
	stop()
	b = open(t, dir)
	start(t, b)
	check()
	choose([]otpstore.Ref{byNumber(1), byNumber(2)}, 0, nil, true)
	expect(t, b, otpstore.ByNumber, number(1), "")
	expect(t, b, otpstore.ByMessage, message(1), "")
	expect(t, b, otpstore.ByNumber, number(2), "c")
}

func testSerial(t *testing.T, open Open) {
	const callers, each = 16, 12
	b := open(t, t.TempDir())
	start(t, b)
	newest := id(time.Now(), 1)
	put(t, b, record(number(1), []name{newest}, nil, "\x00"))
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				byNumber, byID := otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, otpstore.Ref{By: otpstore.ByID, Name: newest}
				step := func(_ time.Time, r rec) (rec, bool) {
					return record(number(1), []name{newest}, nil, string([]byte{body(r) + 1})), true
				}
				var err error
				switch (c + i) % 3 {
				case 0:
					err = b.Update(within(t), byNumber, step)
				case 1:
					err = b.Update(within(t), byID, step)
				case 2:
					err = b.Choose(within(t), []otpstore.Ref{byNumber, byID}, func(now time.Time, records []rec) (int, rec, bool) {
						next, changed := step(now, records[0])
						return 0, next, changed
					})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := body(look(t, b, otpstore.ByNumber, number(1))); got != callers*each {
		t.Errorf("got %d steps, want %d", got, callers*each)
	}
}

func testNoteOrder(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	start(t, b)
	newest := id(time.Now(), 1)
	put(t, b, record(number(1), []name{newest}, nil, "\x00"))
	for i := range byte(50) {
		err := b.Note(within(t), otpstore.Ref{By: otpstore.ByID, Name: newest}, func(_ time.Time, r rec) (rec, bool) {
			return record(number(1), []name{newest}, nil, string([]byte{body(r) + 1})), true
		}, func(err error) {
			if err != nil {
				t.Errorf("note %d: %v", i, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := body(look(t, b, otpstore.ByNumber, number(1))); got != i+1 {
			t.Fatalf("after note %d: got %d", i, got)
		}
	}
}

func testNoteDone(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	start(t, b)
	done := make(chan error, 1)
	r := record(number(1), []name{id(time.Now(), 1)}, nil, "a")
	err := b.Note(within(t), otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, func(time.Time, rec) (rec, bool) { return r, true },
		func(err error) { done <- err })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("done: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a note that nothing follows is never done")
	}
}

func testWithdrawn(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	scan(t, b)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	began := false
	err := b.Update(ctx, otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, func(time.Time, rec) (rec, bool) {
		began = true
		return nil, false
	})
	unavailable(t, "Update before Run", err)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error too", err)
	}
	run(t, b.Run, b.Close)
	expect(t, b, otpstore.ByNumber, number(1), "") // waits for all before it
	if began {
		t.Error("the step of an update that was given up began")
	}
}

func testDrain(t *testing.T, open Open) {
	const notes = 100
	dir := t.TempDir()
	b := open(t, dir)
	stop := start(t, b)
	newest := id(time.Now(), 1)
	put(t, b, record(number(1), []name{newest}, nil, "\x00"))
	var mu sync.Mutex
	done := 0
	for range notes {
		err := b.Note(within(t), otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, func(_ time.Time, r rec) (rec, bool) {
			return record(number(1), []name{newest}, nil, string([]byte{body(r) + 1})), true
		}, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	if done != notes {
		t.Errorf("%d of %d notes done when Run returned", done, notes)
	}
	b = open(t, dir)
	start(t, b)
	if got := body(look(t, b, otpstore.ByNumber, number(1))); got != notes {
		t.Errorf("%d of %d notes kept", got, notes)
	}
}

func testAfterRun(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	stop := start(t, b)
	put(t, b, record(number(1), []name{id(time.Now(), 1)}, nil, "a"))
	if err := b.Ready(); err != nil {
		t.Errorf("Ready while running: %v", err)
	}
	stop()
	refused(t, b)
}

func testClosed(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	scan(t, b)
	unavailable(t, "Ready before Run", b.Ready())
	done := make(chan error, 1)
	step := func(time.Time, rec) (rec, bool) { t.Error("step ran"); return nil, false }
	if err := b.Note(within(t), otpstore.Ref{By: otpstore.ByNumber}, step, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	unavailable(t, "note taken before Close", <-done)
	refused(t, b)
}

func refused(t *testing.T, b otpstore.Backend) {
	t.Helper()
	ctx := within(t)
	step := func(time.Time, rec) (rec, bool) { t.Error("step ran"); return nil, false }
	unavailable(t, "Ready", b.Ready())
	unavailable(t, "Update", b.Update(ctx, otpstore.Ref{By: otpstore.ByNumber}, step))
	unavailable(t, "Choose", b.Choose(ctx, []otpstore.Ref{{By: otpstore.ByNumber}}, func(time.Time, []rec) (int, rec, bool) {
		t.Error("choice ran")
		return 0, nil, false
	}))
	unavailable(t, "Note", b.Note(ctx, otpstore.Ref{By: otpstore.ByNumber}, step, func(error) { t.Error("done called") }))
	_, _, err := b.Sweep(ctx, name{}, time.Now(), 1, step)
	unavailable(t, "Sweep", err)
	if ctx.Err() != nil {
		t.Error("a backend that does not run made its callers wait")
	}
}

func testReopened(t *testing.T, open Open) {
	dir := t.TempDir()
	b := open(t, dir)
	stop := start(t, b)
	now := time.Now()
	a := record(number(1), []name{id(now, 1), id(now.Add(time.Second), 2)}, []name{message(1), message(2)}, "a")
	c := record(number(2), []name{id(now, 3)}, nil, "c")
	put(t, b, a)
	put(t, b, c)
	stop()

	b = open(t, dir)
	var scanned []rec
	var mu sync.Mutex
	err := b.Scan(t.Context(), func(_ time.Time, r rec) (rec, bool) {
		mu.Lock()
		defer mu.Unlock()
		scanned = append(scanned, slices.Clone(r))
		return nil, false
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(scanned) != 2 || !slices.ContainsFunc(scanned, func(r rec) bool { return slices.Equal(r, a) }) ||
		!slices.ContainsFunc(scanned, func(r rec) bool { return slices.Equal(r, c) }) {
		t.Errorf("scanned %x, want %x and %x", scanned, a, c)
	}
	run(t, b.Run, b.Close)
	expect(t, b, otpstore.ByNumber, number(1), "a")
	for n := range a.IDs() {
		expect(t, b, otpstore.ByID, n, "a")
	}
	for m := range a.Messages() {
		expect(t, b, otpstore.ByMessage, m, "a")
	}
	expect(t, b, otpstore.ByNumber, number(2), "c")
	expect(t, b, otpstore.ByID, id(now, 3), "c")
}

func testScan(t *testing.T, open Open) {
	dir := t.TempDir()
	b := open(t, dir)
	stop := start(t, b)
	now := time.Now()
	for n := range byte(9) {
		put(t, b, record(number(n), []name{id(now, n)}, nil, "a"))
	}
	stop()

	// A third is removed, a third rewritten under a newer id, a third left.
	b = open(t, dir)
	err := b.Scan(t.Context(), func(_ time.Time, r rec) (rec, bool) {
		switch n := r.Number(); n[15] % 3 {
		case 0:
			return nil, true
		case 1:
			return record(n, []name{r.Newest(), id(now.Add(time.Second), n[15])}, []name{message(n[15])}, "b"), true
		}
		return nil, false
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for n := range byte(9) {
			want := []string{"", "b", "a"}[n%3]
			expect(t, b, otpstore.ByNumber, number(n), want)
			expect(t, b, otpstore.ByID, id(now, n), want)
		}
		expect(t, b, otpstore.ByMessage, message(1), "b")
	}
	stop = run(t, b.Run, b.Close)
	check()
	stop()
	b = open(t, dir)
	start(t, b)
	check()
}

func testClaim(t *testing.T, open Open) {
	dir := t.TempDir()
	first, second, other := otpstore.KeyID{1}, otpstore.KeyID{2}, otpstore.KeyID{3}
	for _, c := range []struct {
		ids  []otpstore.KeyID
		want otpstore.KeyID
	}{
		{[]otpstore.KeyID{first}, first},
		{[]otpstore.KeyID{other}, first},
		{[]otpstore.KeyID{other, second}, first},
		{[]otpstore.KeyID{second, first}, second},
		{[]otpstore.KeyID{first}, second},
		{[]otpstore.KeyID{second}, second},
	} {
		b := open(t, dir)
		for range 2 {
			if got, err := b.Claim(t.Context(), c.ids); err != nil || got != c.want {
				t.Errorf("Claim(%v): got %v, %v, want %v", c.ids, got, err, c.want)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testSweep(t *testing.T, open Open) {
	b := open(t, t.TempDir())
	start(t, b)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for n := range byte(10) { // written youngest first
		put(t, b, record(number(9-n), []name{id(day.Add(time.Duration(9-n)*time.Hour), 9-n)}, nil, "a"))
	}
	var seen []byte
	step := func(_ time.Time, r rec) (rec, bool) { // removes the even ones
		n := r.Number()[15]
		seen = append(seen, n)
		return nil, n%2 == 0
	}
	before := day.Add(7 * time.Hour) // 0..6
	var last name
	for round, want := range []struct {
		seen string
		more bool
	}{{"\x00\x01\x02", true}, {"\x03\x04\x05", true}, {"\x06", false}} {
		seen = nil
		var more bool
		var err error
		if last, more, err = b.Sweep(within(t), last, before, 3, step); err != nil {
			t.Fatal(err)
		}
		if string(seen) != want.seen || more != want.more {
			t.Fatalf("round %d: saw %v, more %t; want %v, %t", round, seen, more, []byte(want.seen), want.more)
		}
	}
	for n := range byte(10) {
		want := "a"
		if n < 7 && n%2 == 0 {
			want = ""
		}
		expect(t, b, otpstore.ByNumber, number(n), want)
		expect(t, b, otpstore.ByID, id(day.Add(time.Duration(n)*time.Hour), n), want)
	}
}
