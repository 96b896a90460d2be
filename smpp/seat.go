package smpp

import (
	"math"
	"time"
)

const (
	latencyMemory = 10 * time.Second // how fast a bind's slow answers are forgotten
	latencyFloor  = 100e-6           // seconds; keeps an idle bind from winning for ever by a lucky answer
)

// A seat is what the gate knows of one session.
type seat struct {
	used    int     // messages that are on this session
	ghosts  int     // answers that did not come in time and whose requests the SMSC may still be working on
	latency float64 // seconds; jumps to a slow answer, forgets it slowly
	sampled time.Time
	vacant  chan struct{} // set once the session takes no more messages; closed when used falls to 0

	unanswered int       // messages in a row without an answer in time
	suspect    bool      // the SMSC does not answer: no messages but, once proven, one at a time
	doubted    time.Time // when it last became so
	proven     bool      // it has answered an enquire_link since
	alarmed    bool      // the bind has been told
}

func (s *seat) doubt(now time.Time) {
	s.suspect, s.doubted, s.proven = true, now, false
}

// note takes the fate of a message into account. patience is how long an answer may take.
func (s *seat) note(f fate, now time.Time, patience time.Duration) {
	if f.latency > 0 && (!f.outcome.ghost || f.latency.Seconds() > s.latency) { // a ghost's wait says only that an answer takes longer
		s.sample(f.latency.Seconds(), now)
	}
	switch {
	case f.outcome.kind == answered:
		s.unanswered, s.suspect, s.alarmed = 0, false, false
	case f.outcome.ghost:
		s.ghosts++
		if f.latency < patience/2 {
			break // too little was left of its time to say anything of the SMSC
		}
		s.unanswered++
		if s.unanswered >= suspectAfter || s.suspect {
			s.doubt(now)
			s.alarmed = false
		}
	}
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
