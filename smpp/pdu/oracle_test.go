package pdu_test

import (
	"bytes"
	"testing"

	smpppdu "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"
	"pgregory.net/rapid"

	"otpgw/smpp/pdu"
)

var digits = rapid.StringMatching(`[0-9]{0,20}`)

func drawAddress(t *rapid.T, name string) pdu.Address {
	return pdu.Address{TON: rapid.Byte().Draw(t, name+" ton"), NPI: rapid.Byte().Draw(t, name+" npi"), Number: digits.Draw(t, name)}
}

// TestSubmitSMIsReadByTheCodecBelow reads what Append wrote by hand through go-smpp.
func TestSubmitSMIsReadByTheCodecBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &pdu.ShortMessage{
			ServiceType: rapid.StringMatching(`[A-Z]{0,5}`).Draw(t, "service_type"),
			Source:      drawAddress(t, "source"), Destination: drawAddress(t, "destination"),
			ProtocolID: rapid.Byte().Draw(t, "protocol_id"), Priority: rapid.Byte().Draw(t, "priority"),
			ValidityPeriod:     rapid.SampledFrom([]string{"", "000000000500000R"}).Draw(t, "validity"),
			RegisteredDelivery: rapid.Byte().Draw(t, "registered_delivery"), ReplaceIfPresent: rapid.Byte().Draw(t, "replace"),
			DataCoding: 4, DefaultMessageID: rapid.Byte().Draw(t, "default id"),
			Text: rapid.SliceOfN(rapid.Byte(), 0, 254).Draw(t, "text"),
		}
		if rapid.Bool().Draw(t, "tlv") {
			m.TLVs = pdu.TLVs{{Tag: pdu.TagSarMsgRefNum, Value: []byte{1, 0xF4}}}
		}
		h := pdu.Header{Command: pdu.SubmitSM, Sequence: rapid.Uint32Range(1, 0x7FFFFFFF).Draw(t, "sequence")}
		octets, err := pdu.Append(nil, h, m)
		if err != nil {
			t.Fatal(err)
		}
		body, err := smpppdu.Decode(bytes.NewReader(octets))
		if err != nil {
			t.Fatalf("go-smpp: %v", err)
		}
		f := body.Fields()
		for name, want := range map[pdufield.Name]string{
			pdufield.ServiceType: m.ServiceType, pdufield.SourceAddr: m.Source.Number, pdufield.DestinationAddr: m.Destination.Number,
			pdufield.ValidityPeriod: m.ValidityPeriod,
		} {
			if got := f[name].String(); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for name, want := range map[pdufield.Name]byte{
			pdufield.SourceAddrTON: m.Source.TON, pdufield.DestAddrNPI: m.Destination.NPI, pdufield.ProtocolID: m.ProtocolID,
			pdufield.PriorityFlag: m.Priority, pdufield.RegisteredDelivery: m.RegisteredDelivery,
			pdufield.ReplaceIfPresentFlag: m.ReplaceIfPresent, pdufield.DataCoding: m.DataCoding, pdufield.SMDefaultMsgID: m.DefaultMessageID,
		} {
			if got := f[name].Bytes()[0]; got != want {
				t.Errorf("%s: %d, want %d", name, got, want)
			}
		}
		if got := f[pdufield.ShortMessage].Bytes(); !bytes.Equal(got, m.Text) {
			t.Errorf("text % x, want % x", got, m.Text)
		}
		if body.Header().Seq != h.Sequence {
			t.Errorf("sequence %d, want %d", body.Header().Seq, h.Sequence)
		}
		if len(m.TLVs) > 0 && !bytes.Equal(body.TLVFields()[pdutlv.TagSarMsgRefNum].Bytes(), m.TLVs[0].Value) {
			t.Errorf("TLVs %v", body.TLVFields())
		}
	})
}

