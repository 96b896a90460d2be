package pdu_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"otpgw/smpp/pdu"
)

func TestReceiptTexts(t *testing.T) {
	wide := func(s string) string {
		var octets []byte
		for _, u := range utf16.Encode([]rune(s)) {
			octets = binary.BigEndian.AppendUint16(octets, u)
		}
		return string(octets)
	}
	const ordinary = "id:0123456789 sub:001 dlvrd:001 submit date:2611231400 done date:2611231401 stat:DELIVRD err:000 text:123456 is your"
	for _, c := range []struct {
		name          string
		class, coding byte
		text          string
		id            string
		state         pdu.State
		err           string
	}{
		{"ordinary", 4, 0, ordinary, "0123456789", pdu.Delivered, "000"},
		{"other order", 4, 0, "stat:UNDELIV err:011 id:7", "7", pdu.Undeliverable, "011"},
		{"without sub and dlvrd", 4, 0, "id:7 submit date:261123140000 done date:26112314010000 stat:EXPIRED err:1F2", "7", pdu.Expired, "1F2"},
		{"upper case", 4, 0, "ID:7 STAT:delivrd ERR:000 TEXT:x", "7", pdu.Delivered, "000"},
		{"blanks behind colons", 4, 0, "id: 7 stat: REJECTD err: 5 Text: x", "7", pdu.Rejected, "5"},
		{"empty err", 4, 0, "id:7 err: stat:DELIVRD", "7", pdu.Delivered, ""},
		{"FAILED", 4, 0, "id:7 stat:FAILED", "7", pdu.Undeliverable, ""},
		{"BUFFRED", 4, 0, "id:7 stat:BUFFRED", "7", pdu.Enroute, ""},
		{"ACKED", 4, 0, "id:7 stat:ACKED", "7", pdu.Accepted, ""},
		{"DELIVERED", 4, 0, "id:7 stat:DELIVERED", "7", pdu.Delivered, ""},
		{"a word nobody knows", 4, 0, "id:7 stat:SNAFU", "7", pdu.UnknownState, ""},
		{"UUID", 4, 0, "id:6b1c7d7e-43c0-4f0e-9a54-0d5a1f6a2b3c stat:DELIVRD", "6b1c7d7e-43c0-4f0e-9a54-0d5a1f6a2b3c", pdu.Delivered, ""},
		{"labels in the text of the message", 4, 0, "id:7 stat:DELIVRD err:000 text:id:8 stat:UNDELIV", "7", pdu.Delivered, "000"},
		{"labels inside of words", 4, 0, "msgid:9 id:7 mystat:X stat:DELIVRD", "7", pdu.Delivered, ""},
		{"lines for blanks", 4, 0, "id:7\r\nstat:DELIVRD\r\nerr:000\x00", "7", pdu.Delivered, "000"},
		{"esm_class 0", 0, 0, ordinary, "0123456789", pdu.Delivered, "000"},
		{"esm_class 0x44 with UDH", 0x44, 0, "\x05\x00\x03\x01\x01\x01" + ordinary, "0123456789", pdu.Delivered, "000"},
		{"intermediate", 0x20, 0, "id:7", "7", pdu.Enroute, ""},
		{"intermediate with its state", 0x20, 0, "id:7 stat:ACCEPTD", "7", pdu.Accepted, ""},
		{"UTF-16 with a byte order mark", 4, 8, "\xfe\xff" + wide(ordinary), "0123456789", pdu.Delivered, "000"},
		{"intermediate, as some mark it", 0x08, 0, "id:7 stat:ENROUTE", "7", pdu.Enroute, ""},
		{"unmarked, a word nobody knows", 0, 0, strings.Replace(ordinary, "DELIVRD", "SNAFU", 1), "0123456789", pdu.UnknownState, "000"},
		{"UTF-16", 4, 8, wide(ordinary), "0123456789", pdu.Delivered, "000"},
		{"ASCII under data_coding 8", 4, 8, ordinary, "0123456789", pdu.Delivered, "000"},
		{"data_coding 1", 4, 1, ordinary, "0123456789", pdu.Delivered, "000"},
		{"Latin-1 in the text", 4, 3, "id:7 stat:DELIVRD text:caf\xe9", "7", pdu.Delivered, ""},
		{"marked, and empty", 4, 0, "", "", pdu.UnknownState, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := pdu.ParseReceipt(&pdu.ShortMessage{ESMClass: c.class, DataCoding: c.coding, Text: []byte(c.text)})
			if !ok || got.MessageID != c.id || got.State != c.state || got.Error != c.err {
				t.Fatalf("%+v, %v; want id %q, %v, err %q", got, ok, c.id, c.state, c.err)
			}
		})
	}
}

