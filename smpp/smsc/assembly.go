package smsc

import (
	"encoding/binary"

	"otpgw/smpp/pdu"
)

const maxAssemblies = 1000 // messages of which a segment is missing

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
type assembly map[assemblyKey][][]byte

// add returns the octets of the whole message and the number of its segments when p was the last of them; 0 segments
// otherwise.
func (a assembly) add(m *pdu.ShortMessage, p part) (octets []byte, segments int) {
	if p.total <= 1 {
		return p.octets, 1
	}
	key := assemblyKey{m.Source.Number, m.Destination.Number, p.reference, p.total}
	parts := a[key]
	if parts == nil {
		for oldest := range a { // any will do: whoever leaves a thousand messages incomplete is testing this bound
			if len(a) < maxAssemblies {
				break
			}
			delete(a, oldest)
		}
		parts = make([][]byte, p.total)
		a[key] = parts
	}
	parts[p.number-1] = p.octets
	for _, octets := range parts {
		if octets == nil {
			return nil, 0
		}
	}
	delete(a, key)
	for _, part := range parts {
		octets = append(octets, part...)
	}
	return octets, len(parts)
}
