package pdu_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fiorix/go-smpp/smpp/encoding"
	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/tpdu"
	"github.com/warthog618/sms/encoding/ucs2"
	"pgregory.net/rapid"

	"otpgw/smpp/pdu"
)

// saidAs is what may stand for a character in a text that is transliterated.
var saidAs = map[rune]string{
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '′': "'", '‹': "'", '›': "'", '“': `"`, '”': `"`, '„': `"`, '‟': `"`, '″': `"`, '«': `"`, '»': `"`,
	0x2010: "-", 0x2011: "-", 0x2012: "-", 0x2013: "-", 0x2014: "-", 0x2015: "-", 0x2212: "-", 0x2026: "...",
	'\t': " ", 0xA0: " ", 0x2000: " ", 0x2001: " ", 0x2002: " ", 0x2003: " ", 0x2004: " ", 0x2005: " ", 0x2006: " ", 0x2007: " ",
	0x2008: " ", 0x2009: " ", 0x200A: " ", 0x202F: " ", 0x205F: " ", 0x3000: " ", 0xAD: "", 0x200B: "", 0x2060: "", 0xFEFF: "",
	'ç': "Ç", 'À': "à", 'È': "è", 'Ì': "ì", 'Ò': "ò", 'Ù': "ù",
}

// says tells whether got is text, of which some characters may have been replaced.
func says(got, text string, transliterated bool) bool {
	for _, r := range text {
		rest, same := strings.CutPrefix(got, string(r))
		if other, found := saidAs[r]; !same && transliterated && found {
			rest, same = strings.CutPrefix(got, other)
		}
		if !same {
			return false
		}
		got = rest
	}
	return got == ""
}

// received reads the segments one by one as a phone would that finds them together: a pair that is split does not survive.
func received(o pdu.TextOptions, text pdu.Text) string {
	var all strings.Builder
	for _, s := range text.Segments {
		octets := s.Octets
		if payload, found := s.TLVs.Get(pdu.TagMessagePayload); found {
			octets = payload
		}
		all.WriteString(o.Decode(s.DataCoding, s.ESMClass, octets))
	}
	return all.String()
}

// returns are carriage returns of which packing may take one for another (3GPP TS 23.038 §6.1.2.3.1), and what may
// disappear between them.
var returns = regexp.MustCompile(`\r([\x{AD}\x{200B}\x{2060}\x{FEFF}]*\r)*`)

func drawText(t *rapid.T) string {
	alphabet := rapid.SampledFrom([]string{
		"abc 0123456789", "a@\r\n[€]~^", "a“”–…\u00a0", "aşĞçı€", "añáíÓ[", "aãõÊçÂ{}", "aж€", "ж😀", "a😀", "é`aÇç", "a\x1b\x00",
	}).Draw(t, "alphabet")
	text := rapid.StringOfN(rapid.RuneFrom([]rune(alphabet)), 0, rapid.SampledFrom([]int{5, 80, 165, 700}).Draw(t, "most"), -1).Draw(t, "text")
	if rapid.Bool().Draw(t, "long") { // so that borders are met
		text = strings.Repeat("a", rapid.IntRange(130, 165).Draw(t, "before")) + text
	}
	return text
}

var anyOptions = rapid.Custom(func(t *rapid.T) pdu.TextOptions {
	return pdu.TextOptions{
		DefaultAlphabet: pdu.Alphabet(rapid.IntRange(0, 3).Draw(t, "alphabet")),
		GSM7DataCoding:  rapid.SampledFrom([]byte{0, 1, 0xF1}).Draw(t, "data_coding"),
		Transliterate:   rapid.Bool().Draw(t, "transliterate"),
		Language:        pdu.Language(rapid.IntRange(0, 3).Draw(t, "language")),
		Concatenation:   pdu.Concat(rapid.IntRange(0, 3).Draw(t, "concatenation")),
	}
})

func TestTextsSurviveAllOptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, o := drawText(t), anyOptions.Draw(t, "options")
		reference := rapid.Uint16().Draw(t, "reference")
		got, err := o.Encode(text, reference)
		if err != nil {
			t.Fatal(err)
		}
		back, want := received(o, got), text
		if o.DefaultAlphabet == pdu.AlphabetGSM7Packed {
			back, want = returns.ReplaceAllString(back, "\r"), returns.ReplaceAllString(want, "\r")
		}
		if !says(back, want, o.Transliterate && got.Encoding == pdu.GSM7) {
			t.Fatalf("%q became %q", want, back)
		}
		if len(encoding.ValidateGSM7String(text)) == 0 && !strings.Contains(text, "\x1b") {
			translated := o.DefaultAlphabet == pdu.AlphabetASCII || o.DefaultAlphabet == pdu.AlphabetLatin1
			if got.Encoding != pdu.GSM7 && !translated {
				t.Fatalf("%q is in %v", text, got.Encoding)
			}
			if back != want {
				t.Fatalf("%q was transliterated to %q", want, back)
			}
		}
		checkSegments(t, o, got, reference)
	})
}

// checkSegments holds what is true of the segments of any text.
func checkSegments(t *rapid.T, o pdu.TextOptions, got pdu.Text, reference uint16) {
	national := false
	units := 0
	for i, s := range got.Segments {
		number, octets, udh := i+1, s.Octets, []byte(nil)
		if s.ESMClass == 0x40 {
			var ok bool
			if udh, octets, ok = pdu.SplitUDH(s.Octets); !ok {
				t.Fatalf("no UDH: % x", s.Octets)
			}
		}
		national = bytes.HasSuffix(udh, []byte{0x24, 1, byte(o.Language)}) && o.Language != pdu.NoLanguage
		coding, limit := o.GSM7DataCoding, (140-len(udh))*8/7
		switch {
		case got.Encoding == pdu.UCS2:
			coding, limit = 8, (140-len(udh))/2*2
		case o.DefaultAlphabet == pdu.AlphabetGSM7Packed:
			limit = 140 - len(udh)
		}
		_, payload := s.TLVs.Get(pdu.TagMessagePayload)
		if s.DataCoding != coding || len(octets) > limit || payload && (len(octets) > 0 || s.ESMClass != 0) {
			t.Fatalf("segment %d: data_coding %d, %d octets, at most %d, TLVs %v", number, s.DataCoding, len(octets), limit, s.TLVs)
		}
		units += len(octets)
		if len(got.Segments) == 1 {
			continue
		}
		ref, total, part, ok := pdu.Concatenation(udh)
		wantRef := reference
		if o.Concatenation != pdu.UDH16 && ok {
			wantRef &= 0xFF
		}
		if !ok {
			ref, total, part = sarOf(t, s)
		}
		if ok == (len(s.TLVs) > 0) || ref != wantRef || int(total) != len(got.Segments) || int(part) != number || got.Parts != len(got.Segments) {
			t.Fatalf("segment %d of %d: %d of %d under %d, parts %d, TLVs %v, UDH % x", number, len(got.Segments), part, total, ref, got.Parts, s.TLVs, udh)
		}
	}
	if o.Concatenation == pdu.Payload && !national && len(got.Segments) != 1 {
		t.Fatalf("%d submits with message_payload", len(got.Segments))
	}
	one, each := 160, 147 // the least that a part has, but for the last
	switch {
	case got.Encoding == pdu.UCS2:
		one, each = 70, 65
	case national:
		one = 155
	}
	if o.DefaultAlphabet == pdu.AlphabetGSM7Packed && got.Parts == 2 && got.Units == one {
		return // a carriage return at the very end
	}
	if (got.Parts == 1) != (got.Units <= one) || got.Parts > 1 && (got.Parts-1)*each >= got.Units {
		t.Fatalf("%d units in %d parts", got.Units, got.Parts)
	}
	if o.DefaultAlphabet == pdu.AlphabetGSM7 && o.Concatenation != pdu.Payload && got.Encoding == pdu.GSM7 && units != got.Units {
		t.Fatalf("%d units, %d were written", got.Units, units)
	}
}

func sarOf(t *rapid.T, s pdu.Segment) (reference uint16, total, part byte) {
	ref, _ := s.TLVs.Get(pdu.TagSarMsgRefNum)
	all, _ := s.TLVs.Get(pdu.TagSarTotalSegments)
	number, _ := s.TLVs.Get(pdu.TagSarSegmentSeqnum)
	if len(ref) != 2 || len(all) != 1 || len(number) != 1 {
		t.Fatalf("TLVs %v", s.TLVs)
	}
	return uint16(ref[0])<<8 | uint16(ref[1]), all[0], number[0]
}

