package otpstore

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"time"
)

// The rules. Each is a function of its arguments and changes none of them: no I/O, no clock, no log. What a rule returns is
// stored whatever its verdict; false for changed says that nothing is to be stored.

// acceptance bounds how much later than its reservation the life of a code may begin.
const acceptance = time.Minute

// A state is where a code stands. The states from used on are final: the first one reached stands.
type state uint8

const (
	pending  state = iota + 1 // reserved, outcome of the submit not known yet
	live                      // accepted by the SMSC, can be verified
	unknown                   // outcome of the submit never learnt: counted, never verifiable
	used                      // the right code was given
	replaced                  // a newer code of the same client was accepted
	locked                    // tries used up
	elapsed                   // its time is over
)

func (s state) String() string {
	if s < pending || s > elapsed {
		return "invalid"
	}
	return [...]string{"pending", "live", "unknown", "used", "replaced", "locked", "elapsed"}[s-pending]
}

// verifiable reports whether a right code may still be right.
func (s state) verifiable() bool { return s == pending || s == live }

// A number is the aggregate: all that the rules know of one phone number.
type number struct {
	index       Name
	codes       []code // oldest first
	failures    int    // wrong codes in a row, over all codes and clients
	lastFailure time.Time
}

// A code is one verification.
type code struct {
	id          Name
	client      string
	mac         [sha256.Size]byte // stored as long as it is verifiable
	state       state
	attempts    int // wrong codes so far
	maxAttempts int // as the policy was when it was issued
	ttl         time.Duration
	issued      time.Time
	submitted   time.Time
	accepted    time.Time
	expires     time.Time
	finished    time.Time // when the final state was reached
	smsc        string
	messages    []message
}

// A message is one SMS that carries (a part of) a code.
type message struct {
	id    string
	state string // of the last receipt, "" for none
	err   string
	final bool
	ok    bool // final, and delivered
	at    time.Time
}

// at is the state at a time: a live code is over exactly at its expiry.
func (c code) at(now time.Time) state {
	if c.state == live && !now.Before(c.expires) {
		return elapsed
	}
	return c.state
}

// counts reports whether c counts against a limit on the codes issued within the last d.
func (c code) counts(now time.Time, d time.Duration) bool { return now.Sub(c.issued) < d }

// end is when c ended or, at the latest, will have ended.
func (c code) end() time.Time {
	switch {
	case !c.finished.IsZero():
		return c.finished
	case c.state == live:
		return c.expires
	}
	return c.issued.Add(c.ttl + acceptance)
}

// open reports whether nothing is known yet of the messages of c.
func (c code) open() bool { return c.state == pending || c.state == unknown && len(c.messages) == 0 }

// finish puts c into a final state.
func (c code) finish(s state, at time.Time) code {
	c.state, c.finished = s, at
	return c
}

// find gives the place of the code with this id, or -1.
func (n number) find(id Name) int {
	return slices.IndexFunc(n.codes, func(c code) bool { return c.id == id })
}

// is reports whether the code with this id is in state s.
func (n number) is(id Name, s state) bool {
	i := n.find(id)
	return i >= 0 && n.codes[i].state == s
}

// knows reports whether a message of n has that id.
func (n number) knows(smsc, id string) bool {
	return id != "" && slices.ContainsFunc(n.codes, func(c code) bool { return c.place(smsc, id) >= 0 })
}

// place gives the place of the message with that id, or -1.
func (c code) place(smsc, id string) int {
	if c.smsc != smsc {
		return -1
	}
	return slices.IndexFunc(c.messages, func(m message) bool { return m.id == id })
}

// with is n with another code at place i.
func (n number) with(i int, c code) number {
	n.codes = slices.Clone(n.codes)
	n.codes[i] = c
	return n
}

// lockedUntil is the end of the lock by failures in a row, and not after now when there is none.
func (n number) lockedUntil(p Policy) time.Time {
	if n.failures < p.MaxFailures {
		return time.Time{}
	}
	return n.lastFailure.Add(p.FailureWindow)
}

