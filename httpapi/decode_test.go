package httpapi

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// fits says whether text was made from template, by trying; the oracle for the expression that a template becomes.
func fits(template, text string) bool {
	at := blank.FindStringSubmatchIndex(template)
	if at == nil {
		return template == text
	}
	before := template[:at[0]]
	if !strings.HasPrefix(text, before) {
		return false
	}
	text = text[len(before):]
	kind, rest := template[at[2]:at[3]], template[at[1]:]
	if kind == "code" {
		return strings.HasPrefix(text, placeholder) && fits(rest, text[len(placeholder):])
	}
	most, _ := strconv.Atoi(template[at[4]:at[5]])
	for n, end := 1, 0; n <= most && end < len(text); n++ {
		c, size := utf8.DecodeRuneInString(text[end:])
		if c == '\n' || kind == "digits" && (c < '0' || c > '9') {
			return false
		}
		end += size
		if fits(rest, text[end:]) {
			return true
		}
	}
	return false
}

// FuzzTemplates: a template is refused or means what it says.
func FuzzTemplates(f *testing.F) {
	for _, s := range [][2]string{
		{"{{code}} is your code", "{{code}} is your code"}, {"{{code}} for {{text:10}}", "{{code}} for Joe"}, {"{{code}} for {{text:3}}", "{{code}} for Jane"},
		{"No {{digits:4}}: {{code}}", "No 12: {{code}}"}, {"{{text:2}}{{text:2}}{{code}}", "abc{{code}}"}, {"{{code}}{{code}}", "{{code}}{{code}}"}, {"{{code}}{{text:0}}", "{{code}}"},
		{"a.*b {{code}}", "a.*b {{code}}"}, {"{{code}}\n{{text:9}}", "{{code}}\n😀\n"}, {"{{code}} {{name}}", "{{code}} x"}, {"(?i){{code}}", "(?I){{code}}"}, {"{{code}}}}", "{{code}}}}"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, template, text string) {
		if !utf8.ValidString(template) || !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxMessage || strings.Count(template, "{{") > 3 {
			return // neither comes so far; and the oracle tries all ways
		}
		compiled, err := compileTemplate(template)
		if err != nil {
			return
		}
		if got, want := compiled.MatchString(text), fits(template, text); got != want {
			t.Errorf("%q made from %q: %v, want %v", text, template, got, want)
		}
	})
}

// FuzzNames: what stands for the request's name and for the message's is what its pattern says, and a key means the same in quotes.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "a", "7d1c7f0e-2b", `"a b"`, `"a\"b"`, `"a\\"`, `"`, "a,b", "é", strings.Repeat("x", 257), "<{}>/.;:_-", "a\n"} {
		f.Add(s)
	}
	published := regexp.MustCompile(`^[a-zA-Z0-9-_:;.\/<>{}]{0,256}$`) // CAMARA OTP 1.1.1, XCorrelator
	printable := regexp.MustCompile(`^[ -~]{1,255}$`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := correlator(s); got != published.MatchString(s) {
			t.Errorf("x-correlator %q: %v", s, got)
		}
		key, p := idempotencyKey(http.Header{"Idempotency-Key": {s}})
		if p == nil && !printable.MatchString(key) {
			t.Errorf("Idempotency-Key %q is taken as %q", s, key)
		}
		if !printable.MatchString(s) {
			return
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		if key, p := idempotencyKey(http.Header{"Idempotency-Key": {quoted}}); p != nil || key != s {
			t.Errorf("Idempotency-Key %s is taken as %q", quoted, key)
		}
	})
}

// BenchmarkReadPair is the cost of the strict decoding of one body: of the usual one, and of one with as much around the members as may be.
func BenchmarkReadPair(b *testing.B) {
	const members = `"phoneNumber":"+34600000001","message":"{{code}} is your code for Example Bank"`
	for name, body := range map[string]string{
		"usual":   "{" + members + "}",
		"longest": "{" + members + `,"x":[` + strings.Repeat(`{"a":1},`, (maxBody-len(members)-20)/8) + "0]}",
	} {
		b.Run(name, func(b *testing.B) {
			reader := strings.NewReader(body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				number, message, err := readPair(reader, int64(len(body)), false, "phoneNumber", "message")
				if err != nil || number == "" || message == "" {
					b.Fatal(number, message, err)
				}
			}
		})
	}
}
