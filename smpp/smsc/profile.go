package smsc

import (
	"time"

	"otpgw/smpp/pdu"
)

// A Profile is a Config that has a name.
type Profile struct {
	Name        string
	Description string
	Config      Config
}

// Profiles are the ways of behaving that have a name, the ordinary one first.
func Profiles() []Profile {
	profiles := []Profile{
		{"normal", "accepts at once, receipts after 50 ms", Config{}},
		{"slow", "answers after 2 s, receipts after 10 s", Config{Latency: 2 * time.Second, ReceiptDelay: 10 * time.Second}},
		{"throttle", "accepts 10 messages a second, refuses the rest with ESME_RTHROTTLED", Config{Rate: 10}},
		{"busy", "refuses every third message with ESME_RTHROTTLED", Config{ThrottledShare: 1.0 / 3}},
		{"silent", "answers binds, and nothing else", Config{Silent: true}},
		{"flap", "drops the connection at each tenth message", Config{DropEvery: 10}},
		{"unbind-often", "unbinds after each tenth message", Config{UnbindEvery: 10}},
		{"reset", "resets each connection as soon as it is bound", Config{ResetBinds: true}},
		{"stuck", "accepts connections, never reads or answers", Config{Stuck: true}},
		{"half-open", "after a bind nothing is read or written, the connection stays", Config{HalfOpen: true}},
		{"enquire-deaf", "answers all but enquire_link", Config{EnquireDeaf: true}},
		{"enquire-flood", "sends enquire_link every 5 ms", Config{EnquireEvery: 5 * time.Millisecond}},
		{"odd-answers", "enquire_link_resp has an error and a body, unbind_resp a body", Config{OddAnswers: true}},
		{"ignore-unbind", "never answers unbind", Config{IgnoreUnbind: true}},
		{"byte-by-byte", "writes one octet each millisecond", Config{OctetDelay: time.Millisecond}},
		{"slow-loris", "writes one octet a second", Config{OctetDelay: time.Second}},
		{"lying-length", "command_length of submit_sm_resp is wrong, each time in another way", Config{LyingLength: true}},
		{"refuse-binds", "refuses three binds with ESME_RALYBND, accepts those that follow", Config{BindStatus: pdu.StatusAlyBnd, BindRefusals: 3}},
		{"wrong-password", "refuses all binds with ESME_RINVPASWD", Config{BindStatus: pdu.StatusInvPaswd}},
		{"full-account", "refuses with ESME_RALYBND more than two binds of a system_id", Config{MaxBinds: 2}},
		{"kick-older", "drops the oldest bind when a system_id has more than two", Config{MaxBinds: 2, KickOlder: true}},
		{"tx-rx-only", "refuses bind_transceiver with generic_nack and ESME_RINVCMDID", Config{NoTransceivers: true}},
		{"tx-rx-silent", "never answers bind_transceiver", Config{SilentTransceivers: true}},
		{"bind-without-body", "bind responses have no body", Config{NoBindBody: true}},
		{"bind-without-nul", "the system_id in bind responses has no NUL", Config{BindWithoutNUL: true}},
		{"version-5", "announces SMPP 5.0", Config{InterfaceVersion: 0x50}},
		{"version-33", "announces nothing and sends no TLVs, as SMPP 3.3", Config{InterfaceVersion: 0x33}},
		{"eager", "sends enquire_link and deliver_sm before the bind response, in one segment with it", Config{Eager: true}},
		{"outbind", "calls a client on 127.0.0.1:2776 and asks it to bind", Config{Outbind: "127.0.0.1:2776"}},
		{"hex-ids", "message ids are hexadecimal in answers, decimal in receipts", Config{HexIDs: true}},
		{"dec-hex", "message ids are decimal in answers, hexadecimal in receipts", Config{DecHexIDs: true}},
		{"padded-ids", "message ids have leading zeros in receipts only", Config{PaddedIDs: true}},
		{"big-ids", "message ids are beyond 2^63", Config{BigIDs: true}},
		{"ascii", "data_coding 0 is ASCII", Config{Alphabet: ascii}},
		{"latin1", "data_coding 0 is Latin-1", Config{Alphabet: latin1}},
		{"gsm7-packed", "data_coding 0 is GSM 7-bit, packed", Config{Alphabet: gsm7Packed}},
		{"drop-dlr", "half of the receipts never come", Config{LostReceipts: 0.5}},
		{"receipt-flood", "sends 10,000 receipts of messages that nobody knows to each bind", Config{ReceiptsAtBind: 10_000}},
		{"impatient", "drops a connection on which a receipt is not answered for 5 s", Config{ReceiptTimeout: 5 * time.Second}},
	}
	for i := range profiles {
		if c := &profiles[i].Config; c.ReceiptDelay == 0 {
			c.ReceiptDelay = 50 * time.Millisecond
		}
	}
	return profiles
}

// WithProfile is c with the behaviour of a profile, which must be one of [Profiles]: who may bind by name and password,
// the numbering of messages, how many are kept and who observes stay as they are. It returns false for another name.
func (c Config) WithProfile(name string) (Config, bool) {
	for _, p := range Profiles() {
		if p.Name != name {
			continue
		}
		changed := p.Config
		changed.SystemID, changed.Password, changed.OutbindPassword = c.SystemID, c.Password, c.OutbindPassword
		changed.FirstID, changed.KeepMessages, changed.Observe = c.FirstID, c.KeepMessages, c.Observe
		return changed, true
	}
	return c, false
}
