package smpp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"otpgw/smpp/pdu"
)

const (
	secondTry      = 500 * time.Millisecond // the least wait before a message that met a passing fault is tried again
	secondTryRange = 1500 * time.Millisecond
	patience       = 2 // times that a message is throttled before it goes to another account, where there is one
)

// tries are what has been tried with one message, each at most once.
type tries struct {
	moved     bool // its bind was lost before it was written
	again     bool // it met a passing fault
	blunt     bool // without validity_period
	resent    bool // it was not answered, and may be on the phone
	throttled int
	since     time.Time    // when it was last throttled
	refusal   *StatusError // the last one
}

// judge is what the caller is told where the last try ended with err.
func (t *tries) judge(err error) error {
	var (
		unavailable *UnavailableError
		refused     *StatusError
	)
	switch {
	case t.resent && !errors.Is(err, ErrUnknown): // what was sent before may be on the phone
		return &UnknownError{Reason: reasonTimeout}
	case t.refusal != nil && errors.As(err, &unavailable): // the SMSC's word says more
		t.refusal.RetryAfter = unavailable.RetryAfter
		return t.refusal
	case errors.As(err, &refused) && refused.Class == ClassThrottled:
		refused.RetryAfter = firstPause
	}
	return err
}

// send sends s over the account's binds, and tries again what may be tried again. elsewhere says that another account
// could take it.
func (a *account) send(ctx context.Context, s *submission, elsewhere func() bool) (Accepted, error) {
	a.metrics.queueDepth.Set(float64(a.sending.Add(1)))
	defer func() { a.metrics.queueDepth.Set(float64(a.sending.Add(-1))) }()
	var (
		done  tries
		avoid *session
	)
	for n := 1; ; n++ {
		accepted, o, on, err := a.attempt(ctx, s, avoid, &done)
		accepted.Tries = n
		if err != nil {
			return Accepted{}, done.judge(err)
		}
		if o.accepted() {
			if replaced := a.expected.add(&a.config, s.sent, accepted); replaced != "" {
				a.cancel(replaced)
			}
			return accepted, nil
		}
		class, again := a.retry(ctx, s, o, &done, elsewhere)
		if !again {
			return Accepted{}, done.judge(o.err())
		}
		avoid = on
		a.metrics.retries.WithLabelValues(class).Inc()
	}
}

// retry says whether a message with that outcome is worth another try now, and has waited as long as it takes.
func (a *account) retry(ctx context.Context, s *submission, o outcome, done *tries, elsewhere func() bool) (string, bool) {
	if ctx.Err() != nil {
		return "", false
	}
	if refusal := (*StatusError)(nil); errors.As(o.err(), &refusal) {
		done.refusal = refusal
	}
	once := func(flag *bool) bool {
		first := !*flag
		*flag = true
		return first
	}
	switch {
	case o.lost:
		return "lost", once(&done.moved)
	case o.kind == unknown:
		return "unknown", a.config.OnUnknown == unknownResendOnce && !o.partial && once(&done.resent)
	case o.throttled():
		personal := done.throttled > 0 && a.gate.wellSince(done.since)
		done.throttled++
		done.since = o.at
		switch {
		case done.throttled >= patience && elsewhere():
			return "", false
		case personal: // a pause of its own; else the gate makes it wait, at first ahead of those that came later
			return "throttled", rest(ctx, firstPause)
		}
		return "throttled", true
	case o.kind != answered:
		return "", false
	case o.class == ClassTemporary, o.status == pdu.StatusUnknownErr:
		return "temporary", once(&done.again) && rest(ctx, secondTry+rand.N(secondTryRange))
	case o.status == pdu.StatusInvExpiry && s.body.ValidityPeriod != "":
		a.log.Warn("validity_period refused; the message is tried without", "validity_period", a.config.ValidityPeriod)
		s.body.ValidityPeriod = ""
		return "validity", once(&done.blunt)
	}
	return "", false
}

// rest waits for d, if that ends before ctx does.
func rest(ctx context.Context, d time.Duration) bool {
	if deadline, set := ctx.Deadline(); set && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt sends all segments over one bind, each after the answer to the one before. One place in the window does for
// all of them. The outcome is that of the whole.
func (a *account) attempt(ctx context.Context, s *submission, avoid *session, done *tries) (Accepted, outcome, *session, error) {
	on, err := a.gate.acquire(ctx, len(s.segments), avoid, done.throttled >= patience)
	if err != nil {
		return Accepted{}, outcome{}, nil, err
	}
	r := a.requests.Get().(*request)
	defer a.requests.Put(r)
	accepted := Accepted{
		SMSC:       a.config.Name,
		Bind:       on.bind,
		MessageIDs: make([]string, 0, len(s.segments)),
		Encoding:   s.encoding.String(),
		Segments:   len(s.segments),
		InFlight:   a.gate.used(on),
		Window:     a.gate.size,
	}
	f := fate{throttled: done.throttled, personal: done.throttled > 0 && a.gate.wellSince(done.since)}
	for i := 0; i < len(s.segments); i++ {
		if r.octets, err = pdu.Append(r.octets[:0], pdu.Header{Command: pdu.SubmitSM}, s.segment(i)); err != nil {
			f.tokens = len(s.segments) - i
			r.late = lateMessage{}
			a.gate.release(on, f)
			if i > 0 {
				return Accepted{}, outcome{kind: unknown, reason: reasonPartial, partial: true}, on, nil
			}
			return Accepted{}, outcome{}, nil, fmt.Errorf("encode: %w", err)
		}
		if a.hooks.Late != nil && s.sent.ref != "" && a.config.OnUnknown == unknownHold { // else another try speaks for the message
			r.late = lateMessage{message: s.sent, accepted: accepted, last: i == len(s.segments)-1}
		}
		began := time.Now()
		f.outcome = on.submit(ctx, r)
		f.submitted, f.sent = f.outcome.kind != notSent, r.at
		switch {
		case f.outcome.kind == answered:
			f.latency = f.outcome.at.Sub(r.at)
		case f.outcome.ghost:
			f.latency = time.Since(began) // at least
		case f.outcome.lost:
			a.gate.remove(on) // whoever tries again must not come back here
		}
		if f.outcome.throttled() {
			a.metrics.throttled.WithLabelValues(statusLabel(f.outcome.status)).Inc()
			if i > 0 { // the message has begun and must go on
				a.gate.throttled(f)
				if a.gate.again(ctx, on) == nil {
					a.metrics.retries.WithLabelValues("throttled").Inc()
					i--
					continue
				}
			}
		}
		if !f.outcome.accepted() {
			if f.outcome.kind == notSent && i == 0 {
				f.tokens = len(s.segments)
			}
			break
		}
		if i == 0 {
			accepted.SubmittedAt, accepted.Sequence = r.at, r.sequence()
		}
		accepted.AnsweredAt = f.outcome.at
		accepted.MessageIDs = append(accepted.MessageIDs, a.config.answeredID(f.outcome.id))
		if a.config.QueryMissing || a.config.Cancel {
			accepted.raw = append(accepted.raw, rawID(f.outcome.id))
		}
	}
	r.late = lateMessage{}
	a.gate.release(on, f)
	o := f.outcome
	if !o.accepted() && len(accepted.MessageIDs) > 0 {
		o = outcome{kind: unknown, reason: reasonPartial, partial: true}
	}
	return accepted, o, on, nil
}

// cancel asks the SMSC to drop the messages with that ref that it has not delivered.
func (a *account) cancel(ref string) {
	for _, x := range a.expected.of(ref) {
		a.errands.cancel(x)
	}
}
