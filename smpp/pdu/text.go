package pdu

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/tpdu"
	"github.com/warthog618/sms/encoding/ucs2"
)

// The tables of the default alphabet. They are made here, before anyone can ask: the library makes them at first use, which
// two goroutines must not do at once.
var (
	gsm7Encoder = gsm7.NewEncoder()
	gsm7Decoder = gsm7.NewDecoder()
)

// An Encoding is an alphabet of 3GPP TS 23.038.
type Encoding byte

const (
	GSM7 Encoding = iota // default alphabet with its extension table, a septet an octet
	UCS2                 // UTF-16BE: phones show surrogate pairs since long
)

func (e Encoding) String() string {
	if e == UCS2 {
		return "UCS-2"
	}
	return "GSM-7"
}

// esmUDHI in esm_class says that the text begins with a user data header (SMPP 3.4 §5.2.12).
const esmUDHI = 0x40

// Values of data_coding (SMPP 3.4 §5.2.19).
const (
	codingDefault = 0x00
	codingASCII   = 0x01
	codingLatin1  = 0x03
	codingUCS2    = 0x08
)

// A Text is a text ready to be submitted.
type Text struct {
	Encoding Encoding
	Units    int // of the whole text: septets, or 16-bit units
	Segments []Segment
}

// A Segment is one short message of a text.
type Segment struct {
	DataCoding byte
	ESMClass   byte   // 0x40 where Octets begin with a UDH
	Octets     []byte // at most 140: UCS-2; at most 160: a septet an octet, the UDH as it is
}

// A TextError is a text that cannot be said in an SMS.
type TextError struct{ Reason string }

func (e *TextError) Error() string { return "text " + e.Reason }

// EncodeText encodes s in GSM-7 if it can be said in it, else in UCS-2, and splits it where one SMS is too short: 160
// septets or 70 units, 153 or 67 where a UDH with that reference tells the segments apart (3GPP TS 23.040 §9.2.3.24.1).
// Neither an escape nor a surrogate pair is ever split. An empty text is one empty segment. Errors are *TextError:
// invalid UTF-8, or more than 255 segments.
func EncodeText(s string, reference byte) (Text, error) {
	if !utf8.ValidString(s) {
		return Text{}, &TextError{Reason: "is no valid UTF-8"}
	}
	t := Text{Encoding: GSM7}
	coding := byte(codingDefault)
	octets, err := gsm7Encoder.Encode([]byte(s))
	t.Units = len(octets)
	if err != nil || strings.ContainsRune(s, '\x1b') { // a character that GSM-7 does not have; U+001B would be half of one
		t.Encoding, coding = UCS2, codingUCS2
		octets = ucs2.Encode([]rune(s))
		t.Units = len(octets) / 2
	}
	if len(octets) == 0 {
		t.Segments = []Segment{{DataCoding: coding}}
		return t, nil
	}
	template, err := tpdu.NewSubmit()
	if err != nil {
		return Text{}, &TextError{Reason: err.Error()}
	}
	template.SetDCS(coding)
	pdus := template.Segment(octets, tpdu.WithConcatRef(fixed(reference)))
	if len(pdus) > 255 {
		return Text{}, &TextError{Reason: fmt.Sprintf("takes %d segments, at most 255", len(pdus))}
	}
	t.Segments = make([]Segment, len(pdus))
	for i, p := range pdus {
		t.Segments[i] = Segment{DataCoding: coding, Octets: p.UD}
		if len(p.UDH) == 0 {
			continue
		}
		udh, err := p.UDH.MarshalBinary()
		if err != nil {
			return Text{}, &TextError{Reason: err.Error()}
		}
		t.Segments[i].ESMClass, t.Segments[i].Octets = esmUDHI, append(udh, p.UD...)
	}
	return t, nil
}

// fixed is the reference of one message.
type fixed byte

func (f fixed) Count() int { return int(f) }

// DecodeText is the text of received octets, without their UDH, as well as it can be told: an escape that means nothing is
// passed over (3GPP TS 23.038 §6.2.1.1), an octet that is no septet becomes a space, half a UTF-16 character U+FFFD.
func DecodeText(dataCoding, esmClass byte, octets []byte) string {
	if esmClass&esmUDHI != 0 {
		if _, rest, ok := SplitUDH(octets); ok {
			octets = rest
		}
	}
	switch {
	case dataCoding == codingUCS2, dataCoding&0xFC == 0x18, dataCoding&0xF0 == 0xE0: // the last two: message classes, TS 23.038 §4
		return decodeUTF16(octets)
	case dataCoding == codingASCII, dataCoding == codingLatin1:
		return decodeLatin1(octets)
	}
	text, err := gsm7Decoder.Decode(octets)
	if err != nil { // only a strict decoder has any
		return decodeLatin1(octets)
	}
	return string(text)
}

func decodeUTF16(octets []byte) string {
	units := make([]uint16, len(octets)/2)
	for i := range units {
		units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
	}
	text := string(utf16.Decode(units))
	if len(octets)%2 != 0 {
		text += string(utf8.RuneError)
	}
	return text
}

func decodeLatin1(octets []byte) string {
	var text strings.Builder
	for _, o := range octets {
		text.WriteRune(rune(o))
	}
	return text.String()
}

// SplitUDH parts a user data header, with its length octet, from the text behind it. ok is false, and rest all there is,
// where the length points behind the end.
func SplitUDH(octets []byte) (udh, rest []byte, ok bool) {
	if len(octets) == 0 || int(octets[0]) >= len(octets) {
		return nil, octets, false
	}
	end := int(octets[0]) + 1
	return octets[:end:end], octets[end:], true
}

// Concatenation finds the concatenation element of a UDH, with 8-bit or 16-bit reference (3GPP TS 23.040 §9.2.3.24.1, .8).
// ok is false where there is none or its numbers cannot be.
func Concatenation(udh []byte) (reference uint16, total, part byte, ok bool) {
	var header tpdu.UserDataHeader
	if _, err := header.UnmarshalBinary(udh); err != nil {
		return 0, 0, 0, false
	}
	segments, number, ref, ok := header.ConcatInfo()
	if !ok || number < 1 || number > segments {
		return 0, 0, 0, false
	}
	return uint16(ref), byte(segments), byte(number), true
}
