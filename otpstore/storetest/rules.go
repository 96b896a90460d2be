package storetest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"

	"otpgw/otpstore"
)

const (
	client = "acme"
	phone  = "+34600000001"
)

func store(t *testing.T, open Open, p otpstore.Policy) *otpstore.Store {
	t.Helper()
	s, err := otpstore.New(open(t, t.TempDir()), make(otpstore.Key, 32), p, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run, s.Close)
	return s
}

func policy() otpstore.Policy {
	p := otpstore.DefaultPolicy()
	p.ResendAfter = 0
	p.SendLimit, p.NumberLimit, p.DayLimit, p.NumberDayLimit = 100, 100, 0, 0
	return p
}

func request(client, number string) otpstore.Request {
	return otpstore.Request{Client: client, Number: number, Terms: policy().Terms()}
}

func issue(t *testing.T, s *otpstore.Store) otpstore.Issued {
	t.Helper()
	i, err := s.Issue(within(t), request(client, phone))
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return i
}

func send(t *testing.T, s *otpstore.Store) otpstore.Issued {
	t.Helper()
	i := issue(t, s)
	if err := s.Sent(within(t), i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{"m-" + i.ID}}); err != nil {
		t.Fatalf("Sent: %v", err)
	}
	return i
}

// wrong gives a code that is not the one of i.
func wrong(i otpstore.Issued, n int) string {
	code := fmt.Sprintf("%06d", n)
	if code == i.Code {
		return "999999x"
	}
	return code
}

// count calls f n times at once and counts the answers.
func count(n int, f func(i int) error) map[error]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := map[error]int{}
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			err := f(i)
			var limit *otpstore.LimitError
			if errors.As(err, &limit) {
				err = errLimit
			}
			mu.Lock()
			defer mu.Unlock()
			answers[err]++
		})
	}
	close(begin)
	wg.Wait()
	return answers
}

var errLimit = errors.New("limit")

func testWrongGuesses(t *testing.T, open Open) {
	p := policy()
	s := store(t, open, p)
	i := send(t, s)
	got := count(1000, func(n int) error { return s.Verify(within(t), client, i.ID, wrong(i, n)) })
	if got[otpstore.ErrWrongCode] != p.MaxAttempts-1 || got[otpstore.ErrFailed] != 1000-p.MaxAttempts+1 {
		t.Errorf("got %v", got)
	}
	v, err := s.Lookup(within(t), i.ID)
	if err != nil || v.Attempts != p.MaxAttempts || v.State != "locked" {
		t.Errorf("got %d tries evaluated, state %s, %v; want %d, locked", v.Attempts, v.State, err, p.MaxAttempts)
	}
	if err := s.Verify(within(t), client, i.ID, i.Code); !errors.Is(err, otpstore.ErrFailed) {
		t.Errorf("right code after the lock: %v", err)
	}
}

func testRightGuesses(t *testing.T, open Open) {
	s := store(t, open, policy())
	i := send(t, s)
	got := count(100, func(int) error { return s.Verify(within(t), client, i.ID, i.Code) })
	if got[nil] != 1 || got[otpstore.ErrExpired] != 99 {
		t.Errorf("got %v, want 1 right and 99 expired", got)
	}
}

func testParallelIssues(t *testing.T, open Open) {
	p := policy()
	p.NumberLimit = 7
	s := store(t, open, p)
	got := count(64, func(n int) error {
		_, err := s.Issue(within(t), request(fmt.Sprintf("client-%d", n%5), phone))
		return err
	})
	if got[nil] != 7 || got[errLimit] != 57 {
		t.Errorf("got %v, want 7 issued and 57 refused", got)
	}
}

func testParallelSends(t *testing.T, open Open) {
	s := store(t, open, policy())
	var issued [20]otpstore.Issued
	if got := count(len(issued), func(n int) error {
		var err error
		if issued[n], err = s.Issue(within(t), request(client, phone)); err == nil {
			err = s.Sent(within(t), issued[n].ID, otpstore.SendResult{SMSC: "main"})
		}
		return err
	}); got[nil] != len(issued) {
		t.Fatalf("got %v", got)
	}
	got := count(len(issued), func(n int) error { return s.Verify(within(t), client, issued[n].ID, issued[n].Code) })
	if got[nil] != 1 || got[otpstore.ErrExpired] != len(issued)-1 {
		t.Errorf("got %v, want 1 right, the others replaced", got)
	}
}

