package smpp_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// matches says which form of its id makes a receipt that of a message to hello's number, as whoever records it must see
// it: where that form is a conversion, only if the receipt has the number as well.
func matches(accepted result, got smpp.Receipt) smpp.Match {
	form := slices.Index(got.MessageIDs, accepted.MessageIDs[0])
	return smpp.Match{Found: form >= 0 && (form < got.Converted || slices.Contains(got.Numbers, hello.To)), Form: max(form, 0)}
}

// TestQuirk26MessageIDFormats: the id of an answer and that of its receipt are one, however the SMSC writes them.
func TestQuirk26MessageIDFormats(t *testing.T) {
	const (
		uuid   = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
		wide64 = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" // 53 digits; 64 in decimal
	)
	for format, rows := range map[string][]struct {
		answer, receipt string
		same            bool
	}{
		"auto": {
			{"10", "16", false}, // without letters both may be decimal, and nothing has shown yet that they are not
			{"16", "10", false},
			{"6c7d5e64", "1820155492", true}, // which shows it
			{"10", "16", true},
			{"16", "10", false},
			{"1820155492", "6c7d5e64", true}, // the other way round
			{"16", "10", true},
			{"6C7D5E64", "6c7d5e64", true},
			{"00000000006C7D5E64", "1820155492", true},
			{"6C7D5E64", "0001820155492", true},
			{"123", "0000000123", true},
			{"0000000123", "123", true},
			{"00000000000000000000000000000000000000000000000123", "123", true},
			{"7fffffffffffffff", "9223372036854775807", true},
			{"8000000000000000", "9223372036854775808", true}, // 2^63: Kannel takes it for the one before
			{"8000000000000001", "9223372036854775809", true},
			{"9223372036854775808", "8000000000000000", true},
			{"ffffffffffffffff", "18446744073709551615", true},
			{"10000000000000000", "18446744073709551616", true}, // 2^64
			{uuid, uuid, true},
			{uuid, strings.ToUpper(uuid), true},
			{strings.ToUpper(uuid), uuid, true},
			{strings.ReplaceAll(uuid, "-", ""), strings.ReplaceAll(strings.ToUpper(uuid), "-", ""), true},
			{"smsc-a:42", "SMSC-A:42", true},
			{"0", "0", true},
			{"0", "0000000000", true},
			{"8000000000000000", "9223372036854775807", false}, // neighbours are not the same
			{"8000000000000001", "9223372036854775808", false},
			{"123", "124", false},
			{"123", "1230", false},
			{uuid, strings.ReplaceAll(uuid, "-", ""), false},
		},
		"as_is": {
			{"6c7d5e64", "6c7d5e64", true},
			{uuid, uuid, true},
			{"00042", "00042", true},
			{"9223372036854775809", "9223372036854775809", true},
			{"6c7d5e64", "1820155492", false},
			{"6c7d5e64", "6C7D5E64", false},
			{"00042", "42", false},
		},
		"resp_hex_dlr_dec": {
			{"6c7d5e64", "1820155492", true},
			{"6C7D5E64", "1820155492", true},
			{"0x6C7D5E64", "1820155492", true},
			{"000000006C7D5E64", "0001820155492", true},
			{"10", "16", true},
			{"8000000000000001", "9223372036854775809", true},
			{"ffffffffffffffff", "18446744073709551615", true},
			{"10000000000000001", "18446744073709551617", true},
			{strings.ToLower(wide64), "6582018229284824168619876730229402019930943462534319453394436095", true},
			{uuid, uuid, true}, // no number: as it is
			{uuid, strings.ToUpper(uuid), true},
			{"10", "10", false},
			{"8000000000000001", "9223372036854775808", false},
		},
		"resp_dec_dlr_hex": {
			{"1820155492", "6c7d5e64", true},
			{"1820155492", "6C7D5E64", true},
			{"1820155492", "0x6C7D5E64", true},
			{"0001820155492", "000000006C7D5E64", true},
			{"16", "10", true},
			{"9223372036854775809", "8000000000000001", true},
			{"18446744073709551615", "FFFFFFFFFFFFFFFF", true},
			{"18446744073709551617", "10000000000000001", true},
			{"6582018229284824168619876730229402019930943462534319453394436095", wide64, true},
			{uuid, uuid, true},
			{"10", "10", false},
			{"9223372036854775808", "8000000000000001", false},
		},
	} {
		t.Run(format, func(t *testing.T) {
			onSocket(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				cfg.MessageIDFormat = format
				r := run(t, l, cfg, nil)
				var message atomic.Pointer[result]
				r.match = func(got smpp.Receipt) smpp.Match { return matches(*message.Load(), got) }
				p := r.bound()
				for i, tc := range rows {
					c := r.send(t.Context(), hello)
					p.answer(p.expect(pdu.SubmitSM), pdu.StatusOK, raw(tc.answer+"\x00"))
					accepted := r.result(c)
					if accepted.err != nil {
						t.Fatal(accepted.err)
					}
					message.Store(&accepted)
					p.deliver(uint32(i), receiptFor(tc.receipt))
					got := r.receipt()
					if got.MessageID != tc.receipt {
						t.Errorf("receipt of %q, want %q as it came", got.MessageID, tc.receipt)
					}
					if same := matches(accepted, got).Found; same != tc.same {
						t.Errorf("%q answered, %q in the receipt: same = %v; known as %q, looked for as %q", tc.answer, tc.receipt, same, accepted.MessageIDs, got.MessageIDs)
					}
				}
				r.stop(p)
			})
		})
	}
}

