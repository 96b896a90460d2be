package otpstore

import (
	"context"
	"fmt"
	"time"
)

const maxReceiptText = 64 // octets kept of a receipt's state and error

// A Receipt is what an SMSC says about one message.
type Receipt struct {
	SMSC, MessageID string
	State           string    // "DELIVRD", …
	Final           bool      // no other state will follow
	Delivered       bool      // the final state is success
	Error           string    // of the network, "" for none
	At              time.Time // when it came; zero: now
}

// Delivered records a receipt. It is durable when it returns nil. A final state stands; what is known already writes nothing.
// A receipt for a message that is not known yet waits in memory, for 60 s, for the Sent that makes it known: the two commute.
func (s *Store) Delivered(ctx context.Context, r Receipt) error {
	r.State, r.Error = cut(r.State), cut(r.Error)
	if r.At.IsZero() {
		r.At = time.Now()
	}
	name := messageName(r.SMSC, r.MessageID)
	found, changed, err := s.deliver(ctx, name, r)
	if err == nil && !found {
		// Parked first, looked for again after: whichever way the Sent of this message passes, one of the two sees the other.
		if !s.parked.put(time.Now(), name, r) {
			s.metrics.receipts.WithLabelValues("dropped").Inc()
			return nil
		}
		if found, changed, err = s.deliver(ctx, name, r); found {
			s.parked.drop(name)
		}
	}
	if err != nil {
		return fmt.Errorf("record receipt: %w", err)
	}
	s.metrics.receipts.WithLabelValues(r.outcome(found, changed)).Inc()
	return nil
}

func (s *Store) deliver(ctx context.Context, name Name, r Receipt) (bool, bool, error) {
	var found, changed bool
	err := s.backend.Update(ctx, Ref{ByMessage, name}, s.rule(func(_ time.Time, n number) (number, bool) {
		n, found, changed = delivered(n, r)
		return n, changed
	}))
	if err != nil { // the step may still run: nothing that it writes is read
		return false, false, err
	}
	return found, changed, nil
}

func (r Receipt) outcome(found, changed bool) string {
	switch {
	case !found:
		return "parked"
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
