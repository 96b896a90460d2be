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
	canceled                  // its client wants it no more
)

func (s state) String() string {
	if s < pending || s > canceled {
		return "invalid"
	}
	return [...]string{"pending", "live", "unknown", "used", "replaced", "locked", "elapsed", "canceled"}[s-pending]
}

// verifiable reports whether a right code may still be right.
func (s state) verifiable() bool { return s == pending || s == live }

// A number is the aggregate: all that the rules know of one phone number.
type number struct {
	index    Name
	codes    []code     // oldest first
	failures []failures // by client, the latest last
	damaged  bool       // all that was known of it is lost
}

// failures are the wrong codes in a row of one client, over all its codes.
type failures struct {
	client string
	count  int
	last   time.Time
	most   int           // so many lock the client out
	window time.Duration // for which they count, and the lock holds
}

// over reports whether they count no longer.
func (f failures) over(now time.Time) bool { return now.Sub(f.last) >= f.window }

// lockedUntil is the end of the lock, and not after now when there is none.
func (f failures) lockedUntil() time.Time {
	if f.count < f.most {
		return time.Time{}
	}
	return f.last.Add(f.window)
}

// A code is one verification.
type code struct {
	id          Name
	client      string
	mac         [sha256.Size]byte // stored as long as it is verifiable
	state       state
	attempts    int   // wrong codes so far
	terms       Terms // that it was issued under; of them only what matters later: see codec.go
	masked      string
	key, digest Name    // of the request that asked for it; zero: it had no name
	olderKeys   []Name  // the request's names under older keys, of a code that is being issued
	scopes      []scope // that it counts in
	wanted      Facts   // that its client is to be told
	told        Facts   // of them, those that need no more telling
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

// used is how many codes of a client count that were issued within the last d.
func (n number) used(now time.Time, client string, d time.Duration) (used int) {
	for _, c := range n.codes {
		if c.client == client && c.counts(now, d) {
			used++
		}
	}
	return used
}

// end is when c ended or, at the latest, will have ended.
func (c code) end() time.Time {
	switch {
	case !c.finished.IsZero():
		return c.finished
	case c.state == live:
		return c.expires
	}
	return c.issued.Add(c.terms.TTL + acceptance)
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

// holder is the verification that has a message, and its client.
func (n number) holder(smsc, message string) (id, client string) {
	for _, c := range slices.Backward(n.codes) {
		if c.place(smsc, message) >= 0 {
			return c.id.id(), c.client
		}
	}
	return "", ""
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

// failuresOf are those of a client.
func (n number) failuresOf(client string) failures {
	for _, f := range n.failures {
		if f.client == client {
			return f
		}
	}
	return failures{client: client}
}

// failed is n with other failures of a client, or without any where their count is 0. Where there would be those of too many clients, the
// oldest that lock nobody go.
func (n number) failed(now time.Time, f failures) number {
	n.failures = slices.DeleteFunc(slices.Clone(n.failures), func(old failures) bool { return old.client == f.client })
	if f.count == 0 {
		return n
	}
	if len(n.failures) >= maxFailing {
		i := slices.IndexFunc(n.failures, func(old failures) bool { return !now.Before(old.lockedUntil()) })
		n.failures = slices.Delete(n.failures, max(i, 0), max(i, 0)+1)
	}
	n.failures = append(n.failures, f)
	return n
}

// tidy drops what can no longer matter, and settles what nobody will settle.
func tidy(now time.Time, p Policy, n number) number {
	n.failures = slices.DeleteFunc(slices.Clone(n.failures), func(f failures) bool { return f.over(now) })
	n.codes = slices.DeleteFunc(slices.Clone(n.codes), func(c code) bool {
		return now.Sub(c.end()) >= max(p.memory(), c.terms.memory())
	})
	for i, c := range n.codes {
		switch {
		case c.state == live && c.at(now) == elapsed:
			n.codes[i] = c.finish(elapsed, c.expires)
		case c.state == pending && !now.Before(c.end()): // its outcome could not be written down
			n.codes[i] = c.finish(unknown, c.end())
		}
	}
	for i := 0; i < len(n.codes) && len(n.codes) >= maxCodes; {
		if c := n.codes[i]; c.counts(now, max(p.SendWindow, c.terms.SendWindow, day)) || now.Before(c.end()) {
			i++
		} else {
			n.codes = slices.Delete(n.codes, i, i+1)
		}
	}
	return n
}

const day = 24 * time.Hour

// A limit bounds the codes issued within a time.
type limit struct {
	name   string
	most   int // 0: any number
	window time.Duration
}

// refuses says that codes, oldest first, leave no room for another.
func (l limit) refuses(now time.Time, codes []code) *LimitError {
	if l.most == 0 {
		return nil
	}
	counted := slices.DeleteFunc(slices.Clone(codes), func(c code) bool { return !c.counts(now, l.window) })
	over := len(counted) - l.most
	if over < 0 {
		return nil
	}
	wait := counted[over].issued.Add(l.window).Sub(now)
	return &LimitError{Limit: l.name, RetryAfter: min(wait, l.window)}
}

// issue reserves code c for n under its terms, unless a limit refuses it or a code that was asked for by the same name is there: then
// nothing changes, and earlier is its place, else -1. c brings its id, client, terms and mac. The error is a *LimitError, or says what is
// to be said of the earlier one.
func issue(now time.Time, p Policy, n number, c code) (next number, earlier int, err error) {
	kept := tidy(now, p, n)
	kept.damaged = false
	if c.key != (Name{}) {
		if i := slices.IndexFunc(kept.codes, func(o code) bool {
			return o.client == c.client && (o.key == c.key || slices.Contains(c.olderKeys, o.key))
		}); i >= 0 {
			switch old := kept.codes[i]; {
			case old.digest != c.digest:
				return n, -1, ErrKeyReused
			case old.state == pending:
				return n, -1, ErrInWork
			case old.state == unknown:
				return n, -1, ErrNoOutcome
			}
			return n, n.find(kept.codes[i].id), nil
		}
	}
	t := c.terms
	if f := kept.failuresOf(c.client); now.Before(f.lockedUntil()) {
		return n, -1, &LimitError{Limit: "max_failures", RetryAfter: min(f.lockedUntil().Sub(now), f.window)}
	}
	own := slices.DeleteFunc(slices.Clone(kept.codes), func(o code) bool { return o.client != c.client })
	for _, l := range []struct {
		limit
		codes []code
	}{
		{limit{"send_limit", t.SendLimit, t.SendWindow}, own},
		{limit{"day_limit", t.DayLimit, day}, own},
		{limit{"number_limit", p.NumberLimit, p.SendWindow}, kept.codes},
		{limit{"number_day_limit", p.NumberDayLimit, day}, kept.codes},
	} {
		if refusal := l.refuses(now, l.codes); refusal != nil {
			return n, -1, refusal
		}
	}
	if len(kept.codes) >= maxCodes { // by limits that allow more than a record holds
		return n, -1, &LimitError{Limit: "number_limit", RetryAfter: t.TTL}
	}
	if len(own) > 0 {
		if last := own[len(own)-1]; last.counts(now, t.ResendAfter) {
			wait := last.issued.Add(t.ResendAfter).Sub(now)
			return n, -1, &LimitError{Limit: "resend_after", RetryAfter: min(wait, t.ResendAfter)}
		}
	}
	c.state, c.issued, c.olderKeys = pending, now, nil
	c.expires = now.Add(t.TTL)
	kept.codes = append(kept.codes, c)
	return kept, -1, nil
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
	c.expires = earlier(now, c.issued.Add(acceptance)).Add(c.terms.TTL)
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

// cancel ends a code that its client wants no more: nil, ErrFinished or ErrNotFound.
func cancel(now time.Time, n number, client string, id Name) (number, bool, error) {
	i := n.find(id)
	if i < 0 || n.codes[i].client != client {
		return n, false, ErrNotFound
	}
	switch c := n.codes[i]; c.at(now) {
	case live:
		return n.with(i, c.finish(canceled, now)), true, nil
	case canceled:
		return n, false, nil
	case pending, unknown: // nobody was told its id
		return n, false, ErrNotFound
	}
	return n, false, ErrFinished
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
// CAMARA OTP 1.1.1 validate-code. macs are those of the code brought, under each key; they are compared in constant time.
func verify(now time.Time, n number, client string, id Name, macs ...[sha256.Size]byte) (number, bool, error) {
	if n.damaged {
		return n, false, ErrExpired
	}
	i := n.find(id)
	if i < 0 || n.codes[i].client != client {
		return n, false, ErrNotFound
	}
	c := n.codes[i]
	switch c.state {
	case used, replaced, elapsed, canceled:
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
	f := n.failuresOf(client)
	if now.Before(f.lockedUntil()) {
		return n.with(i, c.finish(locked, now)), true, ErrFailed
	}
	right := false
	for _, mac := range macs {
		right = hmac.Equal(mac[:], c.mac[:]) || right
	}
	if right {
		return n.with(i, c.finish(used, now)).failed(now, failures{client: client}), true, nil
	}
	if f.over(now) {
		f.count = 0
	}
	f.count++
	f.last, f.most, f.window = now, c.terms.MaxFailures, c.terms.FailureWindow
	n = n.failed(now, f)
	c.attempts++
	if c.attempts >= c.terms.MaxAttempts || f.count >= f.most {
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
		was, _ := c.delivery()
		c.messages[m] = message{id: old.id, state: r.State, err: r.Error, final: r.Final, ok: r.Final && r.Delivered, at: r.At}
		if is, _ := c.delivery(); is != was { // word of the delivery after UNKNOWN: what was told is told anew
			c.told &^= Delivery
		}
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
	return len(n.codes) == 0 && len(n.failures) == 0
}

// view is what may be told of a code.
func (c code) view(now time.Time) Verification {
	v := Verification{
		ID: c.id.id(), Client: c.client, State: c.at(now).String(), Attempts: c.attempts, MaxAttempts: c.terms.MaxAttempts,
		Masked: c.masked, Policy: c.terms.Name,
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
