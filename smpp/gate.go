package smpp

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	startGrace   = time.Second     // for the first bind to come up
	downRetry    = 5 * time.Second // what a caller is told to wait when no bind is bound
	maxWaiting   = 10_000          // messages in the line of one account
	suspectAfter = 3               // messages in a row that a session did not answer in time
)

// A gate lets the messages of one account onto its sessions: as many as their windows hold, no faster than the rate, and
// in the order of their deadlines.
type gate struct {
	size     int           // of a window
	failover time.Duration // for which one may wait although nothing is bound
	metrics  *metrics
	timer    *time.Timer // serves the line when the rate or a pause has kept it waiting

	mu       sync.Mutex // guards the rest, and the seat of every session
	sessions []*session // bound ones
	line     line
	segments int // of all in the line
	arrivals uint64
	pace     *pace
	grace    time.Time // until then one may wait although no session takes messages
	up       time.Time // since when one does
	lapsed   bool      // none did for longer than failover before up
	closed   bool
	turn     int // where the search for the best session begins, so that ties go round
}

func newGate(cfg Config, m *metrics) *gate {
	g := &gate{size: cfg.Window, failover: cfg.FailoverAfter, metrics: m, pace: newPace(cfg.Rate, cfg.MaxSegments)}
	g.grace = time.Now().Add(startGrace)
	g.timer = time.AfterFunc(time.Hour, g.tick)
	g.timer.Stop()
	return g
}

// start gives the first bind its time.
func (g *gate) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grace = time.Now().Add(max(startGrace, g.failover))
	g.serve(time.Now())
}

// add opens the window of s.
func (g *gate) add(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	was := g.usable()
	for _, other := range g.sessions {
		s.seat.latency += other.seat.latency / float64(len(g.sessions))
	}
	s.seat.sampled = now
	g.sessions = append(g.sessions, s)
	g.turned(now, was, g.failover)
	g.serve(now)
}

// remove closes the window of s for new messages. The channel is closed when none is on it any more. It may be called
// again.
func (g *gate) remove(s *session) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	was := g.usable()
	if i := slices.Index(g.sessions, s); i >= 0 {
		g.sessions = slices.Delete(g.sessions, i, i+1)
	}
	if s.seat.vacant == nil {
		s.seat.vacant = make(chan struct{})
		if s.seat.used == 0 {
			close(s.seat.vacant)
		}
	}
	g.turned(now, was, g.failover)
	g.serve(now)
	return s.seat.vacant
}

// turned takes note of whether messages can still, or can again, be sent. was is how many sessions took messages before.
// It is called with mu held.
func (g *gate) turned(now time.Time, was int, patience time.Duration) {
	switch is := g.usable(); {
	case was > 0 && is == 0:
		g.grace = now.Add(patience)
	case was == 0 && is > 0:
		g.lapsed = !g.up.IsZero() && !now.Before(g.grace)
		g.up = now
	}
}

// close turns away all who wait and all who come.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.timer.Stop()
	g.dismiss(draining())
}

// dismiss is called with mu held.
func (g *gate) dismiss(err error) {
	for g.line.Len() > 0 {
		w := g.pop()
		w.err = err
		close(w.ready)
	}
}

// useless says why waiting is. It is called with mu held.
func (g *gate) useless(now time.Time) error {
	switch {
	case g.closed:
		return draining()
	case now.Before(g.grace):
		return nil
	case g.usable() == 0 && !slices.ContainsFunc(g.sessions, (*session).canTry):
		return down()
	}
	return nil
}

// usable counts the sessions that take messages. It is called with mu held.
func (g *gate) usable() int {
	n := 0
	for _, s := range g.sessions {
		if !s.seat.suspect {
			n++
		}
	}
	return n
}

// acquire waits for a place in the window of the session that will answer soonest, by what is known of it, and for the
// tokens of so many segments, as long as that can come to anything before ctx's deadline. It keeps away from avoid where
// it can. last puts it behind all others. The errors are *UnavailableError. What it returns goes back through release.
func (g *gate) acquire(ctx context.Context, segments int, avoid *session, last bool) (*session, error) {
	return g.enter(ctx, &waiter{segments: segments, avoid: avoid, last: last})
}

