package pdu_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"otpgw/smpp/pdu"
)

// drawRare makes a body that is seen once in a while, with the command that carries it.
func drawRare(t *rapid.T) (pdu.Command, pdu.Body) {
	text := func(name string, max int) string {
		return rapid.StringMatching(`[!-~]*`).Filter(func(s string) bool { return len(s) <= max }).Draw(t, name)
	}
	octet := func(name string) byte { return rapid.Byte().Draw(t, name) }
	bind := &pdu.Bind{
		SystemID: text("system_id", 15), Password: text("password", 8), SystemType: text("system_type", 12), InterfaceVersion: octet("version"),
		AddressTON: octet("ton"), AddressNPI: octet("npi"), AddressRange: text("address_range", 40),
	}
	bound := &pdu.BindResp{SystemID: text("system_id", 15)}
	if rapid.Bool().Draw(t, "version known") {
		bound.TLVs = pdu.TLVs{{Tag: pdu.TagSCInterfaceVersion, Value: []byte{octet("version")}}}
	}
	date := rapid.SampledFrom([]string{"", "261123140000000+"}).Draw(t, "final_date")
	bodies := []struct {
		command pdu.Command
		body    pdu.Body
	}{
		{pdu.BindReceiver, bind}, {pdu.BindTransmitter, bind}, {pdu.BindTransceiver, bind},
		{pdu.BindReceiverResp, bound}, {pdu.BindTransmitterResp, bound}, {pdu.BindTransceiverResp, bound},
		{pdu.Outbind, &pdu.OutbindBody{SystemID: text("system_id", 15), Password: text("password", 8)}},
		{pdu.QuerySM, &pdu.Query{MessageID: text("message_id", 64), Source: drawAddress(t, "source")}},
		{pdu.QuerySMResp, &pdu.QueryResp{MessageID: text("message_id", 64), FinalDate: date, State: pdu.State(octet("state")), ErrorCode: octet("error")}},
		{pdu.CancelSM, &pdu.Cancel{
			ServiceType: text("service_type", 5), MessageID: text("message_id", 64), Source: drawAddress(t, "source"), Destination: drawAddress(t, "destination"),
		}},
	}
	b := bodies[rapid.IntRange(0, len(bodies)-1).Draw(t, "body")]
	return b.command, b.body
}

func TestRareBodiesAreReadBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		command, body := drawRare(t)
		octets, err := pdu.Append(nil, pdu.Header{Command: command, Sequence: 7}, body)
		if err != nil {
			t.Fatal(err)
		}
		f, err := pdu.NewReader(bytes.NewReader(octets)).Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := pdu.Decode(f)
		if err != nil || !reflect.DeepEqual(got, body) {
			t.Fatalf("%v: %+v became %+v, %v", command, body, got, err)
		}
		if command.IsResponse() && command != pdu.QuerySMResp {
			return // an SMSC may leave out what it likes of them
		}
		f.Body = f.Body[:rapid.IntRange(0, len(f.Body)-1).Draw(t, "length")]
		var fault *pdu.BodyError
		if got, err := pdu.Decode(f); got != nil || !errors.As(err, &fault) || fault.Sequence != 7 {
			t.Fatalf("%v cut off: %+v, %v", command, got, err)
		}
	})
}

func TestLimitsOfRareBodies(t *testing.T) {
	long := func(n int) string { return strings.Repeat("9", n) }
	for _, c := range []struct {
		field   string
		command pdu.Command
		body    pdu.Body
	}{
		{"system_id", pdu.Outbind, &pdu.OutbindBody{SystemID: long(16)}},
		{"password", pdu.Outbind, &pdu.OutbindBody{Password: long(9)}},
		{"system_id", pdu.BindReceiverResp, &pdu.BindResp{SystemID: long(16)}},
		{"password", pdu.BindTransmitter, &pdu.Bind{Password: long(9)}},
		{"message_id", pdu.QuerySM, &pdu.Query{MessageID: long(65)}},
		{"source_addr", pdu.QuerySM, &pdu.Query{Source: pdu.Address{Number: long(21)}}},
		{"message_id", pdu.QuerySM, &pdu.Query{MessageID: "1\x00"}},
		{"message_id", pdu.QuerySMResp, &pdu.QueryResp{MessageID: long(65)}},
		{"final_date", pdu.QuerySMResp, &pdu.QueryResp{FinalDate: "2611231400"}},
		{"message_id", pdu.CancelSM, &pdu.Cancel{MessageID: long(65)}},
		{"service_type", pdu.CancelSM, &pdu.Cancel{ServiceType: long(6)}},
		{"destination_addr", pdu.CancelSM, &pdu.Cancel{Destination: pdu.Address{Number: long(21)}}},
	} {
		var fault *pdu.FieldError
		if octets, err := pdu.Append(nil, pdu.Header{Command: c.command}, c.body); !errors.As(err, &fault) || fault.Field != c.field || octets != nil {
			t.Errorf("%v: % x, %v; want an error of %s", c.command, octets, err, c.field)
		}
	}
}

// TestRefusalsNeedNoBody: an SMSC that refuses says why in command_status.
func TestRefusalsNeedNoBody(t *testing.T) {
	for _, c := range []pdu.Command{
		pdu.BindReceiverResp, pdu.BindTransmitterResp, pdu.BindTransceiverResp, pdu.SubmitSMResp, pdu.DataSMResp, pdu.QuerySMResp, pdu.CancelSMResp,
	} {
		for _, body := range []string{"", "\x00", "1"} {
			if _, err := pdu.Decode(response(c, pdu.StatusQueryFail, body)); err != nil {
				t.Errorf("%v, %q: %v", c, body, err)
			}
		}
	}
	if got, err := pdu.Decode(response(pdu.QuerySMResp, 0, "1\x00\x00\x02")); err == nil {
		t.Errorf("query_sm_resp without error_code: %+v", got)
	}
}
