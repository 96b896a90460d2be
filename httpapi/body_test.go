package httpapi_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"

	"otpgw/httpapi/numbers"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// What no handler accepts, whatever the two members are called; %s stands for an object's sound beginning,
// `"first":"…","second":"…"`.
var hostile = []string{
	"", " ", "\n", "null", "true", "0", `"x"`, "[]", "[{%s}]", "{}", "{ }", "{", "}", "{{", "{%s", "{%s]", "%s",
	"{%s}x", "{%s}{}", "{%s},", "{%s}\x00", "{%s}{%s}", "{%s} null", "{%s,}", "{,%s}", "{%s %s}", "{%s;}",
	"\ufeff{%s}", "\xef\xbb\xbf{%s}", "\xff\xfe{%s}", "{%s,\"x\":\"\xff\"}", "{%s,\"\xff\":1}", "{%s,\"x\":\"\xed\xa0\x80\"}",
	"{%s,\"x\":\"\xc0\x80\"}", `{%s,"x":"\ud800"}`, `{%s,"x":"\udc00\ud800"}`, `{%s,"x":"\u12"}`, `{%s,"x":"\x41"}`, `{%s,"x":"\'"}`,
	"{%s,\"x\":\"a\nb\"}", "{%s,\"x\":\"a\tb\"}", "{%s,\"x\":\"a\x00b\"}", `{%s,"x":"}`, `{%s,"x"}`, `{%s,"x":}`, `{%s,:1}`, `{%s,x:1}`, `{%s,'x':1}`, `{%s,1:1}`,
	`{%s,"x":01}`, `{%s,"x":+1}`, `{%s,"x":1.}`, `{%s,"x":.1}`, `{%s,"x":1e}`, `{%s,"x":0x1}`, `{%s,"x":NaN}`, `{%s,"x":Infinity}`, `{%s,"x":nul}`, `{%s,"x":TRUE}`,
	`{%s,"x":[1,]}`, `{%s,"x":{"a":1,"a":2}}`, `{%s,"x":1,"x":2}`, `{%s,"x":1,"\u0078":2}`, "{%s/**/}", "{%s}//",
	`{%s,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	`{%s,"x":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + `}`,
	`{%s,"x":` + strings.Repeat("[", 8000),
	strings.Repeat("[", 16000), strings.Repeat(`{"":`, 4000),
	`{%s,"x":"` + strings.Repeat("a", 16<<10) + `"}`,
	"{%s}" + strings.Repeat(" ", 16<<10),
}

// places are where the versions of the API are.
var places = []string{"v0", "v1", "v2"}

// utf16of is s in UTF-16 of this order.
func utf16of(order binary.AppendByteOrder, s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// hostileBodies are bodies that no version accepts for an operation with these two members, each `"name":"value"`.
func hostileBodies(first, second string) []string {
	name := func(member string) string { return member[:strings.Index(member, ":")] }
	value := func(member string) string { return member[strings.Index(member, ":")+1:] }
	bodies := []string{
		"{" + first + "}", "{" + second + "}", // one is missing
		"{" + first + "," + second + "," + second + "}", // twice
		"{" + first + "," + first + "," + second + "}",
		"{" + first + "," + second + "," + name(first) + ":null}",
		"{" + strings.ToUpper(name(first)) + ":" + value(first) + "," + second + "}", // not its name
		"{" + first + "," + strings.ToUpper(name(second)) + ":" + value(second) + "}",
		"{" + strings.ToLower(name(first)) + ":" + value(first) + "," + second + "}",
		"{" + strings.Replace(first, `":`, ` ":`, 1) + "," + second + "}",
		"{" + strings.Replace(first, `":`, "\u200b\":", 1) + "," + second + "}",
		"{" + first + `,"x":{` + second + "}}", // not at the top
		`{"body":{` + first + "," + second + "}}",
	}
	wrong := []string{"null", "0", "-0", "1e400", strings.Repeat("9", 5000), "0.1", "true", "false", "[]", "{}", `""`, "[" + value(first) + "]", "[" + value(second) + "]", `{"value":` + value(first) + "}"}
	for _, w := range wrong {
		bodies = append(bodies, "{"+name(first)+":"+w+","+second+"}", "{"+first+","+name(second)+":"+w+"}")
	}
	sound := "{" + first + "," + second + "}"
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		bodies = append(bodies, utf16of(order, sound), utf16of(order, "\ufeff"+sound))
	}
	for _, h := range hostile {
		bodies = append(bodies, strings.ReplaceAll(h, "%s", first+","+second))
	}
	return bodies
}

// TestHostileBodies: each is 400 in every version, of a known length or not, and nothing is called.
func TestHostileBodies(t *testing.T) {
	p := newPlant(t, func(p *plant) {
		p.codes = &codes{} // nothing may be called
		p.live.Clients[0].Burst = 1 << 16
	})
	for _, place := range places {
		for path, bodies := range map[string][]string{
			"/send-code":     hostileBodies(`"phoneNumber":"+34600000001"`, `"message":"{{code}}"`),
			"/validate-code": hostileBodies(`"authenticationId":"id"`, `"code":"123456"`),
		} {
			if len(bodies) < 60 {
				t.Errorf("only %d bodies", len(bodies))
			}
			path = "/one-time-password-sms/" + place + path
			for _, body := range bodies {
				shown := body[:min(len(body), 120)]
				if a := p.post(path, body); !a.is(400, "INVALID_ARGUMENT") {
					t.Errorf("%s: %q: %d %s", path, shown, a.status, a.code)
				}
				r := request(path, body)
				r.ContentLength = -1 // as a chunked one
				if a := p.do(r); !a.is(400, "INVALID_ARGUMENT") {
					t.Errorf("%s, chunked: %q: %d %s", path, shown, a.status, a.code)
				}
			}
		}
	}
}

// withStore stands the plant on a real store, in which the second wrong code ends a verification.
func withStore(t *testing.T) func(*plant) {
	t.Helper()
	policy := otpstore.DefaultPolicy()
	policy.MaxAttempts = 2
	s, err := otpstore.Open(otpstore.Config{Dir: t.TempDir()}, policy, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return func(p *plant) {
		p.codes = &codes{issue: s.Issue, sent: s.Sent, discard: s.Discard, unknown: s.Unknown, verify: s.Verify, lookup: s.Lookup, cancel: s.Cancel, list: s.List}
	}
}

// TestHostileBodiesCostNoTry: with the right id and a wrong code in them, in every version, none costs one of the two tries. A wrong code
// of good shape costs the first of them, and the right one is good afterwards.
func TestHostileBodiesCostNoTry(t *testing.T) {
	var text string
	p := newPlant(t, withStore(t), func(p *plant) {
		p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) {
			text = m.Text
			return smpp.Accepted{SMSC: "smsc-a", MessageIDs: []string{"4711"}}, nil
		}
	})
	for i, place := range places {
		t.Run(place, func(t *testing.T) {
			base := "/one-time-password-sms/" + place
			var sent struct{ AuthenticationID string }
			a := p.post(base+"/send-code", fmt.Sprintf(`{"phoneNumber":"+3460000000%d","message":"{{code}}"}`, i))
			if err := json.Unmarshal([]byte(a.body), &sent); err != nil || a.status != http.StatusOK {
				t.Fatalf("%d %s, %v", a.status, a.body, err)
			}
			wrong := strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, text)
			for _, body := range hostileBodies(fmt.Sprintf(`"authenticationId":%q`, sent.AuthenticationID), fmt.Sprintf(`"code":%q`, wrong)) {
				if a := p.post(base+"/validate-code", body); !a.is(400, "INVALID_ARGUMENT") {
					t.Errorf("%q: %d %s", body[:min(len(body), 120)], a.status, a.code)
				}
			}
			check := func(code string) answer {
				return p.post(base+"/validate-code", fmt.Sprintf(`{"authenticationId":%q,"code":%q}`, sent.AuthenticationID, code))
			}
			if a := check(wrong); !a.is(400, otp+"INVALID_OTP") {
				t.Errorf("a wrong code: %d %s", a.status, a.code)
			}
			if a := check(text); a.status != http.StatusNoContent {
				t.Errorf("the right code: %d %s", a.status, a.code)
			}
		})
	}
}

