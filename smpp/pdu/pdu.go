// Package pdu turns octets into SMPP 3.4 protocol data units and back, text into the alphabets of 3GPP TS 23.038 and
// back, and delivery receipts out of what SMSCs write into them.
//
// It is not a client: it keeps no connection, no sequence numbers and no state. It does not trust its peer: a length is
// checked before memory is taken for it, a PDU that cannot be read costs that PDU, and nothing that was read shares
// memory with a buffer. The codec below is github.com/fiorix/go-smpp for the bodies that are rare; those of every
// message are read and written here. None of its types is seen outside.
//
// Start reading at [Reader.Next], [Decode] and [Append].
package pdu

import "fmt"

// A Command is a command_id (SMPP 3.4 §5.1.2).
type Command uint32

// The commands of SMPP 3.4 (§5.1.2.1).
const (
	GenericNack         Command = 0x80000000
	BindReceiver        Command = 0x00000001
	BindReceiverResp    Command = 0x80000001
	BindTransmitter     Command = 0x00000002
	BindTransmitterResp Command = 0x80000002
	QuerySM             Command = 0x00000003
	QuerySMResp         Command = 0x80000003
	SubmitSM            Command = 0x00000004
	SubmitSMResp        Command = 0x80000004
	DeliverSM           Command = 0x00000005
	DeliverSMResp       Command = 0x80000005
	Unbind              Command = 0x00000006
	UnbindResp          Command = 0x80000006
	ReplaceSM           Command = 0x00000007
	ReplaceSMResp       Command = 0x80000007
	CancelSM            Command = 0x00000008
	CancelSMResp        Command = 0x80000008
	BindTransceiver     Command = 0x00000009
	BindTransceiverResp Command = 0x80000009
	Outbind             Command = 0x0000000B
	EnquireLink         Command = 0x00000015
	EnquireLinkResp     Command = 0x80000015
	SubmitMulti         Command = 0x00000021
	SubmitMultiResp     Command = 0x80000021
	AlertNotification   Command = 0x00000102
	DataSM              Command = 0x00000103
	DataSMResp          Command = 0x80000103
)

// responseBit tells responses from requests.
const responseBit = 0x80000000

// IsResponse says whether c answers a request; generic_nack does.
func (c Command) IsResponse() bool { return c&responseBit != 0 }

// Response is the command that answers c.
func (c Command) Response() Command { return c | responseBit }

// String is the name in the standard, or the number in hexadecimal where it has none.
func (c Command) String() string {
	name := ""
	switch c {
	case GenericNack:
		return "generic_nack"
	case BindReceiver, BindReceiverResp:
		name = "bind_receiver"
	case BindTransmitter, BindTransmitterResp:
		name = "bind_transmitter"
	case QuerySM, QuerySMResp:
		name = "query_sm"
	case SubmitSM, SubmitSMResp:
		name = "submit_sm"
	case DeliverSM, DeliverSMResp:
		name = "deliver_sm"
	case Unbind, UnbindResp:
		name = "unbind"
	case ReplaceSM, ReplaceSMResp:
		name = "replace_sm"
	case CancelSM, CancelSMResp:
		name = "cancel_sm"
	case BindTransceiver, BindTransceiverResp:
		name = "bind_transceiver"
	case Outbind:
		name = "outbind"
	case EnquireLink, EnquireLinkResp:
		name = "enquire_link"
	case SubmitMulti, SubmitMultiResp:
		name = "submit_multi"
	case AlertNotification:
		name = "alert_notification"
	case DataSM, DataSMResp:
		name = "data_sm"
	default:
		return fmt.Sprintf("0x%08x", uint32(c))
	}
	if c.IsResponse() {
		name += "_resp"
	}
	return name
}

// A Header is what every PDU begins with, but for its length (SMPP 3.4 §3.2).
type Header struct {
	Command  Command
	Status   Status // 0 in requests
	Sequence uint32 // ours are 1 to 0x7FFFFFFF; a peer's is echoed whatever it is
}