func TestReceiptTLVsWinOverText(t *testing.T) {
	tlvs := pdu.TLVs{
		{Tag: pdu.TagReceiptedMessageID, Value: []byte("1A\x00")},
		{Tag: pdu.TagMessageState, Value: []byte{5}},
		{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 11}},
	}
	for name, c := range map[string]struct {
		text string
		err  string
	}{
		"TLVs only":   {"", "3:11"},
		"they differ": {"id:26 stat:DELIVRD err:000", "3:11"},
	} {
		for _, payload := range []bool{false, true} {
			m := &pdu.ShortMessage{ESMClass: 4, TLVs: tlvs}
			if payload {
				m.TLVs = append(m.TLVs[:len(tlvs):len(tlvs)], pdu.TLV{Tag: pdu.TagMessagePayload, Value: []byte(c.text)})
			} else {
				m.Text = []byte(c.text)
			}
			got, ok := pdu.ParseReceipt(m)
			if !ok || got.MessageID != "1A" || got.State != pdu.Undeliverable || got.Error != c.err {
				t.Errorf("%s, payload %v: %+v, %v", name, payload, got, ok)
			}
		}
	}
	if got, ok := pdu.ParseReceipt(&pdu.ShortMessage{ESMClass: 4, TLVs: pdu.TLVs{{Tag: pdu.TagNetworkErrorCode, Value: []byte("034")}}}); !ok || got.Error != "034" {
		t.Errorf("three digits: %+v, %v", got, ok)
	}
	empty := pdu.TLVs{
		{Tag: pdu.TagReceiptedMessageID, Value: []byte{0}}, {Tag: pdu.TagMessageState}, {Tag: pdu.TagNetworkErrorCode},
	}
	tooLong := append(pdu.TLVs{{Tag: pdu.TagMessageState, Value: []byte{0, 5}}}, empty[0], empty[2])
	for _, tlvs := range []pdu.TLVs{empty, tooLong} {
		got, ok := pdu.ParseReceipt(&pdu.ShortMessage{ESMClass: 4, Text: []byte("id:26 stat:DELIVRD err:000"), TLVs: tlvs})
		if !ok || got.MessageID != "26" || got.State != pdu.Delivered || got.Error != "000" {
			t.Errorf("TLVs that say nothing: %+v, %v", got, ok)
		}
	}
	data := &pdu.DataMessage{ESMClass: 4, TLVs: tlvs}
	if got, ok := pdu.ParseDataReceipt(data); !ok || got.MessageID != "1A" || got.State != pdu.Undeliverable {
		t.Errorf("data_sm: %+v, %v", got, ok)
	}
}

func TestStatesHaveNamesAndEnds(t *testing.T) {
	for state, want := range map[pdu.State]struct {
		name  string
		final bool
	}{
		pdu.Scheduled: {"SCHEDULED", false}, pdu.Enroute: {"ENROUTE", false}, pdu.Delivered: {"DELIVRD", true}, pdu.Expired: {"EXPIRED", true},
		pdu.Deleted: {"DELETED", true}, pdu.Undeliverable: {"UNDELIV", true}, pdu.Accepted: {"ACCEPTD", false}, pdu.UnknownState: {"UNKNOWN", true},
		pdu.Rejected: {"REJECTD", true}, pdu.Skipped: {"SKIPPED", true}, 200: {"UNKNOWN", true},
	} {
		if state.String() != want.name || state.Final() != want.final {
			t.Errorf("state %d: %v, final %v; want %v, %v", state, state, state.Final(), want.name, want.final)
		}
	}
}

func TestReceiptKeepsDatesAndAddresses(t *testing.T) {
	phone, sender := pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}, pdu.Address{TON: 5, Number: "ACME"}
	got, ok := pdu.ParseReceipt(&pdu.ShortMessage{
		ESMClass: 4, Source: phone, Destination: sender,
		Text: []byte("ID:7 Done Date:261123140159 Submit Date:2611231400 Stat:DELIVRD"),
	})
	want := pdu.Receipt{
		MessageID: "7", State: pdu.Delivered, Submitted: "2611231400", Done: "261123140159", Source: phone, Destination: sender,
	}
	if !ok || got != want {
		t.Fatalf("%+v, %v; want %+v", got, ok, want)
	}
}

func TestWhatPeopleWriteIsNoReceipt(t *testing.T) {
	for _, text := range []string{"hello", "my id:7 please", "stat:DELIVRD", "", "id:7 text:stat:DELIVRD"} {
		if got, ok := pdu.ParseReceipt(&pdu.ShortMessage{Text: []byte(text)}); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestFormattedReceiptIsReadBack(t *testing.T) {
	want := pdu.Receipt{MessageID: "0000000042", State: pdu.Undeliverable, Error: "011", Submitted: "2611231400", Done: "2611231401"}
	text := pdu.FormatReceipt(want, strings.Repeat("x", 30))
	if !strings.HasSuffix(text, " text:"+strings.Repeat("x", 20)) {
		t.Errorf("text %q", text)
	}
	got, ok := pdu.ParseReceipt(&pdu.ShortMessage{ESMClass: 4, Text: []byte(text)})
	want.Submitted, want.Done = "2611231400", "2611231401"
	if !ok || got != want {
		t.Fatalf("%+v, %v; want %+v", got, ok, want)
	}
}
