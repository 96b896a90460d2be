package pdu

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// TextOptions say how texts are written for one SMSC. The zero value is what most take: GSM-7 with a septet an octet
// under data_coding 0, and a UDH with an 8-bit reference.
type TextOptions struct {
	// DefaultAlphabet is what the SMSC takes the octets of its default alphabet for.
	DefaultAlphabet Alphabet

	// GSM7DataCoding is the data_coding written for a text in the default alphabet: 0x00, or 0x01, 0xF1 and others where
	// the SMSC wants them.
	GSM7DataCoding byte

	// Transliterate replaces typographic quotes, dashes, blanks and the like in a text that is not GSM-7 otherwise, where
	// the whole text then is. A text that is not even then is left alone.
	Transliterate bool

	// Language offers a national language single shift table to texts that the default extension table is not enough for
	// (3GPP TS 23.038 §6.2.1.2, annex A.2). It takes a UDH, which leaves 155 septets in one SMS and 149 (UDH16: 148) in
	// each of several. An SMSC that splits texts or translates them knows no such table: with such a text SAR and Payload
	// are UDH8, and under ASCII and Latin-1 there is no language.
	Language Language

	// Concatenation is how the parts of a text that is too long for one SMS find together.
	Concatenation Concat
}

// An Alphabet is what an SMSC takes the octets of its default alphabet for (SMPP 3.4 §5.2.19).
type Alphabet byte

const (
	AlphabetGSM7 Alphabet = iota // a septet an octet
	// ASCII and Latin-1 are translated to GSM-7 by the SMSC. A text is written in them only if it is in both, and it is
	// measured by what reaches the phone: a character of the extension table, such as [, counts two of 160 or 153.
	AlphabetASCII
	AlphabetLatin1
	AlphabetGSM7Packed // eight septets in seven octets, with fill bits behind a UDH and <CR> padding (3GPP TS 23.038 §6.1.2)
)

// last is the greatest code point of an alphabet.
func (a Alphabet) last() rune {
	switch a {
	case AlphabetASCII:
		return 0x7F
	case AlphabetLatin1:
		return 0xFF
	}
	return utf8.MaxRune
}

// translated says that the SMSC turns the alphabet into GSM-7.
func (a Alphabet) translated() bool { return a == AlphabetASCII || a == AlphabetLatin1 }

// A Language is a national language identifier (3GPP TS 23.038 §6.2.1.2.4).
type Language byte

const (
	NoLanguage Language = iota
	Turkish
	Spanish
	Portuguese
)

// A Concat is a way to write a text that is too long for one SMS.
type Concat byte

const (
	UDH8    Concat = iota // a UDH with the low octet of the reference: 153 septets or 67 units each (3GPP TS 23.040 §9.2.3.24.1)
	UDH16                 // a UDH with the reference: 152 septets or 66 units each (3GPP TS 23.040 §9.2.3.24.8)
	SAR                   // TLVs that the SMSC turns into a UDH: 153 septets or 67 units each (SMPP 3.4 §5.3.2.22 to .24)
	Payload               // all in one message_payload, which the SMSC splits (SMPP 3.4 §5.3.2.32)
)

// Encode writes s in GSM-7 if it can be said in it, else in UCS-2, and splits it where one SMS is too short: 160 septets
// or 70 units. Neither an escape nor a surrogate pair is ever split. An empty text is one empty segment. Errors are
// *TextError: invalid UTF-8, or more than 255 parts.
func (o TextOptions) Encode(s string, reference uint16) (Text, error) {
	if !utf8.ValidString(s) {
		return Text{}, &TextError{Reason: "is no valid UTF-8"}
	}
	d := o.draft(s)
	t := Text{Encoding: d.encoding, Units: len(d.octets) / d.width()}
	udh := newUDH(o.Concatenation, d.language, reference, 1, 1)
	if d.end(d.octets, d.room(udh)) == len(d.octets) {
		t.Parts, t.Segments = 1, []Segment{o.segment(d, udh, d.octets)}
		return t, nil
	}
	concat, bySMSC := o.Concatenation, false
	if concat == SAR || concat == Payload {
		concat, bySMSC = UDH8, d.language == NoLanguage // the SMSC needs room for this UDH on the air
	}
	parts := d.split(d.room(newUDH(concat, d.language, reference, 2, 1)))
	if len(parts) > 255 {
		return Text{}, &TextError{Reason: fmt.Sprintf("takes %d segments, at most 255", len(parts))}
	}
	t.Parts = len(parts)
	if bySMSC && o.Concatenation == Payload {
		all := o.segment(d, nil, d.octets)
		all.Octets, all.TLVs = nil, TLVs{{Tag: TagMessagePayload, Value: all.Octets}}
		t.Segments = []Segment{all}
		return t, nil
	}
	t.Segments = make([]Segment, len(parts))
	for i, part := range parts {
		if bySMSC {
			t.Segments[i] = o.segment(d, nil, part)
			t.Segments[i].TLVs = sar(reference, len(parts), i+1)
			continue
		}
		t.Segments[i] = o.segment(d, newUDH(concat, d.language, reference, len(parts), i+1), part)
	}
	return t, nil
}

func sar(reference uint16, total, part int) TLVs {
	return TLVs{
		{Tag: TagSarMsgRefNum, Value: binary.BigEndian.AppendUint16(nil, reference)},
		{Tag: TagSarTotalSegments, Value: []byte{byte(total)}},
		{Tag: TagSarSegmentSeqnum, Value: []byte{byte(part)}},
	}
}

// segment writes one part behind its UDH in the alphabet of the SMSC.
func (o TextOptions) segment(d draft, udh, part []byte) Segment {
	s := Segment{DataCoding: o.GSM7DataCoding}
	if len(udh) > 0 {
		s.ESMClass = esmUDHI
	}
	switch {
	case d.encoding == UCS2:
		s.DataCoding = codingUCS2
	case d.packed:
		part = pack(part, fillBits(udh))
	case o.DefaultAlphabet.translated():
		text := decodeSeptets(part, nil)
		part = make([]byte, 0, len(part))
		for _, r := range text {
			part = append(part, byte(r))
		}
	}
	if len(udh) == 0 {
		s.Octets = part
	} else {
		s.Octets = append(udh, part...)
	}
	return s
}