// Each receipt comes while its Sent is under way, before it or after it, and so does the Sent of another message whose id is a
// conversion of that of the first: no receipt is lost, and none goes astray.
func testParallelReceipts(t *testing.T, open Open) {
	s := store(t, open, policy())
	for n := range 50 {
		decimal, hexadecimal := strconv.Itoa(1000+n), strconv.FormatInt(int64(1000+n), 16)
		phones := [2]string{fmt.Sprintf("+346000%05d", n), fmt.Sprintf("+346001%05d", n)}
		ids := [2]string{hexadecimal, decimal}
		var issued [2]otpstore.Issued
		for which, phone := range phones {
			var err error
			if issued[which], err = s.Issue(within(t), request(client, phone)); err != nil {
				t.Fatal(err)
			}
		}
		sent := func(which int) error {
			return s.Sent(within(t), issued[which].ID, otpstore.SendResult{SMSC: "main", MessageIDs: ids[which : which+1]})
		}
		if n%2 == 0 { // else all three at once
			if err := sent(1); err != nil {
				t.Fatal(err)
			}
		}
		got := count(3, func(which int) error {
			if which < 2 {
				return sent(which)
			}
			_, err := s.Delivered(within(t), otpstore.Receipt{
				SMSC: "main", MessageIDs: []string{decimal, hexadecimal}, Converted: 1, Numbers: phones[:1], State: "DELIVRD", Final: true, Delivered: true,
			})
			return err
		})
		if got[nil] != 3 {
			t.Fatalf("%d: got %v", n, got)
		}
		for which, want := range [2]string{"DELIVRD", ""} {
			if v, err := s.Lookup(within(t), issued[which].ID); err != nil || v.Receipt != want || v.DeliveredAt.IsZero() != (want == "") {
				t.Fatalf("%d: message %s: got %+v, %v, want receipt %q", n, ids[which], v, err, want)
			}
		}
	}
}

// One receipt comes many times at once, as over several binds: it changes something once.
func testParallelRepeats(t *testing.T, open Open) {
	s := store(t, open, policy())
	i := send(t, s)
	again := errors.New("known already")
	got := count(50, func(int) error {
		m, err := s.Delivered(within(t), otpstore.Receipt{
			SMSC: "main", MessageIDs: []string{"x", "m-" + i.ID}, Converted: 1, Numbers: []string{phone}, State: "DELIVRD", Final: true, Delivered: true,
		})
		switch {
		case err != nil:
			return err
		case !m.Found || m.Form != 1:
			return errors.New("not found")
		case !m.Changed:
			return again
		}
		return nil
	})
	if got[nil] != 1 || got[again] != 49 {
		t.Errorf("got %v, want 1 that changed something", got)
	}
}

// A submit whose outcome a process did not live to record counts, never verifies, and leaves the older code alone.
func testInterrupted(t *testing.T, open Open) {
	dir := t.TempDir()
	b := open(t, dir)
	opened := func() *otpstore.Store {
		t.Helper()
		s, err := otpstore.New(b, make(otpstore.Key, 32), policy(), nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := opened()
	stop := run(t, s.Run, s.Close)
	older := send(t, s)
	newer := issue(t, s)
	stop()
	b = open(t, dir)
	s = opened()
	run(t, s.Run, s.Close)
	if v, err := s.Lookup(within(t), newer.ID); err != nil || v.State != "unknown" {
		t.Errorf("a submit that was cut off: %+v, %v", v, err)
	}
	for _, i := range []otpstore.Issued{newer, older} {
		want := map[string]error{newer.ID: otpstore.ErrNotFound}[i.ID]
		if err := s.Verify(within(t), client, i.ID, i.Code); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}
