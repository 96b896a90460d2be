package otpstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"otpgw/otpstore"
)

// A promise is one of those that docs/operations.md makes.
type promise string

const (
	kept      promise = "an accepted code is lost"
	tries     promise = "a try is given back"
	invented  promise = "a try is counted that nobody made"
	once      promise = "a code is right twice"
	oneActive promise = "an older code, or one that was not sent, is right"
	limits    promise = "a send limit reopens"
	ended     promise = "a canceled or locked code is right"
	received  promise = "a receipt that was taken is lost"
	plain     promise = "an answer that is none"
)

// A ledger is what clients were told and the phones show, kept outside of the store. An answer that did not come is in doubt:
// what was asked for may have happened, or not. It is safe for concurrent use.
type ledger struct {
	policy otpstore.Policy

	mu       sync.Mutex // guards what follows
	accounts []*account
	broken   map[promise][]string
	calls    int // that were answered
	dropped  int // accounts whose record the store gave up as damaged
}

// An account is that of one number. One worker at a time keeps it.
type account struct {
	number  string
	entries []*entry // oldest first
}

// An entry is that of one code whose reservation was answered.
type entry struct {
	otpstore.Issued
	accepted  bool // Sent was answered
	discarded bool
	wrong     int  // answers ErrWrongCode
	used      bool // answered
	canceled  bool
	locked    bool
	received  bool // its receipt was taken

	doubtSent, doubtUsed, doubtCanceled bool
	doubtWrong                          int
}

func newLedger(p otpstore.Policy) *ledger {
	return &ledger{policy: p, broken: map[promise][]string{}}
}

func (l *ledger) open(number string) *account {
	a := &account{number: number}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts = append(l.accounts, a)
	return a
}

func (l *ledger) breaks(p promise, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken[p] = append(l.broken[p], fmt.Sprintf(format, args...))
}

// whole fails the test where a promise was broken.
func (l *ledger) whole(t *testing.T, where string) {
	t.Helper()
	for p, cases := range l.broken {
		t.Errorf("%s: %s, %d times:\n\t%s", where, p, len(cases), strings.Join(cases[:min(len(cases), 5)], "\n\t"))
	}
}

// answered says whether a call was, and counts it.
func (l *ledger) answered(err error) bool {
	if errors.Is(err, otpstore.ErrUnavailable) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	return true
}

// send asks for a code, and has it sent unless chance says that the SMSC refused it or did not answer. It gives nil when the store is gone.
func (l *ledger) send(s *otpstore.Store, a *account, rng *rand.Rand) (*entry, bool) {
	ctx := context.Background()
	i, err := s.IssueFor(ctx, client, a.number)
	var refusal *otpstore.LimitError
	switch {
	case !l.answered(err):
		return nil, false
	case errors.As(err, &refusal):
		return nil, true
	case err != nil:
		l.breaks(plain, "issue: %v", err)
		return nil, false
	}
	e := &entry{Issued: i}
	a.entries = append(a.entries, e)
	switch rng.IntN(12) {
	case 0:
		e.discarded = true // durable or not: it was asked for
		return nil, l.answered(s.Discard(ctx, i.ID))
	case 1:
		return nil, l.answered(s.Unknown(ctx, i.ID))
	}
	if err := s.Sent(ctx, i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{"m-" + i.ID}}); !l.answered(err) {
		e.doubtSent = true
		return nil, false
	} else if err != nil {
		l.breaks(plain, "sent: %v", err)
	}
	e.accepted = true
	return e, true
}

// guess brings so many codes at once, each right or wrong, and says whether all were answered.
func (l *ledger) guess(s *otpstore.Store, e *entry, right ...bool) bool {
	verdicts := make([]error, len(right))
	var volley sync.WaitGroup
	for i := range right {
		volley.Go(func() {
			code := e.Code
			if !right[i] {
				code = wrong(e.Issued)
			}
			verdicts[i] = s.Verify(context.Background(), client, e.ID, code)
		})
	}
	volley.Wait()
	all := true
	was := *e
	for i, err := range verdicts {
		switch {
		case !l.answered(err):
			all = false
			if right[i] {
				e.doubtUsed = true
			} else {
				e.doubtWrong++
			}
		case err == nil && right[i]:
			if e.used {
				l.breaks(once, "%s", e.ID)
			}
			e.used = true
		case err == nil:
			l.breaks(plain, "%s: a wrong code is right", e.ID)
		case errors.Is(err, otpstore.ErrWrongCode):
			e.wrong++
			if right[i] {
				l.breaks(plain, "%s: the right code is wrong", e.ID)
			}
		case errors.Is(err, otpstore.ErrFailed):
			e.locked = true
		case errors.Is(err, otpstore.ErrExpired):
		default:
			l.breaks(kept, "%s: %v", e.ID, err)
		}
	}
	if e.wrong >= l.policy.MaxAttempts {
		l.breaks(tries, "%s: %d wrong codes were judged", e.ID, e.wrong)
	}
	if len(right) == 1 && right[0] && all && !e.used && was.verifiable(l.policy) {
		l.breaks(kept, "%s: %v", e.ID, verdicts[0])
	}
	return all
}

// verifiable reports whether the right code must be right, as long as no newer code is sent.
func (e *entry) verifiable(p otpstore.Policy) bool {
	return e.accepted && !e.used && !e.canceled && !e.locked && !e.doubtUsed && !e.doubtCanceled && e.wrong+e.doubtWrong < p.MaxAttempts
}

