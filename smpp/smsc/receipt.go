package smsc

import (
	"encoding/binary"
	"fmt"
	"time"

	"otpgw/smpp/pdu"
)

// A receipt is what the network has to say on one segment, or another deliver_sm that comes in its wake.
type receipt struct {
	id                  string // as the receipt tells it; "" where this is none
	record              *record
	state               pdu.State
	delay               time.Duration // from the moment in which it is scheduled
	submitted           time.Time
	source, destination pdu.Address // of the receipt
	form                form        // nil is the ordinary one
	sequence            *uint32     // that its deliver_sm has; nil is any
	elsewhere           *session    // which it avoids where there is another; nil is none

	// Guarded by account.mu.
	written time.Time // when it was last sent
	tries   int
}

// A form is how a receipt is written, from the ordinary deliver_sm on.
type form func(r *receipt, m *pdu.ShortMessage) (pdu.Command, pdu.Body)

const receiptTime = "0601021504" // SMPP 3.4 appendix B

// fields are what the text of the receipt tells.
func (r *receipt) fields() pdu.Receipt {
	return pdu.Receipt{
		MessageID: r.id, State: r.state, Error: fmt.Sprintf("%03d", errorOf(r.state)),
		Submitted: r.submitted.UTC().Format(receiptTime), Done: time.Now().UTC().Format(receiptTime),
	}
}

// body is the deliver_sm of a receipt, with the TLVs and with the text of SMPP 3.4 appendix B.
func (r *receipt) body() *pdu.ShortMessage {
	return &pdu.ShortMessage{
		Source:      r.source,
		Destination: r.destination,
		ESMClass:    0x04,
		Text:        []byte(pdu.FormatReceipt(r.fields(), "")),
		TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: append([]byte(r.id), 0)},
			{Tag: pdu.TagMessageState, Value: []byte{byte(r.state)}},
			{Tag: pdu.TagNetworkErrorCode, Value: networkError(errorOf(r.state))},
		},
	}
}

// encode is the whole PDU of a receipt.
func (r *receipt) encode(sequence uint32, withTLVs bool) ([]byte, error) {
	m := r.body()
	command, body := pdu.DeliverSM, pdu.Body(m)
	if r.form != nil {
		command, body = r.form(r, m)
	}
	if m, ok := body.(*pdu.ShortMessage); ok && !withTLVs {
		m.TLVs = nil
	}
	return pdu.Append(nil, pdu.Header{Command: command, Sequence: sequence}, body)
}

// errorOf is the network's error for a state.
func errorOf(state pdu.State) uint16 {
	switch state {
	case pdu.Undeliverable:
		return 11
	case pdu.Expired:
		return 27 // absent subscriber, in the numbering of 3GPP TS 29.002
	case pdu.Rejected:
		return 13 // call barred
	}
	return 0
}

// networkError is network_error_code for a network of type 3, GSM (SMPP 3.4 §5.3.2.31).
func networkError(code uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{3}, code)
}