// What a version 1 server has to understand.
func TestSoundBodies(t *testing.T) {
	p := newPlant(t)
	for _, body := range []string{
		sendBody,
		" \t\r\n" + sendBody + " \t\r\n",
		`{"message":"{{code}}","phoneNumber":"+34600000001"}`,
		`{"phoneNumber":"+34600000001","message":"{{code}}","x":[{"phoneNumber":1},null],"PHONENUMBER":"x","":0}`,
		`{"phone\u004eumber":"\u002b34600000001","message":"\u007b{code}}"}`,
		`{"phoneNumber":"+34600000001","message":"a\nb {{code}}\r\n"}`,
		`{"phoneNumber":"+34600000001","message":"{{code}} \ud83d\ude00"}`,
		`{"phoneNumber":"+34600000001","message":"{{code}}","x":1e400,"y":` + strings.Repeat("9", 1000) + `}`,
		`{"phoneNumber":"+34600000001","message":"{{code}}","x":"` + strings.Repeat("a", 16<<10-63) + `"}`,
	} {
		if a := p.post(sendPath, body); a.status != http.StatusOK {
			t.Errorf("%q: %d %s", body[:min(len(body), 100)], a.status, a.body)
		}
	}
}

func TestPhoneNumbers(t *testing.T) {
	var number string
	p := newPlant(t, func(p *plant) {
		p.numbers = numbers.DefaultConfig() // every number is served
		p.codes.issue = func(_ context.Context, r otpstore.Request) (otpstore.Issued, error) {
			n := r.Number
			number = n
			return otpstore.Issued{ID: authID, Code: theCode}, nil
		}
	})
	for n, ok := range map[string]bool{
		"+12345": true, "+346661113334": true, "+123456789012345": true,
		"3301": false, "346661113334": false, "+0123456": false, "+1234": false, "+1234567890123456": false, "+": false, "++12345": false,
		"+12345 ": false, " +12345": false, "+12 345": false, "+1234a": false, "+1-2345": false, "+12345\n": false, "0034600000001": false,
		"+٣٤٦٠٠٠٠٠٠": false, "＋34600000001": false, "+34600000001,": false, "tel:+34600000001": false, "+34600000001;ext=1": false,
	} {
		number = ""
		a := p.post(sendPath, fmt.Sprintf(`{"phoneNumber":%q,"message":"{{code}}"}`, n))
		if ok && (a.status != 200 || number != n) || !ok && (!a.is(400, "INVALID_ARGUMENT") || number != "") {
			t.Errorf("%q: %d %s, issued for %q", n, a.status, a.code, number)
		}
	}
}

