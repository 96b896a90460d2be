package smpp

import (
	"context"
	"errors"
	"time"

	"otpgw/smpp/pdu"
)

// maxAcks is how many answers may wait on one connection for the first of them to be ready.
const maxAcks = 100_000

// An ack is the answer to a deliver_sm or data_sm, in the order of their arrival. Guarded by mu of the session.
type ack struct {
	header pdu.Header
	ready  bool
}

// receive hands a receipt on, and answers all else.
func (s *session) receive(ctx context.Context, f pdu.Frame, answer pdu.Header) {
	body, err := pdu.Decode(f)
	if err != nil {
		s.unreadable(f, err)
	}
	a := s.reserve(answer)
	if body == nil { // a refusal would only bring the same octets again
		s.acknowledge(a, pdu.StatusOK)
		return
	}
	receipt, found := s.account.read(body)
	if !found || receipt.MessageID == "" {
		if found { // in a form that nobody reads: the SMSC's people have to be asked about it
			s.metrics.pduErrors.WithLabelValues(s.bind, s.metrics.commandLabel(f.Command), "receipt").Inc()
			s.log.Warn("receipt without a message id", "command", f.Command.String())
		}
		s.metrics.mobile.WithLabelValues(s.bind).Inc()
		s.acknowledge(a, pdu.StatusOK)
		return
	}
	d := &delivery{session: s, ack: a, receipt: s.account.receipt(receipt, time.Now())}
	if !s.account.receipts.offer(ctx, d) {
		s.metrics.deferred.WithLabelValues("queue_full").Inc()
		s.acknowledge(a, pdu.StatusRxTAppn)
	}
}

// reserve keeps the turn of an answer.
func (s *session) reserve(answer pdu.Header) *ack {
	a := &ack{header: answer}
	s.mu.Lock()
	s.answered.add(answer.Sequence)
	s.acks = append(s.acks, a)
	many := len(s.acks) > maxAcks
	s.mu.Unlock()
	if many {
		s.end(endUnrecorded, errors.New("too many receipts wait to be recorded"))
	}
	return a
}

// acknowledge answers a when its turn has come, and those behind it that are ready.
func (s *session) acknowledge(a *ack, status pdu.Status) {
	s.mu.Lock()
	a.header.Status, a.ready = status, true
	for len(s.acks) > 0 && s.acks[0].ready {
		if err := s.push(s.acks[0].header, &pdu.MessageResp{}); err != nil {
			s.log.Error("pdu not encoded", "command", s.acks[0].header.Command.String(), "error", err)
		}
		s.acks[0] = nil
		s.acks = s.acks[1:]
	}
	if s.settled != nil && len(s.acks) == 0 {
		close(s.settled)
		s.settled = nil
	}
	full := len(s.control) > maxControl
	s.mu.Unlock()
	if full {
		s.end(endUnread, errors.New("the smsc does not read its answers"))
	}
}

// settle returns a channel that is closed when no receipt waits for its acknowledgement.
func (s *session) settle() <-chan struct{} {
	settled := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks) == 0 {
		close(settled)
	} else {
		s.settled = settled
	}
	return settled
}

// An answeredRing keeps the sequence numbers of the peer's last requests. A generic_nack with such a number may be meant
// for our answer.
type answeredRing struct {
	numbers [256]uint32
	set     [256]bool
	next    byte
}

func (r *answeredRing) add(sequence uint32) {
	r.numbers[r.next], r.set[r.next] = sequence, true
	r.next++
}

func (r *answeredRing) has(sequence uint32) bool {
	for i, n := range r.numbers {
		if n == sequence && r.set[i] {
			return true
		}
	}
	return false
}
