package otpstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Issued is a code that was reserved. It prints without the code.
type Issued struct {
	ID        string    // UUIDv7, 36 characters
	Replayed  bool      // the id of an earlier request of the same key; Code is empty
	Code      string    `json:"-"`
	ExpiresAt time.Time // not before this time, should the message be accepted
	Used      int       // codes of the client to the number within Terms.SendWindow, this one included; 0 for one Replayed
}

// String hides the code.
func (i Issued) String() string { return i.ID }

// GoString hides the code.
func (i Issued) GoString() string { return i.ID }

// LogValue hides the code.
func (i Issued) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", i.ID), slog.Time("expires_at", i.ExpiresAt))
}

// SendResult is what is known of a message that the SMSC accepted.
type SendResult struct {
	SMSC        string
	MessageIDs  []string  // one for each segment, at most 255
	SubmittedAt time.Time // may be zero
	AnsweredAt  time.Time // zero: now
}

// A Verification is what may be told of one code: neither code nor number.
type Verification struct {
	ID, Client   string
	Masked       string // the number, as it may be shown
	Policy       string // name of the terms that it was issued under
	State        string // "pending", "live", "unknown", "used", "replaced", "locked", "elapsed" or "canceled"
	Attempts     int    // wrong codes
	MaxAttempts  int
	IssuedAt     time.Time
	SubmittedAt  time.Time // zero, like the times below, for what has not happened
	SentAt       time.Time
	DeliveredAt  time.Time
	FinishedAt   time.Time
	ExpiresAt    time.Time
	SMSC         string
	MessageIDs   []string
	Receipt      string // state of the last receipt that decides; "" for none
	ReceiptError string
}

// A Request asks for a code.
type Request struct {
	Client, Number string
	Masked         string   // the number as it may be shown, at most 20 octets
	Terms          Terms    // valid, but for the name
	Budgets        []Budget // at most 8
	Key            string   // the client's name of the request, "" for none
	Digest         [32]byte // of what else is in the request
	Tell           Facts    // what the client is to be told later
}

// Issue reserves a new code of a client for a number. The reservation is durable when it returns; one of Sent, Discard and Unknown
// must follow; without one the outcome counts as unknown from the next start on, or when the code's time is over. A *LimitError says
// that a limit refuses it.
//
// A request with a key that the client used for the number before is that one again: its id is given, Replayed, and nothing is
// reserved. ErrKeyReused, ErrInWork and ErrNoOutcome say that it cannot be.
func (s *Store) Issue(ctx context.Context, r Request) (Issued, error) {
	p := *s.policy.Load()
	taken := s.backend.Now().Truncate(time.Millisecond) // as the id says it
	name := newID(taken)
	out := Issued{ID: name.id(), Code: newCode(alphabets[cmp.Or(r.Terms.Alphabet, digits)], r.Terms.Length)}
	fresh := code{
		id: name, client: r.Client, terms: r.Terms, masked: r.Masked[:min(len(r.Masked), maxMasked)],
		mac: s.keys.code(out.ID, r.Client, out.Code), wanted: r.Tell & allFacts,
	}
	if r.Key != "" {
		names := s.keys.requests(r.Client, r.Key)
		fresh.key, fresh.olderKeys, fresh.digest = names[0], names[1:], Name(r.Digest[:16])
	}
	lost := s.backend.Lost()
	budgets := slices.Clone(r.Budgets[:min(len(r.Budgets), maxScopes)])
	for i, b := range budgets {
		fresh.scopes = append(fresh.scopes, b.scope())
		budgets[i].Max = halved(b.Max, b.Window, lost, taken)
	}
	if refusal := s.budgets.take(taken, budgets); refusal != nil {
		s.metrics.limits.WithLabelValues(refusal.Limit).Inc()
		return Issued{}, refusal
	}
	var verdict error
	var after heard
	err := s.updateNumber(ctx, s.keys.numbers(r.Number), &after, func(now time.Time, n number) (number, bool) {
		fresh := fresh
		fresh.terms = fresh.terms.after(lost, now)
		next, earlier, err := issue(now, p.after(lost, now), n, fresh)
		if verdict = err; err != nil {
			return n, false
		}
		if earlier >= 0 {
			old := n.codes[earlier]
			out = Issued{ID: old.id.id(), ExpiresAt: old.expires, Replayed: true}
			return n, false
		}
		out.ExpiresAt, out.Used = now.Add(r.Terms.TTL), next.used(now, r.Client, r.Terms.SendWindow)
		return next, true
	})
	if refused(err) {
		s.budgets.giveBack(taken, fresh.scopes)
	}
	if err != nil { // it may be kept: what was counted stays
		return Issued{}, fmt.Errorf("reserve code: %w", err)
	}
	s.announce(after)
	if verdict != nil || out.Replayed {
		s.budgets.giveBack(taken, fresh.scopes)
	}
	if verdict != nil {
		var refusal *LimitError
		if errors.As(verdict, &refusal) {
			s.metrics.limits.WithLabelValues(refusal.Limit).Inc()
		}
		return Issued{}, verdict
	}
	if out.Replayed {
		s.metrics.codes.WithLabelValues("replayed").Inc()
		return out, nil
	}
	s.metrics.codes.WithLabelValues("issued").Inc()
	return out, nil
}

