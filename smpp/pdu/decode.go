package pdu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
)

// ErrUnknownCommand says that a command_id is none that is known here. A request that has one is answered with
// generic_nack and ESME_RINVCMDID; a response is passed over (SMPP 3.4 §4.3).
var ErrUnknownCommand = errors.New("unknown command_id")

// A BodyError is a body that could not be read whole. Where Part is "tlv" the mandatory parameters were read and are
// returned with the error, with the optional ones that stand before the fault.
type BodyError struct {
	Header
	Part string // "mandatory" or "tlv"
	Err  error
}

func (e *BodyError) Error() string {
	return fmt.Sprintf("%v: %s parameters: %v", e.Command, e.Part, e.Err)
}

func (e *BodyError) Unwrap() error { return e.Err }

var (
	errTruncated = errors.New("ends in the middle of a parameter")
	errTooLong   = errors.New("a length points behind the end")
)

// Decode reads the body of a frame. It keeps nothing of f. The bodies of enquire_link, unbind, their responses,
// generic_nack and replace_sm_resp and cancel_sm_resp are of no interest, and peers put odd things there: they are nil.
func Decode(f Frame) (Body, error) {
	d := decoder{rest: f.Body}
	var b Body
	switch f.Command {
	case EnquireLink, EnquireLinkResp, Unbind, UnbindResp, GenericNack, CancelSMResp, ReplaceSMResp:
		return nil, nil
	case SubmitSM, DeliverSM:
		b = d.shortMessage()
	case SubmitSMResp, DeliverSMResp, DataSMResp:
		b = d.messageResp(f.Status)
	case BindReceiverResp, BindTransmitterResp, BindTransceiverResp:
		id, tlvs := d.idAndTLVs(f.Status)
		b = &BindResp{SystemID: id, TLVs: tlvs}
	case DataSM:
		m := &DataMessage{ServiceType: d.cString(), Source: d.address(), Destination: d.address()}
		m.ESMClass, m.RegisteredDelivery, m.DataCoding = d.octet(), d.octet(), d.octet()
		m.TLVs = d.tlvs()
		b = m
	case AlertNotification:
		b = &AlertNotificationBody{Source: d.address(), ESME: d.address(), TLVs: d.tlvs()}
	case BindReceiver, BindTransmitter, BindTransceiver, Outbind, QuerySM, QuerySMResp, CancelSM:
		b = d.rare(f.Command)
		if f.Command == QuerySMResp && f.Status != StatusOK && d.mandatory != nil {
			return nil, nil // a refusal says all in its status
		}
	default:
		return nil, fmt.Errorf("%w %v", ErrUnknownCommand, f.Command)
	}
	switch {
	case d.mandatory != nil:
		return nil, &BodyError{Header: f.Header, Part: "mandatory", Err: d.mandatory}
	case d.optional != nil:
		return b, &BodyError{Header: f.Header, Part: "tlv", Err: d.optional}
	}
	return b, nil
}

// A decoder takes one parameter after the other from rest. After the first error the others are empty.
type decoder struct {
	rest      []byte
	mandatory error // of the mandatory parameters
	optional  error // of the TLVs
}

