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
	octets        []byte // without UDH
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
		p.octets = rest
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
	messages map[assemblyKey][][]byte
	octets   int // of all of them
}

// add returns the octets of the whole message and the number of its segments when p was the last of them; 0 segments
// otherwise.
func (a *assembly) add(m *pdu.ShortMessage, p part) (octets []byte, segments int) {
	if p.total <= 1 {
		return p.octets, 1
	}
	key := assemblyKey{m.Source.Number, m.Destination.Number, p.reference, p.total}
	parts := a.messages[key]
	if parts == nil {
		parts = make([][]byte, p.total)
	}
	a.octets += len(p.octets) - len(parts[p.number-1])
	parts[p.number-1] = p.octets
	if parts[p.number-1] == nil {
		parts[p.number-1] = []byte{} // nil is a segment that is missing
	}
	a.messages[key] = parts
	if !slices.ContainsFunc(parts, func(octets []byte) bool { return octets == nil }) {
		a.forget(key)
		return slices.Concat(parts...), len(parts)
	}
	for other := range a.messages { // any will do: whoever leaves a thousand messages incomplete is testing this bound
		if len(a.messages) <= maxAssemblies && a.octets <= maxAssemblyOctets {
			break
		}
		if other != key {
			a.forget(other)
		}
	}
	return nil, 0
}

func (a *assembly) forget(key assemblyKey) {
	for _, octets := range a.messages[key] {
		a.octets -= len(octets)
	}
	delete(a.messages, key)
}
