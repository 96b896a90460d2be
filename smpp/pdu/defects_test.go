package pdu_test

// The codec that this package is built on has known defects, listed as D1 to D13, E1 to E12 and T1 to T6. Each that could
// reach us has a test by its number, those of texts in text_test.go and textoptions_test.go. Two cannot, because the code
// in question is never called: E4 (no field is set by a name from outside), E5 (no codec type is printed).

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"otpgw/smpp/pdu"
)

func encode(t *testing.T, h pdu.Header, b pdu.Body) []byte {
	t.Helper()
	octets, err := pdu.Append(nil, h, b)
	if err != nil {
		t.Fatalf("Append %v: %v", h.Command, err)
	}
	if got := binary.BigEndian.Uint32(octets); int(got) != len(octets) {
		t.Fatalf("command_length %d of %d octets", got, len(octets))
	}
	return octets
}

func frameOf(t *testing.T, octets []byte) pdu.Frame {
	t.Helper()
	f, err := pdu.NewReader(bytes.NewReader(octets)).Next()
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return f
}

func decode[B pdu.Body](t *testing.T, octets []byte) B {
	t.Helper()
	b, err := pdu.Decode(frameOf(t, octets))
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return b.(B)
}

func response(c pdu.Command, status pdu.Status, body string) pdu.Frame {
	return pdu.Frame{Header: pdu.Header{Command: c, Status: status, Sequence: 7}, Body: []byte(body)}
}

func TestD1DeliverSMHasNoStrayOctet(t *testing.T) {
	octets := encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, &pdu.ShortMessage{Text: []byte("hello")})
	if !bytes.HasSuffix(octets, []byte("\x05hello")) {
		t.Fatalf("ends in % x", octets[len(octets)-8:])
	}
}

func TestD2D3UserDataHeaderStaysInTheText(t *testing.T) {
	for _, m := range []*pdu.ShortMessage{
		{ESMClass: 0x40, Text: []byte("\x05\x00\x03\x2a\x02\x01hello")},
		{ESMClass: 0x40, Text: []byte("\x00hello")},                                                                    // UDHL 0
		{ESMClass: 0x40, Text: []byte("\x20hello")},                                                                    // UDHL behind the end
		{ESMClass: 0x40, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("\x05\x00\x03\x2a\x02\x01hello")}}}, // sm_length 0
	} {
		want := bytes.Clone(m.Payload())
		octets := encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, m)
		got := decode[*pdu.ShortMessage](t, octets)
		if !bytes.Equal(got.Payload(), want) {
			t.Errorf("payload % x, want % x", got.Payload(), want)
		}
		if again := encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, got); !bytes.Equal(again, octets) {
			t.Errorf("encoded again: % x, want % x", again, octets)
		}
	}
}

func TestD4ErrorKeepsTheHeader(t *testing.T) {
	_, err := pdu.Decode(pdu.Frame{Header: pdu.Header{Command: pdu.DeliverSM, Sequence: 0xFFFFFFFE}, Body: []byte{0, 1}})
	var body *pdu.BodyError
	if !errors.As(err, &body) || body.Sequence != 0xFFFFFFFE || body.Command != pdu.DeliverSM || body.Part != "mandatory" {
		t.Fatalf("error %v", err)
	}
}

func TestD5BadTLVCostsOnlyTheTLVs(t *testing.T) {
	b, err := pdu.Decode(response(pdu.SubmitSMResp, 0, "id\x00garbage!"))
	var body *pdu.BodyError
	if !errors.As(err, &body) || body.Part != "tlv" {
		t.Fatalf("error %v", err)
	}
	if m, ok := b.(*pdu.MessageResp); !ok || m.MessageID != "id" {
		t.Fatalf("body %+v", b)
	}
	for _, c := range []pdu.Command{pdu.EnquireLinkResp, pdu.UnbindResp, pdu.EnquireLink, pdu.Unbind, pdu.GenericNack} {
		if b, err := pdu.Decode(response(c, 0, "a text where none belongs")); b != nil || err != nil {
			t.Errorf("%v: %v, %v", c, b, err)
		}
	}
}