// TestQuirk28LabelOfTheText: the text of a receipt is read for what it is, whatever its data_coding says.
func TestQuirk28LabelOfTheText(t *testing.T) {
	const text = "id:7 sub:001 dlvrd:001 stat:DELIVRD err:000 text:hola"
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for name, tc := range map[string]struct {
			coding byte
			octets []byte
		}{
			"0, ASCII":                     {0x00, []byte(text)},
			"1, ASCII":                     {0x01, []byte(text)},
			"3, ASCII":                     {0x03, []byte(text)},
			"3, Latin-1":                   {0x03, []byte(text + "ma\xf1ana")},
			"4, ASCII":                     {0x04, []byte(text)},
			"8, ASCII":                     {0x08, []byte(text)},
			"8, UTF-16":                    {0x08, wide(binary.BigEndian, text)},
			"8, UTF-16 with a mark":        {0x08, wide(binary.BigEndian, "\uFEFF"+text)},
			"8, UTF-16 cut in half":        {0x08, wide(binary.BigEndian, text)[:2*len(text)-1]},
			"8, UTF-16 in the other order": {0x08, wide(binary.LittleEndian, text)},
			"0, UTF-16":                    {0x00, wide(binary.BigEndian, text)},
			"0xF1, ASCII":                  {0xF1, []byte(text)},
		} {
			p.deliver(5, &pdu.ShortMessage{ESMClass: 0x04, DataCoding: tc.coding, Text: tc.octets})
			if got := r.receipt(); toldBy(got) != (told{"7", "DELIVRD", "000"}) || !got.Delivered {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if n := r.count("mo_total"); n != 0 {
			t.Errorf("%v taken for what people write", n)
		}
		r.stop(p)
	})
}

// TestQuirk29MarkOfAReceipt: some SMSCs do not mark receipts in esm_class, or in another way; an intermediate
// notification is not the end.
func TestQuirk29MarkOfAReceipt(t *testing.T) {
	const end = "id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:"
	const meanwhile = "id:7 sub:001 dlvrd:000 submit date:2601010000 done date:2601010001 stat:ENROUTE err:000 text:"
	udh := "\x05\x00\x03\x2a\x01\x01"
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for name, tc := range map[string]struct {
			class byte
			text  string
			tlvs  pdu.TLVs
			state string
		}{
			"unmarked":                        {0x00, end, nil, "DELIVRD"},
			"unmarked, TLVs":                  {0x00, "", receiptTLVs("7", pdu.Delivered), "DELIVRD"},
			"unmarked, mode 3":                {0x03, end, nil, "DELIVRD"},
			"marked":                          {0x04, end, nil, "DELIVRD"},
			"marked, meanwhile":               {0x04, meanwhile, nil, "ENROUTE"},
			"with UDH":                        {0x44, udh + end, nil, "DELIVRD"},
			"with the bit and no UDH":         {0x44, end, nil, "DELIVRD"},
			"SME delivery acknowledgement":    {0x08, end, nil, "DELIVRD"},
			"SME acknowledgement, TLVs":       {0x08, "", receiptTLVs("7", pdu.Delivered), "DELIVRD"},
			"intermediate":                    {0x20, meanwhile, nil, "ENROUTE"},
			"intermediate, TLVs":              {0x20, "", receiptTLVs("7", pdu.Enroute), "ENROUTE"},
			"intermediate, no state":          {0x20, "id:7", nil, "ENROUTE"},
			"intermediate, an attempt failed": {0x20, "id:7 stat:UNDELIV err:001", nil, "ENROUTE"},
			"intermediate and receipt":        {0x24, meanwhile, nil, "ENROUTE"},
		} {
			m := receiptText(tc.text)
			m.ESMClass, m.TLVs = tc.class, tc.tlvs
			p.deliver(5, m)
			got := r.receipt()
			if final := tc.state == "DELIVRD"; got.MessageID != "7" || got.State != tc.state || got.Final != final || got.Delivered != final {
				t.Errorf("%s: %+v, want %s", name, got, tc.state)
			}
		}
		if n := r.count("mo_total"); n != 0 {
			t.Errorf("%v taken for what people write", n)
		}
		r.stop(p)
	})
}

