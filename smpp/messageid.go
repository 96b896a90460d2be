package smpp

import (
	"bytes"
	"math/big"
	"strings"

	"otpgw/smpp/pdu"
)

// maxConverted is the length of the longest message id that is taken for a number: SMPP 3.4 §5.2.23 has 64 octets.
const maxConverted = 64

// maxID is the length, in octets, of what is kept of a message id: almost four times as many as there may be.
const maxID = 255

// How an id of a receipt can be that of an answer, as metrics have it.
const (
	howSame     = "same"       // but for letter case, zeros in front and what SMSCs pad with
	howHexToDec = "hex_to_dec" // hexadecimal in the receipt
	howDecToHex = "dec_to_hex" // decimal in the receipt
	howOrphan   = "orphan"     // nobody knows the message
)

// answeredID is the message id of an answer in the form under which its receipts will look for it.
func (c *Config) answeredID(id string) string {
	switch c.MessageIDFormat {
	case idAsIs:
		return trimID(id)
	case idHexAnswer:
		if n, ok := number(id, 16); ok {
			return n.String()
		}
	}
	return fold(id)
}

// An idForm is one way to read the id of a receipt.
type idForm struct{ id, how string }

// receiptIDs are the forms in which the answer may have had the id of a receipt, the likeliest first. certain says how
// many of them need no other proof: the others may be another message's. What has no letter in hexadecimal may always be
// decimal: such an id is converted only where proven says that others of the account were.
func (c *Config) receiptIDs(id string, proven func(how string) bool) (forms []idForm, certain int) {
	switch c.MessageIDFormat {
	case idAsIs:
		return []idForm{{trimID(id), howSame}}, 1
	case idHexAnswer: // both sides as decimal numbers
		return []idForm{{fold(id), howSame}}, 1
	case idDecAnswer:
		if n, ok := number(id, 16); ok {
			return []idForm{{n.String(), howHexToDec}}, 1
		}
		return []idForm{{fold(id), howSame}}, 1
	}
	forms = append(forms, idForm{fold(id), howSame})
	if n, ok := number(id, 10); ok {
		if hex := n.Text(16); lettered(hex) || proven(howDecToHex) {
			forms = append(forms, idForm{hex, howDecToHex})
		}
	}
	if n, ok := number(id, 16); ok && (lettered(id) || proven(howHexToDec)) {
		forms = append(forms, idForm{n.String(), howHexToDec})
	}
	return forms, 1
}

// lettered says that a hexadecimal number cannot be a decimal one.
func lettered(hex string) bool { return strings.ContainsAny(hex, "abcdefABCDEF") }

// number reads id as a number of any size.
func number(id string, base int) (*big.Int, bool) {
	id = trimID(id)
	if base == 16 {
		id = strings.TrimPrefix(strings.ToLower(id), "0x")
	}
	if id == "" || len(id) > maxConverted || id[0] == '-' || id[0] == '+' || strings.Contains(id, "_") {
		return nil, false
	}
	return new(big.Int).SetString(id, base)
}

// fold is id without what differs between the answers and the receipts of one SMSC: letter case and zeros in front.
func fold(id string) string {
	lower := []byte(trimID(id))
	for i, c := range lower { // ASCII alone: ids that are no UTF-8 must stay apart
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	if short := bytes.TrimLeft(lower, "0"); len(short) > 0 {
		return string(short)
	}
	return string(lower[:min(len(lower), 1)])
}

// trimID is id without what SMSCs pad with, and not longer than anybody means.
func trimID(id string) string {
	id = strings.Trim(id, " \t\r\n\x00\"")
	return id[:min(len(id), maxID)]
}

// rawID is an id as the SMSC wrote it, to ask it about; "" for one that is too long to be one.
func rawID(id string) string {
	if len(id) > maxID {
		return ""
	}
	return id
}

// numbersOf are the numbers that the addresses of a receipt may mean, as +E.164.
func numbersOf(addresses ...pdu.Address) []string {
	var all []string
	for _, a := range addresses {
		n := strings.TrimPrefix(a.Number, "+")
		n = strings.TrimPrefix(n, "00")
		if e164(n) {
			all = append(all, "+"+n)
		}
	}
	return all
}