func TestD6MessageIDWithoutNUL(t *testing.T) {
	b, err := pdu.Decode(response(pdu.SubmitSMResp, 0, "ABCDEF01"))
	if m, ok := b.(*pdu.MessageResp); err != nil || !ok || m.MessageID != "ABCDEF01" {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, body := range []string{"", "\x00"} {
		b, err := pdu.Decode(response(pdu.SubmitSMResp, 0, body))
		if m, ok := b.(*pdu.MessageResp); err != nil || !ok || m.MessageID != "" {
			t.Errorf("body %q: %+v, %v", body, b, err)
		}
	}
}

func TestD7ErrorResponseWithTLVsOnly(t *testing.T) {
	tlv := "\x04\x28\x00\x01\x5a" // congestion_state 90
	for body, id := range map[string]string{tlv: "", "id\x00" + tlv: "id", "id\x00": "id", "": "", "some text": "some text"} {
		b, err := pdu.Decode(response(pdu.SubmitSMResp, pdu.StatusThrottled, body))
		m, ok := b.(*pdu.MessageResp)
		if err != nil || !ok || m.MessageID != id {
			t.Errorf("body %q: %+v, %v", body, b, err)
			continue
		}
		if state, found := m.TLVs.Get(pdu.TagCongestionState); found != strings.HasSuffix(body, tlv) || found && state[0] != 90 {
			t.Errorf("body %q: congestion_state % x", body, state)
		}
	}
}

func TestD8TruncatedMandatoryPartIsAnError(t *testing.T) {
	whole := encode(t, pdu.Header{Command: pdu.SubmitSM, Sequence: 1}, &pdu.ShortMessage{Text: []byte("hello")})[16:]
	for n := range len(whole) {
		b, err := pdu.Decode(pdu.Frame{Header: pdu.Header{Command: pdu.SubmitSM}, Body: whole[:n]})
		if err == nil {
			t.Errorf("%d of %d octets: %+v", n, len(whole), b)
		}
	}
	for _, c := range []pdu.Command{pdu.BindTransceiver, pdu.DataSM, pdu.AlertNotification, pdu.Outbind, pdu.QuerySM, pdu.QuerySMResp, pdu.CancelSM} {
		if b, err := pdu.Decode(pdu.Frame{Header: pdu.Header{Command: c}, Body: []byte{'x'}}); err == nil {
			t.Errorf("%v: %+v from one octet", c, b)
		}
	}
}

func TestD9CommandsThatTheCodecLacks(t *testing.T) {
	source, destination := pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}, pdu.Address{TON: 5, Number: "ACME"}
	data := &pdu.DataMessage{ServiceType: "OTP", Source: source, Destination: destination, ESMClass: 4, DataCoding: 8,
		TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("hello")}}}
	if got := decode[*pdu.DataMessage](t, encode(t, pdu.Header{Command: pdu.DataSM}, data)); got.Destination != destination || got.DataCoding != 8 || string(got.TLVs[0].Value) != "hello" {
		t.Errorf("data_sm: %+v", got)
	}
	alert := &pdu.AlertNotificationBody{Source: source, ESME: destination, TLVs: pdu.TLVs{{Tag: pdu.TagMSAvailabilityStatus, Value: []byte{0}}}}
	if got := decode[*pdu.AlertNotificationBody](t, encode(t, pdu.Header{Command: pdu.AlertNotification}, alert)); got.Source != source || got.ESME != destination || len(got.TLVs) != 1 {
		t.Errorf("alert_notification: %+v", got)
	}
	out := &pdu.OutbindBody{SystemID: "smsc", Password: "pw"}
	if got := decode[*pdu.OutbindBody](t, encode(t, pdu.Header{Command: pdu.Outbind}, out)); *got != *out {
		t.Errorf("outbind: %+v", got)
	}
	cancel := &pdu.Cancel{ServiceType: "OTP", MessageID: "1F", Source: source, Destination: destination}
	if got := decode[*pdu.Cancel](t, encode(t, pdu.Header{Command: pdu.CancelSM}, cancel)); *got != *cancel {
		t.Errorf("cancel_sm: %+v", got)
	}
	query := &pdu.Query{MessageID: "1F", Source: source}
	if got := decode[*pdu.Query](t, encode(t, pdu.Header{Command: pdu.QuerySM}, query)); *got != *query {
		t.Errorf("query_sm: %+v", got)
	}
	if resp := decode[*pdu.MessageResp](t, encode(t, pdu.Header{Command: pdu.DataSMResp}, &pdu.MessageResp{MessageID: "7"})); resp.MessageID != "7" {
		t.Errorf("data_sm_resp: %+v", resp)
	}
	for _, c := range []pdu.Command{0x00000112, 0x00010200, 0x80010200} {
		if b, err := pdu.Decode(pdu.Frame{Header: pdu.Header{Command: c}, Body: []byte("x")}); b != nil || !errors.Is(err, pdu.ErrUnknownCommand) {
			t.Errorf("%v: %v, %v", c, b, err)
		}
	}
}

