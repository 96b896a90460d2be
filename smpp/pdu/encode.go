package pdu

import (
	"bytes"
	"encoding/binary"
	"fmt"

	smpppdu "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
)

// A FieldError is a value that SMPP has no room for. Nothing was written.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Append appends one PDU to dst and returns the longer slice. It is the only way from this package to the wire: every
// field is checked against its limit (SMPP 3.4 §3.1, §4) before its octets are written, and the length in the header is
// that of what was written. On an error, always a *FieldError, dst is returned as it was. It may be called by several
// goroutines at once.
func Append(dst []byte, h Header, b Body) ([]byte, error) {
	e := encoder{octets: binary.BigEndian.AppendUint32(dst, 0), start: len(dst)}
	e.octets = binary.BigEndian.AppendUint32(e.octets, uint32(h.Command))
	e.octets = binary.BigEndian.AppendUint32(e.octets, uint32(h.Status))
	e.octets = binary.BigEndian.AppendUint32(e.octets, h.Sequence)
	if !carries(h.Command, b) {
		e.fail("command_id", fmt.Sprintf("%v has no such body", h.Command))
	}
	e.body(h, b)
	length := len(e.octets) - e.start
	if length > MaxLength {
		e.fail("command_length", fmt.Sprintf("%d octets, at most %d", length, MaxLength))
	}
	if e.err != nil {
		return dst, e.err
	}
	binary.BigEndian.PutUint32(e.octets[e.start:], uint32(length))
	return e.octets, nil
}

// An encoder writes one PDU behind the octets that are there. The first field that does not fit sets err.
type encoder struct {
	octets []byte
	start  int
	err    error
}

func (e *encoder) fail(field, reason string) {
	if e.err == nil {
		e.err = &FieldError{Field: field, Reason: reason}
	}
}

// carries says whether c may have b as its body: a field in a PDU that knows none like it would be read as another.
// A response may leave its body out, and Raw is what its name says.
func carries(c Command, b Body) bool {
	switch b.(type) {
	case nil:
		return c.IsResponse() || c == EnquireLink || c == Unbind
	case *ShortMessage:
		return c == SubmitSM || c == DeliverSM
	case *MessageResp:
		return c == SubmitSMResp || c == DeliverSMResp || c == DataSMResp
	case *BindResp:
		return c == BindTransceiverResp || c == BindReceiverResp || c == BindTransmitterResp
	case *Bind:
		return c == BindTransceiver || c == BindReceiver || c == BindTransmitter
	case *DataMessage:
		return c == DataSM
	case *AlertNotificationBody:
		return c == AlertNotification
	case *OutbindBody:
		return c == Outbind
	case *Query:
		return c == QuerySM
	case *QueryResp:
		return c == QuerySMResp
	case *Cancel:
		return c == CancelSM
	}
	return true
}

func (e *encoder) body(h Header, b Body) {
	switch b := b.(type) {
	case nil:
	case *ShortMessage:
		e.shortMessage(b)
	case *MessageResp:
		e.cString("message_id", b.MessageID, 64)
		e.tlvs(b.TLVs)
	case *BindResp:
		e.cString("system_id", b.SystemID, 15)
		e.tlvs(b.TLVs)
	case *DataMessage:
		e.cString("service_type", b.ServiceType, 5)
		e.address("source_addr", b.Source)
		e.address("destination_addr", b.Destination)
		e.octets = append(e.octets, b.ESMClass, b.RegisteredDelivery, b.DataCoding)
		e.tlvs(b.TLVs)
	case *AlertNotificationBody:
		e.address("source_addr", b.Source)
		e.address("esme_addr", b.ESME)
		e.tlvs(b.TLVs)
	case *Bind:
		e.bind(h, b)
	case *Cancel:
		e.cString("service_type", b.ServiceType, 5)
		e.cString("message_id", b.MessageID, 64)
		e.address("source_addr", b.Source)
		e.address("destination_addr", b.Destination)
	case *Query:
		e.cString("message_id", b.MessageID, 64)
		e.address("source_addr", b.Source)
	case *QueryResp:
		e.cString("message_id", b.MessageID, 64)
		e.time("final_date", b.FinalDate)
		e.octets = append(e.octets, byte(b.State), b.ErrorCode)
	case *OutbindBody:
		e.cString("system_id", b.SystemID, 15)
		e.cString("password", b.Password, 8)
	case *Raw:
		e.octets = append(e.octets, *b...)
	}
}

