package httpapi_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/tokens"
	"otpgw/smpp"
)

// Of two things that are wrong the first in this order is told. Each step's request has its own fault and those
// of all steps after it.
func TestOrderOfChecks(t *testing.T) {
	limited := func(p *plant) { p.live.Clients[0].Rate, p.live.Clients[0].Burst = 1e-3, 1 }
	foreign := `{"phoneNumber":"+447700900123","message":"{{code}}"}`
	tooLong := func(p *plant) {
		p.sender.check = func(smpp.Message) error { return &smpp.TextError{Segments: 2, Max: 1} }
	}
	for _, c := range []struct {
		name   string
		method string
		path   string
		body   string
		h      []string
		status int
		code   string
	}{
		{"path", "GET", base + "/nothing", "{", []string{"Authorization", "Bearer bad", "x-correlator", "a b", "Content-Type", "text/xml", "Accept", "text/xml"}, 404, "NOT_FOUND"},
		{"method", "PUT", sendPath, "{", []string{"Authorization", "Bearer bad", "x-correlator", "a b", "Content-Type", "text/xml", "Accept", "text/xml"}, 405, "METHOD_NOT_ALLOWED"},
		{"token", "POST", sendPath, "{", []string{"Authorization", "Bearer bad", "x-correlator", "a b", "Content-Type", "text/xml", "Accept", "text/xml"}, 401, "UNAUTHENTICATED"},
		{"scope", "POST", sendPath, "{", []string{"Authorization", "Bearer unscoped-token", "x-correlator", "a b", "Content-Type", "text/xml", "Accept", "text/xml"}, 403, "PERMISSION_DENIED"},
		{"client", "POST", sendPath, "{", []string{"Authorization", "Bearer retired-token", "x-correlator", "a b", "Content-Type", "text/xml", "Accept", "text/xml"}, 403, "PERMISSION_DENIED"},
		{"correlator", "POST", sendPath, "{", []string{"x-correlator", "a b", "Content-Type", "text/xml", "Accept", "text/xml"}, 400, "INVALID_ARGUMENT"},
		{"content type", "POST", sendPath, "{", []string{"Content-Type", "text/xml", "Accept", "text/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"accept", "POST", sendPath, "{", []string{"Accept", "text/xml"}, 406, "NOT_ACCEPTABLE"},
		{"rate", "POST", sendPath, "{", nil, 429, "TOO_MANY_REQUESTS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlant(t, limited, tooLong)
			if a := p.post(verifyPath, verifyBody); a.status != http.StatusNoContent {
				t.Fatalf("the request that empties the bucket: %d", a.status)
			}
			r := request(c.path, c.body, c.h...)
			r.Method = c.method
			if a := p.do(r); !a.is(c.status, c.code) {
				t.Errorf("%d %s, want %d %s", a.status, a.code, c.status, c.code)
			}
		})
	}
	t.Run("body before number", func(t *testing.T) {
		p := newPlant(t, tooLong)
		if a := p.post(sendPath, strings.Replace(foreign, "{{code}}", "", 1)); !a.is(400, "INVALID_ARGUMENT") {
			t.Errorf("%d %s", a.status, a.code)
		}
	})
	t.Run("number before text", func(t *testing.T) {
		p := newPlant(t, tooLong)
		if a := p.post(sendPath, foreign); !a.is(404, "NOT_FOUND") {
			t.Errorf("%d %s", a.status, a.code)
		}
	})
	t.Run("text before anything is counted", func(t *testing.T) {
		p := newPlant(t, tooLong)
		p.codes.issue = nil // must not be called
		if a := p.post(sendPath, sendBody); !a.is(400, "INVALID_ARGUMENT") {
			t.Errorf("%d %s", a.status, a.code)
		}
	})
}

func TestPathsAndMethods(t *testing.T) {
	p := newPlant(t)
	for _, path := range []string{"/", "/one-time-password-sms", base, base + "/", sendPath + "/", sendPath + "/x", "/one-time-password-sms/v3/send-code",
		"/one-time-password-sms/v2rc2/send-code", "//one-time-password-sms/v1/send-code", "/one-time-password-sms/V1/send-code", base + "/Send-Code",
		base + "/send%2Dcode", base + "/send-code%00", base + "/./send-code", base + "/../v1/send-code", "/" + strings.Repeat("a", 4096)} {
		if a := p.do(request(path, sendBody)); !a.is(404, "NOT_FOUND") {
			t.Errorf("%s: %d %s", path, a.status, a.code)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "X"} {
		for _, path := range []string{sendPath, verifyPath} {
			r := request(path, "")
			r.Method = method
			a := p.do(r)
			if !a.is(405, "METHOD_NOT_ALLOWED") || len(a.header["Allow"]) != 1 || a.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: %d %s, Allow %q", method, path, a.status, a.code, a.header["Allow"])
			}
		}
	}
	if a := p.do(request(sendPath+"?x=%zz&access_token=a;b", sendBody)); a.status != http.StatusOK {
		t.Errorf("a query is not ignored: %d", a.status)
	}
	if n := p.metric("otpgw_http_requests_total", "route", "other", "status", "404"); n < 10 {
		t.Errorf("%v unknown paths counted", n)
	}
}

func TestTokens(t *testing.T) {
	long := strings.Repeat("x", 8<<10)
	p := newPlant(t, authenticateWith(tokens.File([]tokens.Token{
		token(theToken, "acme", time.Hour, scope, "openid"),
		token(long, "acme", time.Hour, scope),
		token(long+"x", "acme", time.Hour, scope),
		token("expired-token", "acme", 0, scope),
		{SHA256: sha256.Sum256([]byte("timeless-token")), Client: "acme", Scopes: []string{scope}},
		token("unscoped-token", "acme", time.Hour, scope+"x", "one-time-password-sms", "openid "+scope),
		token("retired-token", "retired", time.Hour, scope),
		token("stray-token", "nobody", time.Hour, scope),
	})))
	for _, c := range []struct {
		name   string
		values []string
		status int
	}{
		{"right", []string{"Bearer " + theToken}, 200},
		{"scheme in lower case", []string{"bearer " + theToken}, 200},
		{"scheme in upper case", []string{"BEARER " + theToken}, 200},
		{"two spaces", []string{"Bearer  " + theToken}, 200},
		{"none", nil, 401},
		{"empty", []string{""}, 401},
		{"no token", []string{"Bearer"}, 401},
		{"no token but spaces", []string{"Bearer   "}, 401},
		{"no scheme", []string{theToken}, 401},
		{"glued", []string{"Bearer" + theToken}, 401},
		{"other scheme", []string{"Basic " + theToken}, 401},
		{"DPoP", []string{"DPoP " + theToken}, 401},
		{"tab", []string{"Bearer\t" + theToken}, 401},
		{"leading space", []string{" Bearer " + theToken}, 401},
		{"trailing space", []string{"Bearer " + theToken + " "}, 401},
		{"other case", []string{"Bearer " + strings.ToUpper(theToken)}, 401},
		{"two tokens", []string{"Bearer " + theToken + ", Bearer " + theToken}, 401},
		{"two headers", []string{"Bearer " + theToken, "Bearer " + theToken}, 401},
		{"prefix", []string{"Bearer " + theToken[:5]}, 401},
		{"8 KiB", []string{"Bearer " + long}, 200},
		{"8 KiB and one", []string{"Bearer " + long + "x"}, 401},
		{"expired", []string{"Bearer expired-token"}, 401},
		{"without an end", []string{"Bearer timeless-token"}, 401},
		{"unknown", []string{"Bearer unknown-token"}, 401},
		{"without the scope", []string{"Bearer unscoped-token"}, 403},
		{"of a disabled client", []string{"Bearer retired-token"}, 403},
		{"of no client", []string{"Bearer stray-token"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(sendPath, sendBody)
			r.Header["Authorization"] = c.values
			a := p.do(r)
			if a.status != c.status {
				t.Fatalf("%d %s, want %d", a.status, a.code, c.status)
			}
			want := map[int]string{
				200: "",
				401: `Bearer realm="one-time-password-sms", error="invalid_token"`,
				403: `Bearer realm="one-time-password-sms", error="insufficient_scope", scope="one-time-password-sms:send-validate"`,
			}[a.status]
			if c.values == nil {
				want = `Bearer realm="one-time-password-sms"`
			}
			if got := a.header.Get("WWW-Authenticate"); got != want {
				t.Errorf("WWW-Authenticate: %q, want %q", got, want)
			}
		})
	}
	t.Run("in the query", func(t *testing.T) {
		a := p.do(request(sendPath+"?access_token="+theToken, sendBody, "Authorization", "-"))
		if a.status != http.StatusUnauthorized {
			t.Errorf("%d", a.status)
		}
	})
}

// The body is not touched before the token is known to be good.
func TestNoBodyIsReadForAStranger(t *testing.T) {
	p := newPlant(t)
	r := request(sendPath, "", "Authorization", "Bearer bad")
	r.Body = unreadable{t}
	r.ContentLength = 1 << 40
	if a := p.do(r); a.status != http.StatusUnauthorized {
		t.Errorf("%d", a.status)
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, errBroken }
func (u unreadable) Close() error             { return nil }

func TestAuthenticateSeesTheDeadline(t *testing.T) {
	var bounded bool
	p := newPlant(t, authenticateWith(func(ctx context.Context, _ *http.Request) (tokens.Principal, error) {
		_, bounded = ctx.Deadline()
		return tokens.Principal{Client: "acme", Scopes: []string{scope}}, nil
	}))
	if a := p.post(sendPath, sendBody); a.status != http.StatusOK || !bounded {
		t.Errorf("%d, deadline: %v", a.status, bounded)
	}
}
