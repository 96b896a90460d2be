package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/otpstore"
)

// faults are the parts of the contract that speak of what the world does to a backend.
var faults = map[string]func(testing.TB, Engine){
	"ClockRunsAndNeverGoesBack": testClock,
	"ClockOutlivesRestart":      testClockSetBack,
	"LossIsRemembered":          testLost,
	"FullRefusesNewRecordsOnly": testFull,
	"TroubleIsToldWhileItLasts": testTrouble,
}

// Objections gives what one of these parts, by its name, has against an engine. It is for tests of the suite itself: that a wrong backend is found out.
func Objections(t *testing.T, part string, e Engine) []string {
	t.Helper()
	test := faults[part]
	if test == nil {
		t.Fatalf("no part is named %q", part)
	}
	c := &critic{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer c.cleanUp()
		test(c, e)
	}()
	<-ended
	return c.said
}

// A critic takes down what a test would fail for. What it does not override is the test's.
type critic struct {
	testing.TB

	mu       sync.Mutex // guards what follows
	said     []string
	cleanups []func()
}

func (c *critic) say(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, text)
}

func (c *critic) Error(args ...any)            { c.say(fmt.Sprint(args...)) }
func (c *critic) Errorf(f string, args ...any) { c.say(fmt.Sprintf(f, args...)) }

func (c *critic) Fatal(args ...any) {
	c.Error(args...)
	runtime.Goexit()
}

func (c *critic) Fatalf(f string, args ...any) {
	c.Errorf(f, args...)
	runtime.Goexit()
}

func (c *critic) Cleanup(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanups = append(c.cleanups, f)
}

func (c *critic) cleanUp() {
	for _, f := range slices.Backward(c.cleanups) {
		f()
	}
}

