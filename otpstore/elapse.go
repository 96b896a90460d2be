package otpstore

import (
	"context"
	"sync"
	"time"
	"unique"
)

// watchedLimit bounds the live codes whose end is waited for. Of those that are too many Untold tells.
const watchedLimit = 1 << 20

// A wheel holds live codes by the second in which their time is over.
type wheel struct {
	mu      sync.Mutex // guards the rest
	seconds map[int64]map[Name]unique.Handle[string]
	latest  int64 // second that was taken last
	count   int
}

func newWheel() *wheel { return &wheel{seconds: map[int64]map[Name]unique.Handle[string]{}} }

// second is the first one in which a code that ends at t is over.
func second(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

// put adds a code that is not there already.
func (w *wheel) put(id Name, client string, expires time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := max(second(expires), w.latest+1)
	if w.count >= watchedLimit {
		return
	}
	all := w.seconds[at]
	if all == nil {
		all = map[Name]unique.Handle[string]{}
		w.seconds[at] = all
	}
	before := len(all)
	all[id] = unique.Make(client)
	w.count += len(all) - before
}

// drop takes out a code that ended otherwise.
func (w *wheel) drop(id Name, expires time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := second(expires)
	all := w.seconds[at]
	before := len(all)
	delete(all, id)
	w.count += len(all) - before
	if len(all) == 0 {
		delete(w.seconds, at)
	}
}

// take gives the codes whose time is over.
func (w *wheel) take(now time.Time) map[Name]unique.Handle[string] {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := map[Name]unique.Handle[string]{}
	for at, all := range w.seconds {
		if at > now.Unix() {
			continue
		}
		for id, client := range all {
			over[id] = client
		}
		w.count -= len(all)
		delete(w.seconds, at)
	}
	w.latest = now.Unix()
	return over
}

// watch sees to it that the end of c is told in time.
func (s *Store) watch(now time.Time, c code) {
	switch {
	case c.wanted&^c.told&Outcome == 0:
	case c.at(now) == live:
		s.elapses.put(c.id, c.client, c.expires)
	case c.state != pending:
		s.elapses.drop(c.id, c.expires)
	}
}

// tellElapsed tells, every second, of the codes whose time is over, until ctx ends.
func (s *Store) tellElapsed(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			now := s.backend.Now()
			for id, client := range s.elapses.take(now) { // it may have ended otherwise just now: Owes knows, and since when
				s.notify(Event{ID: id.id(), Client: client.Value(), Fact: Outcome, Name: elapsed.String(), At: now})
			}
		case <-ctx.Done():
			return
		}
	}
}
