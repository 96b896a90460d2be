package pdu

import "encoding/binary"

// Information elements of a UDH (3GPP TS 23.040 §9.2.3.24).
const (
	elementConcat8  = 0x00
	elementConcat16 = 0x08
	elementShift    = 0x24 // national language single shift
)

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
	if e, found := element(udh, elementConcat8); found && len(e) == 3 {
		reference, total, part = uint16(e[0]), e[1], e[2]
	} else if e, found = element(udh, elementConcat16); found && len(e) == 4 {
		reference, total, part = binary.BigEndian.Uint16(e), e[2], e[3]
	}
	if part < 1 || part > total {
		return 0, 0, 0, false
	}
	return reference, total, part, true
}

// element finds the last element of a UDH with that identifier. There is none in a UDH whose lengths do not add up.
func element(udh []byte, id byte) ([]byte, bool) {
	var value []byte
	found := false
	whole := elements(udh, func(other byte, v []byte) {
		if other == id {
			value, found = v, true
		}
	})
	return value, whole && found
}

// elements calls each, if there is one, for the elements of a UDH, and returns false where its lengths do not add up (3GPP TS
// 23.040 §9.2.3.24).
func elements(udh []byte, each func(id byte, value []byte)) bool {
	if len(udh) == 0 || int(udh[0]) != len(udh)-1 {
		return false
	}
	for rest := udh[1:]; len(rest) > 0; {
		if len(rest) < 2 || int(rest[1]) > len(rest)-2 {
			return false
		}
		end := 2 + int(rest[1])
		if each != nil {
			each(rest[0], rest[2:end])
		}
		rest = rest[end:]
	}
	return true
}

// newUDH makes the UDH of one part of a text, nil where none is needed. Its concatenation element is that of UDH16, or
// else of UDH8.
func newUDH(concat Concat, language Language, reference uint16, total, part int) []byte {
	var elements []byte
	if total > 1 {
		if concat == UDH16 {
			elements = append(elements, elementConcat16, 4, byte(reference>>8), byte(reference), byte(total), byte(part))
		} else {
			elements = append(elements, elementConcat8, 3, byte(reference), byte(total), byte(part))
		}
	}
	if language != NoLanguage {
		elements = append(elements, elementShift, 1, byte(language))
	}
	if len(elements) == 0 {
		return nil
	}
	return append([]byte{byte(len(elements))}, elements...)
}
