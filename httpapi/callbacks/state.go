package callbacks

import (
	"fmt"
	"time"
)

// A SinkState is how one sink stands.
type SinkState struct {
	Name    string
	Waiting int       // events in memory that are to be told; there may be more where the events are
	Oldest  time.Time // of them; zero: there is none in the queue
	Stopped bool      // it answered 410, and is told nothing until it is applied again
	Failing int       // calls one after the other that it did not take
	Away    time.Time // since when it takes nothing: it was stopped, or failed five times; zero: it takes calls
}

// Sinks says how the sinks stand, in the order of the configuration.
func (c *Callbacks) Sinks() []SinkState {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]SinkState, 0, len(c.sinks))
	for _, s := range c.sinks {
		state := SinkState{Name: s.cfg.Name, Waiting: len(s.queue) + s.calls, Stopped: s.stopped, Failing: s.failing}
		for _, e := range s.queue {
			if state.Oldest.IsZero() || e.At.Before(state.Oldest) {
				state.Oldest = e.At
			}
		}
		if s.stopped || s.failing >= breaksAfter {
			state.Away = s.away
		}
		list = append(list, state)
	}
	return list
}

// Trouble says which sinks are not told at present, a line each.
func (c *Callbacks) Trouble() (list []string) {
	for _, s := range c.Sinks() {
		switch {
		case s.Stopped:
			list = append(list, fmt.Sprintf("sink %s: stopped, for it answered 410, until the next reload", s.Name))
		case !s.Away.IsZero():
			list = append(list, fmt.Sprintf("sink %s: takes nothing, %d calls in a row", s.Name, s.Failing))
		}
	}
	return list
}
