package smpp

import (
	"container/list"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	startGrace    = time.Second      // for the first bind to come up
	downRetry     = 5 * time.Second  // what a caller is told to wait when no bind is bound
	latencyMemory = 10 * time.Second // how fast a bind's slow answers are forgotten
	latencyFloor  = 100e-6           // seconds; keeps an idle bind from winning for ever by a lucky answer
)

// A seat is what the windows know of one session.
type seat struct {
	used    int     // messages that are on this session
	ghosts  int     // answers that did not come in time and whose requests the SMSC may still be working on
	latency float64 // seconds; jumps to a slow answer, forgets it slowly
	sampled time.Time
	vacant  chan struct{} // set once the session takes no more messages; closed when used falls to 0
}

// windows are those of all bound sessions of the pool, and the line of those who wait for a place in one.
type windows struct {
	size    int
	metrics *metrics

	mu       sync.Mutex // guards the rest, and the seat of every session
	sessions []*session // bound ones
	line     list.List  // of *waiter, first come first served
	grace    time.Time  // until then one may wait although nothing is bound
	closed   bool
	turn     int // where the search for the best session begins, so that ties go round
}

type waiter struct {
	ready   chan struct{} // closed when one of the others is set
	session *session
	err     error
}

func newWindows(size int, m *metrics) *windows {
	return &windows{size: size, metrics: m, grace: time.Now().Add(startGrace)}
}

// start gives the first bind its time.
func (w *windows) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.grace = time.Now().Add(startGrace)
}

// add opens the window of s.
func (w *windows) add(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.sessions {
		s.seat.latency += other.seat.latency / float64(len(w.sessions))
	}
	s.seat.sampled = time.Now()
	w.sessions = append(w.sessions, s)
	w.metrics.bound.Set(float64(len(w.sessions)))
	w.serve()
}

// remove closes the window of s for new messages. The channel is closed when none is on it any more. It may be called
// again.
func (w *windows) remove(s *session) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.sessions, s); i >= 0 {
		w.sessions = slices.Delete(w.sessions, i, i+1)
		w.metrics.bound.Set(float64(len(w.sessions)))
	}
	if s.seat.vacant == nil {
		s.seat.vacant = make(chan struct{})
		if s.seat.used == 0 {
			close(s.seat.vacant)
		}
	}
	if err := w.useless(); err != nil {
		w.dismiss(err)
	}
	return s.seat.vacant
}

// close turns away those who wait and those who come.
func (w *windows) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.dismiss(draining())
}

// dismiss is called with mu held.
func (w *windows) dismiss(err error) {
	for e := w.line.Front(); e != nil; e = w.line.Front() {
		waiting := w.line.Remove(e).(*waiter)
		waiting.err = err
		close(waiting.ready)
	}
}

// check says why it is useless to wait, without waiting.
func (w *windows) check() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.useless()
}

// useless is called with mu held.
func (w *windows) useless() error {
	switch {
	case w.closed:
		return draining()
	case len(w.sessions) == 0 && !time.Now().Before(w.grace):
		return down()
	}
	return nil
}

// acquire takes a place in the window of the session that will answer soonest, by what is known of it, and waits for one
// in order of arrival. The errors are *UnavailableError. What it returns goes back through release.
func (w *windows) acquire(ctx context.Context) (*session, error) {
	w.mu.Lock()
	if err := w.useless(); err != nil {
		w.mu.Unlock()
		return nil, err
	}
	if w.line.Len() == 0 {
		if s := w.take(); s != nil {
			w.mu.Unlock()
			return s, nil
		}
	}
	waiting := &waiter{ready: make(chan struct{})}
	place := w.line.PushBack(waiting)
	w.mu.Unlock()

	over := w.graceOver()
	for {
		select {
		case <-waiting.ready:
			return waiting.session, waiting.err
		case <-ctx.Done():
			return w.leave(place, waiting, ended(ctx))
		case <-over:
			if err := w.check(); err != nil {
				return w.leave(place, waiting, err)
			}
			over = w.graceOver() // not yet where Run began while we waited
		}
	}
}

// graceOver fires when one may no longer wait while nothing is bound; it is nil when that time has passed.
func (w *windows) graceOver() <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if left := time.Until(w.grace); left > 0 {
		return time.After(left)
	}
	return nil
}

// leave gives up a place in the line, unless its turn has come just now.
func (w *windows) leave(place *list.Element, waiting *waiter, err error) (*session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-waiting.ready:
		return waiting.session, waiting.err
	default:
		w.line.Remove(place)
		return nil, err
	}
}

// release gives a place back. Where no answer came the place becomes a ghost's, until exorcise. latency is how long the
// last answer took or was waited for in vain, 0 where nothing can be said.
func (w *windows) release(s *session, ghost bool, latency time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.seat.used--
	if ghost {
		s.seat.ghosts++
	}
	if latency > 0 && (!ghost || latency.Seconds() > s.seat.latency) { // a ghost's wait says only that an answer takes longer
		s.seat.sample(latency.Seconds(), time.Now())
	}
	s.metrics.inflight.Set(float64(s.seat.used))
	if s.seat.vacant != nil && s.seat.used == 0 {
		close(s.seat.vacant)
	}
	w.serve()
}

// exorcise frees the places of n ghosts of s.
func (w *windows) exorcise(s *session, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.seat.ghosts -= n
	w.serve()
}

// used is the number of messages on s.
func (w *windows) used(s *session) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return s.seat.used
}

// ready is the number of bound sessions.
func (w *windows) ready() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sessions)
}

// serve hands places to the line as long as there are some. It is called with mu held.
func (w *windows) serve() {
	for w.line.Len() > 0 {
		s := w.take()
		if s == nil {
			return
		}
		waiting := w.line.Remove(w.line.Front()).(*waiter)
		waiting.session = s
		close(waiting.ready)
	}
}

// haunted is how many places of a window ghosts may hold: half of them, so that a few messages that are never answered do
// not stop all others on an SMSC that is otherwise well.
func (w *windows) haunted() int { return (w.size + 1) / 2 }

// take takes a place on the cheapest session that has one, or returns nil. It is called with mu held.
func (w *windows) take() *session {
	var best *session
	least := math.Inf(1)
	w.turn++
	for i := range w.sessions {
		s := w.sessions[(w.turn+i)%len(w.sessions)]
		if s.seat.used+min(s.seat.ghosts, w.haunted()) >= w.size {
			continue
		}
		if cost := float64(s.seat.used+1) * max(s.seat.latency, latencyFloor); cost < least {
			best, least = s, cost
		}
	}
	if best != nil {
		best.seat.used++
		best.metrics.inflight.Set(float64(best.seat.used))
	}
	return best
}

// sample takes the time of an answer into account.
func (s *seat) sample(latency float64, now time.Time) {
	if latency >= s.latency {
		s.latency = latency
	} else {
		old := math.Exp(-now.Sub(s.sampled).Seconds() / latencyMemory.Seconds())
		s.latency = s.latency*old + latency*(1-old)
	}
	s.sampled = now
}

func down() error {
	return &UnavailableError{Reason: "no bind to the smsc is up", RetryAfter: downRetry}
}

func draining() error {
	return &UnavailableError{Reason: "the link to the smsc is being shut down", RetryAfter: downRetry}
}
