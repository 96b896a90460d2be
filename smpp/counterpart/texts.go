//go:build linux

package counterpart

import (
	"fmt"
	"strings"
)

// A Text is a way of writing a text around a code of six digits, and what has to become of it on the wire.
type Text struct {
	Name           string
	Before, Behind string // the code
	Encoding       string // "GSM-7" or "UCS-2"
	Segments       []int  // the length of each: septets, or 16-bit units
}

// With is the text with a code.
func (t Text) With(code int) string { return fmt.Sprintf("%s%06d%s", t.Before, code, t.Behind) }

const gsm7Alphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿" +
	"abcdefghijklmnopqrstuvwxyzäöñüà"

// Texts are of both alphabets around the borders of 3GPP TS 23.040 §9.2.3.24.1: 160 septets or 70 units
// alone, 153 or 67 in one of several, and no escape and no surrogate pair split.
var Texts = []Text{
	{"short", "", " is your code", "GSM-7", []int{19}},
	{"behind", "Your code is ", ". Do not share it.", "GSM-7", []int{37}},
	{"extension table", "[€] {~} ", " \\ | ^ \f", "GSM-7", []int{14 + 6 + 12}},
	{"whole alphabet", "", gsm7Alphabet, "GSM-7", []int{6 + 127}},
	{"160 septets", "", strings.Repeat("x", 154), "GSM-7", []int{160}},
	{"161 septets", "", strings.Repeat("x", 155), "GSM-7", []int{153, 8}},
	{"306 septets", "", strings.Repeat("x", 300), "GSM-7", []int{153, 153}},
	{"307 septets", "", strings.Repeat("x", 301), "GSM-7", []int{153, 153, 1}},
	{"459 septets", "", strings.Repeat("x", 453), "GSM-7", []int{153, 153, 153}},
	{"160 septets with escapes", "", strings.Repeat("€", 77), "GSM-7", []int{160}},
	{"162 septets with escapes", "", strings.Repeat("€", 78), "GSM-7", []int{152, 10}},
	{"escape at the border", "", strings.Repeat("x", 146) + "€" + "y", "GSM-7", []int{155}},
	{"escape over the border", "", strings.Repeat("x", 146) + "€" + strings.Repeat("y", 10), "GSM-7", []int{152, 12}},
	{"escapes over two borders", "", strings.Repeat("]", 200), "GSM-7", []int{152, 152, 102}},
	{"cyrillic", "Ваш код ", "", "UCS-2", []int{14}},
	{"spanish", "", " es tu código", "UCS-2", []int{19}},
	{"70 units", "", strings.Repeat("я", 64), "UCS-2", []int{70}},
	{"71 units", "", strings.Repeat("я", 65), "UCS-2", []int{67, 4}},
	{"134 units", "", strings.Repeat("я", 128), "UCS-2", []int{67, 67}},
	{"135 units", "", strings.Repeat("я", 129), "UCS-2", []int{67, 67, 1}},
	{"201 units", "", strings.Repeat("я", 195), "UCS-2", []int{67, 67, 67}},
	{"emoji, 70 units", "", strings.Repeat("😀", 32), "UCS-2", []int{70}},
	{"emoji, 72 units", "", strings.Repeat("😀", 33), "UCS-2", []int{66, 6}},
	{"emoji over the border", "", strings.Repeat("я", 60) + "😀" + strings.Repeat("я", 10), "UCS-2", []int{66, 12}},
	{"all scripts", "שלום مرحبا 你好 ", " [€] 👍🏽 é", "UCS-2", []int{14 + 6 + 11}},
}