// TestMessages: what has {{code}} in it and 1 to 160 code points, of whatever plane, is a message in every version.
func TestMessages(t *testing.T) {
	type row struct {
		text string
		ok   bool
	}
	rows := []row{
		{"{{code}}", true},
		{"{{code}}{{code}}", true},
		{"{{{code}}}", true},
		{"a\n{{code}}\nb", true},
		{"", false},
		{"{{CODE}}", false},
		{"{{ code }}", false},
		{"{code}", false},
		{"{{code}", false},
		{"${code}", false},
		{"{{co\u0301de}}", false},
		{"｛｛code｝｝", false},
	}
	// One of each plane and width that has any, and what only looks like one character: letters with marks and joined emoji.
	for _, unit := range []string{"x", "é", "\u0301", "ي", "€", "漢", "ﬀ", "\u200d", "\ufe0f", "\U0001F600", "\U0001F3FF", "\U00020000", "\U00030000", "\U000E0100", "e\u0301", "👨\u200d👩\u200d👧", "🇪🇸"} {
		room := (160 - 8) / utf8.RuneCountInString(unit)
		full := "{{code}}" + strings.Repeat(unit, room)
		full += strings.Repeat("x", 160-utf8.RuneCountInString(full))
		rows = append(rows, row{full, true}, row{full + "x", false}, row{"{{code}}" + strings.Repeat(unit, room+1), utf8.RuneCountInString(unit)*(room+1) <= 152})
	}
	p := newPlant(t, func(p *plant) { p.live.Clients[0].Burst = 1 << 16 })
	for _, place := range places {
		for _, c := range rows {
			message, err := json.Marshal(c.text)
			if err != nil {
				t.Fatal(err)
			}
			a := p.post("/one-time-password-sms/"+place+"/send-code", fmt.Sprintf(`{"phoneNumber":%q,"message":%s}`, theNumber, message))
			if c.ok && a.status != 200 || !c.ok && !a.is(400, "INVALID_ARGUMENT") {
				t.Errorf("%s: %q: %d %s", place, c.text, a.status, a.body)
			}
		}
	}
}

