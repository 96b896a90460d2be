package smsc

import (
	"slices"

	"otpgw/smpp/pdu"
)

// What data_coding 0 may mean (Config.Alphabet); "" is GSM 7-bit with an octet for each septet.
const (
	ascii      = "ascii"
	latin1     = "latin1"
	gsm7Packed = "gsm7_packed"
)

// An alphabet turns the octets of a message into what the phone shows.
type alphabet struct {
	name   string
	coding byte // data_coding for pdu.DecodeText
	packed bool
}

// alphabetOf is the alphabet of a data_coding at an SMSC whose default alphabet is the given one (SMPP 3.4 §5.2.19, 3GPP
// TS 23.038 §4).
func alphabetOf(coding byte, standard string) alphabet {
	switch {
	case coding == 0x08, coding&0xFC == 0x18, coding&0xF0 == 0xE0:
		return alphabet{name: pdu.UCS2.String(), coding: 0x08}
	case coding == 0x01, coding == 0 && standard == ascii:
		return alphabet{name: "ASCII", coding: 0x01}
	case coding == 0x03, coding == 0 && standard == latin1:
		return alphabet{name: "Latin-1", coding: 0x03}
	}
	return alphabet{name: pdu.GSM7.String(), coding: coding, packed: coding == 0 && standard == gsm7Packed}
}

// text is what the phone shows of octets; the UDH tells whether a national language is meant (3GPP TS 23.040 §9.2.3.24.15).
func (a alphabet) text(udh, octets []byte) string {
	if len(udh) == 0 || len(octets) == 0 {
		return pdu.DecodeText(a.coding, 0, octets)
	}
	return pdu.DecodeText(a.coding, 0x40, slices.Concat(udh, octets))
}

// unpack takes septets out of octets, behind the fill bits that follow a UDH of that many octets (3GPP TS 23.038 §6.1.2.1,
// TS 23.040 §9.2.3.24). A CR in the last seven bits is no character but padding.
func unpack(octets []byte, udh int) []byte {
	fill := (7 - udh*8%7) % 7
	septets := make([]byte, 0, len(octets)*8/7)
	for bit := fill; bit+7 <= len(octets)*8; bit += 7 {
		word := uint16(octets[bit/8])
		if bit/8+1 < len(octets) {
			word |= uint16(octets[bit/8+1]) << 8
		}
		septets = append(septets, byte(word>>(bit%8))&0x7F)
	}
	if n := len(septets); n > 0 && fill+n*7 == len(octets)*8 && septets[n-1] == '\r' {
		septets = septets[:n-1]
	}
	return septets
}
