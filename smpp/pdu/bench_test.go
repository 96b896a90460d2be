package pdu_test

import (
	"testing"

	"otpgw/smpp/pdu"
)

func BenchmarkAppendSubmitSM(b *testing.B) {
	b.ReportAllocs()
	e := emitted()[6]
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = pdu.Append(dst[:0], e.header, e.body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeText(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pdu.EncodeText("123456 is your code for Example Bank [€]", 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, e := range []emission{emitted()[11], emitted()[12]} {
		b.Run(e.name, func(b *testing.B) {
			b.ReportAllocs()
			octets, err := pdu.Append(nil, e.header, e.body)
			if err != nil {
				b.Fatal(err)
			}
			f := pdu.Frame{Header: e.header, Body: octets[16:]}
			for b.Loop() {
				if _, err := pdu.Decode(f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseReceipt(b *testing.B) {
	b.ReportAllocs()
	m := emitted()[12].body.(*pdu.ShortMessage)
	for b.Loop() {
		if _, ok := pdu.ParseReceipt(m); !ok {
			b.Fatal("no receipt")
		}
	}
}
