package pdu_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"otpgw/smpp/pdu"
)

var update = flag.Bool("update", false, "write the golden file anew")

const golden = "../../testdata/pdu/emitted.hex"

// An emission is a PDU that this package writes, and what an independent reader has to see in it.
type emission struct {
	name   string
	header pdu.Header
	body   pdu.Body
	sees   map[string]string // fields of tshark's SMPP dissector
}

// emitted is every kind of PDU that a client or the simulator writes.
func emitted() []emission {
	phone := pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}
	sender := pdu.Address{TON: 5, NPI: 0, Number: "ACME"}
	optional := func(o pdu.TextOptions, text string, segment int) *pdu.ShortMessage {
		encoded, err := o.Encode(text, 0x012A)
		if err != nil {
			panic(err) // the texts are below
		}
		s := encoded.Segments[segment]
		return &pdu.ShortMessage{
			Source: sender, Destination: phone, ESMClass: s.ESMClass, DataCoding: s.DataCoding, Text: s.Octets,
			RegisteredDelivery: 1, ValidityPeriod: "000000000500000R", Priority: 1, TLVs: s.TLVs,
		}
	}
	submit := func(text string, segment int, tlvs ...pdu.TLV) *pdu.ShortMessage {
		m := optional(pdu.TextOptions{}, text, segment)
		m.TLVs = append(m.TLVs, tlvs...)
		return m
	}
	receipt := &pdu.ShortMessage{
		Source: phone, Destination: sender, ESMClass: 4,
		Text: []byte(pdu.FormatReceipt(pdu.Receipt{MessageID: "0000000042", State: pdu.Delivered, Error: "000", Submitted: "2611231400", Done: "2611231401"}, "")),
		TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: []byte("0000000042\x00")}, {Tag: pdu.TagMessageState, Value: []byte{2}},
			{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 0}},
		},
	}
	long := strings.Repeat("x", 152) + "€ and more"
	ok := func(c pdu.Command, body pdu.Body, sees ...string) emission {
		e := emission{name: c.String(), header: pdu.Header{Command: c, Sequence: 7}, body: body, sees: map[string]string{
			"smpp.command_id": fmt.Sprintf("0x%08x", uint32(c)), "smpp.sequence_number": "7",
		}}
		for i := 0; i < len(sees); i += 2 {
			e.sees[sees[i]] = sees[i+1]
		}
		return e
	}
	bind := &pdu.Bind{SystemID: "otpgw", Password: "secret", SystemType: "OTP", InterfaceVersion: 0x34}
	bound := &pdu.BindResp{SystemID: "smsc", TLVs: pdu.TLVs{{Tag: pdu.TagSCInterfaceVersion, Value: []byte{0x34}}}}
	all := []emission{
		ok(pdu.BindTransceiver, bind, "smpp.system_id", "otpgw", "smpp.password", "secret", "smpp.system_type", "OTP"),
		ok(pdu.BindReceiver, bind, "smpp.system_id", "otpgw"),
		ok(pdu.BindTransmitter, bind, "smpp.system_id", "otpgw"),
		ok(pdu.BindTransceiverResp, bound, "smpp.system_id", "smsc", "smpp.SC_interface_version", "52"),
		ok(pdu.BindReceiverResp, bound, "smpp.system_id", "smsc"),
		ok(pdu.BindTransmitterResp, bound, "smpp.system_id", "smsc"),
		ok(pdu.SubmitSM, submit("123456 is your code", 0), "smpp.destination_addr", phone.Number, "smpp.source_addr", sender.Number,
			"smpp.source_addr_ton", "0x05", "smpp.dest_addr_ton", "0x01", "smpp.sm_length", "19", "smpp.data_coding", "0x00",
			"smpp.message", "31:32:33:34:35:36:20:69:73:20:79:6f:75:72:20:63:6f:64:65", "smpp.validity_period_r", "300.000000000",
			"smpp.regdel.receipt", "0x01"),
		ok(pdu.SubmitSM, submit("123456 ваш код", 0), "smpp.data_coding", "0x08", "smpp.message_text", "123456 ваш код"),
		ok(pdu.SubmitSM, submit(long, 0), "smpp.esm.submit.features", "0x01", "gsm_sms.udh.mm.msg_id", "42", "gsm_sms.udh.mm.msg_parts", "2", "gsm_sms.udh.mm.msg_part", "1"),
		ok(pdu.SubmitSM, submit(long, 1), "gsm_sms.udh.mm.msg_part", "2"),
		ok(pdu.SubmitSM, submit("", 0, pdu.TLV{Tag: pdu.TagMessagePayload, Value: []byte("hello")}), "smpp.sm_length", "0", "smpp.message_payload", "68:65:6c:6c:6f"),
		ok(pdu.SubmitSMResp, &pdu.MessageResp{MessageID: "0000000042"}, "smpp.message_id", "0000000042"),
		ok(pdu.DeliverSM, receipt, "smpp.destination_addr", "ACME", "smpp.receipted_message_id", "0000000042", "smpp.message_state", "2",
			"smpp.network_error.type", "3", "smpp.network_error.code", "0x0000", "smpp.esm.submit.msg_type", "0x01"),
		ok(pdu.DeliverSMResp, &pdu.MessageResp{}),
		ok(pdu.DataSM, &pdu.DataMessage{Source: phone, Destination: sender, ESMClass: 4, TLVs: receipt.TLVs}, "smpp.receipted_message_id", "0000000042"),
		ok(pdu.DataSMResp, &pdu.MessageResp{MessageID: "43"}, "smpp.message_id", "43"),
		ok(pdu.QuerySM, &pdu.Query{MessageID: "42", Source: sender}, "smpp.message_id", "42"),
		ok(pdu.QuerySMResp, &pdu.QueryResp{MessageID: "42", FinalDate: "261123140000000+", State: pdu.Undeliverable, ErrorCode: 11},
			"smpp.message_state", "5", "smpp.error_code", "11", "smpp.final_date", "Nov 23, 2026 14:00:00.000000000 UTC"),
		ok(pdu.QuerySMResp, &pdu.QueryResp{MessageID: "42", State: pdu.Enroute}, "smpp.message_state", "1", "smpp.error_code", "0"),
		ok(pdu.CancelSM, &pdu.Cancel{MessageID: "42", Source: sender, Destination: phone}, "smpp.message_id", "42"),
		ok(pdu.AlertNotification, &pdu.AlertNotificationBody{Source: phone, ESME: sender}, "smpp.source_addr", phone.Number, "smpp.esme_addr", "ACME"),
		ok(pdu.Outbind, &pdu.OutbindBody{SystemID: "smsc", Password: "pw"}, "smpp.system_id", "smsc", "smpp.password", "pw"),
		ok(pdu.CancelSMResp, nil),
		ok(pdu.SubmitSM, optional(pdu.TextOptions{Concatenation: pdu.UDH16}, long, 1), "gsm_sms.udh.mm.msg_id", "298", "gsm_sms.udh.mm.msg_parts", "2", "gsm_sms.udh.mm.msg_part", "2"),
		ok(pdu.SubmitSM, optional(pdu.TextOptions{Concatenation: pdu.SAR}, long, 1), "smpp.sar_msg_ref_num", "298", "smpp.sar_total_segments", "2",
			"smpp.sar_segment_seqnum", "2", "smpp.esm.submit.features", "0x00", "smpp.message", "1b:65:20:61:6e:64:20:6d:6f:72:65"),
		ok(pdu.SubmitSM, optional(pdu.TextOptions{Concatenation: pdu.Payload}, long, 0), "smpp.sm_length", "0", "smpp.opt_param_len", "163"),
		ok(pdu.SubmitSM, optional(pdu.TextOptions{Language: pdu.Turkish}, "şifre", 0), "smpp.esm.submit.features", "0x01",
			"gsm_sms.dis_iei_lang.single_shift", "1", "gsm_sms_ud.short_msg", "1b:73:69:66:72:65"),
		ok(pdu.SubmitSM, optional(pdu.TextOptions{Language: pdu.Portuguese, DefaultAlphabet: pdu.AlphabetGSM7Packed, GSM7DataCoding: 0xF1}, "não", 0), "smpp.data_coding", "0xf1",
			"gsm_sms.dis_iei_lang.single_shift", "3"),
		ok(pdu.SubmitSM, optional(pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1, GSM7DataCoding: 3}, "é [123456]", 0), "smpp.message_text", "é [123456]"),
		ok(pdu.EnquireLink, nil), ok(pdu.EnquireLinkResp, nil), ok(pdu.Unbind, nil), ok(pdu.UnbindResp, nil),
	}
	refused := ok(pdu.SubmitSMResp, nil, "smpp.command_status", "0x00000058")
	refused.header.Status = pdu.StatusThrottled
	later := ok(pdu.DeliverSMResp, &pdu.MessageResp{}, "smpp.command_status", "0x00000064")
	later.header.Status = pdu.StatusRxTAppn
	nack := ok(pdu.GenericNack, nil, "smpp.command_status", "0x00000003")
	nack.header.Status = pdu.StatusInvCmdID
	unfound := ok(pdu.QuerySMResp, nil, "smpp.command_status", "0x00000067")
	unfound.header.Status = pdu.StatusQueryFail
	kept := ok(pdu.CancelSMResp, nil, "smpp.command_status", "0x00000011")
	kept.header.Status = pdu.StatusCancelFail
	return append(all, refused, later, nack, unfound, kept)
}