func TestD10QueryResponseHasOctetsForStateAndError(t *testing.T) {
	for _, want := range []pdu.QueryResp{
		{MessageID: "1", State: pdu.Delivered, ErrorCode: 0},
		{MessageID: "1", FinalDate: "261123140000000+", State: pdu.Undeliverable, ErrorCode: 11},
	} {
		if got := decode[*pdu.QueryResp](t, encode(t, pdu.Header{Command: pdu.QuerySMResp}, &want)); *got != want {
			t.Errorf("%+v, want %+v", *got, want)
		}
	}
}

func TestD11LongPDUsAreReadAndLyingLengthsAreNot(t *testing.T) {
	long := &pdu.ShortMessage{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: bytes.Repeat([]byte("x"), 65_535)}}}
	if got := decode[*pdu.ShortMessage](t, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, long)); len(got.Payload()) != 65_535 {
		t.Errorf("%d octets of payload", len(got.Payload()))
	}
	for _, length := range []uint32{0, 15, pdu.MaxLength + 1, 0xFFFFFFFF} {
		octets := binary.BigEndian.AppendUint32(nil, length)
		octets = append(octets, "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x09"...)
		_, err := pdu.NewReader(bytes.NewReader(octets)).Next()
		var lie *pdu.LengthError
		if !errors.As(err, &lie) || lie.Length != length || lie.Sequence != 9 || lie.Command != pdu.SubmitSM {
			t.Errorf("command_length %d: %v", length, err)
		}
	}
	// A length beyond what comes costs what came, not what it claims, and is told apart from an end between PDUs.
	short := []byte("\x00\x01\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x09abc")
	if _, err := pdu.NewReader(bytes.NewReader(short)).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated body: %v", err)
	}
	if _, err := pdu.NewReader(bytes.NewReader(nil)).Next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("nothing: %v", err)
	}
}

func TestD12NothingSharesMemoryWithTheFrame(t *testing.T) {
	f := frameOf(t, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, &pdu.ShortMessage{
		Text: []byte("hello"), TLVs: pdu.TLVs{{Tag: 1, Value: []byte("one")}, {Tag: 1, Value: []byte("two")}},
	}))
	b, err := pdu.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Body {
		f.Body[i] = 0xEE
	}
	m := b.(*pdu.ShortMessage)
	if last, _ := m.TLVs.Get(1); string(m.Text) != "hello" || string(last) != "two" || string(m.TLVs[0].Value) != "one" {
		t.Fatalf("%q, %q", m.Text, last)
	}
}

func TestE1LimitsAndNULsAreRefused(t *testing.T) {
	long := func(n int) string { return strings.Repeat("9", n) }
	bind := pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}
	submit := pdu.Header{Command: pdu.SubmitSM, Sequence: 1}
	for field, c := range map[string]struct {
		h        pdu.Header
		make     func(s string) pdu.Body
		max, min int
	}{
		"system_id":              {bind, func(s string) pdu.Body { return &pdu.Bind{SystemID: s} }, 15, 0},
		"password":               {bind, func(s string) pdu.Body { return &pdu.Bind{Password: s} }, 8, 0},
		"system_type":            {bind, func(s string) pdu.Body { return &pdu.Bind{SystemType: s} }, 12, 0},
		"address_range":          {bind, func(s string) pdu.Body { return &pdu.Bind{AddressRange: s} }, 40, 0},
		"service_type":           {submit, func(s string) pdu.Body { return &pdu.ShortMessage{ServiceType: s} }, 5, 0},
		"source_addr":            {submit, func(s string) pdu.Body { return &pdu.ShortMessage{Source: pdu.Address{Number: s}} }, 20, 0},
		"destination_addr":       {submit, func(s string) pdu.Body { return &pdu.ShortMessage{Destination: pdu.Address{Number: s}} }, 20, 0},
		"schedule_delivery_time": {submit, func(s string) pdu.Body { return &pdu.ShortMessage{ScheduleDeliveryTime: s} }, 16, 16},
		"validity_period":        {submit, func(s string) pdu.Body { return &pdu.ShortMessage{ValidityPeriod: s} }, 16, 16},
		"message_id":             {pdu.Header{Command: pdu.SubmitSMResp}, func(s string) pdu.Body { return &pdu.MessageResp{MessageID: s} }, 64, 0},
	} {
		encode(t, c.h, c.make(long(c.max)))
		bad := []string{long(c.max + 1), "p\x00w" + long(max(0, c.min-3)), "ñ" + long(max(0, c.min-2))}
		if c.min > 0 {
			bad = append(bad, long(c.min-1))
		}
		for _, s := range bad {
			before := []byte("before")
			after, err := pdu.Append(before, c.h, c.make(s))
			var fault *pdu.FieldError
			if !errors.As(err, &fault) || fault.Field != field || !bytes.Equal(after, before) {
				t.Errorf("%s %q: %q, %v", field, s, after, err)
			}
		}
	}
}