func (d *decoder) octet() byte {
	if len(d.rest) == 0 {
		d.truncated()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) cString() string {
	end := bytes.IndexByte(d.rest, 0)
	if end < 0 {
		d.truncated()
		return ""
	}
	s := string(d.rest[:end])
	d.rest = d.rest[end+1:]
	return s
}

func (d *decoder) truncated() {
	if d.mandatory == nil {
		d.mandatory = errTruncated
	}
	d.rest = nil
}

func (d *decoder) address() Address {
	return Address{TON: d.octet(), NPI: d.octet(), Number: d.cString()}
}

// shortMessage reads submit_sm and deliver_sm. A UDH stays in the text: it may stand in message_payload as well, and a
// wrong one must not cost the PDU.
func (d *decoder) shortMessage() *ShortMessage {
	m := &ShortMessage{ServiceType: d.cString(), Source: d.address(), Destination: d.address()}
	m.ESMClass, m.ProtocolID, m.Priority = d.octet(), d.octet(), d.octet()
	m.ScheduleDeliveryTime, m.ValidityPeriod = d.cString(), d.cString()
	m.RegisteredDelivery, m.ReplaceIfPresent, m.DataCoding, m.DefaultMessageID = d.octet(), d.octet(), d.octet(), d.octet()
	length := int(d.octet())
	if d.mandatory != nil {
		return m
	}
	if length > len(d.rest) {
		d.mandatory = errTooLong
		return m
	}
	m.Text = bytes.Clone(d.rest[:length])
	d.rest = d.rest[length:]
	m.TLVs = d.tlvs()
	return m
}

func (d *decoder) messageResp(status Status) *MessageResp {
	id, tlvs := d.idAndTLVs(status)
	return &MessageResp{MessageID: id, TLVs: tlvs}
}

// idAndTLVs reads a C-octet string and the TLVs behind it as responses have them, whatever the peer left out: the NUL at
// the end, the string of an error, or all of it. An error may also have TLVs only (SMPP 5.0 §4.2.3), or a text that is
// neither: its status is all that matters then.
func (d *decoder) idAndTLVs(status Status) (string, TLVs) {
	octets := d.rest
	id, rest, _ := bytes.Cut(octets, []byte{0})
	d.rest = rest
	tlvs := d.tlvs()
	if status == StatusOK || d.optional == nil {
		return string(id), tlvs
	}
	d.optional = nil
	only := decoder{rest: octets}
	if tlvs := only.tlvs(); only.optional == nil {
		return "", tlvs
	}
	return string(id), tlvs
}

// tlvs reads what is left. A parameter that does not fit ends it; those before it are kept.
func (d *decoder) tlvs() TLVs {
	var all TLVs
	for len(d.rest) > 0 && d.mandatory == nil {
		if len(d.rest) < 4 {
			d.optional = errTruncated
			break
		}
		tag, length := binary.BigEndian.Uint16(d.rest), int(binary.BigEndian.Uint16(d.rest[2:]))
		if length > len(d.rest)-4 {
			d.optional = errTooLong
			break
		}
		all = append(all, TLV{Tag: tag, Value: bytes.Clone(d.rest[4 : 4+length])})
		d.rest = d.rest[4+length:]
	}
	d.rest = nil
	return all
}

// rare reads a body that is seen once in a while through go-smpp's field lists. They decode in the order given, which
// also serves where the codec has a list of its own that is wrong (query_sm_resp) or none.
func (d *decoder) rare(c Command) Body {
	var list pdufield.List
	switch c {
	case Outbind:
		list = pdufield.List{pdufield.SystemID, pdufield.Password}
	case QuerySM:
		list = pdufield.List{pdufield.MessageID, pdufield.SourceAddrTON, pdufield.SourceAddrNPI, pdufield.SourceAddr}
	case QuerySMResp: // octets under the names of other octets: the codec takes state and error for strings
		list = pdufield.List{pdufield.MessageID, pdufield.FinalDate, pdufield.PriorityFlag, pdufield.ProtocolID}
	case CancelSM:
		list = pdufield.List{
			pdufield.ServiceType, pdufield.MessageID, pdufield.SourceAddrTON, pdufield.SourceAddrNPI, pdufield.SourceAddr,
			pdufield.DestAddrTON, pdufield.DestAddrNPI, pdufield.DestinationAddr,
		}
	default:
		list = pdufield.List{
			pdufield.SystemID, pdufield.Password, pdufield.SystemType, pdufield.InterfaceVersion,
			pdufield.AddrTON, pdufield.AddrNPI, pdufield.AddressRange,
		}
	}
	fields, err := list.Decode(bytes.NewBuffer(bytes.Clone(d.rest)))
	d.rest = nil
	if err != nil || len(fields) < len(list) {
		d.mandatory = errTruncated
		return nil
	}
	text := func(name pdufield.Name) string { return string(bytes.TrimSuffix(fields[name].Bytes(), []byte{0})) }
	octet := func(name pdufield.Name) byte { return fields[name].Bytes()[0] }
	address := func(ton, npi, number pdufield.Name) Address {
		return Address{TON: octet(ton), NPI: octet(npi), Number: text(number)}
	}
	switch c {
	case Outbind:
		return &OutbindBody{SystemID: text(pdufield.SystemID), Password: text(pdufield.Password)}
	case QuerySM:
		return &Query{
			MessageID: text(pdufield.MessageID),
			Source:    address(pdufield.SourceAddrTON, pdufield.SourceAddrNPI, pdufield.SourceAddr),
		}
	case QuerySMResp:
		return &QueryResp{
			MessageID: text(pdufield.MessageID),
			FinalDate: text(pdufield.FinalDate),
			State:     State(octet(pdufield.PriorityFlag)),
			ErrorCode: octet(pdufield.ProtocolID),
		}
	case CancelSM:
		return &Cancel{
			ServiceType: text(pdufield.ServiceType),
			MessageID:   text(pdufield.MessageID),
			Source:      address(pdufield.SourceAddrTON, pdufield.SourceAddrNPI, pdufield.SourceAddr),
			Destination: address(pdufield.DestAddrTON, pdufield.DestAddrNPI, pdufield.DestinationAddr),
		}
	}
	return &Bind{
		SystemID:         text(pdufield.SystemID),
		Password:         text(pdufield.Password),
		SystemType:       text(pdufield.SystemType),
		InterfaceVersion: octet(pdufield.InterfaceVersion),
		AddressTON:       octet(pdufield.AddrTON),
		AddressNPI:       octet(pdufield.AddrNPI),
		AddressRange:     text(pdufield.AddressRange),
	}
}
