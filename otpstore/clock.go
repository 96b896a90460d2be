package otpstore

import (
	"sync"
	"time"
)

const (
	skewAlarm = time.Minute                 // a wall clock this far off is told of
	leapMost  = 10*time.Minute + acceptance // the longest life of a code: so far one jump of the wall clock takes the store's
)

// A timekeeper is the store's clock. It begins at the wall clock's time, or at the latest time that the store has seen where that is later,
// and runs with the monotonic clock. It follows a wall clock that runs ahead, for the machine may have slept: at once up to a minute,
// and over a longer jump no further than ends every code, so that no life is extended and no limit's window is jumped over.
// It never goes back. It is safe for concurrent use.
type timekeeper struct {
	read func() (wall time.Time, running time.Duration) // replaced by tests

	mu     sync.Mutex    // guards what follows
	base   time.Time     // our time when running was 0
	ahead  time.Duration // what was added since
	excess time.Duration // by so much the wall clock is ahead, and is not followed
	last   time.Time
}

// newTimekeeper begins no earlier than at mark.
func newTimekeeper(mark time.Time) *timekeeper {
	begun := time.Now()
	return startTimekeeper(mark, func() (time.Time, time.Duration) {
		now := time.Now()
		return now, now.Sub(begun)
	})
}

func startTimekeeper(mark time.Time, read func() (time.Time, time.Duration)) *timekeeper {
	wall, running := read()
	if wall = wall.Round(0); wall.Before(mark) {
		wall = mark
	}
	return &timekeeper{read: read, base: wall.Add(-running)}
}

// now is the time, in UTC, to the microsecond; skew is by how much the wall clock is ahead of it.
func (k *timekeeper) now() (now time.Time, skew time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wall, running := k.read()
	ours := k.base.Add(running + k.ahead)
	skew = wall.Round(0).Sub(ours)
	k.excess = max(0, min(k.excess, skew))
	if jump := skew - k.excess; jump > 0 {
		step := jump
		if jump > skewAlarm {
			step = min(jump, leapMost)
		}
		k.ahead += step
		k.excess += jump - step
		ours, skew = ours.Add(step), skew-step
	}
	if ours = ours.UTC().Truncate(time.Microsecond); ours.Before(k.last) {
		ours = k.last
	}
	k.last = ours
	return ours, skew
}
