package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

func budget(scope string, most int, window time.Duration) otpstore.Budget {
	return otpstore.Budget{Limit: "budget", Scope: scope, Max: most, Window: window}
}

// spend asks for a code for the nth number.
func (r *running) spend(n int, list ...otpstore.Budget) (otpstore.Issued, error) {
	return r.Issue(context.Background(), otpstore.Request{
		Client: client, Number: fmt.Sprintf("+3460%07d", n), Terms: policy().Terms(), Budgets: list,
	})
}

func spent(err error) bool {
	var limit *otpstore.LimitError
	return errors.As(err, &limit) && limit.Limit == "budget" && limit.RetryAfter > 0
}

func TestBudgetOverManyNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, policy(), nil)
		b, other := budget("a", 5, time.Hour), budget("b", 100, time.Hour)
		for n := range 5 {
			if _, err := s.spend(n, b, other); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.spend(5, b, other)
		var limit *otpstore.LimitError
		if !errors.As(err, &limit) || limit.RetryAfter < time.Hour || limit.RetryAfter > time.Hour+2*time.Minute {
			t.Fatalf("the sixth: %v", err)
		}
		if _, err := s.spend(6, other); err != nil {
			t.Errorf("another budget: %v", err)
		}
		// A restart does not give it back.
		s.close()
		s = open(t, dir, policy(), nil)
		if _, err := s.spend(7, b); !spent(err) {
			t.Errorf("after a restart: %v", err)
		}
		time.Sleep(limit.RetryAfter)
		i, err := s.spend(8, b)
		if err != nil {
			t.Errorf("after the time that it named: %v", err)
		}
		// What was certainly not sent does not count, what may have been does.
		for n := range 4 {
			j, err := s.spend(10+n, b)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				err = s.Discard(t.Context(), j.ID)
			} else {
				err = s.Unknown(t.Context(), j.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // the discard is durable
		if _, err := s.spend(20, b); err != nil {
			t.Errorf("the one that was given back: %v", err)
		}
		if _, err := s.spend(21, b); !spent(err) {
			t.Errorf("one more: %v", err)
		}
		_ = i
		s.close()
	})
}

// A refusal by a limit of the number, and a repeated request, take nothing out of a budget.
func TestRefusalsSpendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), policy(), nil)
		b := budget("a", 4, time.Hour)
		request := otpstore.Request{Client: client, Number: phone, Terms: policy().Terms(), Budgets: []otpstore.Budget{b}, Key: "k"}
		request.Terms.SendLimit = 1
		i, err := s.Issue(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		s.sent(i)
		for range 10 {
			if again, err := s.Issue(t.Context(), request); err != nil || !again.Replayed || again.ID != i.ID {
				t.Fatalf("repeated: %+v, %v", again, err)
			}
			request.Key = "other"
			var limit *otpstore.LimitError
			if _, err := s.Issue(t.Context(), request); !errors.As(err, &limit) || limit.Limit != "send_limit" {
				t.Fatalf("refused: %v", err)
			}
			request.Key = "k"
		}
		for n := range 3 {
			if _, err := s.spend(n, b); err != nil {
				t.Errorf("%d of the 3 that are left: %v", n+1, err)
			}
		}
		if _, err := s.spend(4, b); !spent(err) {
			t.Errorf("the fifth: %v", err)
		}
		s.close()
	})
}

func TestParallelCodesNeverExceedABudget(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	b := budget("a", 37, time.Hour)
	var given atomic.Int64
	var group sync.WaitGroup
	for n := range 200 {
		group.Go(func() {
			switch _, err := s.spend(n, b); {
			case err == nil:
				given.Add(1)
			case !spent(err):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if given.Load() != 37 {
		t.Errorf("%d codes, the budget is 37", given.Load())
	}
	s.close()
}

// In no window of the budget's length are there more codes than it allows, whenever they are asked for.
func TestBudgetSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), policy(), nil)
		b := budget("a", 10, time.Hour)
		var at []time.Time
		for n := range 600 {
			if _, err := s.spend(n, b); err == nil {
				at = append(at, time.Now())
			} else if !spent(err) {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(1+n%7) * time.Minute / 3)
		}
		for i := 10; i < len(at); i++ {
			if window := at[i].Sub(at[i-10]); window < time.Hour {
				t.Fatalf("11 codes within %v", window)
			}
		}
		if len(at) < 80 {
			t.Errorf("only %d codes in %v", len(at), at[len(at)-1].Sub(at[0]))
		}
		s.close()
	})
}
