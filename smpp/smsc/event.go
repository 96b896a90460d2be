package smsc

import (
	"time"

	"otpgw/smpp/pdu"
)

// An EventKind says what happened.
type EventKind string

// What [Config.Observe] is told of. Submitted is followed by Accepted, by Refused, or by neither where the connection is
// dropped or the SMSC silent. Answered and ReceiptWritten come when the octets have been given to the network, not before.
const (
	Submitted           EventKind = "submitted"            // submit_sm or data_sm was received from a client that may send it
	Accepted            EventKind = "accepted"             // the message has an id
	Refused             EventKind = "refused"              // with Status
	Answered            EventKind = "answered"             // the answer with Status was written
	ReceiptWritten      EventKind = "receipt-written"      // for the Attempt-th time
	ReceiptAcknowledged EventKind = "receipt-acknowledged" // answered, with Status
)

// An Event is one thing that happened to one segment. Fields that do not belong to its kind are zero.
type Event struct {
	Kind        EventKind
	At          time.Time
	SystemID    string
	Sequence    uint32 // of the PDU that was received or written; that of the receipt when it is acknowledged
	MessageID   string // as in the answer, in receipts too; "" before one is given, and in receipts for what nobody sent
	ReceiptID   string // as in the receipt
	Destination string // with + for an international number, as the phone shows it: of the message, also in its receipts
	Text        string // of the segment
	Status      pdu.Status
	State       pdu.State // that the receipt tells
	Attempt     int       // 1 for the first time a receipt is written
}

func (s *Server) observe(e Event) {
	if observe := s.config().Observe; observe != nil {
		e.At = time.Now()
		observe(e)
	}
}
