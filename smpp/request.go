package smpp

import (
	"encoding/binary"
	"time"

	"otpgw/smpp/pdu"
)

// A request is one PDU of ours that wants an answer.
type request struct {
	command pdu.Command
	octets  []byte // of a submit_sm, sequence_number still open; nil where it stands among the control PDUs
	done    chan outcome
	timer   *time.Timer
	late    lateMessage // for an answer that comes too late; empty where nobody wants it

	// Guarded by mu of the session that it was given to.
	number uint32 // sequence_number of what stood among the control PDUs
	stage  stage
	at     time.Time // when it was handed to the connection
}

// A stage is how far a request has come.
type stage byte

const (
	queued  stage = iota
	writing       // handed to the connection, which has not said yet how much of it it took
	written
	finished // its outcome is in done, or will be at once
)

func newRequest(c pdu.Command) *request {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &request{command: c, done: make(chan outcome, 1), timer: timer}
}

// sequence is the one that write has put into the PDU.
func (r *request) sequence() uint32 { return binary.BigEndian.Uint32(r.octets[12:]) }

// An outcome is what became of a request.
type outcome struct {
	kind    kind
	reason  string // of notSent and unknown: constant, for metrics and errors
	lost    bool   // notSent for want of the session only: another may do
	partial bool   // unknown: some segments were accepted
	ghost   bool   // unknown, and the SMSC may still be working on it
	command pdu.Command
	status  pdu.Status
	class   string // of a status that refuses
	id      string // message_id
	body    pdu.Body
	at      time.Time

	congestion byte // congestion_state in percent, 0 where there is none
}

type kind byte

const (
	answered kind = iota
	notSent
	unknown
)

// Reasons of outcomes without an answer.
const (
	reasonLost      = "connection lost"
	reasonTimeout   = "no answer in time"
	reasonDeadline  = "deadline passed"
	reasonNonsense  = "answered with a generic_nack of status 0"
	reasonAmbiguous = "answered with a generic_nack that may be meant for another pdu"
	reasonPartial   = "only some segments accepted"
)

func (o outcome) accepted() bool { return o.kind == answered && o.status == pdu.StatusOK }

func (o outcome) throttled() bool { return o.kind == answered && o.class == ClassThrottled }

// err is the outcome as the caller of Send sees it.
func (o outcome) err() error {
	switch {
	case o.accepted():
		return nil
	case o.kind == answered:
		return &StatusError{Status: uint32(o.status), Class: o.class, Command: o.command.String()}
	case o.kind == notSent:
		return &UnavailableError{Reason: o.reason, RetryAfter: time.Second}
	}
	return &UnknownError{Reason: o.reason}
}