// wellSince says that a message sent after t was not throttled.
func (g *gate) wellSince(t time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pace.well.After(t)
}

// again waits for the tokens of one segment of a message that has its place on s.
func (g *gate) again(ctx context.Context, s *session) error {
	_, err := g.enter(ctx, &waiter{segments: 1, pinned: s})
	return err
}

func (g *gate) enter(ctx context.Context, w *waiter) (*session, error) {
	w.since = time.Now()
	w.deadline, _ = ctx.Deadline()
	g.mu.Lock()
	err := g.useless(w.since)
	if err == nil && ctx.Err() != nil {
		err = ended(ctx)
	}
	if err != nil {
		g.mu.Unlock()
		return nil, err
	}
	if g.line.Len() == 0 || w.pinned != nil {
		if admitted, _ := g.admit(w.since, w); admitted {
			g.mu.Unlock()
			g.metrics.windowWait.Observe(0)
			return w.session, nil
		}
	}
	if err := g.hopeless(w); err != nil {
		g.mu.Unlock()
		return nil, err
	}
	w.ready = make(chan struct{})
	g.push(w)
	g.serve(w.since)
	g.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
		g.leave(w, ended(ctx))
	}
	waited := g.metrics.windowWait
	if w.paced {
		waited = g.metrics.rateWait
	}
	waited.Observe(time.Since(w.since).Seconds())
	return w.session, w.err
}

// leave gives up a place in the line, unless its turn has come just now.
func (g *gate) leave(w *waiter, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.ready:
	default:
		heap.Remove(&g.line, w.index)
		g.segments -= w.segments
		w.err = err
	}
}

// hopeless says why w cannot be served before its deadline. It is called with mu held.
func (g *gate) hopeless(w *waiter) error {
	if g.line.Len() >= maxWaiting && w.pinned == nil {
		return &UnavailableError{Reason: "too many messages wait", RetryAfter: time.Second}
	}
	left := w.deadline.Sub(w.since)
	if w.deadline.IsZero() || g.need(w, g.line.Len(), g.segments) < left {
		return nil
	}
	ahead, segments := 0, 0
	for _, other := range g.line {
		if !w.before(other) {
			ahead++
			segments += other.segments
		}
	}
	if need := g.need(w, ahead, segments); need >= left {
		return &UnavailableError{Reason: "the pace leaves no room before the deadline", RetryAfter: max(need-left, time.Second)}
	}
	return nil
}

// need is how long w has to wait behind so many others. It is called with mu held.
func (g *gate) need(w *waiter, ahead, segments int) time.Duration {
	need := g.pace.estimate(w.since, segments+w.segments)
	answers := 0.0 // a second, of all sessions
	for _, s := range g.sessions {
		if !s.seat.suspect {
			answers += float64(g.size) / max(s.seat.latency, latencyFloor)
		}
	}
	if answers > 0 && w.pinned == nil { // half of it: the latency that is known is that of bad moments
		need = max(need, time.Duration(float64(ahead)/answers/2*float64(time.Second)))
	}
	return need
}

// tick serves the line when its time has come.
func (g *gate) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serve(time.Now())
}

// serve lets those through whose turn it is. It is called with mu held, whenever anything has changed for the better or
// for the worse.
func (g *gate) serve(now time.Time) {
	for g.line.Len() > 0 {
		if err := g.useless(now); err != nil {
			g.dismiss(err)
			return
		}
		if w := g.line[0]; w.pinned == nil && !w.deadline.IsZero() && w.deadline.Sub(now) < g.answerTime(now) {
			g.pop()
			w.err = &UnavailableError{Reason: "too little time is left for an answer", RetryAfter: time.Second}
			close(w.ready)
			continue
		}
		admitted, wait := g.admit(now, g.line[0])
		if !admitted {
			if left := g.grace.Sub(now); left > 0 && g.usable() == 0 && (wait == 0 || left < wait) {
				wait = left
			}
			if wait > 0 {
				g.timer.Reset(wait)
			}
			return
		}
		close(g.pop().ready)
	}
}

