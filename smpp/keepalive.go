package smpp

import "time"

// maxMisses is how many enquire_links in a row may stay without any sign of life.
const maxMisses = 2

// A keepalive decides when to ask a silent peer for a sign of life. Times are since the beginning of the session.
type keepalive struct {
	interval, timeout time.Duration

	asking bool
	asked  time.Duration
	misses int
}

// next says what to do at now when the peer was heard last at heard: ask, give up (dead), or nothing; and how long to
// wait until next is to be called again.
func (k *keepalive) next(now, heard time.Duration) (ask, dead bool, wait time.Duration) {
	if k.asking && heard >= k.asked {
		k.asking, k.misses = false, 0
	}
	switch {
	case !k.asking && now < heard+k.interval:
		return false, false, heard + k.interval - now
	case k.asking && now < k.asked+k.timeout:
		return false, false, k.asked + k.timeout - now
	case k.asking:
		if k.misses++; k.misses >= maxMisses {
			return false, true, k.timeout
		}
	}
	k.asking, k.asked = true, now
	return true, false, k.timeout
}