// TestZeroOptionsAreTheLibrarysSegments compares with a library that splits texts as well.
func TestZeroOptionsAreTheLibrarysSegments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawText(t)
		got, err := pdu.EncodeText(text, 7)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "\x1b") {
			return // a character of its own there
		}
		octets, coding := []byte(nil), byte(0)
		if octets, err = gsm7.Encode([]byte(text)); err != nil {
			octets, coding = ucs2.Encode([]rune(text)), 8
		}
		template, err := tpdu.NewSubmit()
		if err != nil {
			t.Fatal(err)
		}
		template.SetDCS(coding)
		all := template.Segment(octets, tpdu.WithConcatRef(seven{}))
		if len(octets) == 0 {
			all = []tpdu.TPDU{{}}
		}
		if len(all) != len(got.Segments) {
			t.Fatalf("%d segments, the library makes %d", len(got.Segments), len(all))
		}
		for i, s := range got.Segments {
			want, err := all[i].UDH.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			if want = append(want, all[i].UD...); !bytes.Equal(s.Octets, want) || s.DataCoding != coding || (s.ESMClass == 0x40) != (len(all) > 1) {
				t.Fatalf("segment %d: %+v, the library has % x", i+1, s, want)
			}
		}
	})
}

type seven struct{}

func (seven) Count() int { return 7 }

func TestTextsAreSplitWhereTheyMustBe(t *testing.T) {
	x, zhe := func(n int) string { return strings.Repeat("x", n) }, func(n int) string { return strings.Repeat("ж", n) }
	spanish := pdu.TextOptions{Language: pdu.Spanish}
	with := func(o pdu.TextOptions, c pdu.Concat) pdu.TextOptions { o.Concatenation = c; return o }
	for _, c := range []struct {
		name    string
		options pdu.TextOptions
		text    string
		lengths []int // of Octets
		parts   int
	}{
		{"UDH16, one", pdu.TextOptions{Concatenation: pdu.UDH16}, x(160), []int{160}, 1},
		{"UDH16, two", pdu.TextOptions{Concatenation: pdu.UDH16}, x(304), []int{159, 159}, 2},
		{"UDH16, three", pdu.TextOptions{Concatenation: pdu.UDH16}, x(305), []int{159, 159, 8}, 3},
		{"UDH16, UCS-2", pdu.TextOptions{Concatenation: pdu.UDH16}, zhe(133), []int{139, 139, 9}, 3},
		{"SAR, one", pdu.TextOptions{Concatenation: pdu.SAR}, x(160), []int{160}, 1},
		{"SAR, two", pdu.TextOptions{Concatenation: pdu.SAR}, x(306), []int{153, 153}, 2},
		{"SAR, UCS-2", pdu.TextOptions{Concatenation: pdu.SAR}, zhe(135), []int{134, 134, 2}, 3},
		{"payload, one", pdu.TextOptions{Concatenation: pdu.Payload}, x(160), []int{160}, 1},
		{"payload, more", pdu.TextOptions{Concatenation: pdu.Payload}, x(307), []int{0}, 3},
		{"payload, pairs at the borders on the air", pdu.TextOptions{Concatenation: pdu.Payload}, strings.Repeat("€", 153), []int{0}, 3},
		{"packed, one", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, x(160), []int{140}, 1},
		{"packed, two", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, x(306), []int{140, 140}, 2},
		{"packed, UDH16", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed, Concatenation: pdu.UDH16}, x(304), []int{140, 140}, 2},
		{"packed, a carriage return would be lost", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, x(152) + "\r" + x(20), []int{140, 25}, 2},
		{"packed, at the end as well", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, x(159) + "\r", []int{140, 13}, 2},
		{"ASCII, one", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetASCII}, x(158) + "[", []int{159}, 1},
		{"ASCII, [ counts two", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetASCII}, x(159) + "[", []int{159, 13}, 2},
		{"Latin-1, [ counts two", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1}, "é" + strings.Repeat("[", 80), []int{83, 10}, 2},
		{"language, not needed", spanish, x(160), []int{160}, 1},
		{"language, one", spanish, x(153) + "á", []int{159}, 1},
		{"language, two", spanish, "á" + x(154), []int{158, 16}, 2},
		{"language, UDH16", with(spanish, pdu.UDH16), "á" + x(154), []int{158, 18}, 2},
		{"language, the SMSC does not split", with(spanish, pdu.SAR), "á" + x(154), []int{158, 16}, 2},
		{"language, nor in message_payload", with(spanish, pdu.Payload), "á" + x(154), []int{158, 16}, 2},
		{"language, too little", spanish, "áж", []int{4}, 1},
		{"empty", spanish, "", []int{0}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.options.Encode(c.text, 0x1234)
			if err != nil {
				t.Fatal(err)
			}
			var lengths []int
			for _, s := range got.Segments {
				lengths = append(lengths, len(s.Octets))
			}
			if !slices.Equal(lengths, c.lengths) || got.Parts != c.parts {
				t.Errorf("%v octets, %d parts; want %v, %d", lengths, got.Parts, c.lengths, c.parts)
			}
			if back := received(c.options, got); back != c.text {
				t.Errorf("read back: %q", back)
			}
		})
	}
}

