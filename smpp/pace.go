package smpp

import (
	"math"
	"time"
)

const (
	firstPause    = time.Second // after an answer that asks for a slower pace
	longestPause  = 8 * time.Second
	throttleCut   = 0.7  // of the rate, at each such answer
	throttleFloor = 0.1  // of the rate; it is never cut below
	throttleRise  = 0.05 // of the rate, regained a second
	freeRise      = 0.2  // likewise, where no rate is configured
	freeLeast     = 10   // segments a second that an SMSC is taken to be good for, where no rate is configured
	peakMemory    = 0.9  // of the most that was sent in a second, kept each second
	congestionCut = 0.9  // of the rate, where the SMSC says that it is congested
	congested     = 90   // congestion_state from which on it counts (SMPP 5.0 §4.8.4.18)
)

// A pace is how fast an account may send: its rate, one token a segment, and what is left of it where the SMSC asked for
// less. Its methods are called under the lock of whoever owns it.
type pace struct {
	least int     // segments of the longest message: the bucket must hold as many
	rate  float64 // as configured, segments a second; 0: no limit

	tokens float64 // in the bucket at filled
	filled time.Time

	full    float64   // the rate that is made way back to: that configured, or where there is none, what went well before
	current float64   // what is in force; equal to full when all is well
	raised  time.Time // when current was last raised
	cut     time.Time // when it was last asked for a pause: answers to what was sent before say nothing new
	eased   time.Time // when current was last cut for congestion
	paused  time.Time // until then nothing is sent
	pause   time.Duration
	probing bool      // the first message after a pause goes alone
	out     bool      // and has gone
	well    time.Time // when an answer last asked for nothing

	second time.Time // of which sent counts the segments
	sent   float64
	peak   float64 // the most in a second, forgotten slowly
}

func newPace(perSecond float64, least int) *pace {
	p := &pace{least: least}
	p.set(perSecond)
	p.tokens, p.filled = p.burst(), time.Now()
	return p
}

// set changes the configured rate, 0 to none. What an SMSC asked for before is forgotten.
func (p *pace) set(perSecond float64) { p.rate, p.full, p.current = perSecond, perSecond, perSecond }

// burst is how many tokens the bucket holds: those of a tenth of a second.
func (p *pace) burst() float64 { return max(float64(p.least), p.current/10, 1) }

// fill puts into the bucket what has come since the last time.
func (p *pace) fill(now time.Time) {
	if since := now.Sub(p.filled); since > 0 {
		p.tokens = min(p.burst(), p.tokens+p.current*since.Seconds())
		p.filled = now
	}
}

// take takes the tokens of n segments if they may go now. Else it says after how long to ask again; 0 is when the probe
// has come back.
func (p *pace) take(now time.Time, n int) (bool, time.Duration) {
	if left := p.paused.Sub(now); left > 0 {
		return false, left
	}
	if p.out {
		return false, 0
	}
	p.recover(now)
	if wait := p.missing(now, n); wait > 0 {
		return false, wait
	}
	if p.current > 0 {
		p.tokens -= float64(n)
	}
	p.out = p.probing
	p.count(now, n)
	return true, 0
}

// missing is how long it takes until the tokens of n segments are there.
func (p *pace) missing(now time.Time, n int) time.Duration {
	if p.current <= 0 {
		return 0
	}
	p.fill(now)
	lacking := float64(n) - p.tokens
	if lacking <= 1e-9 {
		return 0
	}
	return max(time.Duration(lacking/p.current*float64(time.Second)), time.Microsecond)
}

// estimate is how long segments take to go, if all is well from now on.
func (p *pace) estimate(now time.Time, segments int) time.Duration {
	return max(p.paused.Sub(now), 0) + p.missing(now, segments)
}

// giveBack returns the tokens of a message that was not written after all.
func (p *pace) giveBack(n int) {
	p.out = false
	p.tokens = min(p.burst(), p.tokens+float64(n))
}

// slower takes note of an answer that asks for a slower pace. sent is when its message was handed to the connection; the
// pauses grow where messages are asked for the first time, and not by one that is asked time and again.
func (p *pace) slower(now, sent time.Time, first bool) {
	if !sent.After(p.cut) {
		return // it says what others have said already
	}
	if first {
		p.pause = min(2*p.pause, longestPause)
	}
	p.pause = max(p.pause, firstPause)
	p.paused = now.Add(p.pause)
	p.cut, p.probing, p.out = now, true, false
	p.reduce(now, throttleCut)
}

// congestion takes note of congestion_state.
func (p *pace) congestion(now time.Time, percent byte) {
	if percent >= congested && now.Sub(p.cut) >= time.Second && now.Sub(p.eased) >= time.Second {
		p.eased = now
		p.reduce(now, congestionCut)
	}
}

func (p *pace) reduce(now time.Time, factor float64) {
	p.recover(now)
	if p.full <= 0 {
		p.full = max(p.sent, p.peak, freeLeast)
		p.current = p.full
	}
	p.fill(now)
	p.current = max(p.current*factor, p.full*throttleFloor)
	p.raised = now
}

// went takes note of an answer that did not ask for a slower pace, or of none: a probe has come back.
func (p *pace) went(sent time.Time, well bool) {
	if !sent.After(p.cut) {
		return
	}
	if p.probing {
		p.out = false
	}
	if well {
		p.probing, p.pause, p.well = false, 0, sent
	}
}

// recover regains what was cut. Where no rate is configured there is none again once twice of what went well goes well.
func (p *pace) recover(now time.Time) {
	if p.current == p.full && p.rate > 0 || p.full == 0 {
		return
	}
	p.fill(now)
	rise := throttleRise
	if p.rate <= 0 {
		rise = freeRise
	}
	p.current += p.full * rise * now.Sub(p.raised).Seconds()
	p.raised = now
	switch {
	case p.rate > 0:
		p.current = min(p.current, p.full)
	case p.current >= 2*p.full:
		p.current, p.full = 0, 0
	}
}

// count keeps what is sent in a second.
func (p *pace) count(now time.Time, n int) {
	if p.rate > 0 {
		return
	}
	if elapsed := now.Sub(p.second).Seconds(); elapsed >= 1 {
		p.peak = max(p.sent, p.peak*math.Pow(peakMemory, elapsed))
		p.second, p.sent = now, 0
	}
	p.sent += float64(n)
}