func TestE2TextLongerThan254OctetsIsRefused(t *testing.T) {
	h := pdu.Header{Command: pdu.SubmitSM, Sequence: 1}
	encode(t, h, &pdu.ShortMessage{Text: make([]byte, 254)})
	for _, n := range []int{255, 256, 300} {
		if octets, err := pdu.Append(nil, h, &pdu.ShortMessage{Text: make([]byte, n)}); err == nil {
			t.Errorf("%d octets of text: % x", n, octets)
		}
	}
}

func TestD13SubmitMultiIsNotRead(t *testing.T) {
	list := "\x00\x00\x00ACME\x00\x02\x02list\x00\x01\x01\x0134600000001\x00" // a distribution list (flag 2), then an address
	for _, c := range []pdu.Command{pdu.SubmitMulti, pdu.SubmitMultiResp} {
		if b, err := pdu.Decode(response(c, 0, list)); b != nil || !errors.Is(err, pdu.ErrUnknownCommand) {
			t.Errorf("%v: %+v, %v", c, b, err)
		}
	}
}

func TestE3BodyOfAnotherCommandIsRefused(t *testing.T) {
	bodies := map[pdu.Command]pdu.Body{
		pdu.SubmitSM: &pdu.ShortMessage{}, pdu.SubmitSMResp: &pdu.MessageResp{}, pdu.BindTransceiver: &pdu.Bind{},
		pdu.BindTransceiverResp: &pdu.BindResp{}, pdu.DataSM: &pdu.DataMessage{}, pdu.AlertNotification: &pdu.AlertNotificationBody{},
		pdu.Outbind: &pdu.OutbindBody{}, pdu.QuerySM: &pdu.Query{}, pdu.QuerySMResp: &pdu.QueryResp{}, pdu.CancelSM: &pdu.Cancel{},
		pdu.EnquireLink: nil,
	}
	for c := range bodies {
		for of, b := range bodies {
			octets, err := pdu.Append(nil, pdu.Header{Command: c}, b)
			var fault *pdu.FieldError
			switch fits := c == of || b == nil && c.IsResponse(); {
			case fits && (err != nil || int(binary.BigEndian.Uint32(octets)) != len(octets)):
				t.Errorf("%v with its own body: % x, %v", c, octets, err)
			case !fits && (!errors.As(err, &fault) || fault.Field != "command_id" || octets != nil):
				t.Errorf("%v with the body of %v: % x, %v", c, of, octets, err)
			}
		}
	}
}

func TestE3LongestPDU(t *testing.T) {
	h, text := pdu.Header{Command: pdu.SubmitSM, Sequence: 1}, make([]byte, 65_535)
	fits := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: text}}
	if octets := encode(t, h, &pdu.ShortMessage{TLVs: fits}); len(octets) > pdu.MaxLength {
		t.Errorf("%d octets", len(octets))
	}
	if octets, err := pdu.Append(nil, h, &pdu.ShortMessage{TLVs: append(fits, fits...)}); err == nil {
		t.Errorf("%d octets were written, the limit is %d", len(octets), pdu.MaxLength)
	}
}

func TestE6AppendLeavesItsInputsAlone(t *testing.T) {
	text := []byte("ABCDEFGH")
	m := &pdu.ShortMessage{Text: text[:4], TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: text[:2]}}}
	encode(t, pdu.Header{Command: pdu.SubmitSM, Sequence: 1}, m)
	if string(text) != "ABCDEFGH" {
		t.Fatalf("text became %q", text)
	}
}

