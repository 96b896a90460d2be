package pdu_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/warthog618/sms/encoding/tpdu"

	"otpgw/smpp/pdu"
)

// seeds are whole PDUs, good and bad.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	for _, e := range emitted() {
		octets, err := pdu.Append(nil, e.header, e.body)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, octets)
	}
	return append(all,
		[]byte("\x00\x00\x00\x10\x80\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00"),
		[]byte("\x00\x00\x00\x1c\x80\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01id\x00garbage!!"),
		[]byte("\xff\xff\xff\xff\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01"))
}

// FuzzReader: any stream of octets is cut into frames or refused; a frame is what stood in the stream.
func FuzzReader(f *testing.F) {
	for _, octets := range seeds(f) {
		f.Add(octets)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := pdu.NewReader(bytes.NewReader(stream))
		for at := 0; ; {
			frame, err := r.Next()
			if err != nil {
				return
			}
			length := 16 + len(frame.Body)
			if at+length > len(stream) || !bytes.Equal(stream[at+16:at+length], frame.Body) {
				t.Fatalf("a frame that is not in the stream at %d: %+v", at, frame)
			}
			at += length
		}
	})
}

// FuzzDecode: what can be decoded and encoded again is decoded to the same.
func FuzzDecode(f *testing.F) {
	for _, octets := range seeds(f) {
		if len(octets) > 16 {
			f.Add(binary.BigEndian.Uint32(octets[4:]), binary.BigEndian.Uint32(octets[8:]), octets[16:])
		}
	}
	f.Fuzz(func(t *testing.T, command, status uint32, body []byte) {
		frame := pdu.Frame{Header: pdu.Header{Command: pdu.Command(command), Status: pdu.Status(status), Sequence: 1}, Body: body}
		before := bytes.Clone(body)
		first, err := pdu.Decode(frame)
		if !bytes.Equal(body, before) {
			t.Fatal("Decode changed its input")
		}
		if err != nil || first == nil || status != 0 {
			return
		}
		if m, ok := first.(*pdu.ShortMessage); ok {
			pdu.ParseReceipt(m)
			pdu.Concatenation(m.Payload())
			pdu.DecodeText(m.DataCoding, m.ESMClass, m.Payload())
		}
		octets, err := pdu.Append(nil, frame.Header, first)
		if err != nil {
			return // a peer may send what we would not
		}
		again, err := pdu.NewReader(bytes.NewReader(octets)).Next()
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		second, err := pdu.Decode(again)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v became %+v, %v", first, second, err)
		}
	})
}

// FuzzParseReceipt: any text and TLVs are read without a panic, with and without a Pattern, an id has no padding around
// it, and what is not marked is a receipt only with an id.
func FuzzParseReceipt(f *testing.F) {
	f.Add(byte(4), byte(0), []byte("id:7 sub:001 dlvrd:001 submit date:2611231400 done date:2611231401 stat:DELIVRD err:000 text:x"), []byte("7\x00"))
	f.Add(byte(0x44), byte(8), []byte("\x05\x00\x03\x01\x01\x01\x00i\x00d\x00:\x007"), []byte{})
	f.Add(byte(0), byte(3), []byte("ID: STAT:\xff text:"), []byte{0})
	for _, c := range receiptCases(f) {
		f.Add(c.ESMClass, c.DataCoding, []byte(c.Text), []byte{})
	}
	pattern := regexp.MustCompile(`(?P<id>\w+) (?P<stat>\w+)`)
	f.Fuzz(func(t *testing.T, class, coding byte, text, id []byte) {
		m := &pdu.ShortMessage{ESMClass: class, DataCoding: coding, Text: text, TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: id}, {Tag: pdu.TagMessageState, Value: id}, {Tag: pdu.TagNetworkErrorCode, Value: id},
		}}
		for _, reader := range []pdu.ReceiptReader{{}, {Pattern: pattern}} {
			r, ok := reader.Parse(m)
			if !ok {
				continue
			}
			if trimmed := bytes.Trim([]byte(r.MessageID), " \t\r\n\x00"); string(trimmed) != r.MessageID {
				t.Fatalf("id %q", r.MessageID)
			}
			if r.State.String() == "" {
				t.Fatalf("state %d has no name", r.State)
			}
			if class&0x24 == 0 && r.MessageID == "" {
				t.Fatalf("%+v under esm_class %#x", r, class)
			}
		}
	})
}