// Wrong forms never reach the store, and so never cost a try; the lengths are those of characters.
func TestCodesAndIDs(t *testing.T) {
	var asked bool
	p := newPlant(t, func(p *plant) {
		p.codes.verify = func(_ context.Context, client, id, code string) error {
			asked = true
			if client != "acme" {
				t.Errorf("for client %q", client)
			}
			return otpstore.ErrNotFound
		}
	})
	for _, c := range []struct {
		id, code string
		ok       bool
	}{
		{"1", "1", true},
		{strings.Repeat("é", 36), strings.Repeat("😀", 10), true},
		{"an id / with anything", "AJY3", true},
		{strings.Repeat("x", 37), "1", false},
		{"1", "thisCodeExceedsTenCharacters", false},
		{"1", strings.Repeat("1", 11), false},
		{"", "1", false},
		{"1", "", false},
	} {
		asked = false
		a := p.post(verifyPath, fmt.Sprintf(`{"authenticationId":%q,"code":%q}`, c.id, c.code))
		if asked != c.ok || c.ok && !a.is(404, "NOT_FOUND") || !c.ok && !a.is(400, "INVALID_ARGUMENT") {
			t.Errorf("%q, %q: %d %s, asked: %v", c.id, c.code, a.status, a.code, asked)
		}
	}
}

// A declared length alone is enough to refuse a body; none of it is read.
func TestOversizeIsRefusedUnread(t *testing.T) {
	p := newPlant(t)
	r := request(sendPath, "")
	r.Body = unreadable{t}
	r.ContentLength = 16<<10 + 1
	if a := p.do(r); !a.is(400, "INVALID_ARGUMENT") || p.metric("otpgw_http_refusals_total", "reason", "body_too_long") != 1 {
		t.Errorf("%d %s", a.status, a.code)
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	p := newPlant(t)
	r := request(sendPath, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(sendBody[:20]), failingReader{}))
	r.ContentLength = int64(len(sendBody))
	if a := p.do(r); !a.is(400, "INVALID_ARGUMENT") || p.metric("otpgw_http_refusals_total", "reason", "body_unread") != 1 {
		t.Errorf("%d %s", a.status, a.code)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBroken }

// TestBodyCutOffByAHangUpIsNotActedUpon: what came was a whole object, but less than was announced.
func TestBodyCutOffByAHangUpIsNotActedUpon(t *testing.T) {
	p := newPlant(t)
	r := request(verifyPath, verifyBody)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(verifyBody), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.ContentLength = int64(len(verifyBody)) + 100
	if a := p.do(r); !a.is(400, "INVALID_ARGUMENT") {
		t.Errorf("%d %s", a.status, a.code)
	}
}
