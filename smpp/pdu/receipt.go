package pdu

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A State is a message_state (SMPP 3.4 §5.2.28; the ends of the range are those of SMPP 5.0 §4.7.15).
type State byte

const (
	Scheduled     State = 0
	Enroute       State = 1
	Delivered     State = 2
	Expired       State = 3
	Deleted       State = 4
	Undeliverable State = 5
	Accepted      State = 6
	UnknownState  State = 7
	Rejected      State = 8
	Skipped       State = 9
)

// stateNames are the words of SMPP 3.4 appendix B, and behind them what SMSCs write in their stead.
var stateNames = [...][]string{
	Scheduled:     {"SCHEDULED"},
	Enroute:       {"ENROUTE", "EN_ROUTE", "BUFFRED", "BUFFERED", "SENT", "SUBMITD", "SUBMITTED", "PENDING", "QUEUED"},
	Delivered:     {"DELIVRD", "DELIVERED", "DELIVERD", "DELIVRED"},
	Expired:       {"EXPIRED", "EXPIRD"},
	Deleted:       {"DELETED", "CANCELED", "CANCELLED"},
	Undeliverable: {"UNDELIV", "FAILED", "FAIL", "UNDELIVERED", "UNDELIVERABLE", "UNDELIVRD", "UNDELIVERD", "UNDELVRD"},
	Accepted:      {"ACCEPTD", "ACCEPTED", "ACKED"},
	UnknownState:  {"UNKNOWN"},
	Rejected:      {"REJECTD", "REJECTED", "REJECT"},
	Skipped:       {"SKIPPED"},
}

// String is the word of SMPP 3.4 appendix B.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s][0]
	}
	return "UNKNOWN"
}

// Final says that no other state follows.
func (s State) Final() bool {
	switch s {
	case Scheduled, Enroute, Accepted:
		return false
	}
	return true
}

// stateOf is UnknownState and false for a word that nobody knows.
func stateOf(word string) (State, bool) {
	for s, names := range stateNames {
		for _, name := range names {
			if strings.EqualFold(word, name) {
				return State(s), true
			}
		}
	}
	return UnknownState, false
}

// A Receipt is a delivery receipt (SMPP 3.4 §2.11, appendix B).
type Receipt struct {
	MessageID           string // as received but for white space and NULs around it
	State               State
	Error               string // what err: says, or "network:code" or the digits of network_error_code; "" where there is none
	Submitted, Done     string // as received
	Source, Destination Address
}

// Types of a deliver_sm, bits 5-2 of esm_class (SMPP 3.4 §5.2.12). Receipts of the SMSC have bit 2 or bit 5. The others
// come from the phone or its owner and carry what was typed there: 0x08 says that the phone has the message, 0x10 is a
// reply by hand, 0x18 the end of a dialogue.
const (
	esmTypeMask     = 0x3C
	esmReceipt      = 0x04
	esmPhoneHasIt   = 0x08
	esmIntermediate = 0x20
)

// A ReceiptReader reads receipts. The zero value reads what SMSCs make of SMPP 3.4 appendix B. It may be used by several
// goroutines at once.
type ReceiptReader struct {
	// Pattern is for an SMSC that writes them in a form of its own; it may be nil. Where it matches the text, what its
	// groups id, stat and err say goes before what the labels say, and with an id and a word for a state that is known it
	// is a receipt whatever esm_class says.
	Pattern *regexp.Regexp
}

// ParseReceipt is [ReceiptReader.Parse] of the zero value.
func ParseReceipt(m *ShortMessage) (Receipt, bool) { return ReceiptReader{}.Parse(m) }

// ParseDataReceipt is [ReceiptReader.ParseData] of the zero value.
func ParseDataReceipt(m *DataMessage) (Receipt, bool) { return ReceiptReader{}.ParseData(m) }

// Parse reads a receipt from a deliver_sm: from the TLVs where they are, and from the text what they leave out. In an
// intermediate notification a failure is that of one attempt, and the state is Enroute. Parse returns false for what is no
// receipt: without the mark in esm_class it takes an id and a state that the SMSC wrote, in TLVs or in a text of the form
// of appendix B. It is total: whatever stands in the text, it says what can be told.
func (r ReceiptReader) Parse(m *ShortMessage) (Receipt, bool) {
	return r.parse(m.ESMClass, m.Payload(), m.TLVs, m.Source, m.Destination)
}

// ParseData reads a receipt from a data_sm in the same way.
func (r ReceiptReader) ParseData(m *DataMessage) (Receipt, bool) {
	payload, _ := m.TLVs.Get(TagMessagePayload)
	return r.parse(m.ESMClass, payload, m.TLVs, m.Source, m.Destination)
}

func (r ReceiptReader) parse(esmClass byte, payload []byte, tlvs TLVs, source, destination Address) (Receipt, bool) {
	kind := esmClass & esmTypeMask
	text := r.readText(esmClass, payload)
	receipt := Receipt{
		MessageID:   text.id,
		Error:       text.err,
		Submitted:   text.submitted,
		Done:        text.done,
		Source:      source,
		Destination: destination,
	}
	state, known := stateOf(text.stat)
	stated := text.stat != ""
	bySMSC := text.certain(known) || known && kind == esmPhoneHasIt // people write to senders too
	if id, found := tlvs.Get(TagReceiptedMessageID); found && clean(string(id)) != "" {
		receipt.MessageID, bySMSC = clean(string(id)), true
		if kind == esmPhoneHasIt && !stated {
			state, stated = Delivered, true
		}
	}
	if value, found := tlvs.Get(TagMessageState); found && len(value) == 1 && (value[0] <= byte(Skipped) || !known) {
		state, stated, bySMSC = State(value[0]), true, true
	}
	if e, found := tlvs.Get(TagNetworkErrorCode); found && len(e) > 0 {
		receipt.Error = networkError(e)
	}
	if esmClass&esmIntermediate != 0 && (!stated || state == Undeliverable || state == UnknownState) {
		state = Enroute // an attempt failed, and there will be others (SMPP 3.4 §2.11)
	}
	receipt.State = state
	marked := esmClass&(esmReceipt|esmIntermediate) != 0
	return receipt, marked || bySMSC && receipt.MessageID != "" && stated
}

// networkError renders network_error_code: network type and code, or digits as some SMSCs send (SMPP 3.4 §5.3.2.31).
func networkError(octets []byte) string {
	if digits := clean(string(octets)); digits != "" && strings.Trim(digits, "0123456789") == "" {
		return digits
	}
	if len(octets) != 3 {
		return hex.EncodeToString(octets)
	}
	return strconv.Itoa(int(octets[0])) + ":" + strconv.Itoa(int(octets[1])<<8|int(octets[2]))
}

// FormatReceipt is the text of a receipt as SMPP 3.4 appendix B shows it, with as much of the message's text as fits
// there.
func FormatReceipt(r Receipt, text string) string {
	delivered := 0
	if r.State == Delivered {
		delivered = 1
	}
	if runes := []rune(text); len(runes) > 20 {
		text = string(runes[:20])
	}
	return fmt.Sprintf("id:%s sub:001 dlvrd:%03d submit date:%s done date:%s stat:%s err:%s text:%s",
		r.MessageID, delivered, r.Submitted, r.Done, r.State, r.Error, text)
}