// updateNumber applies a rule to the record of a number, be it under the name that an older key gave it, and puts it under the newest.
func (s *Store) updateNumber(ctx context.Context, names []Name, after *heard, f func(now time.Time, n number) (number, bool)) error {
	step := s.hear(after, func(now time.Time, n number) (number, bool) {
		n.index = names[0]
		return f(now, n)
	})
	if len(names) > 1 {
		if err := s.rename(ctx, names); err != nil {
			return err
		}
	}
	return s.backend.Update(ctx, Ref{ByNumber, names[0]}, step)
}

// rename puts the record of a number under the newest of names, the only one under which records come into being.
func (s *Store) rename(ctx context.Context, names []Name) error {
	refs := make([]Ref, len(names))
	for i, name := range names {
		refs[i] = Ref{ByNumber, name}
	}
	return s.backend.Choose(ctx, refs, func(now time.Time, records []Record) (int, Record, bool) {
		if len(records) == 0 || records[0].Number() == names[0] {
			return 0, nil, false
		}
		n, ok := s.keys.open(records[0])
		if !ok { // what follows looks under the newest name only
			s.reportDamage(now, records[0])
			return 0, nil, true
		}
		n.index = names[0]
		return 0, s.keys.seal(n), true
	})
}

// maxMasked bounds a masked number, in octets.
const maxMasked = 20

// Cancel ends a verification that its client wants no more; its code is not right any longer. changed is false when it was canceled
// before. ErrFinished says that it has ended in another way, ErrNotFound that the client has none such. Durable when it returns.
func (s *Store) Cancel(ctx context.Context, client, id string) (changed bool, err error) {
	name, ok := parseID(id)
	if !ok {
		return false, ErrNotFound
	}
	var verdict error
	var after heard
	err = s.backend.Update(ctx, Ref{ByID, name}, s.hear(&after, func(now time.Time, n number) (number, bool) {
		n, changed, verdict = cancel(now, n, client, name)
		return n, changed
	}))
	if err != nil {
		return false, fmt.Errorf("cancel: %w", err)
	}
	s.announce(after)
	if changed {
		s.metrics.codes.WithLabelValues("canceled").Inc()
	}
	return changed, verdict
}

// Sent records that the SMSC accepted the messages of a code. The code can be verified from now on, and the same client's older
// code for the number no longer. All that is durable when it returns nil: the id may be told then, and not before. An error says
// that it is not known to be recorded, ErrNotFound that there is no such code.
//
// Of a code whose outcome was said to be unknown it records the messages, so that their receipts find them; nobody was told
// its id, and it stays unknown. Calls for a code that has an outcome change nothing else.
func (s *Store) Sent(ctx context.Context, id string, r SendResult) error {
	return s.sent(ctx, id, r, true)
}

func (s *Store) sent(ctx context.Context, id string, r SendResult, durably bool) error {
	r.MessageIDs = slices.Clone(r.MessageIDs[:min(len(r.MessageIDs), maxMessages)])
	if r.AnsweredAt.IsZero() {
		r.AnsweredAt = s.backend.Now()
	}
	type claim struct {
		*parked
		changed bool
	}
	var taken []claim // receipts that were faster
	return s.record(ctx, id, durably, func(now time.Time, n number, name Name) (number, string) {
		taken = nil
		outcome := late("sent", n, name)
		n, changed := sent(now, n, name, r)
		if !changed {
			return n, ""
		}
		for _, m := range r.MessageIDs {
			for _, p := range s.parked.claims(time.Now(), messageName(r.SMSC, m), n.index) {
				n, changed = delivered(n, p.Receipt, m)
				taken = append(taken, claim{p, changed})
			}
		}
		return n, outcome
	}, func() {
		for _, c := range taken {
			s.metrics.receipts.WithLabelValues(c.outcome(c.changed)).Inc()
			s.claimed(c.parked)
		}
	})
}

