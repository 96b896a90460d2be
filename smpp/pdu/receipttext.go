package pdu

import (
	"strings"
	"unicode/utf8"
)

// A receiptText is what the text of a receipt says (SMPP 3.4 appendix B). What it leaves out is "".
type receiptText struct {
	id, stat, err, submitted, done string

	labels  int  // how many different ones there are
	leads   bool // the text begins with one of them
	matched bool // by the Pattern
}

// certain says that no person wrote it. known is whether its stat is a word of SMSCs.
func (t receiptText) certain(known bool) bool {
	return known && (t.matched || t.leads && t.labels >= 3) || t.leads && t.labels >= 5
}

// readText reads the text of a receipt, whatever its data_coding claims: many write ASCII under any, and some septets.
func (r ReceiptReader) readText(esmClass byte, payload []byte) receiptText {
	body, udh := payload, []byte(nil)
	if esmClass&esmUDHI != 0 {
		if header, rest, ok := SplitUDH(payload); ok && elements(header, nil) { // some set the bit and write no UDH
			body, udh = rest, header
		}
	}
	t := r.readPlain(plainText(body))
	if t.labels == 0 && !t.matched {
		packed := r.readPlain(decodeSeptets(unpack(body, fillBits(udh)), nil))
		if packed.id != "" && packed.stat != "" {
			return packed
		}
	}
	return t
}

// plainText is UTF-16 with its octets in either order where it looks like that, GSM-7 where it has its underscore, and
// else UTF-8 or Latin-1.
func plainText(octets []byte) string {
	switch big, little := wide(octets, 0), wide(octets, 1); {
	case big:
		return strings.TrimPrefix(decodeUTF16(octets), "\uFEFF")
	case little:
		swapped := make([]byte, len(octets)&^1)
		for i := range swapped {
			swapped[i] = octets[i^1]
		}
		return strings.TrimPrefix(decodeUTF16(swapped), "\uFEFF")
	}
	const underscore = 0x11 // which is a control character elsewhere
	text := string(octets)
	if strings.IndexByte(text, underscore) >= 0 {
		text = strings.ReplaceAll(text, string(rune(underscore)), "_")
	}
	if utf8.ValidString(text) {
		return text
	}
	return decodeLatin1([]byte(text))
}

// wide says that octets begin with a byte order mark or two ASCII characters in UTF-16, with the zeros at that place.
func wide(octets []byte, zero int) bool {
	if len(octets) < 4 {
		return false
	}
	if octets[zero] == 0xFE && octets[1-zero] == 0xFF {
		return true
	}
	return octets[zero] == 0 && octets[zero+2] == 0 && octets[1-zero] != 0 && octets[3-zero] != 0
}

// readPlain reads a text by its labels and by the Pattern, which goes before.
func (r ReceiptReader) readPlain(text string) receiptText {
	t := scanLabels(text)
	if r.Pattern == nil {
		return t
	}
	groups := r.Pattern.FindStringSubmatch(text)
	if groups == nil {
		return t
	}
	t.matched = true
	for name, value := range map[string]*string{"id": &t.id, "stat": &t.stat, "err": &t.err} {
		if i := r.Pattern.SubexpIndex(name); i >= 0 && clean(groups[i]) != "" {
			*value = clean(groups[i])
		}
	}
	return t
}

// labels of a receipt's text. Of two that begin alike the longer comes first.
var labels = [...]string{"id", "submit date", "sub", "dlvrd", "done date", "stat", "err", "text"}

// scanLabels finds "label:value" pairs in any order and case. The scan ends at "text:", behind which stands what a
// person wrote. The first value of a label counts.
func scanLabels(text string) receiptText {
	var t receiptText
	text = clean(text)
	found := map[string]string{}
	for at := 0; at < len(text); {
		label, value, ok := labelAt(text, at)
		if !ok {
			at++
			continue
		}
		if label == "text" {
			break
		}
		t.leads = t.leads || at == 0
		word, end := valueAt(text, value)
		if _, again := found[label]; !again {
			found[label] = word
		}
		at = end
	}
	t.id, t.stat, t.err = found["id"], found["stat"], found["err"]
	t.submitted, t.done = found["submit date"], found["done date"]
	t.labels = len(found)
	return t
}

// labelAt is the label that stands at a place in text as a word of its own, and the place behind its colon.
func labelAt(text string, at int) (label string, behind int, ok bool) {
	if at > 0 && isWord(text[at-1]) {
		return "", 0, false
	}
	for _, label := range labels {
		end := at + len(label)
		if end >= len(text) || !strings.EqualFold(text[at:end], label) {
			continue
		}
		for end < len(text) && text[end] == ' ' {
			end++
		}
		if end < len(text) && text[end] == ':' {
			return label, end + 1, true
		}
	}
	return "", 0, false
}

// valueAt is the value that begins at a place in text, and the place behind it: up to the next blank, or between
// quotes. There is none where another label begins.
func valueAt(text string, at int) (value string, end int) {
	for at < len(text) && text[at] == ' ' {
		at++
	}
	if at < len(text) && (text[at] == '"' || text[at] == '\'') {
		if length := strings.IndexByte(text[at+1:], text[at]); length >= 0 {
			return clean(text[at+1 : at+1+length]), at + length + 2
		}
	}
	if _, _, next := labelAt(text, at); next {
		return "", at
	}
	end = len(text)
	if length := strings.IndexAny(text[at:], " \t\r\n\x00,;|"); length >= 0 {
		end = at + length
	}
	return clean(text[at:end]), end
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= 0x80
}

// clean takes away what SMSCs pad with.
func clean(s string) string { return strings.Trim(s, " \t\r\n\x00") }
