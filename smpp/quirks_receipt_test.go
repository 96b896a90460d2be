package smpp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// told is what a receipt says, as it is handed on.
type told struct{ id, state, err string }

func toldBy(r smpp.Receipt) told { return told{r.MessageID, r.State, r.Error} }

// receiptText is a receipt with that text, and marked as one.
func receiptText(text string) *pdu.ShortMessage {
	m := receiptFor("")
	m.Text = []byte(text)
	return m
}

// receiptTLVs are those that matter: the id and the state.
func receiptTLVs(id string, state pdu.State) pdu.TLVs {
	return pdu.TLVs{
		{Tag: pdu.TagReceiptedMessageID, Value: []byte(id + "\x00")},
		{Tag: pdu.TagMessageState, Value: []byte{byte(state)}},
	}
}

// wide is a text in UTF-16.
func wide(order binary.AppendByteOrder, text string) []byte {
	var octets []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		octets = order.AppendUint16(octets, unit)
	}
	return octets
}

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

// TestQuirk27WhereAReceiptStands: in the text, in TLVs, in message_payload or in a data_sm; the TLVs count more than the
// text.
func TestQuirk27WhereAReceiptStands(t *testing.T) {
	const text = "id:7 sub:001 dlvrd:000 submit date:2601010000 done date:2601010001 stat:UNDELIV err:011 text:"
	payload := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte(text)}}
	tlvs := receiptTLVs("7", pdu.Undeliverable)
	withError := append(slices.Clone(tlvs), pdu.TLV{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 11}})
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for name, tc := range map[string]struct {
			body pdu.Body
			want told
		}{
			"text":                   {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte(text)}, told{"7", "UNDELIV", "011"}},
			"TLVs":                   {&pdu.ShortMessage{ESMClass: 0x04, TLVs: withError}, told{"7", "UNDELIV", "3:11"}},
			"id and state only":      {&pdu.ShortMessage{ESMClass: 0x04, TLVs: tlvs}, told{"7", "UNDELIV", ""}},
			"message_payload":        {&pdu.ShortMessage{ESMClass: 0x04, TLVs: payload}, told{"7", "UNDELIV", "011"}},
			"text against TLVs":      {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte(text), TLVs: receiptTLVs("8", pdu.Delivered)}, told{"8", "DELIVRD", "011"}},
			"payload against TLVs":   {&pdu.ShortMessage{ESMClass: 0x04, TLVs: slices.Concat(payload, receiptTLVs("8", pdu.Delivered))}, told{"8", "DELIVRD", "011"}},
			"id in the TLV only":     {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte("stat:EXPIRED err:1"), TLVs: tlvs[:1]}, told{"7", "EXPIRED", "1"}},
			"state in the TLV only":  {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte("id:7"), TLVs: tlvs[1:]}, told{"7", "UNDELIV", ""}},
			"TLV empty":              {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte(text), TLVs: pdu.TLVs{{Tag: pdu.TagReceiptedMessageID}}}, told{"7", "UNDELIV", "011"}},
			"TLV without NUL":        {&pdu.ShortMessage{ESMClass: 0x04, TLVs: pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte("7")}, tlvs[1]}}, told{"7", "UNDELIV", ""}},
			"data_sm with TLVs":      {&pdu.DataMessage{ESMClass: 0x04, TLVs: withError}, told{"7", "UNDELIV", "3:11"}},
			"data_sm with a text":    {&pdu.DataMessage{ESMClass: 0x04, TLVs: payload}, told{"7", "UNDELIV", "011"}},
			"data_sm against itself": {&pdu.DataMessage{ESMClass: 0x04, TLVs: slices.Concat(payload, receiptTLVs("8", pdu.Delivered))}, told{"8", "DELIVRD", "011"}},
		} {
			command := pdu.DeliverSM
			if _, data := tc.body.(*pdu.DataMessage); data {
				command = pdu.DataSM
			}
			p.send(pdu.Header{Command: command, Sequence: 5}, tc.body)
			p.expectStatus(command.Response(), pdu.StatusOK, 5)
			if got := r.receipt(); toldBy(got) != tc.want || got.Delivered != (tc.want.state == "DELIVRD") || !got.Final {
				t.Errorf("%s: %+v, want %+v", name, got, tc.want)
			}
		}
		r.stop(p)
	})
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

