package smpp

import "time"

// A keepalive decides when to ask a silent peer for a sign of life. Times are since the beginning of the session.
type keepalive struct {
	interval, timeout time.Duration

	asking bool
	asked  time.Duration
	missed bool // the last question had no answer in time
	heard  bool // the last question had: anything counts that came after it
}

// next says what to do at now when the peer was heard last at heard: ask, give up (dead), or nothing; and how long to
// wait until next is to be called again. A suspect peer is asked at once, and given up after one question, others
// after two.
func (k *keepalive) next(now, heard time.Duration, suspect bool) (ask, dead bool, wait time.Duration) {
	if k.heard = k.asking && heard >= k.asked; k.heard {
		k.asking, k.missed = false, false
	}
	switch {
	case k.asking && now < k.asked+k.timeout:
		return false, false, k.asked + k.timeout - now
	case k.asking && (k.missed || suspect):
		return false, true, k.timeout
	case k.asking:
		k.missed = true
	case !suspect && now < heard+k.interval:
		return false, false, heard + k.interval - now
	}
	k.asking, k.asked = true, now
	return true, false, k.timeout
}