// FuzzUDH: a UDH and the text behind it are all there is, and the numbers of a concatenation can be. The library below is
// asked for the same.
func FuzzUDH(f *testing.F) {
	for _, octets := range []string{
		"\x05\x00\x03\x2a\x02\x01hello", "\x06\x08\x04\x01\x2a\x03\x03", "\x08\x00\x03\x2a\x02\x01\x24\x01\x03x", "\x0a\x05\x04\x0b\x84\x23\xf0\x00\x00\x01\x01", "\xff", "",
	} {
		f.Add([]byte(octets))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		udh, rest, ok := pdu.SplitUDH(octets)
		if !bytes.Equal(append(bytes.Clone(udh), rest...), octets) || ok != (len(udh) > 0) {
			t.Fatalf("% x became % x and % x, %v", octets, udh, rest, ok)
		}
		for _, header := range [][]byte{udh, octets} {
			reference, total, part, ok := pdu.Concatenation(header)
			if ok && (part < 1 || part > total) {
				t.Fatalf("% x: %d of %d", header, part, total)
			}
			var library tpdu.UserDataHeader
			if n, err := library.UnmarshalBinary(header); err != nil || n != len(header) {
				if ok {
					t.Fatalf("% x: %d of %d under %d, the library: %v", header, part, total, reference, err)
				}
				continue
			}
			if all, number, ref, found := library.ConcatInfo(); ok && (!found || all != int(total) || number != int(part) || ref != int(reference)) || !ok && found && number >= 1 && number <= all {
				t.Fatalf("% x: %d of %d under %d, %v; the library has %d of %d under %d, %v", header, part, total, reference, ok, number, all, ref, found)
			}
		}
	})
}

// FuzzDecodeText: what can be encoded is decoded to the same, segment by segment and under all options, and any octets are
// decoded to valid UTF-8.
func FuzzDecodeText(f *testing.F) {
	f.Add("123456 is your code [€]", byte(0), byte(0), []byte("a\x1bzb"), uint16(0))
	f.Add("\x1b(e", byte(0), byte(0), []byte("\x1b"), uint16(0))
	f.Add("façade 👍", byte(8), byte(0x40), []byte("\x05\x00\x03\x01\x02\x01\xd8\x3d"), uint16(0x10))
	f.Add("“ação” Êş", byte(0xF1), byte(0x40), []byte("\x03\x24\x01\x03\xd8\xec\x1b"), uint16(0x1FF))
	f.Fuzz(func(t *testing.T, text string, coding, class byte, octets []byte, bits uint16) {
		o := pdu.TextOptions{
			DefaultAlphabet: pdu.Alphabet(bits & 3), Language: pdu.Language(bits >> 2 & 3), Concatenation: pdu.Concat(bits >> 4 & 3),
			Transliterate: bits&0x40 != 0, GSM7DataCoding: []byte{0, 1, 3, 0xF1}[bits>>7&3],
		}
		if got := o.Decode(coding, class, octets); !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		encoded, err := o.Encode(text, bits)
		if err != nil {
			return
		}
		got, want := received(o, encoded), text
		if o.DefaultAlphabet == pdu.AlphabetGSM7Packed {
			got, want = returns.ReplaceAllString(got, "\r"), returns.ReplaceAllString(want, "\r")
		}
		if !says(got, want, o.Transliterate && encoded.Encoding == pdu.GSM7) {
			t.Fatalf("%+v: %q became %q", o, want, got)
		}
	})
}