// TestBodiesAreReadAsTheCodecBelowReadsThem compares what is decoded by hand with go-smpp's field list (without its UDH
// fields, which change the text) and its TLV decoder, on any octets.
func TestBodiesAreReadAsTheCodecBelowReadsThem(t *testing.T) {
	list := pdufield.List{
		pdufield.ServiceType, pdufield.SourceAddrTON, pdufield.SourceAddrNPI, pdufield.SourceAddr, pdufield.DestAddrTON,
		pdufield.DestAddrNPI, pdufield.DestinationAddr, pdufield.ESMClass, pdufield.ProtocolID, pdufield.PriorityFlag,
		pdufield.ScheduleDeliveryTime, pdufield.ValidityPeriod, pdufield.RegisteredDelivery, pdufield.ReplaceIfPresentFlag,
		pdufield.DataCoding, pdufield.SMDefaultMsgID, pdufield.SMLength, pdufield.ShortMessage,
	}
	rapid.Check(t, func(t *rapid.T) {
		body := encodedDeliverSM(t)
		switch rapid.IntRange(0, 2).Draw(t, "damage") {
		case 1:
			body = body[:rapid.IntRange(0, len(body)).Draw(t, "length")]
		case 2:
			body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "octet")
		}
		rest := bytes.NewBuffer(bytes.Clone(body))
		fields, fieldErr := list.Decode(rest)
		readable := fieldErr == nil && len(fields) == len(list)
		b, err := pdu.Decode(pdu.Frame{Header: pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, Body: body})
		if (b != nil) != readable {
			t.Fatalf("% x: %+v, %v; go-smpp: %v, %v", body, b, err, fields, fieldErr)
		}
		if !readable {
			return
		}
		m := b.(*pdu.ShortMessage)
		for name, got := range map[pdufield.Name]string{
			pdufield.ServiceType: m.ServiceType, pdufield.SourceAddr: m.Source.Number, pdufield.DestinationAddr: m.Destination.Number,
			pdufield.ScheduleDeliveryTime: m.ScheduleDeliveryTime, pdufield.ValidityPeriod: m.ValidityPeriod, pdufield.ShortMessage: string(m.Text),
		} {
			if want := fields[name].String(); got != want {
				t.Errorf("%s: %q, go-smpp has %q", name, got, want)
			}
		}
		for name, got := range map[pdufield.Name]byte{
			pdufield.SourceAddrTON: m.Source.TON, pdufield.SourceAddrNPI: m.Source.NPI, pdufield.DestAddrTON: m.Destination.TON,
			pdufield.DestAddrNPI: m.Destination.NPI, pdufield.ESMClass: m.ESMClass, pdufield.ProtocolID: m.ProtocolID,
			pdufield.PriorityFlag: m.Priority, pdufield.RegisteredDelivery: m.RegisteredDelivery,
			pdufield.ReplaceIfPresentFlag: m.ReplaceIfPresent, pdufield.DataCoding: m.DataCoding, pdufield.SMDefaultMsgID: m.DefaultMessageID,
		} {
			if want := fields[name].Bytes()[0]; got != want {
				t.Errorf("%s: %d, go-smpp has %d", name, got, want)
			}
		}
		tlvs, tlvErr := pdutlv.DecodeTLV(rest)
		if tlvErr != nil || rest.Len() > 0 { // up to three octets behind the last TLV are passed over there
			if err == nil {
				t.Fatalf("% x: TLVs %v, go-smpp: %v", body, m.TLVs, tlvErr)
			}
			return
		}
		for tag, want := range tlvs {
			if got, found := m.TLVs.Get(uint16(tag)); !found || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("TLV %s: % x, go-smpp has % x", tag.Hex(), got, want.Bytes())
			}
		}
	})
}

// encodedDeliverSM is a body as an SMSC would write it.
func encodedDeliverSM(t *rapid.T) []byte {
	m := &pdu.ShortMessage{
		ServiceType: "OTP", Source: drawAddress(t, "source"), Destination: drawAddress(t, "destination"),
		ESMClass: rapid.SampledFrom([]byte{0, 4, 0x40, 0x44}).Draw(t, "esm_class"), DataCoding: rapid.Byte().Draw(t, "data_coding"),
		Text: rapid.SliceOfN(rapid.Byte(), 0, 254).Draw(t, "text"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "TLVs") {
		m.TLVs = append(m.TLVs, pdu.TLV{
			Tag:   rapid.SampledFrom([]uint16{pdu.TagReceiptedMessageID, pdu.TagMessageState, pdu.TagMessagePayload}).Draw(t, "tag"),
			Value: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value"),
		})
	}
	octets, err := pdu.Append(nil, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	return octets[16:]
}

// TestSubmitSMOfTheCodecBelowIsRead is the other direction.
func TestSubmitSMOfTheCodecBelowIsRead(t *testing.T) {
	p := smpppdu.NewSubmitSM(pdutlv.Fields{})
	for name, value := range map[pdufield.Name]any{
		pdufield.SourceAddr: "ACME", pdufield.DestinationAddr: "34600000001", pdufield.DestAddrTON: 1, pdufield.DestAddrNPI: 1,
		pdufield.ValidityPeriod: "000000000500000R", pdufield.RegisteredDelivery: 1,
	} {
		if err := p.Fields().Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Fields().Set(pdufield.ShortMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var octets bytes.Buffer
	if err := p.SerializeTo(&octets); err != nil {
		t.Fatal(err)
	}
	got := decode[*pdu.ShortMessage](t, octets.Bytes())
	if got.Source.Number != "ACME" || got.Destination != (pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}) ||
		got.ValidityPeriod != "000000000500000R" || got.RegisteredDelivery != 1 || string(got.Text) != "hello" {
		t.Fatalf("%+v", got)
	}
}

// TestBindRequestsOfEachKind reads back what go-smpp wrote for us.
func TestBindRequestsOfEachKind(t *testing.T) {
	want := pdu.Bind{SystemID: "otpgw", Password: "secret", SystemType: "OTP", InterfaceVersion: 0x34, AddressTON: 1, AddressNPI: 1, AddressRange: "346"}
	for _, c := range []pdu.Command{pdu.BindReceiver, pdu.BindTransmitter, pdu.BindTransceiver} {
		if got := decode[*pdu.Bind](t, encode(t, pdu.Header{Command: c, Sequence: 1}, &want)); *got != want {
			t.Errorf("%v: %+v", c, *got)
		}
	}
	if octets, err := pdu.Append(nil, pdu.Header{Command: pdu.SubmitSM}, &want); err == nil {
		t.Errorf("a bind body in a submit_sm: % x", octets)
	}
}