// TestQuirk30WordsOfAReceipt: appendix B of the standard is an example, and SMSCs read it as one.
func TestQuirk30WordsOfAReceipt(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for text, want := range map[string]told{
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:hello": {"7", "DELIVRD", "000"},
			"id:7 submit date:2601010000 done date:2601010001 stat:DELIVRD":                                      {"7", "DELIVRD", ""},
			"id:7 stat:DELIVRD": {"7", "DELIVRD", ""},
			"stat:UNDELIV err:011 done date:2601010001 submit date:2601010000 dlvrd:000 sub:001 id:7":                        {"7", "UNDELIV", "011"},
			"ID:7 SUB:001 DLVRD:001 SUBMIT DATE:2601010000 DONE DATE:2601010001 STAT:DELIVRD ERR:000 TEXT:HELLO":             {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:delivrd err:000 text:":                  {"7", "DELIVRD", "000"},
			"Id:7 Sub:001 Dlvrd:001 Submit Date:2601010000 Done Date:2601010001 Stat:Delivrd Err:000 Text:":                  {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 Text: with blanks  ":    {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:260101000000 done date:260101000100 stat:DELIVRD err:000 text:":              {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:20260101000000 done date:20260101000100 stat:DELIVRD err:000 text:":          {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:260101000000000+ done date:260101000100004- stat:DELIVRD err:0":              {"7", "DELIVRD", "0"},
			"id:7 sub:001 dlvrd:001 submit date:2026-01-01 00:00:00 done date: stat:DELIVRD err:000 text:":                   {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:FAILED err:69 text:":                                      {"7", "UNDELIV", "69"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:BUFFRED err:000 text:":                                    {"7", "ENROUTE", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:ACKED err:000 text:":                                      {"7", "ACCEPTD", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:ACCEPTD err:000 text:":                                    {"7", "ACCEPTD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:x done date:y stat:DELIVERED err:000 text:":                                  {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:REJECTD err:0A1 text:":                                    {"7", "REJECTD", "0A1"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:EXPIRED err:ABSENT text:":                                 {"7", "EXPIRED", "ABSENT"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:DELETED err: text:":                                       {"7", "DELETED", ""},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:UNKNOWN err:255 text:":                                    {"7", "UNKNOWN", "255"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:NEVERHEARD err:255 text:":                                 {"7", "UNKNOWN", "255"},
			"id:7 sub:001 dlvrd:001 submit date:x done date:y stat:DELIVRD err:000 text:id:99 stat:UNDELIV err:1":            {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 stat:DELIVRD text:err:99 done date:x":                                                    {"7", "DELIVRD", ""},
			"stat:DELIVRD id:7 err:000 text:your id:99 and stat:UNDELIV":                                                     {"7", "DELIVRD", "000"},
			"id: 7 sub: 001 dlvrd: 001 stat: DELIVRD err: 000 text: hello":                                                   {"7", "DELIVRD", "000"},
			"id:7\r\nsub:001\r\ndlvrd:001\r\nstat:DELIVRD\r\nerr:000\r\n":                                                    {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:hello\x00\x00\x00": {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:\xe9\xff":          {"7", "DELIVRD", "000"},
			" id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000":                       {"7", "DELIVRD", "000"},
		} {
			p.deliver(5, receiptText(text))
			got := r.receipt()
			final := !slices.Contains([]string{"ENROUTE", "ACCEPTD", "SCHEDULED"}, want.state)
			if toldBy(got) != want || got.Final != final || got.Delivered != (want.state == "DELIVRD") {
				t.Errorf("%q:\ngot %+v, want %+v", text, got, want)
			}
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

// TestQuirk32NumbersOfDeliverSM: the SMSC's requests have numbers of their own, in whatever range; they are echoed, and
// never taken for the answer to the message that has the same one.
func TestQuirk32NumbersOfDeliverSM(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		for i, number := range []uint32{0, 1, f.Sequence, f.Sequence, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0} {
			id := fmt.Sprint("id-", i)
			p.deliver(number, receiptFor(id))
			if got := r.receipt(); got.MessageID != id {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
		}
		p.accept(f, "own")
		r.accepted(c, "own")
		r.stop(p)
	})
}

// TestQuirk33ReceiptsRepeatAndContradict: all of them are acknowledged and handed on, one after the other and in the order
// in which they came, so that whoever records them can let the final one stand (docs/store.md).
func TestQuirk33ReceiptsRepeatAndContradict(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		hold := make(chan struct{})
		var inside atomic.Int32
		var states []string // the race detector sees to it that they come one after the other
		r := run(t, l, testConfig(), func(_ context.Context, got smpp.Receipt) error {
			defer inside.Add(-1)
			if inside.Add(1) > 1 {
				t.Error("two receipts of one message at once")
				return nil
			}
			<-hold
			states = append(states, got.State)
			return nil
		})
		p := r.bound()
		sent := []pdu.State{
			pdu.Enroute, pdu.Delivered, pdu.Delivered, pdu.Enroute, pdu.Undeliverable, pdu.Delivered, pdu.Accepted, pdu.UnknownState,
		}
		var octets []byte
		var want []string
		for i, state := range sent {
			m := &pdu.ShortMessage{ESMClass: 0x04, TLVs: receiptTLVs("7", state)}
			octets = append(octets, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: uint32(i)}, m)...)
			want = append(want, state.String())
		}
		p.write(octets)
		r.until("all receipts", func() bool { return r.count("pdus_total", "dir", "in", "command", "deliver_sm") == float64(len(sent)) })
		close(hold)
		for i := range sent {
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, uint32(i))
		}
		r.up(p)
		r.stop(p)
		if !slices.Equal(states, want) {
			t.Errorf("handed on %v, want %v", states, want)
		}
		if n := r.count("dlr_total", "state", "DELIVRD"); n != 3 {
			t.Errorf("%v of DELIVRD counted, want 3", n)
		}
	})
}

// TestQuirk34ReceiptElsewhere: a receipt may come on any bind of the account, after a restart, and days later. It has the
// same name wherever it comes.
func TestQuirk34ReceiptElsewhere(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, nil)
		peers := []*peer{r.bound(), r.bound()}
		r.until("both binds", func() bool { return r.count("binds_bound") == 2 })
		var accepted []result
		for range 4 { // over either
			c := r.send(t.Context(), hello)
			on := 0
			r.until("the message", func() bool {
				for i, bind := range r.Binds() {
					if bind.InFlight == 1 {
						on = i
						return true
					}
				}
				return false
			})
			by := peers[on]
			f := by.expect(pdu.SubmitSM)
			id := fmt.Sprint("id-", len(accepted))
			by.accept(f, id)
			accepted = append(accepted, r.result(c))
			peers[1-on].deliver(1, receiptFor(id))
			if got := r.receipt(); got.MessageID != id || got.SMSC != accepted[len(accepted)-1].SMSC {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
		}
		r.stopAll(peers...)

		cfg.Binds = 1
		r = run(t, l, cfg, nil) // the next process
		p := r.bound()
		for i, a := range accepted {
			p.deliver(uint32(i), receiptFor(a.MessageIDs[0]))
			if got := r.receipt(); got.MessageID != a.MessageIDs[0] || got.SMSC != a.SMSC {
				t.Errorf("receipt %+v, want that of %s", got, a.MessageIDs[0])
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

// TestQuirk36FloodAtReconnect: an SMSC that has kept receipts sends them all as soon as the bind is up, and leaves if they
// are not answered soon. They are answered within a second, the memory they take is bounded, and those that find no room
// come again: none is lost.
func TestQuirk36FloodAtReconnect(t *testing.T) {
	const flood = 10_000
	// flooded has the SMSC send receipts of those ids and says, for each, whether it was acknowledged.
	flooded := func(r *running, p *peer, ids []int) (again []int, slowest time.Duration) {
		r.t.Helper()
		sent := make([]time.Time, len(ids))
		var writing sync.WaitGroup
		var mu sync.Mutex // guards sent
		writing.Go(func() {
			for begin := 0; begin < len(ids); begin += 100 {
				var octets []byte
				mu.Lock()
				for i := begin; i < min(begin+100, len(ids)); i++ {
					h := pdu.Header{Command: pdu.DeliverSM, Sequence: uint32(i)}
					octets = append(octets, encode(r.t, h, &pdu.ShortMessage{ESMClass: 0x04, TLVs: receiptTLVs(fmt.Sprint(ids[i]), pdu.Delivered)})...)
					sent[i] = time.Now()
				}
				mu.Unlock()
				if _, err := p.conn.Write(octets); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
		var waits []time.Duration
		for range ids {
			f := p.expect(pdu.DeliverSMResp)
			mu.Lock()
			waits = append(waits, time.Since(sent[f.Sequence]))
			mu.Unlock()
			switch f.Status {
			case pdu.StatusOK:
			case pdu.StatusRxTAppn:
				again = append(again, ids[f.Sequence])
			default:
				r.t.Fatalf("status %v", f.Status)
			}
		}
		writing.Wait()
		slices.Sort(waits)
		return again, waits[len(waits)*99/100]
	}
	all := make([]int, flood)
	for i := range all {
		all[i] = i
	}
	t.Run("all at once", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.ReceiptQueue = flood
			var mu sync.Mutex
			recorded := make(map[string]int)
			r := run(t, l, cfg, func(_ context.Context, got smpp.Receipt) error {
				mu.Lock()
				defer mu.Unlock()
				recorded[got.MessageID]++
				return nil
			})
			p := r.bound()
			again, slowest := flooded(r, p, all)
			if len(again) > 0 || len(recorded) != flood {
				t.Errorf("%d recorded, %d refused", len(recorded), len(again))
			}
			if slowest > time.Second { // half of that is the pace at which they are read
				t.Errorf("99 of 100 answered within %v, want 1s", slowest)
			}
			r.up(p)
			r.stop(p)
		})
	})
	t.Run("little room", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.ReceiptQueue = 50
			hold := make(chan struct{})
			var mu sync.Mutex
			recorded := make(map[string]int)
			r := run(t, l, cfg, func(_ context.Context, got smpp.Receipt) error {
				<-hold
				mu.Lock()
				defer mu.Unlock()
				recorded[got.MessageID]++
				return nil
			})
			p := r.bound()
			const receipts = 1000
			released := make(chan struct{})
			go func() { // the disk is slow until all have come
				defer close(released)
				r.until("all receipts", func() bool { return r.count("pdus_total", "dir", "in", "command", "deliver_sm") == receipts })
				close(hold)
			}()
			left, _ := flooded(r, p, all[:receipts])
			<-released
			if taken := receipts - len(left); taken > 200 {
				t.Errorf("%d taken while none could be recorded: the queue has no bound", taken)
			}
			for range receipts {
				if len(left) > 0 {
					left, _ = flooded(r, p, left)
				}
			}
			if len(left) > 0 || len(recorded) != receipts {
				t.Errorf("%d of %d recorded, %d left", len(recorded), receipts, len(left))
			}
			for id, times := range recorded {
				if times != 1 {
					t.Errorf("%s recorded %d times although it was refused", id, times)
				}
			}
			r.up(p)
			r.stop(p)
		})
	})
}

// TestQuirk37ReceiptsNobodyWaitsFor: of a message that was refused, of one that was never sent, and of one that was to
// have none. They are acknowledged, or they would come for ever, and handed on, and change nothing else.
func TestQuirk37ReceiptsNobodyWaitsFor(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, &pdu.MessageResp{MessageID: "refused"})
		r.refused(c, pdu.StatusInvDstAdr, pdu.SubmitSMResp)
		for i, id := range []string{"refused", "never-sent", "never-sent"} {
			m := receiptFor(id)
			m.Text = []byte(strings.Replace(string(m.Text), "DELIVRD", "REJECTD", 1))
			p.deliver(uint32(i), m)
			if got := r.receipt(); got.MessageID != id || got.State != "REJECTD" {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
		}
		if n := r.count("submit_total", "result", "refused"); n != 1 {
			t.Errorf("%v refused, want 1", n)
		}
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk38WhatPeopleWrite: an answer to the sender's number is acknowledged, counted and dropped, however much it
// looks like a receipt.
func TestQuirk38WhatPeopleWrite(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		bodies := []pdu.Body{
			&pdu.ShortMessage{Text: []byte("STOP")},
			&pdu.ShortMessage{},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\x05\x00\x03\x2a\x02\x01first of two parts")},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\x06\x08\x04\x01\x2a\x02\x02second of two parts")},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\x00no elements")},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\xffa length that lies")},
			&pdu.ShortMessage{ESMClass: 0x40},
			&pdu.ShortMessage{ESMClass: 0x40, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("\x05\x00\x03\x2a\x01\x01long")}}},
			&pdu.ShortMessage{DataCoding: 0x08, Text: wide(binary.BigEndian, "баста")},
			&pdu.ShortMessage{DataCoding: 0x04, Text: []byte{0, 1, 2, 3}},
			&pdu.ShortMessage{Text: []byte("what is id:7 ?")},
			&pdu.ShortMessage{Text: []byte("my stat:DELIVRD")},
			&pdu.ShortMessage{ESMClass: 0x10, Text: []byte("yes")},      // manual acknowledgement
			&pdu.ShortMessage{ESMClass: 0x18, Text: []byte("no more")},  // end of a dialogue
			&pdu.ShortMessage{ESMClass: 0x80, Text: []byte("and back")}, // reply path
			&pdu.DataMessage{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("STOP")}}},
			&pdu.DataMessage{},
		}
		for i, body := range bodies {
			command := pdu.DeliverSM
			if _, data := body.(*pdu.DataMessage); data {
				command = pdu.DataSM
			}
			p.send(pdu.Header{Command: command, Sequence: uint32(i)}, body)
			p.expectStatus(command.Response(), pdu.StatusOK, uint32(i))
		}
		if n := r.count("mo_total"); n != float64(len(bodies)) {
			t.Errorf("%v counted, want %d", n, len(bodies))
		}
		r.noReceipt()
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk39NetworkErrorCode: three octets that are a network type and a number, or three digits.
func TestQuirk39NetworkErrorCode(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for octets, want := range map[string]string{
			"\x03\x00\x0b": "3:11",
			"\x01\x01\x00": "1:256",
			"\x03\xff\xff": "3:65535",
			"\x00\x00\x00": "0:0",
			"011":          "011",
			"000":          "000",
			"\x0b":         "0b",
			"":             "027", // what the text says
		} {
			m := receiptText("id:7 stat:UNDELIV err:027")
			m.TLVs = append(receiptTLVs("7", pdu.Undeliverable), pdu.TLV{Tag: pdu.TagNetworkErrorCode, Value: []byte(octets)})
			p.deliver(5, m)
			if got := r.receipt(); toldBy(got) != (told{"7", "UNDELIV", want}) {
				t.Errorf("%q: %+v, want %q", octets, got, want)
			}
		}
		r.stop(p)
	})
}
