package callbacks

import (
	"container/heap"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	queueLength = 10_000           // events of one sink in memory
	lookAgain   = 15 * time.Minute // after this time what is untold is looked for, whatever was seen of it
	storeTime   = 10 * time.Second // that a step of Facts may take

	firstWait   = time.Second // before the second call; each further wait is twice as long
	longestWait = 5 * time.Minute
	firstRare   = 30 * time.Second // the same after a refusal
	longestRare = time.Hour

	breaksAfter  = 5 // failures one after the other: then one call at a time tries, after a wait of longestBreak at most
	longestBreak = time.Minute
	warnEvery    = time.Minute // about events given up
)

// An entry is an event that waits for its call.
type entry struct {
	Event
	next    time.Time // not before
	tries   int       // calls that were not taken
	refused bool      // by the last of them
}

// A queue is a heap of entries, that with the earliest next first.
type queue []entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(entry)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = entry{}
	*q = (*q)[:last]
	return e
}

// A sink is one receiver, with what waits for it.
type sink struct {
	*Callbacks
	cfg    Config
	roots  *x509.CertPool
	caller *caller

	wake    chan struct{} // holds a signal after something below changed
	retired chan struct{} // closed when the sink is no more

	// Guarded by Callbacks.mu.
	running bool
	queue   queue
	calls   int       // on their way
	failing int       // calls one after the other that were not taken
	away    time.Time // when the first of them ended, or when it was stopped
	paused  time.Time // no call before
	stopped bool      // by a 410
	missed  bool      // there may be untold events that are neither queued nor ahead of from
	looking bool      // through what is untold, from here on
	from    string
	looked  time.Time // when that began
	gaveUp  int       // events, since the last warning
	warned  time.Time
}

func newSink(c *Callbacks, cfg Config, roots *x509.CertPool) *sink {
	return &sink{
		Callbacks: c, cfg: cfg, roots: roots, caller: c.caller(cfg, roots),
		wake: make(chan struct{}, 1), retired: make(chan struct{}), missed: true,
	}
}

func (s *sink) wants(e Event) bool {
	deliveries, outcomes := s.cfg.Tells()
	return e.Outcome && outcomes || !e.Outcome && deliveries
}

// retire ends the sink; what waited for it is for its successor to find. c.mu is held.
func (s *sink) retire() {
	s.empty()
	close(s.retired)
}

// empty forgets what waits. c.mu is held.
func (s *sink) empty() {
	for _, e := range s.queue {
		delete(s.held, e.key())
	}
	s.queue, s.looking = nil, false
}

// add queues an event that is not queued yet; false says that there is no room. c.mu is held.
func (s *sink) add(e Event) bool {
	if _, known := s.held[e.key()]; known {
		return true
	}
	if s.stopped || len(s.queue) >= queueLength {
		return false
	}
	s.held[e.key()] = struct{}{}
	heap.Push(&s.queue, entry{Event: e, next: time.Now()})
	signal(s.wake)
	return true
}

// run makes the calls of the sink until ctx ends or the sink is retired, and waits for those that it began.
func (s *sink) run(ctx, calling context.Context) {
	var calls sync.WaitGroup
	defer func() {
		calls.Wait()
		s.caller.client.CloseIdleConnections()
		s.forget(s.cfg.Name)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if ctx.Err() != nil {
			return
		}
		select {
		case <-s.retired:
			return
		default:
		}
		wait, look := s.begin(func(e entry) {
			calls.Go(func() { s.call(calling, e) })
		})
		if look {
			s.look(ctx)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.retired:
			return
		case <-ctx.Done():
			return
		}
	}
}

// begin begins the calls that are due. It says how long there is nothing to do, and whether there is room to look for what is untold.
func (s *sink) begin(call func(entry)) (wait time.Duration, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.looked) >= lookAgain {
		s.missed = true
	}
	wait = max(s.looked.Add(lookAgain).Sub(now), time.Second)
	switch {
	case s.stopped:
		return wait, false
	case now.Before(s.paused):
		return s.paused.Sub(now), false
	}
	most := s.cfg.MaxInFlight
	if s.failing >= breaksAfter {
		most = 1
	}
	for len(s.queue) > 0 && s.calls < most {
		if first := s.queue[0].next; first.After(now) {
			wait = min(wait, first.Sub(now))
			break
		}
		s.calls++
		call(heap.Pop(&s.queue).(entry))
	}
	if !s.looking && s.missed {
		s.looking, s.missed, s.from, s.looked = true, false, "", now
	}
	return wait, s.looking && (s.failing < breaksAfter && len(s.queue) < queueLength/2 || len(s.queue) == 0)
}

// look looks at a part of what is untold. After an error it begins anew, a little later.
func (s *sink) look(ctx context.Context) {
	s.mu.Lock()
	from := s.from
	s.mu.Unlock()
	reading, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	next, err := s.facts.Untold(reading, from, func(e Event) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.clients[e.Client] != s || !s.wants(e) || s.add(e)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("untold events not found", "sink", s.cfg.Name, "error", err)
		}
		s.looking, s.missed = false, true
		s.paused = later(s.paused, time.Now().Add(firstWait))
		return
	}
	s.from, s.looking = next, s.looking && next != ""
}

