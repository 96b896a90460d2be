package smsc

import (
	"testing"

	"otpgw/smpp/pdu"
)

func newAssembly() *assembly { return &assembly{messages: map[assemblyKey]*fragments{}} }

func TestIncompleteMessagesAreBounded(t *testing.T) {
	t.Run("in number", func(t *testing.T) {
		a := newAssembly()
		for reference := range uint16(maxAssemblies + 100) {
			a.add(&pdu.ShortMessage{}, part{octets: []byte("x"), reference: reference, total: 2, number: 1})
		}
		if len(a.messages) != maxAssemblies || a.octets != maxAssemblies {
			t.Errorf("%d messages of %d octets", len(a.messages), a.octets)
		}
	})
	t.Run("in size", func(t *testing.T) {
		a := newAssembly()
		large := make([]byte, 64<<10)
		for reference := range uint16(200) {
			a.add(&pdu.ShortMessage{}, part{octets: large, reference: reference, total: 2, number: 1})
		}
		if a.octets > maxAssemblyOctets || a.octets != len(a.messages)*len(large) {
			t.Errorf("%d messages of %d octets", len(a.messages), a.octets)
		}
	})
}

func TestSegmentsThatComeTwiceOrEmpty(t *testing.T) {
	a := newAssembly()
	m := &pdu.ShortMessage{}
	for _, p := range []part{
		{octets: []byte("first, wrong"), total: 3, number: 1, id: "10"},
		{octets: []byte("first, "), total: 3, number: 1, id: "11"},
		{octets: []byte("last"), total: 3, number: 3, id: "12"},
	} {
		if _, complete := a.add(m, p); complete {
			t.Fatalf("complete after %s", p.octets)
		}
	}
	whole, complete := a.add(m, part{total: 3, number: 2, id: "13"})
	if !complete || string(whole.octets) != "first, last" || whole.total != 3 || whole.id != "11" {
		t.Errorf("%v %q of %d segments, id %s", complete, whole.octets, whole.total, whole.id)
	}
	if a.octets != 0 || len(a.messages) != 0 {
		t.Errorf("%d octets of %d messages are left", a.octets, len(a.messages))
	}
}