func TestEmittedPDUsAreTheGoldenOnes(t *testing.T) {
	var text strings.Builder
	for _, e := range emitted() {
		fmt.Fprintf(&text, "%s %s\n", e.name, hex.EncodeToString(encode(t, e.header, e.body)))
	}
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	wants, gots := strings.Split(string(want), "\n"), strings.Split(text.String(), "\n")
	if len(wants) != len(gots) {
		t.Fatalf("%d PDUs, the golden file has %d", len(gots)-1, len(wants)-1)
	}
	for i := range wants {
		if wants[i] != gots[i] {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, gots[i], wants[i])
		}
	}
}

// TestEveryPDUIsReadBack reads what was written, whatever it is.
func TestEveryPDUIsReadBack(t *testing.T) {
	for _, e := range emitted() {
		f := frameOf(t, encode(t, e.header, e.body))
		got, err := pdu.Decode(f)
		want := e.body
		if m, is := want.(*pdu.ShortMessage); is && m.Text == nil {
			m.Text = []byte{} // none and empty are the same on the wire
		}
		if _, is := got.(*pdu.MessageResp); is && want == nil {
			want = &pdu.MessageResp{}
		}
		if err != nil || f.Header != e.header || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %+v, %v; want %+v, %+v", e.name, f.Header, got, err, e.header, want)
		}
	}
}

