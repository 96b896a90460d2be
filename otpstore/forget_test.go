package otpstore_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// limited is which limit refuses a code to a number, "" for none: then it was issued.
func (r *running) limited(number string) string {
	r.t.Helper()
	_, err := r.IssueFor(r.t.Context(), client, number)
	var refusal *otpstore.LimitError
	if err != nil && !errors.As(err, &refusal) {
		r.t.Fatalf("Issue: %v", err)
	}
	if refusal == nil {
		return ""
	}
	return refusal.Limit
}

func (r *running) forget(number string, want otpstore.Forgotten) {
	r.t.Helper()
	if got, err := r.Forget(r.t.Context(), number); err != nil || got != want {
		r.t.Fatalf("forgotten: %+v, %v; want %+v", got, err, want)
	}
}

func TestForgetErasesAllButTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		p.SendLimit, p.SendWindow, p.NumberLimit = 3, time.Hour, 3
		dir := t.TempDir()
		s := open(t, dir, p, nil)
		s.forget(phone, otpstore.Forgotten{})
		used := s.send(phone)
		s.verify(used, used.Code, nil)
		alive := s.send(phone)
		flying := s.issue(phone)
		another := s.send("+3462")
		time.Sleep(time.Minute)
		s.forget(phone, otpstore.Forgotten{Verifications: 3, Live: 2})
		s.forget(phone, otpstore.Forgotten{})

		// Its message is on its way: nobody learns the id.
		err := s.Sent(t.Context(), flying.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{"late"}})
		if !errors.Is(err, otpstore.ErrNotFound) {
			t.Errorf("accepted after it was forgotten: %v", err)
		}
		for range 2 { // the second time from the disk
			for _, i := range []otpstore.Issued{used, alive, flying} {
				s.verify(i, i.Code, otpstore.ErrNotFound)
				if _, err := s.Lookup(t.Context(), i.ID); !errors.Is(err, otpstore.ErrNotFound) {
					t.Errorf("looked up by its id: %v", err)
				}
				if found, err := s.LookupMessage(t.Context(), "main", "m-"+i.ID); err != nil || len(found) > 0 {
					t.Errorf("looked up by its message: %+v, %v", found, err)
				}
			}
			if found, err := s.LookupNumber(t.Context(), phone); err != nil || len(found) > 0 {
				t.Errorf("looked up by its number: %+v, %v", found, err)
			}
			if all, err := s.List(t.Context(), client, otpstore.ListOptions{Limit: 10}); err != nil || len(all.Verifications) != 1 || all.Verifications[0].ID != another.ID {
				t.Errorf("listed: %+v, %v", all, err)
			}
			if got := s.limited(phone); got != "send_limit" {
				t.Errorf("limit %q, want send_limit", got)
			}
			s.close()
			s = open(t, dir, p, nil)
		}
		s.verify(another, another.Code, nil)

		// What is left goes when it counts no longer.
		time.Sleep(time.Hour)
		fresh := s.send(phone)
		s.verify(fresh, fresh.Code, nil)
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if n := s.Stats().Records; n != 0 {
			t.Errorf("%d records are left", n)
		}
		s.close()
	})
}

func TestForgetKeepsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		p.MaxAttempts, p.MaxFailures, p.FailureWindow = 3, 3, 48*time.Hour
		dir := t.TempDir()
		s := open(t, dir, p, nil)
		i := s.send(phone)
		s.verify(i, wrong(i), otpstore.ErrWrongCode)
		s.verify(i, wrong(i), otpstore.ErrWrongCode)
		s.verify(i, wrong(i), otpstore.ErrFailed)
		time.Sleep(25 * time.Hour) // no limit on codes counts it any longer
		s.forget(phone, otpstore.Forgotten{Verifications: 1})
		s.close()
		s = open(t, dir, p, nil)
		if got := s.limited(phone); got != "max_failures" {
			t.Errorf("limit %q, want max_failures", got)
		}
		time.Sleep(23 * time.Hour)
		if got := s.limited(phone); got != "" {
			t.Errorf("limit %q after its window", got)
		}
		s.close()
	})
}

// A budget counts what was forgotten, over a restart too.
func TestForgetKeepsBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := otpstore.Request{Client: client, Number: phone, Terms: policy().Terms(), Budgets: []otpstore.Budget{{Limit: "budget", Scope: "all", Max: 1, Window: 24 * time.Hour}}}
		s := open(t, dir, policy(), nil)
		i, err := s.Issue(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		s.sent(i)
		s.forget(phone, otpstore.Forgotten{Verifications: 1, Live: 1})
		s.close()
		s = open(t, dir, policy(), nil)
		r.Number = "+3462"
		if _, err := s.Issue(t.Context(), r); !errors.As(err, new(*otpstore.LimitError)) {
			t.Errorf("the budget lets through: %v", err)
		}
		s.close()
	})
}

// A number that was named by an older key is found, and has its name under the newest from then on.
func TestForgetUnderEveryKey(t *testing.T) {
	dir, old, fresh := t.TempDir(), otpstore.NewKey(), otpstore.NewKey()
	s := openRing(t, dir, nil, old)
	i := s.send(phone)
	s.close()
	s = openRing(t, dir, nil, fresh, old)
	s.forget(phone, otpstore.Forgotten{Verifications: 1, Live: 1})
	s.verify(i, i.Code, otpstore.ErrNotFound)
	if held, err := s.Seals(t.Context()); err != nil || len(held) != 1 || held[ring(t, fresh).IDs()[0]] != 1 {
		t.Errorf("records by key: %v, %v", held, err)
	}
	s.close()
	s = openRing(t, dir, nil, fresh)
	for n := range 3 {
		if got := s.limited(phone); (got != "") != (n == 2) {
			t.Errorf("code %d: limit %q", n+2, got)
		}
	}
	s.close()
}

// A client that wants to be told is told nothing more of a code that was forgotten.
func TestForgottenCodesAreToldOfToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := otpstore.Open(otpstore.Config{Dir: t.TempDir()}, policy(), nil, quiet())
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan otpstore.Event, 10)
		s.Notify(func(e otpstore.Event) { told <- e })
		r := start(t, s)
		i, err := r.Issue(t.Context(), otpstore.Request{Client: client, Number: phone, Terms: policy().Terms(), Tell: otpstore.Delivery | otpstore.Outcome})
		if err != nil {
			t.Fatal(err)
		}
		r.sent(i)
		r.forget(phone, otpstore.Forgotten{Verifications: 1, Live: 1})
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(told) > 0 {
			t.Errorf("told: %+v", <-told)
		}
		if next, err := r.Untold(t.Context(), "", 10, func(e otpstore.Event) bool { t.Errorf("untold: %+v", e); return true }); err != nil || next != "" {
			t.Errorf("untold: %q, %v", next, err)
		}
		r.close()
	})
}