// play makes up the life of one number until chance ends it, and says whether the store is still there.
func (l *ledger) play(s *otpstore.Store, number string, rng *rand.Rand) bool {
	ctx := context.Background()
	a := l.open(number)
	e, there := l.send(s, a, rng)
	for step := 0; there && step < 8; step++ {
		if e == nil || rng.IntN(6) == 0 {
			e2, ok := l.send(s, a, rng)
			if there = ok; e2 != nil {
				e = e2
			}
			if e == nil {
				continue
			}
		}
		if !there {
			break
		}
		switch rng.IntN(8) {
		case 0, 1, 2:
			there = l.guess(s, e, false)
		case 3:
			there = l.guess(s, e, true)
		case 4:
			there = l.guess(s, e, true, true, false)
		case 5:
			there = l.guess(s, e, false, false, false, false)
		case 6:
			m, err := s.Delivered(ctx, receipt(e.Issued))
			if there = l.answered(err); there && (err != nil || !m.Found) {
				l.breaks(received, "%s: %+v, %v", e.ID, m, err)
			}
			e.received = e.received || there
		case 7:
			if rng.IntN(3) > 0 {
				continue
			}
			changed, err := s.Cancel(ctx, client, e.ID)
			there = l.answered(err)
			e.doubtCanceled = e.doubtCanceled || !there
			e.canceled = e.canceled || changed && err == nil
		}
	}
	return there
}

// audit compares a store, which nothing else uses, with the ledger, and uses up its codes. Where it is damaged a number may have been given up
// as a whole, but whatever is left has to be right.
func (l *ledger) audit(s *otpstore.Store, seed uint64, damaged bool) {
	var all sync.WaitGroup
	for k, a := range l.accounts {
		all.Go(func() { l.auditNumber(s, a, rand.New(rand.NewPCG(seed, uint64(k))), damaged) })
	}
	all.Wait()
}

func (l *ledger) auditNumber(s *otpstore.Store, a *account, rng *rand.Rand, damaged bool) {
	if damaged && !slices.ContainsFunc(a.entries, func(e *entry) bool {
		_, err := s.Lookup(context.Background(), e.ID)
		return err == nil
	}) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dropped++
		return
	}
	right := func(e *entry) error { return s.Verify(context.Background(), client, e.ID, e.Code) }
	active := -1 // the newest that is known to be accepted
	for i, e := range a.entries {
		if e.accepted {
			active = i
		}
	}
	for i, e := range a.entries {
		if e.received {
			if v, err := s.Lookup(context.Background(), e.ID); err != nil || v.Receipt != "DELIVRD" {
				l.breaks(received, "%s: %q, %v", e.ID, v.Receipt, err)
			}
		}
		if i != active && !e.doubtSent && right(e) == nil {
			if e.used {
				l.breaks(once, "%s, an older one", e.ID)
			}
			l.breaks(oneActive, "%s, %d of %d", e.ID, i+1, len(a.entries))
		}
	}
	superseded := false // by one of which nobody knows that it was accepted
	for _, e := range a.entries[active+1:] {
		if e.doubtSent && right(e) == nil {
			if superseded = true; right(e) == nil {
				l.breaks(once, "%s, whose acceptance was in doubt", e.ID)
			}
		}
	}
	if active >= 0 {
		l.auditActive(s, a.entries[active], superseded, rng)
	}
	reserved, granted := 0, 0
	for _, e := range a.entries {
		if !e.discarded {
			reserved++
		}
	}
	for granted <= l.policy.SendLimit {
		if _, err := s.IssueFor(context.Background(), client, a.number); err != nil {
			break
		}
		granted++
	}
	if reserved+granted > l.policy.SendLimit {
		l.breaks(limits, "%d codes before, %d after, of %d", reserved, granted, l.policy.SendLimit)
	}
}

// auditActive tries the one code of a number that may be right.
func (l *ledger) auditActive(s *otpstore.Store, e *entry, superseded bool, rng *rand.Rand) {
	verify := func(code string) error { return s.Verify(context.Background(), client, e.ID, code) }
	if v, err := s.Lookup(context.Background(), e.ID); err != nil {
		l.breaks(kept, "%s: %v", e.ID, err)
	} else if v.Attempts < e.wrong {
		l.breaks(tries, "%s: %d of %d", e.ID, v.Attempts, e.wrong)
	}
	certain := e.verifiable(l.policy) && !superseded
	if rng.IntN(2) == 0 && !e.used { // every second one is spent on wrong codes
		left := 0
		for errors.Is(verify(wrong(e.Issued)), otpstore.ErrWrongCode) {
			left++
		}
		if most := l.policy.MaxAttempts - 1 - e.wrong; left > most {
			l.breaks(tries, "%s: %d left of %d", e.ID, left, most)
		}
		if least := l.policy.MaxAttempts - 1 - e.wrong - e.doubtWrong; certain && left < least {
			l.breaks(invented, "%s: %d left of %d at least", e.ID, left, least)
		}
		if verify(e.Code) == nil {
			l.breaks(ended, "%s", e.ID)
		}
		return
	}
	switch err := verify(e.Code); {
	case err != nil && certain:
		l.breaks(kept, "%s: %v", e.ID, err)
	case err == nil && e.used:
		l.breaks(once, "%s", e.ID)
	case err == nil && (e.canceled || e.locked):
		l.breaks(ended, "%s", e.ID)
	case err == nil && superseded:
		l.breaks(oneActive, "%s beside one whose acceptance was in doubt", e.ID)
	case err == nil && verify(e.Code) == nil:
		l.breaks(once, "%s, after the start", e.ID)
	}
}
