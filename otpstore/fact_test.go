package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// An ear keeps what the store says is to be told.
type ear struct {
	mu   sync.Mutex
	said []otpstore.Event
}

func (e *ear) hear(ev otpstore.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, ev)
}

// of gives the names of what was said of a verification, each once, in order.
func (e *ear) of(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, ev := range e.said {
		if ev.ID == id && !slices.Contains(names, ev.Name) {
			names = append(names, ev.Name)
		}
	}
	return strings.Join(names, " ")
}

// listen opens a store that tells.
func listen(t *testing.T, dir string, p otpstore.Policy) (*otpstore.Store, *ear, func()) {
	t.Helper()
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, p, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	e := new(ear)
	s.Notify(e.hear)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, e, stop
}

const wantsAll = otpstore.Delivery | otpstore.Outcome

// ask issues a code, of which the client wants to be told, and has it accepted.
func ask(t *testing.T, s *otpstore.Store, client, number string, tell otpstore.Facts) otpstore.Issued {
	t.Helper()
	i, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: number, Terms: policy().Terms(), Tell: tell})
	if err == nil {
		err = s.Sent(t.Context(), i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{i.ID}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func receive(t *testing.T, s *otpstore.Store, i otpstore.Issued, state string, final, delivered bool) {
	t.Helper()
	m, err := s.Delivered(t.Context(), otpstore.Receipt{SMSC: "main", MessageIDs: []string{i.ID}, Converted: 1, State: state, Final: final, Delivered: delivered})
	if err != nil || !m.Found {
		t.Fatal(m, err)
	}
}

// untold gives id and name of all that is untold, sorted, page by page.
func untold(t *testing.T, s *otpstore.Store, limit int) []string {
	t.Helper()
	var all []string
	for from, pages := "", 0; ; pages++ {
		next, err := s.Untold(t.Context(), from, limit, func(e otpstore.Event) bool {
			all = append(all, e.ID+" "+e.Name)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if next == "" {
			slices.Sort(all)
			return slices.Compact(all)
		}
		if from = next; pages > 1000 {
			t.Fatal("the pages never end")
		}
	}
}

func mark(t *testing.T, s *otpstore.Store, e otpstore.Event) {
	t.Helper()
	done := make(chan error, 1)
	if err := s.Told(t.Context(), e, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func outcomeEvent(i otpstore.Issued, name string) otpstore.Event {
	return otpstore.Event{ID: i.ID, Client: client, Fact: otpstore.Outcome, Name: name}
}

func deliveryEvent(i otpstore.Issued, name string) otpstore.Event {
	return otpstore.Event{ID: i.ID, Client: client, Fact: otpstore.Delivery, Name: name}
}

func TestFactsAreToldAsTheyComeToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		s, e, stop := listen(t, t.TempDir(), p)
		defer stop()
		number := func(n int) string { return fmt.Sprintf("+3460000%04d", n) }
		check := func(i otpstore.Issued, want string) {
			t.Helper()
			if got := e.of(i.ID); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		used := ask(t, s, client, number(1), wantsAll)
		check(used, "")
		receive(t, s, used, "ENROUTE", false, false)
		check(used, "")
		receive(t, s, used, "DELIVRD", true, true)
		check(used, "delivered")
		if err := s.Verify(t.Context(), client, used.ID, used.Code); err != nil {
			t.Fatal(err)
		}
		check(used, "delivered used")

		locked := ask(t, s, client, number(2), wantsAll)
		receive(t, s, locked, "UNDELIV", true, false)
		for range p.MaxAttempts {
			_ = s.Verify(t.Context(), client, locked.ID, wrong(locked)) // wrong, and at last failed
		}
		check(locked, "undelivered locked")

		older := ask(t, s, client, number(3), wantsAll)
		time.Sleep(p.ResendAfter)
		newer := ask(t, s, client, number(3), wantsAll)
		check(older, "replaced")
		check(newer, "")
		if _, err := s.Cancel(t.Context(), client, newer.ID); err != nil {
			t.Fatal(err)
		}
		check(newer, "canceled")

		lost, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: number(4), Terms: p.Terms(), Tell: wantsAll})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Unknown(t.Context(), lost.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(otpstore.LazyWithin + time.Millisecond)
		synctest.Wait()
		check(lost, "unknown")

		over := ask(t, s, client, number(5), wantsAll)
		never := ask(t, s, client, number(6), 0)
		half := ask(t, s, client, number(7), otpstore.Delivery)
		receive(t, s, half, "DELIVRD", true, true)
		time.Sleep(p.TTL - time.Second)
		synctest.Wait()
		check(over, "")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		check(over, "elapsed")
		check(never, "")
		check(half, "delivered")
		check(used, "delivered used")
	})
}

func TestToldFactIsOwedNoMore(t *testing.T) {
	dir := t.TempDir()
	s, e, stop := listen(t, dir, policy())
	i := ask(t, s, client, phone, wantsAll)
	receive(t, s, i, "UNKNOWN", true, false)
	if err := s.Verify(t.Context(), client, i.ID, i.Code); err != nil {
		t.Fatal(err)
	}
	want := []string{i.ID + " undelivered", i.ID + " used"}
	if got := untold(t, s, 10); !slices.Equal(got, want) {
		t.Errorf("untold %q, want %q", got, want)
	}
	v, at, err := s.Owes(t.Context(), outcomeEvent(i, "used"))
	if err != nil || v.ID != i.ID || v.State != "used" || at.IsZero() || !at.Equal(v.FinishedAt) {
		t.Errorf("owes %+v since %v, %v", v, at, err)
	}
	for _, wrong := range []otpstore.Event{
		outcomeEvent(i, "locked"), deliveryEvent(i, "delivered"), deliveryEvent(i, "used"), {ID: "x", Fact: otpstore.Outcome, Name: "used"},
		{ID: "019ab0d2-7c1e-7f3a-9d5e-2b8c4a1f6e70", Fact: otpstore.Outcome, Name: "used"},
	} {
		if _, _, err := s.Owes(t.Context(), wrong); !errors.Is(err, otpstore.ErrNotFound) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	mark(t, s, outcomeEvent(i, "locked")) // nothing of the kind
	mark(t, s, outcomeEvent(i, "used"))
	if _, _, err := s.Owes(t.Context(), outcomeEvent(i, "used")); !errors.Is(err, otpstore.ErrNotFound) {
		t.Errorf("owed although told: %v", err)
	}
	mark(t, s, deliveryEvent(i, "undelivered"))
	if got := untold(t, s, 10); len(got) > 0 {
		t.Errorf("untold %q", got)
	}
	// Word of the delivery takes the place of UNKNOWN: another fact, and told anew.
	receive(t, s, i, "DELIVRD", true, true)
	if got := e.of(i.ID); got != "undelivered used delivered" {
		t.Errorf("told %q", got)
	}
	stop()

	s, _, stop = listen(t, dir, policy())
	defer stop()
	if got := untold(t, s, 10); !slices.Equal(got, []string{i.ID + " delivered"}) {
		t.Errorf("after a restart, untold %q", got)
	}
}

func TestUntoldIsFoundPageByPage(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := listen(t, dir, policy())
	var want []string
	for n := range 50 {
		i := ask(t, s, client, fmt.Sprintf("+3460000%04d", n), map[bool]otpstore.Facts{true: wantsAll}[n%5 != 0])
		if err := s.Verify(t.Context(), client, i.ID, i.Code); err != nil {
			t.Fatal(err)
		}
		if n%5 != 0 {
			want = append(want, i.ID+" used")
		}
	}
	pending, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: phone, Terms: policy().Terms(), Tell: wantsAll})
	if err != nil {
		t.Fatal(err)
	}
	stop() // and pending has no outcome
	s, _, stop = listen(t, dir, policy())
	defer stop()
	want = append(want, pending.ID+" unknown")
	slices.Sort(want)
	for _, limit := range []int{1, 7, 1000} {
		if got := untold(t, s, limit); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d events, want %d", limit, len(got), len(want))
		}
	}
	// Who has room for one event at a time gets them all.
	var got []string
	for from, left := "", 1000; left > 0; left-- {
		var one otpstore.Event
		next, err := s.Untold(t.Context(), from, 1000, func(e otpstore.Event) bool {
			if one.ID != "" {
				return false
			}
			one = e
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if one.ID != "" {
			got = append(got, one.ID+" "+one.Name)
			mark(t, s, one)
		}
		if from = next; next == "" {
			break
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("one by one: %d events, want %d", len(got), len(want))
	}
	if _, err := s.Untold(t.Context(), "nonsense", 10, nil); !errors.Is(err, otpstore.ErrCursor) {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// The end of a code that an earlier process sent is told in time, once the store was looked through.
func TestElapsedAfterRestartIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, _, stop := listen(t, dir, policy())
		i := ask(t, s, client, phone, wantsAll)
		stop()
		s, e, stop := listen(t, dir, policy())
		defer stop()
		if got := untold(t, s, 10); len(got) > 0 {
			t.Errorf("untold %q", got)
		}
		time.Sleep(policy().TTL + 2*time.Second)
		synctest.Wait()
		if got := e.of(i.ID); got != "elapsed" {
			t.Errorf("told %q", got)
		}
		mark(t, s, outcomeEvent(i, "elapsed"))
		if err := s.Verify(t.Context(), client, i.ID, i.Code); !errors.Is(err, otpstore.ErrExpired) {
			t.Errorf("verdict %v", err)
		}
		if got := untold(t, s, 10); len(got) > 0 {
			t.Errorf("told twice: %q", got)
		}
	})
}

// A number that is sent to again while somebody pages moves in front of him: what it owes is said once more.
func TestWhatMovesIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, _, stop := listen(t, dir, policy())
		i := ask(t, s, client, phone, wantsAll)
		if err := s.Verify(t.Context(), client, i.ID, i.Code); err != nil {
			t.Fatal(err)
		}
		stop()
		s, e, stop := listen(t, dir, policy())
		defer stop()
		time.Sleep(policy().ResendAfter)
		ask(t, s, client, phone, 0)
		if got := e.of(i.ID); got != "used" {
			t.Errorf("told %q", got)
		}
	})
}

func TestOlderFormatIsReadAndOwesNothing(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := listen(t, dir, policy())
	ask(t, s, client, phone, 0)
	stop()
	for _, version := range []byte{1, 2} {
		if err := otpstore.SetVersion(filepath.Join(dir, otpstore.BoltFile), version); err != nil {
			t.Fatal(err)
		}
		s, _, stop = listen(t, dir, policy())
		if got := untold(t, s, 10); len(got) > 0 {
			t.Errorf("format %d: untold %q", version, got)
		}
		stop()
	}
}
