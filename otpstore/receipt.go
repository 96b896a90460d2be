package otpstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const maxReceiptText = 64 // octets kept of a receipt's state and error

// errParkingFull asks the SMSC to send a receipt again.
var errParkingFull = errors.New("too many receipts wait for their message")

// A Receipt is what an SMSC says about one message.
type Receipt struct {
	SMSC       string
	MessageIDs []string  // forms under which the message may be known, the likeliest first, 1 to 8
	Converted  int       // forms from this index on count only where the number of the message is one of Numbers
	Numbers    []string  // +E.164 that the receipt's addresses may mean
	State      string    // "DELIVRD", …
	Final      bool      // no other state will follow
	Delivered  bool      // the final state is success
	Error      string    // of the network, "" for none
	At         time.Time // when it came; zero: now
}

// A Match says which message a receipt was for.
type Match struct {
	Found   bool
	Form    int  // index of the MessageIDs under which the message is known
	Changed bool // it said something new
}

// Delivered records a receipt. It is durable when it returns nil. A final state stands, but for UNKNOWN, which DELIVRD
// replaces; what is known already writes nothing.
//
// A form of the id whose message went to one of the receipt's numbers counts before one of which that cannot be said. A
// receipt for a message that is not known yet waits in memory, for 10 minutes, for the Sent that makes it known: the two
// commute. When too many wait it gives an error, and the receipt has to be sent again.
func (s *Store) Delivered(ctx context.Context, r Receipt) (Match, error) {
	r.State, r.Error = cut(r.State), cut(r.Error)
	if r.At.IsZero() {
		r.At = time.Now()
	}
	q := s.wanted(r)
	match, err := s.deliver(ctx, q)
	if err == nil && !match.Found {
		// Parked first, looked for again after: whichever way the Sent of this message passes, one of the two sees the other.
		if !s.parked.put(time.Now(), q) {
			s.metrics.receipts.WithLabelValues("refused").Inc()
			return Match{}, errParkingFull
		}
		if match, err = s.deliver(ctx, q); match.Found {
			s.parked.drop(q)
		}
	}
	if err != nil {
		return Match{}, fmt.Errorf("record receipt: %w", err)
	}
	s.metrics.receipts.WithLabelValues(r.outcome(match)).Inc()
	return match, nil
}

// A wantedReceipt is a receipt with the names by which its message is looked for.
type wantedReceipt struct {
	Receipt
	names   []Name // of the messages
	numbers []Name
}

func (s *Store) wanted(r Receipt) *wantedReceipt {
	q := &wantedReceipt{Receipt: r}
	for _, id := range r.MessageIDs {
		q.names = append(q.names, messageName(r.SMSC, id))
	}
	for _, phone := range r.Numbers {
		q.numbers = append(q.numbers, s.keys.number(phone))
	}
	return q
}

// for says that the message that q is about went to n.
func (q *wantedReceipt) to(n number) bool { return slices.Contains(q.numbers, n.index) }

func (s *Store) deliver(ctx context.Context, q *wantedReceipt) (Match, error) {
	for _, certain := range []bool{true, false} {
		for form, name := range q.names {
			if !certain && form >= q.Converted {
				break
			}
			found, changed, err := s.deliverTo(ctx, q, form, name, certain)
			if err != nil || found {
				return Match{Found: found, Form: form, Changed: changed}, err
			}
		}
	}
	return Match{}, nil
}

func (s *Store) deliverTo(ctx context.Context, q *wantedReceipt, form int, name Name, certain bool) (bool, bool, error) {
	var found, changed bool
	err := s.backend.Update(ctx, Ref{ByMessage, name}, s.rule(func(_ time.Time, n number) (number, bool) {
		found, changed = false, false
		if certain && !q.to(n) {
			return n, false
		}
		n, found, changed = delivered(n, q.Receipt, q.MessageIDs[form])
		return n, changed
	}))
	if err != nil { // the step may still run: nothing that it writes is read
		return false, false, err
	}
	return found, changed, nil
}

func (r Receipt) outcome(m Match) string {
	switch {
	case !m.Found:
		return "parked"
	case !m.Changed:
		return "nothing"
	case !r.Final:
		return "progress"
	case r.Delivered:
		return "delivered"
	}
	return "failed"
}

func cut(s string) string { return s[:min(len(s), maxReceiptText)] }