// TestQuirk31AddressesOfAReceipt: they are turned around or not, and written in many ways. They are a check of an id that
// had to be converted, and not a key: the same id needs none.
func TestQuirk31AddressesOfAReceipt(t *testing.T) {
	phone := func(ton, npi byte, number string) pdu.Address { return pdu.Address{TON: ton, NPI: npi, Number: number} }
	name := pdu.Address{TON: 5, Number: "ACME"}
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MessageIDFormat = "auto"
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.accept(p.expect(pdu.SubmitSM), "6c7d5e64")
		accepted := r.result(c)
		for label, tc := range map[string]struct {
			source, destination pdu.Address
			converted           bool // the receipt has the number
		}{
			"turned around":      {phone(1, 1, "34600000001"), name, true},
			"not turned around":  {name, phone(1, 1, "34600000001"), true},
			"with +":             {phone(1, 1, "+34600000001"), name, true},
			"with 00":            {phone(0, 0, "0034600000001"), name, true},
			"unknown type":       {phone(0, 0, "34600000001"), name, true},
			"turned, with +":     {name, phone(1, 1, "+34600000001"), true},
			"national":           {phone(2, 1, "600000001"), name, false},
			"national with 0":    {phone(2, 1, "0600000001"), name, false},
			"another number":     {phone(1, 1, "34600000002"), name, false},
			"none":               {pdu.Address{}, pdu.Address{}, false},
			"numbers cut short":  {phone(1, 1, "4600000001"), name, false},
			"name on both sides": {name, name, false},
		} {
			for id, want := range map[string]bool{"6C7D5E64": true, "1820155492": tc.converted} {
				m := receiptFor(id)
				m.Source, m.Destination = tc.source, tc.destination
				p.deliver(3, m)
				if got := r.receipt(); matches(accepted, got).Found != want {
					t.Errorf("%s, %s: same = %v; numbers %q, ids %q, %d certain", label, id, !want, got.Numbers, got.MessageIDs, got.Converted)
				}
			}
		}
		r.stop(p)
	})
}

// TestQuirk35ReceiptNeverComes: at the end of validity and receipt_grace it is missing, which is counted, once, and holds
// nothing up.
func TestQuirk35ReceiptNeverComes(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			for i := range 3 {
				c := r.send(t.Context(), hello)
				p.accept(p.expect(pdu.SubmitSM), fmt.Sprint("never-", i))
				r.accepted(c, fmt.Sprint("never-", i))
			}
			p.deliver(1, receiptOf("never-0", pdu.Accepted)) // which is not the end
			if expected, missing := r.count("dlr_expected"), r.count("dlr_missing_total"); expected != 3 || missing != 0 {
				t.Errorf("%v waited for and %v missing, want 3 and 0", expected, missing)
			}
			r.up(p)
			r.stop(p)
		})
	})
	for _, query := range []bool{false, true} {
		t.Run(fmt.Sprint("in time, query_missing = ", query), func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				cfg.ReceiptGrace, cfg.EnquireLinkInterval, cfg.QueryMissing = time.Minute, 10*time.Minute, query
				r := run(t, l, cfg, nil)
				p := r.bound()
				m := hello
				m.Validity = 2 * time.Minute
				c := r.send(within(t, time.Minute), m)
				p.accept(p.expect(pdu.SubmitSM), "never")
				r.accepted(c, "never")
				time.Sleep(3*time.Minute - time.Second)
				if n := r.count("dlr_missing_total"); n != 0 {
					t.Errorf("%v missing a second before its time", n)
				}
				time.Sleep(2 * time.Second)
				if expected, missing := r.count("dlr_expected"), r.count("dlr_missing_total"); expected != 0 || missing != 1 {
					t.Errorf("%v waited for and %v missing, want 0 and 1", expected, missing)
				}
				if query {
					p.answer(p.expect(pdu.QuerySM), pdu.StatusOK, &pdu.QueryResp{MessageID: "never", State: pdu.Delivered})
					if got := r.receipt(); got.MessageIDs[0] != "never" || !got.Delivered {
						t.Errorf("receipt %+v", got)
					}
				} else {
					p.deliver(1, receiptOf("never", pdu.Delivered)) // late is better than never
					if got := r.receipt(); got.MessageIDs[0] != "never" {
						t.Errorf("receipt %+v", got)
					}
				}
				r.up(p)
				r.stop(p)
				if n := r.count("dlr_missing_total"); n != 1 {
					t.Errorf("%v missing, want 1", n)
				}
			})
		})
	}
}