// call tells one event.
func (s *sink) call(ctx context.Context, e entry) {
	if time.Since(e.At) > s.cfg.RetryFor {
		s.giveUp(ctx, e)
		return
	}
	asking, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	data, at, untold, err := s.facts.Describe(asking, e.Event)
	switch {
	case err != nil:
		e.next = time.Now().Add(firstWait)
		s.putBack(e)
		return
	case !untold:
		s.done(e)
		return
	}
	e.At = at
	begun := time.Now()
	answer, err := s.caller.post(ctx, e.Event, data)
	s.metrics.seconds.WithLabelValues(s.cfg.Name).Observe(time.Since(begun).Seconds())
	result, said := judge(answer, err), answer.Status
	if err != nil {
		said = err.Error()
	}
	s.metrics.calls.WithLabelValues(s.cfg.Name, result).Inc()
	s.log.LogAttrs(ctx, slog.LevelDebug, "callback", slog.String("sink", s.cfg.Name), slog.String("id", e.ID),
		slog.String("event", e.Name), slog.String("result", result), slog.String("said", said))
	switch result {
	case taken:
		s.trace(e.ID, "told", fmt.Sprintf("%s %s, %s in %v", s.cfg.Name, e.Name, said, answer.Took.Round(100*time.Microsecond)))
		s.recovered()
		s.mark(ctx, e)
	case gone:
		s.trace(e.ID, "not told", fmt.Sprintf("%s %s, %s", s.cfg.Name, e.Name, said))
		s.stop()
		s.putBack(e) // the next reload finds it among what is untold
	default:
		s.retry(e, result == refused, answer.RetryAfter, said)
	}
}

// judge says what an answer means.
func judge(a Answer, err error) string {
	switch {
	case err != nil || a.Code >= 500:
		return failed
	case a.Code/100 == 2:
		return taken
	case a.Code == 410:
		return gone
	case a.Code == 408 || a.Code == 425 || a.Code == 429:
		return failed
	}
	return refused
}

// retry queues an event again that was not taken, and slows the sink down.
func (s *sink) retry(e entry, refused bool, after time.Duration, said string) {
	s.mu.Lock()
	now := time.Now()
	e.refused = refused
	if refused {
		e.next = now.Add(backoff(firstRare, longestRare, e.tries))
	} else {
		e.next = now.Add(backoff(firstWait, longestWait, e.tries))
	}
	e.tries++
	broke := false
	if !now.Before(s.paused) { // else the call began before the last failure that counted
		if s.failing++; s.failing == 1 {
			s.away = now
		}
		broke = s.failing == breaksAfter
		if s.failing >= breaksAfter {
			s.paused = now.Add(backoff(2*firstWait, longestBreak, s.failing-breaksAfter))
		}
	}
	s.paused = later(s.paused, now.Add(after))
	s.mu.Unlock()
	if broke {
		s.log.Warn("sink takes no callbacks, one at a time is tried", "sink", s.cfg.Name, "said", said)
	}
	s.putBack(e)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// backoff is the wait after so many tries that failed: between half of it and all of it, at random, so that not all come back at once.
func backoff(first, longest time.Duration, tries int) time.Duration {
	d := longest
	if tries < 20 {
		d = min(first<<tries, longest)
	}
	return d/2 + rand.N(d/2+1)
}

// recovered notes that the sink took a call: what waited for it need not wait any longer.
func (s *sink) recovered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken := s.failing >= breaksAfter
	s.failing = 0
	if !broken {
		return
	}
	s.log.Info("sink takes callbacks again", "sink", s.cfg.Name)
	s.paused = time.Time{}
	for i := range s.queue {
		if !s.queue[i].refused {
			s.queue[i].next = time.Now()
		}
	}
	heap.Init(&s.queue)
}

// stop makes no more calls to the sink.
func (s *sink) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.log.Error("sink answered 410 Gone: no more callbacks until the next reload", "sink", s.cfg.Name)
		s.away = time.Now()
	}
	s.stopped = true
	s.empty()
}

// giveUp marks an event that is too old.
func (s *sink) giveUp(ctx context.Context, e entry) {
	s.metrics.calls.WithLabelValues(s.cfg.Name, givenUp).Inc()
	s.trace(e.ID, "not told", fmt.Sprintf("%s %s, given up after %v", s.cfg.Name, e.Name, s.cfg.RetryFor))
	s.mu.Lock()
	s.gaveUp++
	if now := time.Now(); now.Sub(s.warned) >= warnEvery {
		s.log.Warn("callbacks given up, as too old", "sink", s.cfg.Name, "events", s.gaveUp, "retry_for", s.cfg.RetryFor)
		s.warned, s.gaveUp = now, 0
	}
	s.mu.Unlock()
	s.mark(ctx, e)
}

// mark records that an event needs no more telling. Until that is certain it counts as taken on.
func (s *sink) mark(ctx context.Context, e entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime) // it was told: a fact, whoever stops
	defer cancel()
	noted := func(err error) {
		if err != nil {
			s.metrics.calls.WithLabelValues(s.cfg.Name, unmarked).Inc()
			s.log.Warn("callback not recorded, it will be made again", "sink", s.cfg.Name, "id", e.ID, "event", e.Name, "error", err)
		}
		s.mu.Lock()
		delete(s.held, e.key())
		s.mu.Unlock()
	}
	if err := s.facts.Told(ctx, e.Event, noted); err != nil {
		noted(err)
	}
	s.mu.Lock()
	s.calls--
	s.mu.Unlock()
	signal(s.wake)
}

// done forgets an event that needs no call.
func (s *sink) done(e entry) {
	s.mu.Lock()
	delete(s.held, e.key())
	s.calls--
	s.mu.Unlock()
	signal(s.wake)
}

// putBack queues an event whose call has ended.
func (s *sink) putBack(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	defer signal(s.wake)
	successor := s.clients[e.Client]
	if successor == s && !s.stopped {
		heap.Push(&s.queue, e) // beyond the bound by the calls on their way, at most
		return
	}
	delete(s.held, e.key())
	if successor != nil { // it may have looked already
		successor.missed = true
		signal(successor.wake)
	}
}