func TestE7E8TLVsKeepOrderAndOctets(t *testing.T) {
	tlvs := pdu.TLVs{
		{Tag: pdu.TagSarMsgRefNum, Value: []byte{0x01, 0xF4}}, {Tag: pdu.TagSarTotalSegments, Value: []byte{2}},
		{Tag: pdu.TagSarSegmentSeqnum, Value: []byte{1}}, {Tag: pdu.TagUserMessageReference, Value: []byte{0, 0, 1, 2}}, {Tag: 0x1400},
	}
	h := pdu.Header{Command: pdu.SubmitSM, Sequence: 1}
	first := encode(t, h, &pdu.ShortMessage{TLVs: tlvs})
	for range 50 {
		if again := encode(t, h, &pdu.ShortMessage{TLVs: tlvs}); !bytes.Equal(again, first) {
			t.Fatalf("% x, then % x", first, again)
		}
	}
	got := decode[*pdu.ShortMessage](t, first).TLVs
	if len(got) != len(tlvs) {
		t.Fatalf("%d TLVs", len(got))
	}
	for i := range tlvs {
		if got[i].Tag != tlvs[i].Tag || !bytes.Equal(got[i].Value, tlvs[i].Value) {
			t.Errorf("TLV %d: %v, want %v", i, got[i], tlvs[i])
		}
	}
	if _, err := pdu.Append(nil, h, &pdu.ShortMessage{TLVs: pdu.TLVs{{Tag: 1, Value: make([]byte, 65_536)}}}); err == nil {
		t.Error("a TLV of 65,536 octets was written")
	}
}

func TestE9SequenceNumbersAreTheCallers(t *testing.T) {
	for _, sequence := range []uint32{0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF} {
		for _, c := range []pdu.Command{pdu.DeliverSMResp, pdu.EnquireLinkResp, pdu.GenericNack} {
			h := pdu.Header{Command: c, Sequence: sequence}
			if got := frameOf(t, encode(t, h, nil)).Header; got != h {
				t.Errorf("%+v, want %+v", got, h)
			}
		}
	}
}

func TestE10AppendIsSafeForConcurrentUse(t *testing.T) {
	m := &pdu.ShortMessage{Text: []byte("hello"), Destination: pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}}
	want := encode(t, pdu.Header{Command: pdu.SubmitSM, Sequence: 5}, m)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got, err := pdu.Append(nil, pdu.Header{Command: pdu.SubmitSM, Sequence: 5}, m); err != nil || !bytes.Equal(got, want) {
					t.Errorf("% x, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestE11StatusesAndCommandsHaveNames(t *testing.T) {
	for got, want := range map[string]string{
		pdu.StatusThrottled.String():      "ESME_RTHROTTLED",
		pdu.StatusOK.String():             "ESME_ROK",
		pdu.Status(0x422).String():        "0x00000422",
		pdu.SubmitSM.String():             "submit_sm",
		pdu.SubmitSMResp.String():         "submit_sm_resp",
		pdu.GenericNack.String():          "generic_nack",
		pdu.Command(0x00010203).String():  "0x00010203",
		pdu.DeliverSM.Response().String(): "deliver_sm_resp",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestE11EveryStatusOfTheStandardHasAName(t *testing.T) {
	named := 0
	for s := range pdu.Status(0x500) {
		if strings.HasPrefix(s.String(), "ESME_R") {
			named++
		} else if len(s.String()) != len("0x00000422") {
			t.Errorf("status %d: %q", s, s)
		}
	}
	if named != 48 { // SMPP 3.4 table 5-2
		t.Errorf("%d statuses have names", named)
	}
}

func TestE12BindResponseTellsItsVersion(t *testing.T) {
	octets := encode(t, pdu.Header{Command: pdu.BindTransceiverResp}, &pdu.BindResp{
		SystemID: "smsc", TLVs: pdu.TLVs{{Tag: pdu.TagSCInterfaceVersion, Value: []byte{0x34}}},
	})
	got := decode[*pdu.BindResp](t, octets)
	if v, ok := got.TLVs.Get(pdu.TagSCInterfaceVersion); got.SystemID != "smsc" || !ok || v[0] != 0x34 {
		t.Fatalf("%+v", got)
	}
	for _, body := range []string{"", "smsc", "smsc\x00"} { // an SMSC that leaves things out
		if _, err := pdu.Decode(response(pdu.BindTransceiverResp, 0, body)); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
	}
}