// TestOctetsOfSegments holds octets that were worked out by hand.
func TestOctetsOfSegments(t *testing.T) {
	x := strings.Repeat("x", 160)
	for _, c := range []struct {
		name    string
		options pdu.TextOptions
		text    string
		coding  byte
		class   byte
		octets  string // the first of the first segment
		whole   bool   // and the last
	}{
		{"data_coding 1", pdu.TextOptions{GSM7DataCoding: 1}, "@[", 0x01, 0, "\x00\x1b<", true},
		{"data_coding 0xF1", pdu.TextOptions{GSM7DataCoding: 0xF1}, "a", 0xF1, 0, "a", true},
		{"UCS-2 keeps its own", pdu.TextOptions{GSM7DataCoding: 0xF1}, "ж", 0x08, 0, "\x04\x36", true},
		{"ASCII", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetASCII}, "a_@[]$", 0x00, 0, "a_@[]$", true},
		{"ASCII that no phone has", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetASCII}, "`", 0x08, 0, "\x00`", true},
		{"beyond ASCII", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetASCII}, "é", 0x08, 0, "\x00\xe9", true},
		{"Latin-1", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1, GSM7DataCoding: 3}, "é{", 0x03, 0, "\xe9{", true},
		{"Latin-1 that no phone has", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1}, "á", 0x08, 0, "\x00\xe1", true},
		{"beyond Latin-1", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1}, "€", 0x08, 0, "\x20\xac", true},
		{"packed", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, "hellohello", 0x00, 0, "\xe8\x32\x9b\xfd\x46\x97\xd9\xec\x37", true},
		{"packed, seven", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, "1234567", 0x00, 0, "\x31\xd9\x8c\x56\xb3\xdd\x1a", true},
		{"packed, @ is the seventh", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, "123456@", 0x00, 0, "\x31\xd9\x8c\x56\xb3\x01\x1a", true},
		{"packed, @ is the eighth", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, "1234567@", 0x00, 0, "\x31\xd9\x8c\x56\xb3\xdd\x00", true},
		{"packed, a carriage return is the eighth", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, "1234567\r", 0x00, 0, "\x31\xd9\x8c\x56\xb3\xdd\x1a\x0d", true},
		{"packed, one fill bit", pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, x + "x", 0x00, 0x40, "\x05\x00\x03\x34\x02\x01\xf0\x78", false},
		{"UDH16", pdu.TextOptions{Concatenation: pdu.UDH16}, x + "x", 0x00, 0x40, "\x06\x08\x04\x12\x34\x02\x01x", false},
		{"Turkish", pdu.TextOptions{Language: pdu.Turkish}, "ş[", 0x00, 0x40, "\x03\x24\x01\x01\x1bs\x1b<", true},
		{"Spanish", pdu.TextOptions{Language: pdu.Spanish}, "ú", 0x00, 0x40, "\x03\x24\x01\x02\x1bu", true},
		{"Portuguese", pdu.TextOptions{Language: pdu.Portuguese}, "Êã", 0x00, 0x40, "\x03\x24\x01\x03\x1b\x1f\x1b{", true},
		{"Portuguese, packed with three fill bits", pdu.TextOptions{Language: pdu.Portuguese, DefaultAlphabet: pdu.AlphabetGSM7Packed}, "ã", 0x00, 0x40, "\x03\x24\x01\x03\xd8\xec\x1b", true},
		{"language and concatenation", pdu.TextOptions{Language: pdu.Spanish}, "ú" + x, 0x00, 0x40, "\x08\x00\x03\x34\x02\x01\x24\x01\x02\x1bux", false},
		{"the SMSC translates no language", pdu.TextOptions{Language: pdu.Spanish, DefaultAlphabet: pdu.AlphabetLatin1}, "ú", 0x08, 0, "\x00\xfa", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.options.Encode(c.text, 0x1234)
			if err != nil {
				t.Fatal(err)
			}
			s := got.Segments[0]
			if s.DataCoding != c.coding || s.ESMClass != c.class || !strings.HasPrefix(string(s.Octets), c.octets) || c.whole && string(s.Octets) != c.octets {
				t.Errorf("data_coding %#x, esm_class %#x, % x; want %#x, %#x, % x", s.DataCoding, s.ESMClass, s.Octets, c.coding, c.class, c.octets)
			}
		})
	}
}

