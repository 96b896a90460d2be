package smpp

import (
	"time"

	"otpgw/smpp/pdu"
)

const (
	lateLife  = 10 * time.Minute // for which an answer is waited for that is of no use to the caller any more
	lateDelay = time.Second      // the caller has done with a message when its late answer is told
	maxLate   = 10_000           // such messages of one session
)

// A LateAnswer is the answer to a message after Send had to give it up as unknown.
type LateAnswer struct {
	// Ref is that of the message.
	Ref string
	// Accepted is what is known where Err is nil: the message was accepted after all.
	Accepted Accepted
	// Err is a *StatusError where it was refused after all.
	Err error
}

// A lateMessage is what an answer needs that comes too late for the caller.
type lateMessage struct {
	message  sentMessage
	accepted Accepted // of the segments before
	last     bool     // no segment follows
	until    time.Time
}

type tombstone struct {
	sequence uint32
	message  *lateMessage
}

// tombstones are messages that were given up, in the order in which they were. Guarded by mu of the session.
type tombstones struct {
	order []tombstone
	named map[uint32]*lateMessage
}

func (t *tombstones) put(sequence uint32, m *lateMessage, now time.Time) {
	if t.named == nil {
		t.named = make(map[uint32]*lateMessage)
	}
	for len(t.order) > 0 && (len(t.order) >= maxLate || !now.Before(t.order[0].message.until)) {
		if t.named[t.order[0].sequence] == t.order[0].message {
			delete(t.named, t.order[0].sequence)
		}
		t.order[0] = tombstone{}
		t.order = t.order[1:]
	}
	m.until = now.Add(lateLife)
	t.named[sequence] = m
	t.order = append(t.order, tombstone{sequence, m})
}

// take gives the message with that number, once.
func (t *tombstones) take(sequence uint32, now time.Time) *lateMessage {
	m := t.named[sequence]
	delete(t.named, sequence)
	if m == nil || !now.Before(m.until) {
		return nil
	}
	return m
}

// late has it told that m was answered after all. An answer to a segment that others should have followed says nothing
// of the message: it stays unknown.
func (a *account) late(m *lateMessage, o outcome) {
	result := "accepted"
	told := LateAnswer{Ref: m.message.ref}
	switch {
	case o.accepted() && m.last:
		told.Accepted = m.accepted
		told.Accepted.AnsweredAt = o.at
		told.Accepted.MessageIDs = append(told.Accepted.MessageIDs[:len(m.accepted.MessageIDs):len(m.accepted.MessageIDs)], a.config.answeredID(o.id))
		told.Accepted.raw = append(told.Accepted.raw[:len(m.accepted.raw):len(m.accepted.raw)], rawID(o.id))
		a.expected.add(&a.config, m.message, told.Accepted)
	case o.accepted() || len(m.accepted.MessageIDs) > 0:
		a.metrics.late.WithLabelValues("incomplete").Inc()
		return
	default:
		result = "refused"
		told.Err = &StatusError{Status: uint32(o.status), Class: o.class, Command: pdu.SubmitSMResp.String()}
	}
	a.metrics.late.WithLabelValues(result).Inc()
	a.errands.tellLate(told)
}
