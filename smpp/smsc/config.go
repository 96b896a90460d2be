package smsc

import (
	"time"

	"otpgw/smpp/pdu"
)

// A Config says how the SMSC behaves where the number does not. Its zero value accepts everybody and answers at once.
// It may be changed while the SMSC runs ([Server.Configure]).
type Config struct {
	// Who may bind.
	SystemID           string     // the only system_id that may bind; "" admits all
	Password           string     // its password; "" admits all
	BindStatus         pdu.Status // that binds are refused with; 0 refuses none
	BindRefusals       int        // how many binds BindStatus refuses before they are accepted; 0 is all
	MaxBinds           int        // of one system_id at once, above which a bind is refused with ESME_RALYBND; 0 is no limit
	KickOlder          bool       // a bind above MaxBinds is accepted, and the oldest connection dropped
	NoTransceivers     bool       // bind_transceiver is answered with generic_nack and ESME_RINVCMDID, as by an SMSC of SMPP 3.3
	SilentTransceivers bool       // bind_transceiver is never answered

	// How a connection goes.
	Stuck            bool          // it is accepted, and nothing read or written
	HalfOpen         bool          // after the answer to the bind nothing is read or written
	ResetBinds       bool          // it is reset as soon as it is bound
	NoBindBody       bool          // bind responses have no body
	BindWithoutNUL   bool          // the system_id in bind responses has no NUL behind it, and no TLV follows
	InterfaceVersion byte          // that bind responses announce; 0 is 0x34. Below 0x34 no TLV is ever sent
	Eager            bool          // in one write with the bind response: enquire_link and deliver_sm before, enquire_link behind
	Silent           bool          // binds and unbind are answered, nothing else
	EnquireDeaf      bool          // all but enquire_link is answered
	EnquireEvery     time.Duration // how often enquire_link is sent; 0 is never
	OddAnswers       bool          // enquire_link_resp has an error and a body, unbind_resp a body
	IgnoreUnbind     bool          // unbind is not answered
	DropEvery        int           // the connection is dropped at each such message, not accepted; 0 is never
	UnbindEvery      int           // the SMSC unbinds after each such message; 0 is never
	OctetDelay       time.Duration // between two octets, each written for itself; 0 writes all at once

	// How messages are answered.
	Latency        time.Duration // from submit_sm to its answer
	Rate           float64       // messages a second, above which the answer is ESME_RTHROTTLED; 0 is no limit
	ThrottledShare float64       // of messages that are answered with ESME_RTHROTTLED, 0 to 1
	LyingLength    bool          // command_length of submit_sm_resp is in turn 0, 15, 0x7FFFFFFF, one too low, one too high
	HexIDs         bool          // message ids are hexadecimal in answers and decimal in receipts
	DecHexIDs      bool          // message ids are decimal in answers and hexadecimal in receipts
	PaddedIDs      bool          // message ids have leading zeros in receipts only
	BigIDs         bool          // message ids are beyond 2^63
	FirstID        uint64        // of the first message; 0 is 1
	Alphabet       string        // what data_coding 0 means: "" is GSM 7-bit, an octet each; "gsm7_packed", "ascii", "latin1"

	// How receipts come.
	ReceiptDelay   time.Duration // from the answer to the receipt
	LostReceipts   float64       // share of messages whose receipts are never sent, 0 to 1
	ReceiptsAtBind int           // receipts of messages that nobody knows, sent to each bind that receives
	ReceiptTimeout time.Duration // the connection is dropped when a receipt is not answered for so long; 0 is never

	Outbind         string // "host:port" of a client that is called, and asked to bind, while nobody is bound; "" calls nobody
	OutbindPassword string // at most 8 octets, in that outbind

	KeepMessages int         // how many messages are kept, the oldest go first; 0 is 10,000
	Observe      func(Event) // is told what happens, by many goroutines at once; nil is nobody. It must not block or call the Server
}

// ParseStatus is [pdu.ParseStatus], for programs that know the simulator only.
func ParseStatus(s string) (pdu.Status, error) { return pdu.ParseStatus(s) }