func testClock(t testing.TB, e Engine) {
	dir := t.TempDir()
	b := e.Open(t, dir)
	stop := start(t, b)
	if now := b.Now(); now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("Now: %v is not UTC, to the microsecond", now)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			last := b.Now()
			for range 1000 {
				now := b.Now()
				if now.Before(last) {
					t.Errorf("Now goes back from %v to %v", last, now)
					return
				}
				last = now
			}
		})
	}
	readers.Wait()

	put(t, b, record(number(1), []name{id(time.Now(), 1)}, nil, "a"))
	ref := otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}
	var at time.Time
	first, began := b.Now(), time.Now()
	for n := range 20 {
		before := b.Now()
		var err error
		if n%2 == 0 {
			err = b.Update(within(t), ref, func(now time.Time, _ rec) (rec, bool) { at = now; return nil, false })
		} else {
			err = b.Choose(within(t), []otpstore.Ref{ref}, func(now time.Time, r []rec) (int, rec, bool) { at = now; return 0, r[0], true })
		}
		if err != nil {
			t.Fatal(err)
		}
		if after := b.Now(); at.Before(before) || at.After(after) {
			t.Errorf("a step is given %v between %v and %v", at, before, after)
		}
	}
	took := time.Since(began)
	if runs := b.Now().Sub(first); runs < took-time.Microsecond {
		t.Errorf("Now runs %v in %v", runs, took)
	}
	stop()
	b = e.Open(t, dir)
	if now := b.Now(); now.Before(at) {
		t.Errorf("a step was given %v, and after a restart it is %v", at, now)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func testClockSetBack(t testing.TB, e Engine) {
	if e.SetBack == nil {
		t.Skip("the engine's clock does not depend on the system's")
	}
	dir := t.TempDir()
	b := e.Open(t, dir)
	stop := start(t, b)
	put(t, b, record(number(1), []name{id(time.Now(), 1)}, nil, "a"))
	stop()
	latest := e.SetBack(t, dir)
	for range 2 {
		if late := time.Now().Add(30 * time.Second); latest.Before(late) {
			t.Fatalf("the system's clock, at %v, is not back behind %v", late, latest)
		}
		b = e.Open(t, dir)
		later := func(what string, now time.Time) {
			t.Helper()
			if now.Before(latest) {
				t.Errorf("%s: %v is before %v, which a step was given before the restart", what, now, latest)
			}
		}
		later("Now", b.Now())
		err := b.Scan(t.Context(), func(now time.Time, _ rec) (rec, bool) { later("Scan", now); return nil, false })
		if err != nil {
			t.Fatal(err)
		}
		stop = run(t, b.Run, b.Close)
		err = b.Update(within(t), otpstore.Ref{By: otpstore.ByNumber, Name: number(1)}, func(now time.Time, r rec) (rec, bool) {
			later("Update", now)
			latest = now
			return r, true
		})
		if err != nil {
			t.Fatal(err)
		}
		stop()
	}
}

func testLost(t testing.TB, e Engine) {
	dir := t.TempDir()
	for n := range byte(2) {
		b := e.Open(t, dir)
		if lost := b.Lost(); !lost.IsZero() {
			t.Errorf("opened %d times: lost at %v", n+1, lost)
		}
		stop := start(t, b)
		put(t, b, record(number(n), []name{id(time.Now(), n)}, []name{message(n)}, "a"))
		stop()
	}
	if e.Lose == nil {
		t.Skip("nothing that the engine holds is ever lost")
	}
	before := time.Now().Truncate(time.Microsecond)
	e.Lose(t, dir)
	b := e.Open(t, dir)
	lost := b.Lost()
	if lost.Before(before) || lost.After(b.Now()) {
		t.Errorf("lost at %v, and it was between %v and %v", lost, before, b.Now())
	}
	stop := start(t, b)
	expect(t, b, otpstore.ByNumber, number(1), "")
	expect(t, b, otpstore.ByMessage, message(1), "")
	put(t, b, record(number(2), []name{id(time.Now(), 2)}, nil, "b"))
	for range 2 {
		stop()
		b = e.Open(t, dir)
		if again := b.Lost(); !again.Equal(lost) {
			t.Errorf("lost at %v, and after a restart at %v", lost, again)
		}
		stop = start(t, b)
		expect(t, b, otpstore.ByNumber, number(1), "")
		expect(t, b, otpstore.ByNumber, number(2), "b")
	}
}

// byNumber puts r in the place of whatever its number has, and gives the error.
func byNumber(t testing.TB, b otpstore.Backend, r rec) error {
	t.Helper()
	return b.Update(within(t), otpstore.Ref{By: otpstore.ByNumber, Name: r.Number()}, func(time.Time, rec) (rec, bool) { return r, true })
}

// untilFree puts r as soon as there is room again.
func untilFree(t testing.TB, b otpstore.Backend, r rec) {
	t.Helper()
	late, again := time.After(patience), time.NewTicker(time.Millisecond)
	defer again.Stop()
	for err := byNumber(t, b, r); err != nil; err = byNumber(t, b, r) {
		select {
		case <-late:
			t.Fatalf("with room again: %v", err)
		case <-again.C:
		}
	}
}

func testFull(t testing.TB, e Engine) {
	if e.Fill == nil {
		t.Skip("the engine has room for all")
	}
	dir := t.TempDir()
	b := e.Open(t, dir)
	stop := start(t, b)
	now := time.Now()
	ids := []name{id(now, 0), id(now.Add(time.Hour), 1), id(now.Add(time.Hour), 2), id(now.Add(time.Hour), 3), id(now.Add(time.Hour), 4), id(now.Add(time.Hour), 5)}
	for n := range byte(5) { // 0 is old enough for the sweep
		put(t, b, record(number(n), []name{ids[n]}, []name{message(n)}, "a"))
	}
	free := e.Fill(t, b)
	changed := func(n byte) rec { return record(number(n), []name{ids[n]}, []name{message(n)}, "b") }
	for _, n := range []byte{5, 4} { // one that would come into being, and one that is there
		if err := byNumber(t, b, changed(n)); !errors.Is(err, otpstore.ErrFull) || !errors.Is(err, otpstore.ErrUnavailable) {
			t.Errorf("Update by number: got %v, want ErrFull, which is an ErrUnavailable", err)
		}
	}
	if err := b.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	step := func(n byte) otpstore.Step { return func(time.Time, rec) (rec, bool) { return changed(n), true } }
	if err := b.Update(within(t), otpstore.Ref{By: otpstore.ByID, Name: ids[1]}, step(1)); err != nil {
		t.Errorf("Update by id: %v", err)
	}
	if err := b.Update(within(t), otpstore.Ref{By: otpstore.ByMessage, Name: message(2)}, step(2)); err != nil {
		t.Errorf("Update by message: %v", err)
	}
	done := make(chan error, 1)
	if err := b.Note(within(t), otpstore.Ref{By: otpstore.ByID, Name: ids[3]}, step(3), func(err error) { done <- err }); err != nil {
		t.Errorf("Note: %v", err)
	} else if err := <-done; err != nil {
		t.Errorf("done: %v", err)
	}
	var seen byte
	err := b.Choose(within(t), []otpstore.Ref{{By: otpstore.ByNumber, Name: number(4)}}, func(_ time.Time, r []rec) (int, rec, bool) {
		seen = body(r[0])
		return 0, nil, false
	})
	if err != nil || seen != 'a' {
		t.Errorf("Choose: %v; saw %q, which was refused to be changed from \"a\"", err, seen)
	}
	if _, _, err := b.Sweep(within(t), name{}, now.Add(time.Minute), 10, func(time.Time, rec) (rec, bool) { return nil, true }); err != nil {
		t.Errorf("Sweep: %v", err)
	}
	free()
	untilFree(t, b, record(number(6), []name{id(now, 6)}, nil, "c"))
	for range 2 {
		expect(t, b, otpstore.ByNumber, number(0), "")
		for n := range byte(3) {
			expect(t, b, otpstore.ByNumber, number(1+n), "b")
		}
		expect(t, b, otpstore.ByNumber, number(4), "a")
		expect(t, b, otpstore.ByID, ids[5], "")
		expect(t, b, otpstore.ByNumber, number(6), "c")
		stop()
		b = e.Open(t, dir)
		stop = start(t, b)
	}
}

func testTrouble(t testing.TB, e Engine) {
	if e.Fill == nil {
		t.Skip("the engine has room for all")
	}
	b := e.Open(t, t.TempDir())
	start(t, b)
	put(t, b, record(number(1), []name{id(time.Now(), 1)}, nil, "a"))
	usual := b.Trouble() // of the machine that it runs on
	free := e.Fill(t, b)
	if err := byNumber(t, b, record(number(2), []name{id(time.Now(), 2)}, nil, "a")); err == nil {
		t.Error("there is room")
	}
	told := slices.DeleteFunc(b.Trouble(), func(line string) bool { return slices.Contains(usual, line) })
	if len(told) == 0 {
		t.Error("nobody is told that there is no room")
	}
	for _, line := range told {
		if strings.TrimSpace(line) == "" || strings.Contains(line, "\n") {
			t.Errorf("%q is no line", line)
		}
	}
	free()
	untilFree(t, b, record(number(2), []name{id(time.Now(), 2)}, nil, "a"))
	for _, line := range b.Trouble() {
		if slices.Contains(told, line) {
			t.Errorf("%q is told when it is over", line)
		}
	}
}
