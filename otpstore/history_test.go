package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"otpgw/otpstore"
)

// A call is one call about one code, and what it may do to it.
type call struct {
	cancel bool
	right  bool
}

// A standing is what a code is at, as the history sees it.
type standing struct {
	state string // live, used, locked or canceled
	wrong int
}

// lifeOfACode is the specification: every answer is as if the calls came one after the other.
func lifeOfACode(maxAttempts int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return standing{state: "live"} },
		Step: func(state, input, output any) (bool, any) {
			s, c := state.(standing), input.(call)
			got, _ := output.(error)
			var want error
			switch {
			case c.cancel && (s.state == "live" || s.state == "canceled"):
				s.state = "canceled"
			case c.cancel:
				want = otpstore.ErrFinished
			case s.state == "used" || s.state == "canceled":
				want = otpstore.ErrExpired
			case s.state == "locked":
				want = otpstore.ErrFailed
			case c.right:
				s.state = "used"
			default:
				want = otpstore.ErrWrongCode
				if s.wrong++; s.wrong == maxAttempts {
					s.state, want = "locked", otpstore.ErrFailed
				}
			}
			return errors.Is(got, want) && (got == nil) == (want == nil), s
		},
		Equal: func(a, b any) bool { return a == b },
	}
}

// verifier is what the history is made with.
type verifier interface {
	Verify(ctx context.Context, client, id, code string) error
}

// history plays calls on one code from several callers at once.
func history(t *testing.T, s *running, v verifier, callers, calls int) []porcupine.Operation {
	t.Helper()
	i := s.send(fmt.Sprintf("+346%08d", rand.IntN(100_000_000)))
	var (
		mu    sync.Mutex
		ops   []porcupine.Operation
		group sync.WaitGroup
		began = time.Now()
	)
	for caller := range callers {
		group.Go(func() {
			for range calls {
				c := call{right: rand.IntN(4) == 0, cancel: rand.IntN(20) == 0}
				code := wrong(i)
				if c.right {
					code = i.Code
				}
				at := time.Since(began).Nanoseconds()
				var err error
				if c.cancel {
					_, err = s.Cancel(context.Background(), client, i.ID)
				} else {
					err = v.Verify(context.Background(), client, i.ID, code)
				}
				op := porcupine.Operation{ClientId: caller, Input: c, Call: at, Output: err, Return: time.Since(began).Nanoseconds()}
				mu.Lock()
				ops = append(ops, op)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return ops
}

func TestHistoriesAreAsIfOneAfterTheOther(t *testing.T) {
	p := policy()
	s := open(t, t.TempDir(), p, nil)
	for n := range 200 {
		if ops := history(t, s, s, 4, 4); !porcupine.CheckOperations(lifeOfACode(p.MaxAttempts), ops) {
			t.Fatalf("history %d: %+v", n, ops)
		}
	}
	s.close()
}

// A racyStore looks, decides and counts in separate steps: what the histories have to find out.
type racyStore struct {
	mu    sync.Mutex // guards codes, but only for each step
	codes map[string]standing
	right string
	tries int
}

func (r *racyStore) Verify(_ context.Context, _, id, code string) error {
	r.mu.Lock()
	s, known := r.codes[id]
	r.mu.Unlock()
	if !known {
		s.state = "live"
	}
	time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond) // the way to the disk and back
	var verdict error
	switch {
	case s.state == "used":
		return otpstore.ErrExpired
	case s.state == "locked":
		return otpstore.ErrFailed
	case code == r.right:
		s.state = "used"
	default:
		verdict = otpstore.ErrWrongCode
		if s.wrong++; s.wrong >= r.tries {
			s.state, verdict = "locked", otpstore.ErrFailed
		}
	}
	r.mu.Lock()
	r.codes[id] = s
	r.mu.Unlock()
	return verdict
}

func TestRacyStoreIsFoundOut(t *testing.T) {
	r := &racyStore{codes: map[string]standing{}, right: "right", tries: 3}
	rejected := 0
	for n := range 50 {
		id := fmt.Sprint(n)
		var mu sync.Mutex
		var ops []porcupine.Operation
		var group sync.WaitGroup
		began := time.Now()
		for caller := range 4 {
			group.Go(func() {
				for range 4 {
					c := call{right: rand.IntN(4) == 0}
					code := "wrong"
					if c.right {
						code = r.right
					}
					at := time.Since(began).Nanoseconds()
					err := r.Verify(context.Background(), client, id, code)
					op := porcupine.Operation{ClientId: caller, Input: c, Call: at, Output: err, Return: time.Since(began).Nanoseconds()}
					mu.Lock()
					ops = append(ops, op)
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if !porcupine.CheckOperations(lifeOfACode(r.tries), ops) {
			rejected++
		}
	}
	if rejected < 25 {
		t.Errorf("only %d of 50 histories of a racy store were rejected", rejected)
	}
}
