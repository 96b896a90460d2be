package pdu_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/fiorix/go-smpp/smpp/encoding"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"

	"otpgw/smpp/pdu"
)

// whole puts the segments of a text together again, as a phone does.
func whole(t *testing.T, text pdu.Text, reference byte) string {
	t.Helper()
	var all strings.Builder
	for i, s := range text.Segments {
		part := s.Octets
		if len(text.Segments) > 1 {
			udh, rest, ok := pdu.SplitUDH(part)
			if !ok || s.ESMClass != 0x40 {
				t.Fatalf("segment %d has no UDH", i+1)
			}
			ref, total, number, ok := pdu.Concatenation(udh)
			if !ok || ref != uint16(reference) || int(total) != len(text.Segments) || int(number) != i+1 {
				t.Fatalf("segment %d: reference %d, %d of %d", i+1, ref, number, total)
			}
			part = rest
		}
		all.WriteString(pdu.DecodeText(s.DataCoding, 0, part)) // each for itself: a pair that is split does not survive
	}
	return all.String()
}

func TestTextsSurviveTheirEncoding(t *testing.T) {
	for _, c := range []struct {
		name, text string
		encoding   pdu.Encoding
		units      int
		segments   int
	}{
		{"ordinary", "123456 is your code", pdu.GSM7, 19, 1},
		{"extension table", "123456 is your code [€]", pdu.GSM7, 26, 1},
		{"at and dollar", "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ", pdu.GSM7, 29, 1},
		{"160 septets", strings.Repeat("x", 160), pdu.GSM7, 160, 1},
		{"161 septets", strings.Repeat("x", 161), pdu.GSM7, 161, 2},
		{"306 septets", strings.Repeat("x", 306), pdu.GSM7, 306, 2},
		{"307 septets", strings.Repeat("x", 307), pdu.GSM7, 307, 3},
		{"70 units", strings.Repeat("ж", 70), pdu.UCS2, 70, 1},
		{"71 units", strings.Repeat("ж", 71), pdu.UCS2, 71, 2},
		{"T6 escape pair at the border", strings.Repeat("x", 152) + "€" + strings.Repeat("y", 20), pdu.GSM7, 174, 2},
		{"T6 surrogate pair at the border", strings.Repeat("ж", 66) + "😀" + strings.Repeat("ж", 10), pdu.UCS2, 78, 2},
		{"T1 one character that GSM-7 lacks", "façade ` 👍", pdu.UCS2, 11, 1},
		{"T1 Cyrillic that looks Latin", "соde", pdu.UCS2, 4, 1},
		{"152 emoji", "{{code}}" + strings.Repeat("😀", 152), pdu.UCS2, 312, 5},
		{"empty", "", pdu.GSM7, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := pdu.EncodeText(c.text, 42)
			if err != nil {
				t.Fatal(err)
			}
			if got.Encoding != c.encoding || got.Units != c.units || len(got.Segments) != c.segments {
				t.Fatalf("%v, %d units, %d segments; want %v, %d, %d", got.Encoding, got.Units, len(got.Segments), c.encoding, c.units, c.segments)
			}
			for i, s := range got.Segments {
				if limit := map[pdu.Encoding]int{pdu.GSM7: 160, pdu.UCS2: 140}[c.encoding]; len(s.Octets) > limit {
					t.Errorf("segment %d has %d octets", i+1, len(s.Octets))
				}
			}
			if back := whole(t, got, 42); back != c.text {
				t.Errorf("read back: %q, want %q", back, c.text)
			}
		})
	}
}

// The library below was written against the same tables as this codec, by others: it is only asked for what it can say.
func TestT1AlphabetAgreesWithTheCodecBelow(t *testing.T) {
	septets := 0
	for r := rune(0); r <= 0xFFFF; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		text, err := pdu.EncodeText(string(r), 0)
		if err != nil {
			t.Fatalf("%U: %v", r, err)
		}
		segment := text.Segments[0]
		if got := pdu.DecodeText(segment.DataCoding, segment.ESMClass, segment.Octets); got != string(r) {
			t.Errorf("%U became %q in %v", r, got, text.Encoding)
		}
		// go-smpp takes U+001B for a character of its own.
		said := len(encoding.ValidateGSM7String(string(r))) == 0 && r != 0x1B
		if said != (text.Encoding == pdu.GSM7) {
			t.Errorf("%U is in %v", r, text.Encoding)
			continue
		}
		if !said {
			continue
		}
		septets++
		if want := pdutext.GSM7(string(r)).Encode(); !bytes.Equal(segment.Octets, want) {
			t.Errorf("%U: % x, go-smpp has % x", r, segment.Octets, want)
		}
	}
	if septets != 137 { // 127 and the 10 of the extension table
		t.Errorf("%d characters in GSM-7, want 137", septets)
	}
}

