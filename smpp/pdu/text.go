package pdu

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An Encoding is an alphabet of 3GPP TS 23.038, as the phone gets it.
type Encoding byte

const (
	GSM7 Encoding = iota // default alphabet with an extension table
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
	Parts    int // short messages that it will be on the air: more than Segments where the SMSC splits it
	Segments []Segment
}

// A Segment is one submit of a text.
type Segment struct {
	DataCoding byte
	ESMClass   byte   // 0x40 where Octets begin with a UDH
	Octets     []byte // short_message with its UDH, at most 160; none where the text is in message_payload
	TLVs       TLVs   // sar_* or message_payload
}

// A TextError is a text that cannot be said in an SMS.
type TextError struct{ Reason string }

func (e *TextError) Error() string { return "text " + e.Reason }

// EncodeText is [TextOptions.Encode] of the zero value: GSM-7 if s can be said in it, else UCS-2, and a UDH with that
// reference where one SMS is too short.
func EncodeText(s string, reference byte) (Text, error) {
	return TextOptions{}.Encode(s, uint16(reference))
}

// DecodeText is [TextOptions.Decode] of the zero value.
func DecodeText(dataCoding, esmClass byte, octets []byte) string {
	return TextOptions{}.Decode(dataCoding, esmClass, octets)
}

// Decode is the text of received octets, without their UDH, as well as it can be told: an escape that means nothing is
// passed over (3GPP TS 23.038 §6.2.1.1), an octet that is no septet becomes a space, half a UTF-16 character U+FFFD.
// Of the options it needs DefaultAlphabet and GSM7DataCoding. A language is what the UDH says.
func (o TextOptions) Decode(dataCoding, esmClass byte, octets []byte) string {
	var udh []byte
	if esmClass&esmUDHI != 0 {
		udh, octets, _ = SplitUDH(octets)
	}
	switch {
	case dataCoding == codingUCS2, dataCoding&0xFC == 0x18, dataCoding&0xF0 == 0xE0: // the last two: message classes, TS 23.038 §4
		return decodeUTF16(octets)
	case dataCoding == codingDefault, dataCoding == o.GSM7DataCoding:
		switch o.DefaultAlphabet {
		case AlphabetASCII, AlphabetLatin1:
			return decodeLatin1(octets)
		case AlphabetGSM7Packed:
			octets = unpack(octets, fillBits(udh))
		}
	case dataCoding == codingASCII, dataCoding == codingLatin1:
		return decodeLatin1(octets)
	}
	return decodeSeptets(octets, udh)
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
