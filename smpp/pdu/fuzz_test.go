package pdu_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

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

// FuzzParseReceipt: any text and TLVs are read without a panic, and an id has no padding around it.
func FuzzParseReceipt(f *testing.F) {
	f.Add(byte(4), byte(0), []byte("id:7 sub:001 dlvrd:001 submit date:2611231400 done date:2611231401 stat:DELIVRD err:000 text:x"), []byte("7\x00"))
	f.Add(byte(0x44), byte(8), []byte("\x05\x00\x03\x01\x01\x01\x00i\x00d\x00:\x007"), []byte{})
	f.Add(byte(0), byte(3), []byte("ID: STAT:\xff text:"), []byte{0})
	f.Fuzz(func(t *testing.T, class, coding byte, text, id []byte) {
		m := &pdu.ShortMessage{ESMClass: class, DataCoding: coding, Text: text, TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: id}, {Tag: pdu.TagMessageState, Value: id}, {Tag: pdu.TagNetworkErrorCode, Value: id},
		}}
		r, ok := pdu.ParseReceipt(m)
		if !ok {
			return
		}
		if trimmed := bytes.Trim([]byte(r.MessageID), " \t\r\n\x00"); string(trimmed) != r.MessageID {
			t.Fatalf("id %q", r.MessageID)
		}
		if r.State.String() == "" {
			t.Fatalf("state %d has no name", r.State)
		}
	})
}

// FuzzDecodeText: what can be encoded is decoded to the same, segment by segment, and any octets are decoded to valid UTF-8.
func FuzzDecodeText(f *testing.F) {
	f.Add("123456 is your code [€]", byte(0), byte(0), []byte("a\x1bzb"))
	f.Add("\x1b(e", byte(0), byte(0), []byte("\x1b"))
	f.Add("façade 👍", byte(8), byte(0x40), []byte("\x05\x00\x03\x01\x02\x01\xd8\x3d"))
	f.Fuzz(func(t *testing.T, text string, coding, class byte, octets []byte) {
		if got := pdu.DecodeText(coding, class, octets); !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		encoded, err := pdu.EncodeText(text, 1)
		if err != nil {
			return
		}
		var all strings.Builder
		for _, s := range encoded.Segments {
			all.WriteString(pdu.DecodeText(s.DataCoding, s.ESMClass, s.Octets))
		}
		if got := all.String(); got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
