package smpp

import "time"

// A waiter is a message that waits to be let through.
type waiter struct {
	deadline time.Time // zero: none
	arrival  uint64
	since    time.Time
	segments int
	avoid    *session
	pinned   *session // whose place it has already
	last     bool     // goes behind all others: it was throttled time and again
	paced    bool     // the rate, not a window, has kept it waiting

	ready   chan struct{} // closed when one of these is set
	session *session
	err     error

	index int // in the line
}

// before says whose turn is first: a message that has begun goes on, then the nearest deadline, then who came first.
func (w *waiter) before(other *waiter) bool {
	switch {
	case (w.pinned == nil) != (other.pinned == nil):
		return w.pinned != nil
	case w.last != other.last:
		return other.last
	case w.deadline.Equal(other.deadline):
		return w.arrival < other.arrival
	case w.deadline.IsZero() || other.deadline.IsZero():
		return other.deadline.IsZero()
	}
	return w.deadline.Before(other.deadline)
}

func (w *waiter) moved(to int) { w.index = to }

// A line is a heap of those who wait.
type line = ordered[*waiter]