// TestTsharkReadsEveryPDU has each PDU judged by a dissector that shares no code with ours.
func TestTsharkReadsEveryPDU(t *testing.T) {
	all := emitted()
	var pdus [][]byte
	for _, e := range all {
		pdus = append(pdus, encode(t, e.header, e.body))
	}
	for i, fields := range dissect(t, pdus) {
		for _, complaint := range complaints(fields) {
			t.Errorf("%s: tshark complains: %s", all[i].name, complaint)
		}
		for name, want := range all[i].sees {
			if !slices.Contains(fields[name], want) {
				t.Errorf("%s: %s is %q, want %q", all[i].name, name, fields[name], want)
			}
		}
	}
}

// TestTsharkComplains shows that its silence means something: a deliver_sm with a stray octet before the text, and one that
// ends early.
func TestTsharkComplains(t *testing.T) {
	h := pdu.Header{Command: pdu.DeliverSM, Sequence: 7}
	good := encode(t, h, &pdu.ShortMessage{Text: []byte("hello")})[16:]
	stray, short := pdu.Raw(bytes.Replace(good, []byte("hello"), []byte("\x00hello"), 1)), pdu.Raw(good[:8])
	for i, fields := range dissect(t, [][]byte{encode(t, h, &stray), encode(t, h, &short)}) {
		if len(complaints(fields)) == 0 {
			t.Errorf("broken PDU %d: tshark says nothing: %v", i, fields)
		}
	}
}

// complaints are the fields by which tshark says that a packet is malformed or odd.
func complaints(fields map[string][]string) []string {
	var all []string
	for name, values := range fields {
		if strings.HasPrefix(name, "_ws.malformed") || strings.HasPrefix(name, "_ws.expert") {
			all = append(all, fmt.Sprintf("%s %q", name, values))
		}
	}
	return all
}

