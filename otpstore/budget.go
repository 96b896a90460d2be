package otpstore

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// A Budget bounds how many codes are sent within a sliding window over all that counts in a scope, whichever numbers they go to.
type Budget struct {
	Limit  string        // its name in a LimitError
	Scope  string        // what counts together, such as "client/acme"
	Max    int           // codes, 1 at least
	Window time.Duration // 1 minute to 24 hours
}

// A scope is a Budget's scope and window as a code remembers them.
type scope struct {
	name   uint64
	window time.Duration
}

func (b Budget) scope() scope {
	sum := sha256.Sum256([]byte(b.Scope))
	return scope{binary.BigEndian.Uint64(sum[:]), b.Window.Truncate(time.Microsecond)}
}

// budgets count codes over many numbers, in memory. The records say which codes count where, so that the counts are there again after a
// restart. It is safe for concurrent use.
type budgets struct {
	mu     sync.Mutex // guards counts
	counts map[scope]*spending
}

// spending is how many codes were issued in the last window, in slots; the one that has begun to leave the window counts in full, so
// that there are never more in any window than allowed.
type spending struct {
	slots [budgetSlots + 1]struct {
		number int64 // of the slot since 1970
		codes  int
	}
}

const (
	budgetSlots = 64
	maxBudgets  = 10_000 // counted at once
	fullRetry   = time.Minute
)

func newBudgets() *budgets { return &budgets{counts: map[scope]*spending{}} }

// reset makes b as new.
func (b *budgets) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.counts)
}

// slot is the number of the slot of a time, and how long one lasts.
func (s scope) slot(at time.Time) (number int64, length time.Duration) {
	length = max(s.window/budgetSlots, time.Microsecond)
	return at.UnixMicro() / length.Microseconds(), length
}

// spent gives the codes of the last window, and the number of the oldest slot with any.
func (c *spending) spent(now int64) (codes int, oldest int64) {
	oldest = now
	for _, s := range c.slots {
		if now-s.number <= budgetSlots && s.codes > 0 {
			codes += s.codes
			oldest = min(oldest, s.number)
		}
	}
	return codes, oldest
}

func (c *spending) add(number int64, n int) {
	s := &c.slots[((number%int64(len(c.slots)))+int64(len(c.slots)))%int64(len(c.slots))]
	if s.number < number {
		s.number, s.codes = number, 0
	}
	if s.number == number { // else it has left the window
		s.codes = max(0, s.codes+n)
	}
}

// take counts a code in every scope of list at a time, or in none and says which budget is spent.
func (b *budgets) take(now time.Time, list []Budget) *LimitError {
	if len(list) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range list {
		s := l.scope()
		c := b.counts[s]
		if c == nil {
			if len(b.counts) >= maxBudgets && !b.forget(now) {
				return &LimitError{Limit: l.Limit, RetryAfter: fullRetry}
			}
			c = new(spending)
			b.counts[s] = c
		}
		number, length := s.slot(now)
		if codes, oldest := c.spent(number); codes >= l.Max {
			free := time.UnixMicro((oldest + budgetSlots + 1) * length.Microseconds())
			return &LimitError{Limit: l.Limit, RetryAfter: max(free.Sub(now), time.Second)}
		}
	}
	for _, l := range list {
		s := l.scope()
		number, _ := s.slot(now)
		b.counts[s].add(number, 1)
	}
	return nil
}

// forget drops the scopes in which nothing counts any more, and says whether there were any.
func (b *budgets) forget(now time.Time) bool {
	gone := false
	for s, c := range b.counts {
		number, _ := s.slot(now)
		if codes, _ := c.spent(number); codes == 0 {
			delete(b.counts, s)
			gone = true
		}
	}
	return gone
}

// giveBack takes a code, counted at a time, out of its scopes again.
func (b *budgets) giveBack(at time.Time, scopes []scope) { b.add(at, scopes, -1) }

// count takes down a code that was issued before.
func (b *budgets) count(at time.Time, scopes []scope) { b.add(at, scopes, 1) }

func (b *budgets) add(at time.Time, scopes []scope, n int) {
	if len(scopes) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range scopes {
		c := b.counts[s]
		if c == nil {
			if n < 0 || len(b.counts) >= maxBudgets {
				continue
			}
			c = new(spending)
			b.counts[s] = c
		}
		number, _ := s.slot(at)
		c.add(number, n)
	}
}
