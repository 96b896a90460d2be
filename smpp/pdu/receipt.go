package pdu

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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
	Enroute:       {"ENROUTE", "BUFFRED", "BUFFERED", "SENT"},
	Delivered:     {"DELIVRD", "DELIVERED"},
	Expired:       {"EXPIRED"},
	Deleted:       {"DELETED"},
	Undeliverable: {"UNDELIV", "FAILED", "UNDELIVERED", "UNDELIVERABLE"},
	Accepted:      {"ACCEPTD", "ACCEPTED", "ACKED"},
	UnknownState:  {"UNKNOWN"},
	Rejected:      {"REJECTD", "REJECTED"},
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

// stateOf is UnknownState for a word that nobody knows.
func stateOf(word string) State {
	for s, names := range stateNames {
		for _, name := range names {
			if strings.EqualFold(word, name) {
				return State(s)
			}
		}
	}
	return UnknownState
}

// A Receipt is a delivery receipt (SMPP 3.4 §2.11, appendix B).
type Receipt struct {
	MessageID           string // as received but for white space and NULs around it
	State               State
	Error               string // what err: says, or "network:code" of network_error_code; "" where there is none
	Submitted, Done     string // as received
	Source, Destination Address
}

const (
	esmTypeMask     = 0x3C // SMPP 3.4 §5.2.12, bits 5-2
	esmReceipt      = 0x04
	esmIntermediate = 0x20
)

// ParseReceipt reads a receipt from a deliver_sm: from the TLVs where they are, and from the text what they leave out.
// It returns false for what is none. It is total: whatever stands in the text, it says what can be told.
func ParseReceipt(m *ShortMessage) (Receipt, bool) {
	return parseReceipt(m.ESMClass, m.DataCoding, m.Payload(), m.TLVs, m.Source, m.Destination)
}

// ParseDataReceipt reads a receipt from a data_sm in the same way.
func ParseDataReceipt(m *DataMessage) (Receipt, bool) {
	payload, _ := m.TLVs.Get(TagMessagePayload)
	return parseReceipt(m.ESMClass, m.DataCoding, payload, m.TLVs, m.Source, m.Destination)
}

func parseReceipt(esmClass, dataCoding byte, payload []byte, tlvs TLVs, source, destination Address) (Receipt, bool) {
	fields := scanLabels(receiptText(dataCoding, esmClass, payload))
	r := Receipt{
		MessageID:   fields["id"],
		Error:       fields["err"],
		Submitted:   fields["submit date"],
		Done:        fields["done date"],
		Source:      source,
		Destination: destination,
	}
	stat, stated := fields["stat"]
	r.State = stateOf(stat)
	if id, found := tlvs.Get(TagReceiptedMessageID); found && clean(string(id)) != "" {
		r.MessageID = clean(string(id))
	}
	if state, found := tlvs.Get(TagMessageState); found && len(state) == 1 {
		r.State, stated = State(state[0]), true
	}
	if e, found := tlvs.Get(TagNetworkErrorCode); found && len(e) > 0 {
		r.Error = networkError(e)
	}
	kind := esmClass & esmTypeMask
	if kind == esmIntermediate && !stated {
		r.State = Enroute
	}
	// Without the mark of esm_class it takes both an id and a state to be a receipt: people write to senders too.
	marked := kind == esmReceipt || kind == esmIntermediate
	return r, marked || r.MessageID != "" && stated
}

// receiptText is the text of a receipt, whatever its data_coding claims: many write ASCII under any.
func receiptText(dataCoding, esmClass byte, payload []byte) string {
	if esmClass&esmUDHI != 0 {
		if _, rest, ok := SplitUDH(payload); ok {
			payload = rest
		}
	}
	wide := dataCoding == codingUCS2 && len(payload) >= 2 && (payload[0] == 0 || payload[0] == 0xFE && payload[1] == 0xFF)
	if wide {
		return decodeUTF16(payload)
	}
	if utf8.Valid(payload) {
		return string(payload)
	}
	return decodeLatin1(payload)
}

// labels of a receipt's text (SMPP 3.4 appendix B).
var labels = []string{"id", "sub", "dlvrd", "submit date", "done date", "stat", "err"}

// scanLabels finds "label:value" pairs in any order and case. The scan ends at "text:", behind which stands what a
// person wrote. The first value of a label counts.
func scanLabels(text string) map[string]string {
	found := map[string]string{}
	lower := strings.Map(func(r rune) rune { // octet for octet, unlike strings.ToLower
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
	if len(lower) != len(text) { // U+FFFD in place of one octet: cannot be for valid text
		return found
	}
	if end := labelAt(lower, "text"); end >= 0 {
		text, lower = text[:end], lower[:end]
	}
	for _, label := range labels {
		at := labelAt(lower, label)
		if at < 0 {
			continue
		}
		value := text[at+len(label)+1:]
		value = strings.TrimLeft(value, " ")
		if end := strings.IndexFunc(value, unicode.IsSpace); end >= 0 {
			value = value[:end]
		}
		if !beginsWithLabel(value) { // "err: stat:DELIVRD" has no err
			found[label] = clean(value)
		}
	}
	return found
}

func beginsWithLabel(value string) bool {
	word, _, found := strings.Cut(value, ":")
	return found && slices.ContainsFunc(labels, func(label string) bool { return strings.EqualFold(word, label) })
}

// labelAt is where label with its colon stands as a word of its own, or -1.
func labelAt(lower, label string) int {
	for from := 0; ; {
		at := strings.Index(lower[from:], label+":")
		if at < 0 {
			return -1
		}
		at += from
		if at == 0 || !isWord(lower[at-1]) {
			return at
		}
		from = at + 1
	}
}

func isWord(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' }

// clean takes away what SMSCs pad with.
func clean(s string) string { return strings.Trim(s, " \t\r\n\x00") }

// networkError renders network_error_code: network type and code, or three digits as some SMSCs send (SMPP 3.4 §5.3.2.31).
func networkError(octets []byte) string {
	if len(octets) != 3 {
		return hex.EncodeToString(octets)
	}
	if digits := string(octets); strings.Trim(digits, "0123456789") == "" {
		return digits
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
