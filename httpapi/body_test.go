package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"otpgw/httpapi/numbers"
	"otpgw/otpstore"
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

func TestHostileBodies(t *testing.T) {
	p := newPlant(t, func(p *plant) {
		p.codes = &codes{} // nothing may be called
	})
	for _, op := range []struct{ path, first, second string }{
		{sendPath, `"phoneNumber":"+34600000001"`, `"message":"{{code}}"`},
		{verifyPath, `"authenticationId":"id"`, `"code":"123456"`},
	} {
		name := func(member string) string { return member[:strings.Index(member, ":")] }
		value := func(member string) string { return member[strings.Index(member, ":")+1:] }
		bodies := []string{
			"{" + op.first + "}", "{" + op.second + "}", // one is missing
			"{" + op.first + "," + op.second + "," + op.second + "}", // twice
			"{" + op.first + "," + op.first + "," + op.second + "}",
			"{" + op.first + "," + op.second + "," + name(op.first) + ":null}",
			"{" + strings.ToUpper(name(op.first)) + ":" + value(op.first) + "," + op.second + "}", // not its name
			"{" + op.first + "," + strings.ToUpper(name(op.second)) + ":" + value(op.second) + "}",
			"{" + op.first + `,"x":{` + op.second + "}}", // not at the top
		}
		for _, wrong := range []string{"null", "0", "1e400", "true", "false", "[]", "{}", `""`, "[" + value(op.first) + "]", "[" + value(op.second) + "]"} {
			bodies = append(bodies, "{"+name(op.first)+":"+wrong+","+op.second+"}", "{"+op.first+","+name(op.second)+":"+wrong+"}")
		}
		for _, h := range hostile {
			bodies = append(bodies, strings.ReplaceAll(h, "%s", op.first+","+op.second))
		}
		for _, body := range bodies {
			shown := body[:min(len(body), 120)]
			if a := p.post(op.path, body); !a.is(400, "INVALID_ARGUMENT") {
				t.Errorf("%s: %q: %d %s", op.path, shown, a.status, a.code)
			}
			r := request(op.path, body)
			r.ContentLength = -1 // as a chunked one
			if a := p.do(r); !a.is(400, "INVALID_ARGUMENT") {
				t.Errorf("%s, chunked: %q: %d %s", op.path, shown, a.status, a.code)
			}
		}
	}
	if n := len(hostile) + 28; n < 60 {
		t.Errorf("only %d bodies", n)
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

func TestMessages(t *testing.T) {
	p := newPlant(t)
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"{{code}}", true},
		{"{{code}}{{code}}", true},
		{"{{{code}}}", true},
		{"a\n{{code}}\nb", true},
		{"{{code}}" + strings.Repeat("x", 152), true},
		{"{{code}}" + strings.Repeat("😀", 152), true},
		{"{{code}}" + strings.Repeat("é", 152), true},
		{"{{code}}" + strings.Repeat("x", 153), false},
		{"{{code}}" + strings.Repeat("😀", 153), false},
		{"{{code}}" + strings.Repeat("\u0301", 153), false},
		{"{{CODE}}", false},
		{"{{ code }}", false},
		{"{code}", false},
		{"{{code}", false},
		{"${code}", false},
	} {
		a := p.post(sendPath, fmt.Sprintf(`{"phoneNumber":%q,"message":"%s"}`, theNumber, strings.ReplaceAll(c.text, "\n", `\n`)))
		if c.ok && a.status != 200 || !c.ok && !a.is(400, "INVALID_ARGUMENT") {
			t.Errorf("%q: %d %s", c.text, a.status, a.code)
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