// shortMessage writes the body of submit_sm and deliver_sm by hand: it is written for every message, and the codec
// below would put a stray octet before the text of a deliver_sm.
func (e *encoder) shortMessage(m *ShortMessage) {
	e.cString("service_type", m.ServiceType, 5)
	e.address("source_addr", m.Source)
	e.address("destination_addr", m.Destination)
	e.octets = append(e.octets, m.ESMClass, m.ProtocolID, m.Priority)
	e.time("schedule_delivery_time", m.ScheduleDeliveryTime)
	e.time("validity_period", m.ValidityPeriod)
	e.octets = append(e.octets, m.RegisteredDelivery, m.ReplaceIfPresent, m.DataCoding, m.DefaultMessageID)
	if len(m.Text) > 254 {
		e.fail("short_message", fmt.Sprintf("%d octets, at most 254", len(m.Text)))
		return
	}
	e.octets = append(e.octets, byte(len(m.Text)))
	e.octets = append(e.octets, m.Text...)
	e.tlvs(m.TLVs)
}

// bind writes the body of a bind request through go-smpp: it is written once in the life of a connection.
func (e *encoder) bind(h Header, b *Bind) {
	var p smpppdu.Body
	switch h.Command {
	case BindReceiver:
		p = smpppdu.NewBindReceiver()
	case BindTransmitter:
		p = smpppdu.NewBindTransmitter()
	case BindTransceiver:
		p = smpppdu.NewBindTransceiver()
	default:
		return // carries refused it
	}
	for _, f := range []struct {
		name, value string
		max         int
		field       pdufield.Name
	}{
		{"system_id", b.SystemID, 15, pdufield.SystemID},
		{"password", b.Password, 8, pdufield.Password},
		{"system_type", b.SystemType, 12, pdufield.SystemType},
		{"address_range", b.AddressRange, 40, pdufield.AddressRange},
	} {
		e.check(f.name, f.value, f.max)
		e.set(p, f.field, f.value)
	}
	e.set(p, pdufield.InterfaceVersion, b.InterfaceVersion)
	e.set(p, pdufield.AddrTON, b.AddressTON)
	e.set(p, pdufield.AddrNPI, b.AddressNPI)
	if e.err != nil {
		return
	}
	var written bytes.Buffer
	if err := p.SerializeTo(&written); err != nil {
		e.fail("body", err.Error())
		return
	}
	if claimed := binary.BigEndian.Uint32(written.Bytes()); int(claimed) != written.Len() {
		e.fail("command_length", fmt.Sprintf("%d octets written under a length of %d", written.Len(), claimed))
		return
	}
	e.octets = append(e.octets, written.Bytes()[headerLength:]...)
}

func (e *encoder) set(p smpppdu.Body, field pdufield.Name, value any) {
	if err := p.Fields().Set(field, value); err != nil {
		e.fail(string(field), err.Error())
	}
}

// cString writes a C-octet string of at most max octets without its NUL (SMPP 3.4 §3.1).
func (e *encoder) cString(field, s string, max int) {
	e.check(field, s, max)
	e.octets = append(e.octets, s...)
	e.octets = append(e.octets, 0)
}

// check holds what makes a string safe to write: a NUL inside would move every field behind it.
func (e *encoder) check(field, s string, max int) {
	if len(s) > max {
		e.fail(field, fmt.Sprintf("%d octets, at most %d", len(s), max))
	}
	for i := range len(s) {
		if s[i] == 0 || s[i] >= 0x80 {
			e.fail(field, "must be ASCII without NUL")
			return
		}
	}
}

// time writes a time: none, or 16 octets (SMPP 3.4 §7.1.1).
func (e *encoder) time(field, s string) {
	if len(s) != 0 && len(s) != 16 {
		e.fail(field, fmt.Sprintf("%d octets, must be none or 16", len(s)))
	}
	e.cString(field, s, 16)
}

func (e *encoder) address(field string, a Address) {
	e.octets = append(e.octets, a.TON, a.NPI)
	e.cString(field, a.Number, 20)
}

func (e *encoder) tlvs(tlvs TLVs) {
	for _, t := range tlvs {
		if len(t.Value) > 0xFFFF {
			e.fail(fmt.Sprintf("TLV 0x%04x", t.Tag), fmt.Sprintf("%d octets, at most 65535", len(t.Value)))
			return
		}
		e.octets = binary.BigEndian.AppendUint16(e.octets, t.Tag)
		e.octets = binary.BigEndian.AppendUint16(e.octets, uint16(len(t.Value)))
		e.octets = append(e.octets, t.Value...)
	}
}