// Discard records that the message of a code was certainly not sent, be it after its outcome was said to be unknown: the
// reservation is given back. It is ordered before every later call and durable within 20 ms; ErrUnavailable says that it
// could not be taken on. Of a code that has another outcome, or known messages, it changes nothing.
func (s *Store) Discard(ctx context.Context, id string) error {
	var gone code
	return s.record(ctx, id, false, func(_ time.Time, n number, name Name) (number, string) {
		outcome := late("discarded", n, name)
		if i := n.find(name); i >= 0 {
			gone = n.codes[i]
		}
		n, changed := discard(n, name)
		if !changed {
			return n, ""
		}
		return n, outcome
	}, func() { s.budgets.giveBack(gone.id.Time(), gone.scopes) })
}

// Unknown records that nobody knows whether the SMSC accepted the message of a code: it counts, but never verifies. Ordered and
// durable as Discard.
func (s *Store) Unknown(ctx context.Context, id string) error {
	return s.record(ctx, id, false, func(now time.Time, n number, name Name) (number, string) {
		n, changed := lose(now, n, name)
		if !changed {
			return n, ""
		}
		return n, "unknown"
	}, nil)
}

// late is as what an outcome is counted.
func late(outcome string, n number, id Name) string {
	if n.is(id, unknown) {
		return outcome + "_late"
	}
	return outcome
}

// record takes down the outcome of a submit. The rule tells as what it is to be counted, "" where it changed nothing. kept is
// called when a change is durable; nil for nothing to do. Where durably is true that is waited for.
func (s *Store) record(ctx context.Context, id string, durably bool, rule func(time.Time, number, Name) (number, string), kept func()) error {
	name, ok := parseID(id)
	if !ok {
		return ErrNotFound
	}
	var found bool
	var outcome string
	var after heard
	step := s.hear(&after, func(now time.Time, n number) (number, bool) {
		found = n.find(name) >= 0
		n, outcome = rule(now, n, name)
		return n, outcome != ""
	})
	done := func() {
		s.announce(after)
		if outcome == "" {
			return
		}
		s.metrics.codes.WithLabelValues(outcome).Inc()
		if kept != nil {
			kept()
		}
	}
	if durably {
		// After an error the step may still run: nothing that it writes is read.
		if err := s.backend.Update(ctx, Ref{ByID, name}, step); err != nil {
			s.metrics.lost.Inc()
			return fmt.Errorf("record outcome: %w", err)
		}
		done()
		if !found {
			return ErrNotFound
		}
		return nil
	}
	err := s.backend.Note(ctx, Ref{ByID, name}, step, func(err error) {
		if err != nil {
			s.metrics.lost.Inc()
			s.log.Error("outcome of a submit not recorded", "id", id, "err", err)
			return
		}
		done()
	})
	if err != nil {
		s.metrics.lost.Inc()
		return fmt.Errorf("record outcome: %w", err)
	}
	return nil
}

// Verify judges the code that a client brings for an id: nil when it is right, and is used from now on; else ErrWrongCode,
// ErrExpired, ErrFailed or ErrNotFound. The verdict is durable before it is given. ErrUnavailable gives none.
func (s *Store) Verify(ctx context.Context, client, id, code string) error {
	name, ok := parseID(id)
	if !ok {
		s.metrics.codes.WithLabelValues("not_found").Inc()
		return ErrNotFound
	}
	macs := s.keys.candidates(id, client, canonical(code))
	p := *s.policy.Load()
	var verdict error
	var after heard
	err := s.backend.Update(ctx, Ref{ByID, name}, s.hear(&after, func(now time.Time, n number) (next number, changed bool) {
		next, changed, verdict = verify(now, n, client, name, macs...)
		if errors.Is(verdict, ErrNotFound) && p.expiredBy(s.lostAt(), now, name) {
			verdict = ErrExpired
		}
		return next, changed
	}))
	if err != nil {
		return fmt.Errorf("verify code: %w", err)
	}
	s.announce(after)
	s.metrics.codes.WithLabelValues(outcomeOf(verdict)).Inc()
	return verdict
}

func outcomeOf(verdict error) string {
	switch {
	case verdict == nil:
		return "verified"
	case errors.Is(verdict, ErrWrongCode):
		return "wrong"
	case errors.Is(verdict, ErrFailed):
		return "failed"
	case errors.Is(verdict, ErrExpired):
		return "expired"
	}
	return "not_found"
}

// Lookup tells of a verification, whoever its client is, as it stands after all earlier calls.
func (s *Store) Lookup(ctx context.Context, id string) (Verification, error) {
	name, ok := parseID(id)
	if !ok {
		return Verification{}, ErrNotFound
	}
	var v Verification
	var found bool
	err := s.backend.Update(ctx, Ref{ByID, name}, s.rule(func(now time.Time, n number) (number, bool) {
		i := n.find(name)
		if found = i >= 0; found {
			v = n.codes[i].view(now)
		}
		return n, false
	}))
	switch {
	case err != nil:
		return Verification{}, fmt.Errorf("look up: %w", err)
	case !found:
		return Verification{}, ErrNotFound
	}
	return v, nil
}