func TestT3PackedTextsEndWhereTheyEnd(t *testing.T) {
	o := pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed, Language: pdu.Portuguese}
	for n := range 200 {
		for _, begin := range []string{"", "ã"} { // the latter with a UDH and fill bits
			for _, end := range []string{"", "@", "@@", "\r", "£", "€", "\r@"} {
				want := begin + strings.Repeat("x", n) + end
				text, err := o.Encode(want, 1)
				if err != nil {
					t.Fatal(err)
				}
				if got := received(o, text); got != want {
					t.Errorf("%q became %q", want, got)
				}
			}
		}
	}
}

func TestTransliteration(t *testing.T) {
	for r, other := range saidAs {
		got, err := pdu.TextOptions{Transliterate: true}.Encode("a"+string(r)+"b", 0)
		if back := received(pdu.TextOptions{}, got); err != nil || got.Encoding != pdu.GSM7 || back != "a"+other+"b" {
			t.Errorf("%q became %q in %v, %v; want %q", r, back, got.Encoding, err, other)
		}
		if got, err := pdu.EncodeText(string(r), 0); err != nil || got.Encoding != pdu.UCS2 {
			t.Errorf("%q unasked: %v, %v", r, got.Encoding, err)
		}
	}
	for _, c := range []struct {
		options    pdu.TextOptions
		text, want string
		encoding   pdu.Encoding
	}{
		{pdu.TextOptions{Transliterate: true}, "“Код” – 1", "“Код” – 1", pdu.UCS2}, // not all of it can be said, so all of it stays
		{pdu.TextOptions{Transliterate: true}, "papá", "papá", pdu.UCS2},           // papa is someone else
		{pdu.TextOptions{Transliterate: true}, "it’s “façade”…", `it's "faÇade"...`, pdu.GSM7},
		{pdu.TextOptions{Transliterate: true, Language: pdu.Portuguese}, "“ação”", `"ação"`, pdu.GSM7}, // ç is in the table
		{pdu.TextOptions{Transliterate: true, Language: pdu.Portuguese}, "ça va", "ça va", pdu.GSM7},
		{pdu.TextOptions{Transliterate: true, DefaultAlphabet: pdu.AlphabetASCII}, "‘1’", "'1'", pdu.GSM7},
		{pdu.TextOptions{Transliterate: true, DefaultAlphabet: pdu.AlphabetASCII}, "ça", "ça", pdu.UCS2},
		{pdu.TextOptions{Transliterate: true, DefaultAlphabet: pdu.AlphabetLatin1}, "ça\u00a0va", "Ça va", pdu.GSM7},
	} {
		got, err := c.options.Encode(c.text, 0)
		if back := received(c.options, got); err != nil || got.Encoding != c.encoding || back != c.want {
			t.Errorf("%+v: %q became %q in %v, %v", c.options, c.text, back, got.Encoding, err)
		}
	}
}

