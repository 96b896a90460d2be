package otpstore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	maxForms       = 8  // of a receipt's id
	maxReceiptText = 64 // octets kept of a receipt's state and error
)

// A Receipt is what an SMSC says about one message.
type Receipt struct {
	SMSC       string
	MessageIDs []string  // forms of the id under which the message may be known, the likeliest first, 1 to 8
	Numbers    []string  // +E.164 that the receipt's addresses may mean
	Converted  int       // MessageIDs from this index on are conversions: they count only where the message went to one of Numbers
	State      string    // "DELIVRD", …
	Final      bool      // no other state will follow
	Delivered  bool      // the final state is success
	Error      string    // of the network, "" for none
	At         time.Time // when it came; zero: now
}

// A Match says which message a receipt was for.
type Match struct {
	Found      bool
	Form       int  // index of the one of MessageIDs under which the message is known
	Changed    bool // the receipt said something new
	ID, Client string
}

// Delivered records a receipt. What it changes is durable when it returns nil.
//
// The message is the first form of the id that a message to one of Numbers has; else the first form that is no conversion,
// whatever number its message went to, unless a submit to one of Numbers has no outcome yet.
//
// Receipts of one message may come at the same time, over several binds. They take effect one after the other, in whatever order
// the store takes them: one that says what is known already changes nothing; the first final state stands, whatever
// else comes, but for UNKNOWN, which gives way to a delivery; of states that are not final the last one stays.
//
// A receipt of a message that is not known yet waits in memory, for 10 minutes, for the Sent that makes it known: the two commute.
// When too many wait Delivered gives ErrUnavailable, and the receipt must come again.
func (s *Store) Delivered(ctx context.Context, r Receipt) (Match, error) {
	o := s.orphan(r)
	match, addressed, err := s.deliver(ctx, o)
	if err != nil || match.Found {
		return match, err
	}
	// Parked first, looked for again after: whichever way the Sent of this message passes, one of the two sees the other.
	o.addressed = addressed
	p := s.park(o)
	if p == nil {
		return Match{}, fmt.Errorf("record receipt: %w: too many receipts wait for their message", ErrUnavailable)
	}
	match, _, err = s.deliver(ctx, o)
	if match.Found {
		s.claimed(p)
	}
	return match, err
}

// orphan is r as it is looked for, nothing in it longer than it may be.
func (s *Store) orphan(r Receipt) *orphan {
	r.MessageIDs = r.MessageIDs[:min(len(r.MessageIDs), maxForms)]
	r.Converted = max(0, min(r.Converted, len(r.MessageIDs)))
	r.State, r.Error = cut(r.State), cut(r.Error)
	if r.At.IsZero() {
		r.At = time.Now()
	}
	o := &orphan{Receipt: r, names: make([]Name, r.Converted), numbers: make([]Name, 0, len(r.Numbers))}
	for i := range o.names { // conversions are found by number only
		o.names[i] = messageName(r.SMSC, r.MessageIDs[i])
	}
	for _, number := range r.Numbers {
		o.numbers = append(o.numbers, s.keys.numbers(number)...)
	}
	return o
}

// park keeps o until its message is known: p is nil when there is no room.
func (s *Store) park(o *orphan) (p *parked) {
	o.MessageIDs = slices.Clone(o.MessageIDs)
	for _, id := range o.MessageIDs[o.Converted:] {
		o.names = append(o.names, messageName(o.SMSC, id))
	}
	p, fresh := s.parked.put(time.Now(), o)
	switch {
	case p == nil:
		s.metrics.orphans.WithLabelValues("refused").Inc()
	case fresh:
		s.metrics.orphans.WithLabelValues("parked").Inc()
	}
	return p
}

// deliver records o, if its message is known. addressed is what o is to be parked with.
func (s *Store) deliver(ctx context.Context, o *orphan) (Match, bool, error) {
	refs := make([]Ref, 0, len(o.numbers)+o.Converted)
	for _, number := range o.numbers {
		refs = append(refs, Ref{ByNumber, number})
	}
	for _, name := range o.names[:o.Converted] {
		refs = append(refs, Ref{ByMessage, name})
	}
	var found Match
	var waits bool
	var after heard
	err := s.backend.Choose(ctx, refs, func(now time.Time, records []Record) (int, Record, bool) {
		found, waits, after = Match{}, false, heard{}
		numbers := make([]number, len(records))
		for i, r := range records {
			var ok bool
			if numbers[i], ok = s.keys.open(r); !ok {
				s.reportDamage(now, r)
				return i, nil, true
			}
		}
		i, form, ok := match(numbers, o)
		if !ok {
			waits = addressed(numbers, o)
			return 0, nil, false
		}
		n, changed := delivered(numbers[i], o.Receipt, o.MessageIDs[form])
		found = Match{Found: true, Form: form, Changed: changed}
		found.ID, found.Client = n.holder(o.SMSC, o.MessageIDs[form])
		if !changed {
			return 0, nil, false
		}
		after = s.hears(now, n)
		return i, s.keys.seal(n), true
	})
	if err != nil { // the step may still run: nothing that it writes is read
		return Match{}, false, fmt.Errorf("record receipt: %w", err)
	}
	s.announce(after)
	if found.Found {
		s.metrics.receipts.WithLabelValues(o.outcome(found.Changed)).Inc()
	}
	return found, waits, nil
}

// claimed says that the message of an orphan is known.
func (s *Store) claimed(p *parked) {
	if s.parked.drop(p) {
		s.metrics.orphans.WithLabelValues("claimed").Inc()
	}
}

// outcome is as what r is counted when its message is known.
func (r Receipt) outcome(changed bool) string {
	switch {
	case !changed:
		return "nothing"
	case !r.Final:
		return "progress"
	case r.Delivered:
		return "delivered"
	}
	return "failed"
}

func cut(s string) string { return s[:min(len(s), maxReceiptText)] }