// TestTsharkUnpacks has packed septets, with their fill bits, read as a phone gets them: in an SMS-DELIVER (3GPP TS 23.040
// §9.2.2.1). tshark knows the elements of national languages, but not their tables.
func TestTsharkUnpacks(t *testing.T) {
	var tpdus [][]byte
	var wants []string
	for _, c := range []struct {
		options pdu.TextOptions
		text    string
		wants   []string // the ends of the parts
	}{
		{pdu.TextOptions{}, "1234567", []string{"1234567"}},
		{pdu.TextOptions{}, "123456@", []string{"123456@"}},
		{pdu.TextOptions{}, strings.Repeat("x", 152) + "€ [12]", []string{"xxx", "€ [12]"}},                                                            // 1 fill bit
		{pdu.TextOptions{Concatenation: pdu.UDH16}, strings.Repeat("x", 152) + "y€ [123]", []string{"xxx", "y€ [123]"}},                                // none
		{pdu.TextOptions{Language: pdu.Spanish}, "á [123456]", []string{" [123456]"}},                                                                  // 3
		{pdu.TextOptions{Language: pdu.Spanish}, "á" + strings.Repeat("x", 146) + "y[1234567]", []string{"xxy", "[1234567]"}},                          // 5
		{pdu.TextOptions{Language: pdu.Turkish, Concatenation: pdu.UDH16}, "ş" + strings.Repeat("x", 146) + "[1234567]", []string{"xxx", "[1234567]"}}, // 4
	} {
		c.options.DefaultAlphabet = pdu.AlphabetGSM7Packed
		text, err := c.options.Encode(c.text, 1)
		if err != nil || len(text.Segments) != len(c.wants) {
			t.Fatalf("%q: %d segments, %v", c.text, len(text.Segments), err)
		}
		wants = append(wants, c.wants...)
		for _, s := range text.Segments {
			tpdu := append([]byte{0x04 | s.ESMClass, 2, 0x91, 0x43, 0, s.DataCoding, 0x62, 0x11, 0x32, 0x41, 0, 0, 0, byte(len(s.Octets) * 8 / 7)}, s.Octets...)
			tpdus = append(tpdus, tpdu)
		}
	}
	all := readPackets(t, "gsm_sms", tpdus, []string{"-l", "147"}, []string{
		"-o", `uat:user_dlts:"User 0 (DLT=147)","gsm_sms","0","","0",""`, "-o", "gsm_sms.reassemble:FALSE",
	})
	for i, fields := range all {
		got := fields["gsm_sms.sms_text"]
		if len(complaints(fields)) > 0 || len(got) != 1 || !strings.HasSuffix(strings.TrimSuffix(got[0], "\r"), wants[i]) {
			t.Errorf("% x: %q, want %q at the end, %v", tpdus[i], got, wants[i], complaints(fields))
		}
	}
}

// dissect has tshark read each PDU, and returns the fields that it found. What TCP makes of the sequence of packets is not
// the question.
func dissect(t *testing.T, pdus [][]byte) []map[string][]string {
	t.Helper()
	return readPackets(t, "smpp", pdus, []string{"-T", "40000,2775"}, []string{
		"-d", "tcp.port==2775,smpp", "-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.analyze_sequence_numbers:FALSE",
		"-o", "smpp.decode_sms_over_smpp:TRUE",
	})
}

// readPackets has tshark read each of them in a packet of its own, in which it has to see a protocol. It skips the test
// where tshark is missing, but not in CI.
func readPackets(t *testing.T, protocol string, pdus [][]byte, capturing, reading []string) []map[string][]string {
	t.Helper()
	for _, tool := range []string{"text2pcap", "tshark"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: nobody judges the wire format", tool)
			}
			t.Skipf("SKIPPED, NOT PASSED: %s is missing (apt-get install tshark): nobody judges the wire format", tool)
		}
	}
	var dump strings.Builder
	for _, octets := range pdus {
		for at := 0; at < len(octets); at += 16 {
			fmt.Fprintf(&dump, "%06x % x\n", at, octets[at:min(at+16, len(octets))])
		}
		dump.WriteString("\n")
	}
	dir := t.TempDir()
	input, capture := filepath.Join(dir, "pdus.txt"), filepath.Join(dir, "pdus.pcap")
	if err := os.WriteFile(input, []byte(dump.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("text2pcap", slices.Concat([]string{"-q"}, capturing, []string{input, capture})...).CombinedOutput(); err != nil {
		t.Fatalf("text2pcap: %v\n%s", err, out)
	}
	out, err := exec.Command("tshark", slices.Concat([]string{"-r", capture, "--no-duplicate-keys", "-T", "json"}, reading)...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var packets []struct {
		Source struct {
			Layers map[string]any `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(out, &packets); err != nil {
		t.Fatal(err)
	}
	if len(packets) != len(pdus) {
		t.Fatalf("tshark saw %d packets, want %d", len(packets), len(pdus))
	}
	var all []map[string][]string
	for i, p := range packets {
		if _, found := p.Source.Layers[protocol]; !found {
			t.Errorf("packet %d has no %s in it: %v", i, protocol, p.Source.Layers)
		}
		fields := map[string][]string{}
		flatten("", p.Source.Layers, fields)
		all = append(all, fields)
	}
	return all
}

// flatten collects the values of every field, at any depth.
func flatten(name string, v any, into map[string][]string) {
	switch v := v.(type) {
	case map[string]any:
		into[name] = append(into[name], "")
		for k, child := range v {
			flatten(k, child, into)
		}
	case []any:
		for _, child := range v {
			flatten(name, child, into)
		}
	case string:
		into[name] = append(into[name], v)
	}
}
