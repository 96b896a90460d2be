package pdu

import (
	"maps"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/gsm7/charset"
)

const (
	escape         = 0x1B // a septet that begins a pair
	carriageReturn = 0x0D
)

// The tables of 3GPP TS 23.038 §6.2.1 and annex A.2. They are made here, before anyone can ask: the library makes some at
// first use, which two goroutines must not do at once.
var (
	septetOf   = charset.DefaultEncoder()
	extensions = map[Language]charset.Encoder{
		NoLanguage: charset.DefaultExtEncoder(),
		Turkish:    charset.NewExtEncoder(charset.Turkish),
		Spanish:    charset.NewExtEncoder(charset.Spanish),
		Portuguese: withCircumflex(charset.NewExtEncoder(charset.Portuguese)),
	}
	septetDecoder     = gsm7.NewDecoder()
	portugueseDecoder = inverse(extensions[Portuguese])
)

// withCircumflex adds what the library's table lacks of annex A.2.3.
func withCircumflex(table charset.Encoder) charset.Encoder {
	table = maps.Clone(table)
	table['Ê'] = 0x1F
	return table
}

func inverse(table charset.Encoder) charset.Decoder {
	d := charset.Decoder{}
	for r, septet := range table {
		d[septet] = r
	}
	return d
}

// encodeSeptets says s in the default alphabet with the extension table of a language, a septet an octet. It returns false
// where s has a character that is not in them, or is beyond last. With replace, such a character may be said by another.
func encodeSeptets(s string, language Language, last rune, replace bool) ([]byte, bool) {
	extension := extensions[language]
	septets := make([]byte, 0, len(s)+8)
	put := func(r rune) bool {
		if r > last || r == escape { // which alone would be half of a pair
			return false
		}
		if septet, ok := septetOf[r]; ok {
			septets = append(septets, septet)
			return true
		}
		septet, ok := extension[r]
		if ok {
			septets = append(septets, escape, septet)
		}
		return ok
	}
	for _, r := range s {
		if put(r) {
			continue
		}
		other, found := replacements[r]
		if !found || !replace {
			return nil, false
		}
		for _, r := range other {
			if !put(r) {
				return nil, false
			}
		}
	}
	return septets, true
}

// decodeSeptets reads septets, with the extension table that the UDH names (3GPP TS 23.040 §9.2.3.24.15).
func decodeSeptets(septets, udh []byte) string {
	d := septetDecoder
	if language, found := element(udh, elementShift); found && len(language) == 1 {
		if Language(language[0]) == Portuguese {
			d = d.WithExtCharset(portugueseDecoder)
		} else {
			d = d.WithExtCharset(charset.NewExtDecoder(int(language[0])))
		}
	}
	text, err := d.Decode(septets)
	if err != nil { // only a strict decoder has any
		return decodeLatin1(septets)
	}
	return string(text)
}

// fillBits is how many bits follow a UDH so that packed septets begin at a septet boundary (3GPP TS 23.040 §9.2.3.24).
func fillBits(udh []byte) int { return (7 - len(udh)*8%7) % 7 }

// pack packs eight septets in seven octets behind fill bits. Nothing here tells the reader how many septets there are: 7
// bits that are left over are a carriage return and not an @, and a carriage return that would be taken for one is
// doubled (3GPP TS 23.038 §6.1.2.1, §6.1.2.3.1).
func pack(septets []byte, fill int) []byte {
	octets := gsm7.Pack7Bit(septets, fill)
	if len(septets) == 0 {
		return octets
	}
	switch left := len(octets)*8 - fill - len(septets)*7; {
	case left == 7:
		octets[len(octets)-1] |= carriageReturn << 1
	case left == 0 && septets[len(septets)-1] == carriageReturn:
		octets = append(octets, carriageReturn)
	}
	return octets
}

// unpack is the opposite of pack. Of two carriage returns at the end it may keep one, which means the same.
func unpack(octets []byte, fill int) []byte {
	septets := gsm7.Unpack7Bit(octets, fill)
	n := max(0, len(octets)*8-fill) / 7
	septets = septets[:min(n, len(septets))]
	if n == 0 || septets[n-1] != carriageReturn {
		return septets
	}
	left := len(octets)*8 - fill - n*7
	if left == 0 || left == 1 && n > 1 && septets[n-2] == carriageReturn {
		septets = septets[:n-1]
	}
	return septets
}