// tidy drops what can no longer matter.
func tidy(now time.Time, p Policy, n number) number {
	if n.failures > 0 && now.Sub(n.lastFailure) >= p.FailureWindow {
		n.failures, n.lastFailure = 0, time.Time{}
	}
	n.codes = slices.DeleteFunc(slices.Clone(n.codes), func(c code) bool { return now.Sub(c.end()) >= p.memory() })
	for i, c := range n.codes {
		if c.state == live && c.at(now) == elapsed {
			n.codes[i] = c.finish(elapsed, c.expires)
		}
	}
	for i := 0; i < len(n.codes) && len(n.codes) >= maxCodes; {
		if c := n.codes[i]; c.counts(now, p.SendWindow) || now.Before(c.end()) {
			i++
		} else {
			n.codes = slices.Delete(n.codes, i, i+1)
		}
	}
	return n
}

// issue reserves code c for n, unless a limit refuses it: then nothing changes. c brings its id, client and mac.
func issue(now time.Time, p Policy, n number, c code) (number, *LimitError) {
	kept := tidy(now, p, n)
	if until := kept.lockedUntil(p); now.Before(until) {
		return n, &LimitError{Limit: "max_failures", RetryAfter: min(until.Sub(now), p.FailureWindow)}
	}
	counted := slices.DeleteFunc(slices.Clone(kept.codes), func(c code) bool { return !c.counts(now, p.SendWindow) })
	if over := len(counted) - p.SendLimit; over >= 0 {
		wait := counted[over].issued.Add(p.SendWindow).Sub(now)
		return n, &LimitError{Limit: "send_limit", RetryAfter: min(wait, p.SendWindow)}
	}
	if len(kept.codes) >= maxCodes { // only after send_window was made shorter than lives already given
		return n, &LimitError{Limit: "send_limit", RetryAfter: p.TTL}
	}
	if len(kept.codes) > 0 {
		if last := kept.codes[len(kept.codes)-1]; last.counts(now, p.ResendAfter) {
			wait := last.issued.Add(p.ResendAfter).Sub(now)
			return n, &LimitError{Limit: "resend_after", RetryAfter: min(wait, p.ResendAfter)}
		}
	}
	c.state, c.issued, c.ttl, c.maxAttempts = pending, now, p.TTL, p.MaxAttempts
	c.expires = now.Add(p.TTL)
	kept.codes = append(kept.codes, c)
	return kept, nil
}