func TestT6NeitherEscapesNorSurrogatesAreSplit(t *testing.T) {
	for _, c := range []struct{ pair, filler string }{{"€", "x"}, {"😀", "ж"}} {
		for n := range 160 { // the border meets the pair at every place
			want := strings.Repeat(c.filler, n) + strings.Repeat(c.pair, 160)
			text, err := pdu.EncodeText(want, 9)
			if err != nil {
				t.Fatal(err)
			}
			if got := whole(t, text, 9); got != want {
				t.Fatalf("%d %s, then %s: %q", n, c.filler, c.pair, got)
			}
		}
	}
}

func TestEncodeTextIsSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			text, err := pdu.EncodeText("123456 [€]", 0)
			if err != nil || pdu.DecodeText(0, 0, text.Segments[0].Octets) != "123456 [€]" {
				t.Errorf("%+v, %v", text, err)
			}
		})
	}
	wg.Wait()
}

func TestT5InvalidUTF8IsRefused(t *testing.T) {
	var fault *pdu.TextError
	if _, err := pdu.EncodeText("code \xff\xfe", 0); !errors.As(err, &fault) {
		t.Fatalf("error %v", err)
	}
	if _, err := pdu.EncodeText(strings.Repeat("x", 153*256), 0); !errors.As(err, &fault) {
		t.Fatalf("256 segments: error %v", err)
	}
}

func TestT2T4DecodingIsLenient(t *testing.T) {
	for _, c := range []struct {
		coding, class byte
		octets, want  string
	}{
		{0, 0, "a\x1bzb", "azb"},  // an escape that means nothing
		{0, 0, "a\x1b", "a "},     // an escape at the end
		{0, 0, "a\x80b", "a b"},   // no septet
		{0, 0, "\x00\x1be", "@€"}, // @ is no end of string
		{3, 0, "caf\xe9", "café"}, // Latin-1, and no other
		{3, 0, "\x80", "\u0080"},  // in which 0x80 is no euro
		{8, 0, "\x04\x36\xd8", "ж\ufffd"},
		{8, 0, "\xd8\x3d\xde\x00", "😀"},
		{0x18, 0, "\x04\x36", "ж"},   // UCS-2 with a message class
		{0xE0, 0, "\x04\x36", "ж"},   // with a message waiting
		{0, 0x40, "\x03hi", "¥hi"},   // a UDH one octet too long
		{0x10, 0, "\x1be", "€"},      // GSM-7 with one
		{1, 0, "[]", "[]"},           // ASCII
		{8, 0, "\xd8\x3d", "\ufffd"}, // half of a pair
		{0, 0x40, "\x05\x00\x03\x01\x02\x01hi", "hi"},
		{0, 0x40, "\x7fhi", "\u00e0hi"}, // a UDH that cannot be is text
	} {
		if got := pdu.DecodeText(c.coding, c.class, []byte(c.octets)); got != c.want {
			t.Errorf("data_coding %d, % x: %q, want %q", c.coding, c.octets, got, c.want)
		}
	}
}

func TestConcatenationIsReadFromAnyUDH(t *testing.T) {
	for _, c := range []struct {
		udh         string
		ref         uint16
		total, part byte
		ok          bool
	}{
		{"\x05\x00\x03\x2a\x02\x01", 42, 2, 1, true},
		{"\x06\x08\x04\x01\x2a\x03\x03", 298, 3, 3, true},
		{"\x0a\x05\x04\x0b\x84\x23\xf0\x00\x00\x01\x01", 0, 0, 0, false}, // the lengths inside do not add up
		{"\x05\x00\x03\x2a\x02\x03", 0, 0, 0, false},                     // third of two
		{"\x05\x00\x03\x2a\x02\x00", 0, 0, 0, false},                     // none of two
		{"\x04\x24\x02\x01\x01", 0, 0, 0, false},                         // something else
		{"", 0, 0, 0, false},
	} {
		ref, total, part, ok := pdu.Concatenation([]byte(c.udh))
		if ref != c.ref || total != c.total || part != c.part || ok != c.ok {
			t.Errorf("% x: %d, %d, %d, %v", c.udh, ref, total, part, ok)
		}
	}
}
