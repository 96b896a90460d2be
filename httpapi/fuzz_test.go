package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"otpgw/otpstore"
	"otpgw/smpp"
)

// members is what the standard library makes of a body: the oracle for what was let through.
func members(t *testing.T, body string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("let through: %q: %v", body, err)
	}
	if !utf8.ValidString(body) {
		t.Fatalf("let through: %q is not UTF-8", body)
	}
	return m
}

func seed(f *testing.F, first, second string) {
	f.Add("{" + first + "," + second + "}")
	for _, h := range hostile {
		f.Add(strings.ReplaceAll(h, "%s", first+","+second))
	}
}

func FuzzSendCode(f *testing.F) {
	seed(f, `"phoneNumber":"+34600000001"`, `"message":"{{code}}"`)
	var sent *smpp.Message
	p := newPlant(f)
	p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) {
		sent = &m
		return smpp.Accepted{}, nil
	}
	number := regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)
	f.Fuzz(func(t *testing.T, body string) {
		p.t, sent = t, nil
		a := p.post(sendPath, body)
		if (a.status == http.StatusOK) != (sent != nil) {
			t.Fatalf("%d, sent: %v", a.status, sent)
		}
		if a.status != http.StatusOK {
			if a.status != 400 && a.status != 403 && a.status != 404 {
				t.Fatalf("%d %s", a.status, a.code)
			}
			return
		}
		m := members(t, body)
		text, _ := m["message"].(string)
		if m["phoneNumber"] != sent.To || !number.MatchString(sent.To) {
			t.Fatalf("sent to %q", sent.To)
		}
		if n := utf8.RuneCountInString(text); n > 160 || sent.Text != strings.ReplaceAll(text, "{{code}}", theCode) || sent.Text == text {
			t.Fatalf("sent %q for %q", sent.Text, text)
		}
	})
}

func FuzzValidateCode(f *testing.F) {
	seed(f, `"authenticationId":"id"`, `"code":"123456"`)
	var asked []string
	p := newPlant(f)
	p.codes.verify = func(_ context.Context, _, id, code string) error {
		asked = []string{id, code}
		return otpstore.ErrWrongCode
	}
	f.Fuzz(func(t *testing.T, body string) {
		p.t, asked = t, nil
		a := p.post(verifyPath, body)
		if a.status != 400 || (a.code == otp+"INVALID_OTP") != (asked != nil) {
			t.Fatalf("%d %s, asked %q", a.status, a.code, asked)
		}
		if asked == nil {
			return
		}
		m := members(t, body)
		if m["authenticationId"] != asked[0] || m["code"] != asked[1] {
			t.Fatalf("asked %q", asked)
		}
		if n, k := utf8.RuneCountInString(asked[0]), utf8.RuneCountInString(asked[1]); n < 1 || n > 36 || k < 1 || k > 10 {
			t.Fatalf("asked %q", asked)
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("Bearer "+theToken, correlator, "application/json", "*/*")
	f.Add("bearer x", "a b", "application/json; charset=utf-8", "application/*;q=0, text/html")
	f.Add("", "", "", "")
	f.Add("DPoP "+theToken, strings.Repeat("x", 257), `application/json; charset="`, ",;,q=;=")
	p := newPlant(f)
	f.Fuzz(func(t *testing.T, authorization, correlator, contentType, accept string) {
		p.t = t
		r := request(verifyPath, verifyBody)
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Correlator"] = []string{correlator}
		r.Header["Content-Type"] = []string{contentType}
		r.Header["Accept"] = []string{accept}
		a := p.do(r)
		switch a.status {
		case 204:
			if !strings.EqualFold(strings.TrimRight(authorization[:7], " "), "Bearer") || !strings.HasSuffix(authorization, " "+theToken) {
				t.Fatalf("let in with %q", authorization)
			}
		case 400, 401, 403, 406, 415:
		default:
			t.Fatalf("%d %s", a.status, a.code)
		}
		if echoed := a.header.Get("x-correlator"); echoed != correlator && !uuidForm.MatchString(echoed) {
			t.Fatalf("x-correlator %q for %q", echoed, correlator)
		}
	})
}
