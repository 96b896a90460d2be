package httpapi

import (
	"sync"
	"time"
)

// What the share of a client's wrong codes is judged by, and how fast it may go on above it.
const (
	failureSlots = 10
	failureSlot  = time.Minute
	failureFrom  = 200         // checks
	failurePause = time.Second // between two checks
)

// failures are the checks of one client in the last 10 minutes, to find out one that guesses over many numbers: the limits of a
// single number do not see it.
type failures struct {
	mu    sync.Mutex // guards the rest
	slots [failureSlots]struct {
		minute        int64
		checks, wrong int
	}
	next time.Time // when the next check is let through while the share is too large
}

// count takes down a check.
func (f *failures) count(now time.Time, wrong bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	minute := now.Unix() / int64(failureSlot/time.Second)
	slot := &f.slots[minute%failureSlots]
	if slot.minute != minute {
		slot.minute, slot.checks, slot.wrong = minute, 0, 0
	}
	slot.checks++
	if wrong {
		slot.wrong++
	}
}

// take is nil when a check may go on, else how long it has to wait: above the share one a second goes through.
func (f *failures) take(now time.Time, share float64) error {
	if share == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	checks, wrong := 0, 0
	minute := now.Unix() / int64(failureSlot/time.Second)
	for _, slot := range f.slots {
		if minute-slot.minute < failureSlots {
			checks, wrong = checks+slot.checks, wrong+slot.wrong
		}
	}
	if checks < failureFrom || float64(wrong) < share*float64(checks) {
		return nil
	}
	if wait := f.next.Sub(now); wait > 0 && wait <= failurePause {
		return &waitError{failureShare, wait}
	}
	f.next = now.Add(failurePause)
	return nil
}