// answerTime is what an answer takes at the least, by what was seen lately: half of it, for it was a bad moment's, and the
// less the longer ago. It is called with mu held.
func (g *gate) answerTime(now time.Time) time.Duration {
	least := math.Inf(1)
	for _, s := range g.sessions {
		if !s.seat.suspect {
			least = min(least, s.seat.latency/2*math.Exp(-now.Sub(s.seat.sampled).Seconds()/latencyMemory.Seconds()))
		}
	}
	if math.IsInf(least, 1) {
		return 0
	}
	return time.Duration(least * float64(time.Second))
}

// admit gives w what it waits for, if that is there. Else it says after how long it may be; 0: that is not known. It is
// called with mu held.
func (g *gate) admit(now time.Time, w *waiter) (bool, time.Duration) {
	s := w.pinned
	if s == nil {
		s = g.best(w.avoid)
	}
	if s == nil {
		w.paced = false
		return false, 0
	}
	ok, wait := g.pace.take(now, w.segments)
	if !ok {
		w.paced = true
		return false, wait
	}
	if w.pinned == nil {
		s.seat.used++
		s.metrics.inflight.Set(float64(s.seat.used))
	}
	w.session = s
	return true, 0
}

// A fate is what became of a message that was let through, for the next ones.
type fate struct {
	outcome   outcome
	submitted bool          // a PDU of it was handed to the connection, at sent
	sent      time.Time     // of its last segment
	latency   time.Duration // how long the last answer took or was waited for in vain; 0 where nothing can be said
	tokens    int           // of the rate that it did not use
	throttled int           // times that its message was throttled before
	personal  bool          // others were not: the SMSC means this message, not the account
}

// release gives a place back. Where no answer came the place becomes a ghost's, until exorcise.
func (g *gate) release(s *session, f fate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	was := g.usable()
	s.seat.used--
	s.seat.note(f, now, s.answer)
	g.heed(f, now)
	s.metrics.inflight.Set(float64(s.seat.used))
	if s.seat.vacant != nil && s.seat.used == 0 {
		close(s.seat.vacant)
	}
	if s.seat.suspect && !s.seat.alarmed {
		s.seat.alarmed = true
		s.alarm()
	}
	g.turned(now, was, 0)
	g.serve(now)
}

// throttled takes note of a segment that has to be sent again, while its message keeps its place.
func (g *gate) throttled(f fate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heed(f, time.Now())
}

// heed fits the pace. It is called with mu held.
func (g *gate) heed(f fate, now time.Time) {
	switch {
	case f.tokens > 0:
		g.pace.giveBack(f.tokens)
	case !f.submitted:
		g.pace.went(now, false)
	case f.outcome.throttled() && !f.personal:
		g.pace.slower(now, f.sent, f.throttled == 0)
	default:
		g.pace.went(f.sent, f.outcome.kind == answered && !f.outcome.throttled())
	}
	g.pace.congestion(now, f.outcome.congestion)
	g.metrics.rateLimit.Set(g.pace.current)
}

// suspect lets no more messages onto s until it has shown that it lives.
func (g *gate) suspect(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.usable()
	s.seat.doubt(time.Now())
	g.turned(time.Now(), was, 0)
	g.serve(time.Now())
}

// proven lets one message onto s, if it was suspect: the peer has answered what it was asked at that time. Where s carries
// no messages that is proof enough.
func (g *gate) proven(s *session, asked time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case asked.Before(s.seat.doubted): // an answer from before says nothing of what came after
	case !s.transmits:
		s.seat.suspect = false
	case s.seat.suspect && !s.seat.proven:
		s.seat.proven, s.seat.alarmed = true, false
		g.serve(time.Now())
	}
}

// ready says that a message would be sent, be it to try whether the SMSC answers again.
func (g *gate) ready() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.sessions, func(s *session) bool { return !s.seat.suspect || s.seat.proven })
}

