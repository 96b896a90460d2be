package smsc

import (
	"encoding/binary"
	"slices"

	"otpgw/smpp/pdu"
)

// What is kept of messages of which a segment is missing; the one that a segment came for last is kept whatever its size.
const (
	maxAssemblies     = 1000
	maxAssemblyOctets = 8 << 20
)

// A part is one segment with its place in the message.
type part struct {
	udh, octets   []byte
	id            string // message id
	reference     uint16
	total, number byte // total is 1 where the text is not concatenated
}

// newPart finds out, from UDH or sar TLVs, to which message a segment belongs.
func newPart(m *pdu.ShortMessage) part {
	p := part{octets: m.Payload(), total: 1, number: 1}
	if m.ESMClass&0x40 != 0 {
		udh, rest, ok := pdu.SplitUDH(p.octets)
		if !ok {
			return p
		}
		p.udh, p.octets = udh, rest
		if reference, total, number, ok := pdu.Concatenation(udh); ok {
			p.reference, p.total, p.number = reference, total, number
		}
		return p
	}
	reference, _ := m.TLVs.Get(pdu.TagSarMsgRefNum)
	total, _ := m.TLVs.Get(pdu.TagSarTotalSegments)
	number, _ := m.TLVs.Get(pdu.TagSarSegmentSeqnum)
	if len(reference) == 2 && len(total) == 1 && len(number) == 1 && number[0] >= 1 && number[0] <= total[0] {
		p.reference, p.total, p.number = binary.BigEndian.Uint16(reference), total[0], number[0]
	}
	return p
}

type assemblyKey struct {
	from, to  string
	reference uint16
	total     byte
}

// An assembly holds the segments of messages that are not complete.
type assembly struct {
	messages map[assemblyKey]*fragments
	octets   int // of all of them
}

type fragments struct {
	parts   []part // by their number; total is 0 where one is missing
	missing int
}

// add returns the first segment with the octets of all when p was the last of them to come; false otherwise.
func (a *assembly) add(m *pdu.ShortMessage, p part) (whole part, complete bool) {
	if p.total <= 1 {
		return p, true
	}
	key := assemblyKey{m.Source.Number, m.Destination.Number, p.reference, p.total}
	f := a.messages[key]
	if f == nil {
		f = &fragments{parts: make([]part, p.total), missing: int(p.total)}
		a.messages[key] = f
	}
	place := &f.parts[p.number-1]
	if place.total == 0 {
		f.missing--
	}
	a.octets += len(p.octets) - len(place.octets)
	*place = p
	if f.missing == 0 {
		a.forget(key)
		whole = f.parts[0]
		for _, p := range f.parts[1:] {
			whole.octets = slices.Concat(whole.octets, p.octets)
		}
		return whole, true
	}
	for other := range a.messages { // any will do: whoever leaves a thousand messages incomplete is testing this bound
		if len(a.messages) <= maxAssemblies && a.octets <= maxAssemblyOctets {
			break
		}
		if other != key {
			a.forget(other)
		}
	}
	return part{}, false
}

func (a *assembly) forget(key assemblyKey) {
	for _, p := range a.messages[key].parts {
		a.octets -= len(p.octets)
	}
	delete(a.messages, key)
}
