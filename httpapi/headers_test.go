package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestCorrelator(t *testing.T) {
	p := newPlant(t)
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name   string
		values []string
		echoed bool // else a new UUID
		status int
	}{
		{"valid", []string{correlator}, true, 200},
		{"every character", []string{"azAZ09-_:;./<>{}"}, true, 200},
		{"longest", []string{long}, true, 200},
		{"absent", nil, false, 200},
		{"empty", []string{""}, false, 200},
		{"too long", []string{long + "x"}, false, 400},
		{"space", []string{"a b"}, false, 400},
		{"plus", []string{theNumber}, false, 400},
		{"not ASCII", []string{"é"}, false, 400},
		{"invalid UTF-8", []string{"\xff"}, false, 400},
		{"backslash", []string{`a\b`}, false, 400},
		{"line feed", []string{"a\nb"}, false, 400},
		{"last a line feed", []string{"a\n"}, false, 400},
		{"comma", []string{"a,b"}, false, 400},
		{"twice", []string{"a", "a"}, false, 400},
		{"twice, empty", []string{"", ""}, false, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			for path, body := range map[string]string{sendPath: sendBody, verifyPath: verifyBody} {
				r := request(path, body)
				r.Header["X-Correlator"] = c.values
				a := p.do(r)
				want := c.status
				if path == verifyPath && want == 200 {
					want = 204
				}
				if a.status != want {
					t.Errorf("%s: %d, want %d", path, a.status, want)
				}
				got := a.header.Get("x-correlator")
				if c.echoed && got != c.values[0] || !c.echoed && !uuidForm.MatchString(got) {
					t.Errorf("%s: x-correlator %q", path, got)
				}
			}
		})
	}
	if a := p.do(request(base, "", "x-correlator", "a b")); a.status != 404 || !uuidForm.MatchString(a.header.Get("x-correlator")) {
		t.Errorf("unknown path: %d, %q", a.status, a.header.Get("x-correlator"))
	}
}

func TestContentType(t *testing.T) {
	p := newPlant(t)
	for _, c := range []struct {
		values []string
		body   string
		status int
	}{
		{[]string{"application/json"}, sendBody, 200},
		{[]string{"application/json; charset=utf-8"}, sendBody, 200},
		{[]string{"application/json;charset=UTF-8"}, sendBody, 200},
		{[]string{`Application/JSON ; Charset="utf-8"`}, sendBody, 200},
		{nil, sendBody, 415},
		{nil, "", 400},
		{[]string{"application/json"}, "", 400},
		{[]string{""}, sendBody, 415},
		{[]string{"application/json", "application/json"}, sendBody, 415},
		{[]string{"application/json, application/json"}, sendBody, 415},
		{[]string{"application/json; charset=utf-16"}, sendBody, 415},
		{[]string{"application/json; charset=iso-8859-1"}, sendBody, 415},
		{[]string{"application/json; version=1"}, sendBody, 415},
		{[]string{"application/json; charset"}, sendBody, 415},
		{[]string{"application/xml"}, sendBody, 415},
		{[]string{"application/xml"}, "", 415},
		{[]string{"application/jsonp"}, sendBody, 415},
		{[]string{"application/problem+json"}, sendBody, 415},
		{[]string{"text/json"}, sendBody, 415},
		{[]string{"application/*"}, sendBody, 415},
		{[]string{"application/x-www-form-urlencoded"}, "a=b", 415},
		{[]string{"multipart/form-data; boundary=x"}, "--x--", 415},
	} {
		r := request(sendPath, c.body)
		r.Header["Content-Type"] = c.values
		if a := p.do(r); a.status != c.status {
			t.Errorf("Content-Type %q, body %q: %d, want %d", c.values, c.body, a.status, c.status)
		}
	}
	for coding, status := range map[string]int{"gzip": 415, "identity": 200, "": 415, "identity, gzip": 415} {
		if a := p.post(sendPath, sendBody, "Content-Encoding", coding); a.status != status {
			t.Errorf("Content-Encoding %q: %d, want %d", coding, a.status, status)
		}
	}
	t.Run("body of unknown length without a type", func(t *testing.T) {
		r := request(sendPath, sendBody, "Content-Type", "-")
		r.ContentLength = -1
		if a := p.do(r); a.status != http.StatusUnsupportedMediaType {
			t.Errorf("%d", a.status)
		}
	})
}

func TestAccept(t *testing.T) {
	p := newPlant(t)
	for _, c := range []struct {
		values []string
		ok     bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{"*/*"}, true},
		{[]string{"application/*"}, true},
		{[]string{"application/json"}, true},
		{[]string{"APPLICATION/JSON"}, true},
		{[]string{"application/json; charset=utf-8"}, true},
		{[]string{"application/json;q=0.1"}, true},
		{[]string{"text/html, application/xml;q=0.9, */*;q=0.8"}, true},
		{[]string{"text/html", "application/json"}, true},
		{[]string{"*/*;q=0, application/json"}, true},
		{[]string{"application/json , text/html ; q=1"}, true},
		{[]string{"application/*;q=0, application/json;q=1"}, true},
		{[]string{"application/json;q=0, application/json"}, true},
		{[]string{"application/json, application/json;q=0"}, true},
		{[]string{"application/xml"}, false},
		{[]string{"text/*"}, false},
		{[]string{"application/json;q=0"}, false},
		{[]string{"application/json; q=0.000"}, false},
		{[]string{"*/*;q=0"}, false},
		{[]string{"application/json;q=0, */*"}, false},
		{[]string{"application/json;Q=0, application/*"}, false},
		{[]string{"application/json;q=x"}, false},
		{[]string{"application/jsonx"}, false},
		{[]string{"application/problem+json"}, false},
		{[]string{"json"}, false},
	} {
		want := 406
		if c.ok {
			want = 200
		}
		r := request(sendPath, sendBody)
		r.Header["Accept"] = c.values
		if a := p.do(r); a.status != want {
			t.Errorf("Accept %q: %d, want %d", c.values, a.status, want)
		}
	}
}