// suspects says that s is suspect.
func (g *gate) suspects(s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return s.seat.suspect
}

// exorcise frees the places of n ghosts of s.
func (g *gate) exorcise(s *session, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.seat.ghosts -= n
	g.serve(time.Now())
}

// set changes the rate.
func (g *gate) set(perSecond float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace.fill(time.Now())
	g.pace.set(perSecond)
	g.metrics.rateLimit.Set(perSecond)
	g.serve(time.Now())
}

// used is the number of messages on s.
func (g *gate) used(s *session) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return s.seat.used
}

// any is a session that is well, for a request that is no message; nil where there is none.
func (g *gate) any() *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sessions {
		if !s.seat.suspect {
			return s
		}
	}
	return nil
}

// bound is the number of bound sessions that take messages.
func (g *gate) bound() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.usable()
}

// haunted is how many places of a window ghosts may hold: half of them, so that a few messages that are never answered do
// not stop all others on an SMSC that is otherwise well.
func (g *gate) haunted() int { return g.size / 2 }

// best is the cheapest session that has a place, another than avoid where there is one, or nil. It is called with mu held.
func (g *gate) best(avoid *session) *session {
	var best *session
	least := math.Inf(1)
	g.turn++
	for i := range g.sessions {
		s := g.sessions[(g.turn+i)%len(g.sessions)]
		switch {
		case s.canTry() && s != avoid:
			return s // it has to be tried by someone
		case s.seat.suspect && !s.canTry():
			continue
		case s.seat.used+min(s.seat.ghosts, g.haunted()) >= g.size:
			continue
		}
		cost := float64(s.seat.used+1) * max(s.seat.latency, latencyFloor)
		if s == avoid {
			cost = math.MaxFloat64
		}
		if cost < least {
			best, least = s, cost
		}
	}
	return best
}

// A standing is how good an account is to send over, for the choice between accounts.
type standing struct {
	rank int
	cost float64 // expected time to an answer, in seconds; of no meaning but for rankUp and rankBack
}

// The ranks.
const (
	rankUp   = iota // takes messages
	rankBack        // does again, since a moment
	rankSoon        // was lost a moment ago, and may come back
	rankDown
)

func (g *gate) standing(now time.Time) standing {
	g.mu.Lock()
	defer g.mu.Unlock()
	usable := g.usable()
	switch {
	case g.useless(now) != nil:
		return standing{rank: rankDown}
	case usable == 0:
		return standing{rank: rankSoon}
	}
	st := standing{rank: rankUp}
	if g.lapsed && now.Sub(g.up) < g.failover {
		st.rank = rankBack
	}
	var latency float64
	load := g.line.Len() + 1
	for _, s := range g.sessions {
		latency += s.seat.latency / float64(len(g.sessions))
		load += s.seat.used
	}
	st.cost = g.pace.estimate(now, g.segments+1).Seconds() + float64(load)*max(latency, latencyFloor)/float64(usable)
	return st
}

// oldest is how long the first in the line to have come has waited.
func (g *gate) oldest(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	since := now
	for _, w := range g.line {
		if w.since.Before(since) {
			since = w.since
		}
	}
	return now.Sub(since)
}

func (g *gate) push(w *waiter) {
	g.arrivals++
	w.arrival = g.arrivals
	g.segments += w.segments
	heap.Push(&g.line, w)
}

func (g *gate) pop() *waiter {
	w := heap.Pop(&g.line).(*waiter)
	g.segments -= w.segments
	return w
}

// ended is the error of one whose ctx ended before anything was written.
func ended(ctx context.Context) error {
	reason := "the deadline passed before it could be sent"
	if context.Cause(ctx) == context.Canceled {
		reason = "the caller gave up before it could be sent"
	}
	return &UnavailableError{Reason: reason, RetryAfter: time.Second}
}

func down() error {
	return &UnavailableError{Reason: "no bind to the smsc is up", RetryAfter: downRetry}
}

func draining() error {
	return &UnavailableError{Reason: "the link to the smsc is being shut down", RetryAfter: downRetry}
}