// sent records that the SMSC accepted a code's messages: it goes live, and replaces the same client's older one.
// Its life begins now, but not long after its reservation. A code whose outcome counts as unknown stays that: nobody was told
// its id, and only its messages become known.
func sent(now time.Time, n number, id Name, r SendResult) (number, bool) {
	i := n.find(id)
	if i < 0 || !n.codes[i].open() || n.codes[i].state == unknown && len(r.MessageIDs) == 0 {
		return n, false
	}
	c := n.codes[i]
	c.smsc, c.submitted, c.accepted = r.SMSC, r.SubmittedAt, r.AnsweredAt
	c.messages = make([]message, len(r.MessageIDs))
	for m, id := range r.MessageIDs {
		c.messages[m].id = id
	}
	if c.state == unknown {
		return n.with(i, c), true
	}
	c.expires = earlier(now, c.issued.Add(acceptance)).Add(c.ttl)
	return accept(now, n, i, c), true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// accept makes c, at place i, live. One code of a client is active: the one issued last among those that were accepted.
func accept(now time.Time, n number, i int, c code) number {
	c.state = live
	n = n.with(i, c)
	for j, other := range n.codes {
		switch {
		case j == i || other.client != c.client:
		case j < i && other.at(now) == live:
			n.codes[j] = other.finish(replaced, now)
		case j > i && other.state != pending && other.state != unknown:
			n.codes[i] = c.finish(replaced, now)
		}
	}
	return n
}

// discard gives back the reservation of a code that was certainly not sent.
func discard(n number, id Name) (number, bool) {
	i := n.find(id)
	if i < 0 || !n.codes[i].open() {
		return n, false
	}
	n.codes = slices.Delete(slices.Clone(n.codes), i, i+1)
	return n, true
}

// lose records that the outcome of the submit will never be known.
func lose(now time.Time, n number, id Name) (number, bool) {
	i := n.find(id)
	if i < 0 || n.codes[i].state != pending {
		return n, false
	}
	return n.with(i, n.codes[i].finish(unknown, now)), true
}

// verify judges a code that a client brings for an id: nil, ErrWrongCode, ErrExpired, ErrFailed or ErrNotFound.
// CAMARA OTP 1.1.1 validate-code. mac is that of the code brought; it is compared in constant time.
func verify(now time.Time, p Policy, n number, client string, id Name, mac [sha256.Size]byte) (number, bool, error) {
	i := n.find(id)
	if i < 0 || n.codes[i].client != client {
		return n, false, ErrNotFound
	}
	c := n.codes[i]
	switch c.state {
	case used, replaced, elapsed:
		return n, false, ErrExpired
	case locked:
		return n, false, ErrFailed
	case live:
	default:
		return n, false, ErrNotFound
	}
	if c.at(now) == elapsed {
		return n.with(i, c.finish(elapsed, c.expires)), true, ErrExpired
	}
	if now.Before(n.lockedUntil(p)) {
		return n.with(i, c.finish(locked, now)), true, ErrFailed
	}
	if hmac.Equal(mac[:], c.mac[:]) {
		n = n.with(i, c.finish(used, now))
		n.failures, n.lastFailure = 0, time.Time{}
		return n, true, nil
	}
	if n.failures > 0 && now.Sub(n.lastFailure) >= p.FailureWindow {
		n.failures = 0
	}
	n.failures++
	n.lastFailure = now
	c.attempts++
	if c.attempts >= c.maxAttempts || n.failures >= p.MaxFailures {
		return n.with(i, c.finish(locked, now)), true, ErrFailed
	}
	return n.with(i, c), true, ErrWrongCode
}

// unknownState is the final state of a message of which the SMSC knows nothing, or that it names in words of its own (SMPP 3.4
// §5.2.28). It says so little that word of the delivery takes its place.
const unknownState = "UNKNOWN"

// delivered records a receipt of the message with that id. A final state stands, and what is known already changes nothing.
func delivered(n number, r Receipt, id string) (next number, changed bool) {
	for i, c := range slices.Backward(n.codes) {
		m := c.place(r.SMSC, id)
		if m < 0 {
			continue
		}
		old := c.messages[m]
		stands := old.final && !(old.state == unknownState && r.Final && r.Delivered)
		if stands || !r.Final && old.state == r.State && old.err == r.Error {
			return n, false
		}
		c.messages = slices.Clone(c.messages)
		c.messages[m] = message{id: old.id, state: r.State, err: r.Error, final: r.Final, ok: r.Final && r.Delivered, at: r.At}
		return n.with(i, c), true
	}
	return n, false
}

// receipt sums up the receipts of a code's messages: the first failure; delivered when all are; else how far one is.
func (c code) receipt() (state, err string, deliveredAt time.Time) {
	all := len(c.messages) > 0
	for _, m := range c.messages {
		switch {
		case m.final && !m.ok:
			return m.state, m.err, time.Time{}
		case !m.ok:
			all = false
		}
	}
	for _, m := range c.messages {
		if all && m.at.After(deliveredAt) {
			deliveredAt = m.at
		}
		if m.state != "" && m.ok == all {
			state, err = m.state, m.err
		}
	}
	return state, err, deliveredAt
}

// recovered is n after a crash: what became of a submit without a recorded outcome will never be known. Its code was told to
// nobody, for a send is answered only after its acceptance is durable.
func recovered(now time.Time, n number) (number, bool) {
	changed := false
	for _, c := range n.codes {
		if c.state == pending {
			n, changed = lose(earlier(now, c.end()), n, c.id)
		}
	}
	return n, changed
}

// sweepable reports whether nothing about n can matter any more.
func sweepable(now time.Time, p Policy, n number) bool {
	n = tidy(now, p, n)
	return len(n.codes) == 0 && n.failures == 0
}

// view is what may be told of a code.
func (c code) view(now time.Time) Verification {
	v := Verification{
		ID: c.id.id(), Client: c.client, State: c.at(now).String(), Attempts: c.attempts,
		IssuedAt: c.issued, SubmittedAt: c.submitted, SentAt: c.accepted, FinishedAt: c.finished, ExpiresAt: c.expires,
		SMSC: c.smsc,
	}
	if v.State == elapsed.String() {
		v.FinishedAt = c.expires
	}
	for _, m := range c.messages {
		v.MessageIDs = append(v.MessageIDs, m.id)
	}
	v.Receipt, v.ReceiptError, v.DeliveredAt = c.receipt()
	return v
}