// TestNationalTables holds each table of 3GPP TS 23.038 annex A.2 that is offered, but for what the default extension
// table has as well.
func TestNationalTables(t *testing.T) {
	for language, table := range map[pdu.Language]map[byte]rune{
		pdu.Turkish: {0x47: 'Ğ', 0x49: 'İ', 0x53: 'Ş', 0x63: 'ç', 0x67: 'ğ', 0x69: 'ı', 0x73: 'ş'},
		pdu.Spanish: {0x09: 'ç', 0x41: 'Á', 0x49: 'Í', 0x4F: 'Ó', 0x55: 'Ú', 0x61: 'á', 0x69: 'í', 0x6F: 'ó', 0x75: 'ú'},
		pdu.Portuguese: {
			0x05: 'ê', 0x09: 'ç', 0x0B: 'Ô', 0x0C: 'ô', 0x0E: 'Á', 0x0F: 'á', 0x1F: 'Ê', 0x41: 'À', 0x49: 'Í', 0x4F: 'Ó', 0x55: 'Ú',
			0x5B: 'Ã', 0x5C: 'Õ', 0x61: 'Â', 0x69: 'í', 0x6F: 'ó', 0x75: 'ú', 0x7B: 'ã', 0x7C: 'õ', 0x7F: 'â',
		},
	} {
		o := pdu.TextOptions{Language: language}
		for septet, r := range table {
			got, err := o.Encode(string(r), 0)
			if want := []byte{3, 0x24, 1, byte(language), 0x1B, septet}; err != nil || !bytes.Equal(got.Segments[0].Octets, want) {
				t.Errorf("language %d, %c: % x, want % x", language, r, got.Segments[0].Octets, want)
			}
		}
		said := 0
		for r := rune(0); r <= 0xFFFF; r++ {
			if got, err := o.Encode(string(r), 0); err == nil && got.Encoding == pdu.GSM7 {
				if said++; received(pdu.TextOptions{}, got) != string(r) {
					t.Errorf("language %d: %c does not come back", language, r)
				}
			}
		}
		if want := 137 + len(table); said != want {
			t.Errorf("language %d says %d characters, want %d", language, said, want)
		}
	}
	if got := pdu.DecodeText(0, 0x40, []byte("\x03\x24\x01\x09\x1b<a")); got == "" { // a language that we do not write
		t.Error("nothing was read")
	}
}

func TestDefaultAlphabetDecidesWhatIsRead(t *testing.T) {
	for _, c := range []struct {
		options       pdu.TextOptions
		coding, class byte
		octets, want  string
	}{
		{pdu.TextOptions{}, 1, 0, "[", "["},
		{pdu.TextOptions{GSM7DataCoding: 1}, 1, 0, "\x1b<", "["},
		{pdu.TextOptions{GSM7DataCoding: 1}, 0, 0, "\x1b<", "["}, // data_coding 0 is the default alphabet all the same
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1}, 0, 0, "\xe9", "é"},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetLatin1}, 0xF1, 0, "\x05", "é"},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetASCII}, 0, 0, "@_", "@_"},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, 0, 0, "\x31\xd9\x8c\x56\xb3\xdd\x1a", "1234567"},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, 0, 0, "\x31\xd9\x8c\x56\xb3\xdd\x00", "1234567@"},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, 0, 0, "", ""},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, 0, 0x40, "\x00", ""},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, 0, 0x40, "\x05\x00\x03\x2a\x02\x01", ""},
		{pdu.TextOptions{DefaultAlphabet: pdu.AlphabetGSM7Packed}, 8, 0, "\x04\x36", "ж"},
	} {
		if got := c.options.Decode(c.coding, c.class, []byte(c.octets)); got != c.want {
			t.Errorf("%+v, data_coding %d, % x: %q, want %q", c.options, c.coding, c.octets, got, c.want)
		}
	}
}

func TestAtMost255Parts(t *testing.T) {
	for _, concat := range []pdu.Concat{pdu.UDH8, pdu.UDH16, pdu.SAR, pdu.Payload} {
		o := pdu.TextOptions{Concatenation: concat}
		most := map[pdu.Concat]int{pdu.UDH16: 152}[concat]
		if most == 0 {
			most = 153
		}
		got, err := o.Encode(strings.Repeat("x", 255*most), 1)
		if err != nil || got.Parts != 255 {
			t.Errorf("%d: %d parts, %v", concat, got.Parts, err)
		}
		var fault *pdu.TextError
		if _, err := o.Encode(strings.Repeat("x", 255*most+1), 1); !errors.As(err, &fault) {
			t.Errorf("%d: 256 parts: %v", concat, err)
		}
	}
}

// TestSegmentsShareNoMemory lets a caller add to one of them.
func TestSegmentsShareNoMemory(t *testing.T) {
	for concat := range pdu.Payload + 1 {
		text := strings.Repeat("x", 400)
		got, err := pdu.TextOptions{Concatenation: concat}.Encode(text, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.Segments {
			_ = append(s.Octets, "yyyy"...)
		}
		if back := received(pdu.TextOptions{}, got); back != text {
			t.Errorf("%d: %s", concat, fmt.Sprintf("%.200q", back))
		}
	}
}
