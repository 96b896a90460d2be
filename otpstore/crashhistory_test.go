package otpstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"otpgw/otpstore"
	"otpgw/otpstore/losefs"
)

var histories = flag.Int("histories", 200, "how many histories with a power failure in them are checked")

// never is when a call ends that got no answer: what it asked for may come after all that was answered, which
// is as if it had not happened.
const never = math.MaxInt64

// lifeWithDoubt is lifeOfACode where a call may have got no answer.
func lifeWithDoubt(maxAttempts int) porcupine.Model {
	m := lifeOfACode(maxAttempts)
	answered := m.Step
	m.Step = func(state, input, output any) (bool, any) {
		if err, _ := output.(error); !errors.Is(err, otpstore.ErrUnavailable) {
			return answered(state, input, output)
		}
		for _, verdict := range []error{nil, otpstore.ErrWrongCode, otpstore.ErrFailed, otpstore.ErrExpired, otpstore.ErrFinished} {
			if ok, next := answered(state, input, verdict); ok { // the one that it would have been
				return true, next
			}
		}
		return false, state
	}
	return m
}

// A chronicle is the histories of some codes in one store.
type chronicle struct {
	began time.Time
	mu    sync.Mutex // guards ops
	ops   map[string][]porcupine.Operation
}

// guesses lets clients guess, each until it has made so many calls or gets no answer. Every client is another one than those before it.
func (c *chronicle) guesses(s *otpstore.Store, codes []otpstore.Issued, clients, calls, first int) {
	var all sync.WaitGroup
	for k, i := range codes {
		for n := range clients {
			all.Go(func() {
				for range calls {
					in := call{right: rand.IntN(6) == 0, cancel: rand.IntN(20) == 0}
					code := wrong(i)
					if in.right {
						code = i.Code
					}
					at := time.Since(c.began).Nanoseconds()
					var err error
					if in.cancel {
						_, err = s.Cancel(context.Background(), client, i.ID)
					} else {
						err = s.Verify(context.Background(), client, i.ID, code)
					}
					op := porcupine.Operation{ClientId: first + n, Input: in, Call: at, Output: err, Return: time.Since(c.began).Nanoseconds()}
					unanswered := errors.Is(err, otpstore.ErrUnavailable)
					if unanswered {
						op.Return = never
					}
					c.mu.Lock()
					c.ops[codes[k].ID] = append(c.ops[codes[k].ID], op)
					c.mu.Unlock()
					if unanswered {
						return
					}
				}
			})
		}
	}
	all.Wait()
}

// chronicle plays histories with a power failure in the middle, and gives them by the ids of their codes.
func (m *machine) chronicle(seed uint64, codes, clients int) map[string][]porcupine.Operation {
	m.t.Helper()
	otpstore.CycleNear(seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	m.disk.Clear(m.t)
	s, err := m.start()
	if err != nil {
		m.t.Fatal(err)
	}
	issued := make([]otpstore.Issued, codes)
	for k := range issued {
		issued[k], err = s.IssueFor(m.t.Context(), client, fmt.Sprintf("+34600%06d", k))
		if err == nil {
			err = s.Sent(m.t.Context(), issued[k].ID, otpstore.SendResult{SMSC: "main"})
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	c := &chronicle{began: time.Now(), ops: map[string][]porcupine.Operation{}}
	m.disk.Set(m.t, losefs.Plan{StopAt: 1 + rng.IntN(16), StopAfter: rng.IntN(2) == 0})
	c.guesses(s, issued, clients, 2, 0)
	m.stop() // it says that the disk failed, if it did
	m.disk.Crash(m.t, losefs.Loss{Torn: true, Seed: seed})
	if s, err = m.start(); err != nil {
		m.t.Fatal(err)
	}
	c.guesses(s, issued, clients/2, 2, clients)
	if err := m.stop(); err != nil {
		m.t.Fatal(err)
	}
	return c.ops
}

// ofOneDisk is how many histories have their power failure together.
const ofOneDisk = 10

func TestHistoriesWithPowerFailures(t *testing.T) {
	m := newMachine(t, nil)
	checked, doubts := 0, 0
	for seed := rand.Uint64() >> 16; checked < *histories; seed++ {
		for id, ops := range m.chronicle(seed, ofOneDisk, 8) {
			checked++
			for _, op := range ops {
				if op.Return == never {
					doubts++
				}
			}
			if r := porcupine.CheckOperationsTimeout(lifeWithDoubt(m.policy.MaxAttempts), ops, patience); r != porcupine.Ok {
				t.Fatalf("%s, seed %d: %s: %+v", id, seed, r, ops)
			}
		}
	}
	t.Logf("%d histories, %d calls without an answer", checked, doubts)
	if doubts < checked/2 {
		t.Error("too few calls were cut off: the power failed when nobody called")
	}
}

// Stores that check and then act, or answer and then commit, have histories that no sequence of calls explains.
func TestHistoriesFindOutBrokenStores(t *testing.T) {
	for name, how := range map[string]making{
		"checks, then acts":         func(b *otpstore.Bolt) otpstore.Backend { return racy{b} },
		"answers before it commits": func(b *otpstore.Bolt) otpstore.Backend { return &hasty{Backend: b} },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, how)
			checked, rejected := 0, 0
			for seed := uint64(1); rejected == 0 && checked < 300; seed++ {
				for _, ops := range m.chronicle(seed, ofOneDisk, 8) {
					checked++
					if porcupine.CheckOperationsTimeout(lifeWithDoubt(m.policy.MaxAttempts), ops, patience) == porcupine.Illegal {
						rejected++
					}
				}
			}
			t.Logf("%d of %d histories were rejected", rejected, checked)
			if rejected == 0 {
				t.Error("they pass for those of a store")
			}
		})
	}
}