// A Frame is one PDU whose body has not been read yet.
type Frame struct {
	Header
	Body []byte // the caller's own
}

// A Body is what follows the header. The pointers to the types of this package with such a method are all there are;
// nil is a PDU without a body.
type Body interface{ body() }

// A Bind is the body of bind_transmitter, bind_receiver and bind_transceiver (SMPP 3.4 §4.1).
type Bind struct {
	SystemID         string // at most 15 octets
	Password         string // at most 8 octets
	SystemType       string // at most 12 octets
	InterfaceVersion byte   // 0x34
	AddressTON       byte
	AddressNPI       byte
	AddressRange     string // at most 40 octets
}

// A BindResp is the body of their responses. An SMSC that refuses may leave it out.
type BindResp struct {
	SystemID string
	TLVs     TLVs
}

// An Address is a number or a name with its type and numbering plan (SMPP 3.4 §5.2.5, §5.2.6). Number has at most 20
// octets.
type Address struct {
	TON, NPI byte
	Number   string
}

// A ShortMessage is the body of submit_sm and deliver_sm (SMPP 3.4 §4.4.1, §4.6.1).
type ShortMessage struct {
	ServiceType          string // at most 5 octets
	Source, Destination  Address
	ESMClass             byte
	ProtocolID           byte
	Priority             byte
	ScheduleDeliveryTime string // "" or 16 octets
	ValidityPeriod       string // "" or 16 octets
	RegisteredDelivery   byte
	ReplaceIfPresent     byte
	DataCoding           byte
	DefaultMessageID     byte
	Text                 []byte // short_message with its UDH, at most 254 octets
	TLVs                 TLVs
}

// Payload is the text with its UDH, wherever the peer put it: short_message, or message_payload where that is empty
// (SMPP 3.4 §5.3.2.32).
func (m *ShortMessage) Payload() []byte {
	if len(m.Text) > 0 {
		return m.Text
	}
	payload, _ := m.TLVs.Get(TagMessagePayload)
	return payload
}

// A DataMessage is the body of data_sm (SMPP 3.4 §4.7.1); its text is in message_payload.
type DataMessage struct {
	ServiceType         string
	Source, Destination Address
	ESMClass            byte
	RegisteredDelivery  byte
	DataCoding          byte
	TLVs                TLVs
}

// A MessageResp is the body of submit_sm_resp, deliver_sm_resp and data_sm_resp (SMPP 3.4 §4.4.2, §4.6.2, §4.7.2).
type MessageResp struct {
	MessageID string // opaque; at most 64 octets where we write it
	TLVs      TLVs
}

// AlertNotificationBody is the body of alert_notification (SMPP 3.4 §4.12.1).
type AlertNotificationBody struct {
	Source, ESME Address
	TLVs         TLVs
}

// OutbindBody is the body of outbind (SMPP 3.4 §4.1.7.1).
type OutbindBody struct{ SystemID, Password string }

// A Query is the body of query_sm (SMPP 3.4 §4.8.1).
type Query struct {
	MessageID string
	Source    Address
}

// A QueryResp is the body of query_sm_resp (SMPP 3.4 §4.8.2).
type QueryResp struct {
	MessageID, FinalDate string
	State                State
	ErrorCode            byte
}

// A Cancel is the body of cancel_sm (SMPP 3.4 §4.9.1).
type Cancel struct {
	ServiceType, MessageID string
	Source, Destination    Address
}

// Raw is a body that is written as it is, whatever the command: for a peer that has to be odd. Decode returns none.
type Raw []byte

func (*Bind) body()                  {}
func (*BindResp) body()              {}
func (*ShortMessage) body()          {}
func (*DataMessage) body()           {}
func (*MessageResp) body()           {}
func (*AlertNotificationBody) body() {}
func (*OutbindBody) body()           {}
func (*Query) body()                 {}
func (*QueryResp) body()             {}
func (*Cancel) body()                {}
func (*Raw) body()                   {}
