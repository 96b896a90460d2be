package pdu

import (
	"encoding/binary"
	"unicode/utf16"
)

// A draft is a text in the alphabet that reaches the phone: a septet an octet, or UTF-16BE.
type draft struct {
	octets   []byte
	encoding Encoding
	language Language // whose extension table it needs
	packed   bool     // once it is written
}

// draft says s in the alphabet that reaches the phone: as it is rather than with replacements, and without a language
// rather than with one.
func (o TextOptions) draft(s string) draft {
	last, packed := o.DefaultAlphabet.last(), o.DefaultAlphabet == AlphabetGSM7Packed
	for _, replace := range []bool{false, true} {
		if replace && !o.Transliterate {
			break
		}
		if septets, ok := encodeSeptets(s, NoLanguage, last, replace); ok {
			return draft{octets: septets, packed: packed}
		}
		if o.Language == NoLanguage || o.DefaultAlphabet.translated() {
			continue
		}
		if septets, ok := encodeSeptets(s, o.Language, last, replace); ok {
			return draft{octets: septets, packed: packed, language: o.Language}
		}
	}
	octets := make([]byte, 0, 2*len(s))
	for _, unit := range utf16.Encode([]rune(s)) {
		octets = binary.BigEndian.AppendUint16(octets, unit)
	}
	return draft{octets: octets, encoding: UCS2}
}

// width is how many octets a unit has.
func (d draft) width() int {
	if d.encoding == UCS2 {
		return 2
	}
	return 1
}

// room is how many octets of a draft fit in one SMS behind a UDH: the two have 140 octets, or 160 septets, together
// (3GPP TS 23.040 §9.2.3.24).
func (d draft) room(udh []byte) int {
	if d.encoding == UCS2 {
		return (140 - len(udh)) / 2 * 2
	}
	return (140 - len(udh)) * 8 / 7
}

// end is where the first part of rest ends: after n octets at most, and not inside of a pair. Packed septets that fill an
// SMS do not end in a carriage return, which the phone would take for padding (3GPP TS 23.038 §6.1.2.3.1).
func (d draft) end(rest []byte, n int) int {
	switch {
	case d.packed && len(rest) >= n && rest[n-1] == carriageReturn:
		return n - 1
	case len(rest) <= n:
		return len(rest)
	case d.encoding == UCS2 && rest[n]&0xFC == 0xDC: // the second surrogate of a pair
		return n - 2
	case d.encoding == GSM7 && rest[n-1] == escape:
		return n - 1
	}
	return n
}

// split cuts a draft in parts of at most n octets.
func (d draft) split(n int) [][]byte {
	var parts [][]byte
	for rest := d.octets; len(rest) > 0; {
		end := d.end(rest, n)
		parts = append(parts, rest[:end:end])
		rest = rest[end:]
	}
	return parts
}
