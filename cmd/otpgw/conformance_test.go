package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

const prefixAPI = "ONE_TIME_PASSWORD_SMS."

// TestConformanceV1 plays every published CAMARA One Time Password SMS scenario of version 1, by its id, over HTTP
// against the real binary: the ids of 1.1.x, and those that only 1.0.0 had.
func TestConformanceV1(t *testing.T) {
	const (
		correlator = "b4333c46-49c0-4f62-80d7-f0ef930f1c46"
		maxSend    = 3 // accepted sends; the tester's max_send is one more
		maxTry     = 3
	)
	expired, unscoped := "expired-token-of-acme", "token-without-the-scope"
	p := newPlant(t,
		otp("send_limit", fmt.Sprint(maxSend)),
		otp("max_attempts", fmt.Sprint(maxTry)),
		func(c *plantConfig) {
			c.numbers = `own = ["+346"]
landline = ["+34691"]
not_allowed = ["+346066"]
blocked = ["+346077"]`
			c.tokens = tokenStanza(expired, "acme", time.Now().Add(-time.Second)) +
				strings.Replace(tokenStanza(unscoped, "acme", time.Now().Add(time.Hour)), "send-validate", "other", 1)
		})
	// A plant of its own where a code lives for a second only.
	brief := newPlant(t, otp("ttl", `"1s"`))

	next := 0
	fresh := func() string { next++; return number(next) }
	header := func(pairs ...string) http.Header {
		h := http.Header{"X-Correlator": {correlator}}
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				h[pairs[i]] = nil
			} else {
				h[pairs[i]] = []string{pairs[i+1]}
			}
		}
		return h
	}
	bearer := func(token string) http.Header { return header("Authorization", "Bearer "+token) }
	send := func(body string, h http.Header) answer { return p.post("/send-code", body, h) }
	validate := func(body string, h http.Header) answer { return p.post("/validate-code", body, h) }

	scenarios := 0
	scenario := func(id, title string, play func(t *testing.T) (got answer, status int, code string)) {
		scenarios++
		t.Run(strings.ReplaceAll(id+" "+title, " ", "_"), func(t *testing.T) {
			p.t, brief.t = t, t
			got, status, code := play(t)
			if got.status != status || got.code != code {
				t.Fatalf("%d %q, want %d %q: %s", got.status, got.code, status, code, got.body)
			}
			checkAnswer(t, got, correlator)
		})
	}
	defer func() { p.t, brief.t = t, t }()

	const sendID, validateID = "@OTPvalidationAPI_sendCode_", "@OTPvalidationAPI_validateCode_"
	ok, bad := http.StatusOK, http.StatusBadRequest

	scenario(sendID+"01", "success", func(*testing.T) (answer, int, string) {
		return send(sendBody(fresh()), header()), ok, ""
	})
	scenario(sendID+"02", "success without x-correlator", func(t *testing.T) (answer, int, string) {
		a := send(sendBody(fresh()), header("X-Correlator", ""))
		if !uuidForm.MatchString(a.header.Get("x-correlator")) {
			t.Errorf("x-correlator of the answer is %q, want a UUID", a.header.Get("x-correlator"))
		}
		a.header.Set("x-correlator", correlator) // for the common checks
		return a, ok, ""
	})
	scenario(sendID+"400.1", "no body", func(*testing.T) (answer, int, string) {
		return send("", header()), bad, "INVALID_ARGUMENT"
	})
	for _, s := range []struct{ id, title, body string }{
		{"400.2", "empty body", `{}`},
		{"400.3", "no phone number (1.0.0)", `{"message":"{{code}} is your code"}`},
		{"400.4", "phone number against the pattern", `{"phoneNumber":"3301","message":"{{code}} is your code"}`},
		{"400.5", "message absent", `{"phoneNumber":"+34600000900"}`},
		{"400.5", "message null", `{"phoneNumber":"+34600000900","message":null}`},
		{"400.5", "message empty", `{"phoneNumber":"+34600000900","message":""}`},
		{"400.6", "message without code", `{"phoneNumber":"+34600000900","message":"message without code"}`},
		{"400.7", "message too long", `{"phoneNumber":"+34600000900","message":"{{code}}` + strings.Repeat("x", 153) + `"}`},
	} {
		scenario(sendID+s.id, s.title, func(*testing.T) (answer, int, string) {
			return send(s.body, header()), bad, "INVALID_ARGUMENT"
		})
	}
	for _, s := range []struct {
		id, title string
		h         http.Header
	}{
		{"401.1", "no Authorization", header("Authorization", "")},
		{"401.2", "expired token", bearer(expired)},
		{"401.3", "invalid token", bearer("no-such-token")},
	} {
		scenario(sendID+s.id, s.title, func(*testing.T) (answer, int, string) {
			return send(sendBody(fresh()), s.h), http.StatusUnauthorized, "UNAUTHENTICATED"
		})
		scenario(validateID+s.id, s.title, func(*testing.T) (answer, int, string) {
			return validate(validateBody("an-id", "123456"), s.h), http.StatusUnauthorized, "UNAUTHENTICATED"
		})
	}
	scenario(sendID+"403 PERMISSION_DENIED", "token without the scope", func(*testing.T) (answer, int, string) {
		return send(sendBody(fresh()), bearer(unscoped)), http.StatusForbidden, "PERMISSION_DENIED"
	})
	scenario(sendID+"03", "too many codes", func(t *testing.T) (answer, int, string) {
		to := fresh()
		for range maxSend {
			if a := send(sendBody(to), header()); a.status != ok {
				t.Fatalf("a send within the limit: %d %s", a.status, a.body)
			}
		}
		a := send(sendBody(to), header())
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		return a, http.StatusForbidden, prefixAPI + "MAX_OTP_CODES_EXCEEDED"
	})
	scenario(sendID+"04", "number that cannot receive SMS", func(*testing.T) (answer, int, string) {
		return send(sendBody("+34606600001"), header()), http.StatusForbidden, prefixAPI + "PHONE_NUMBER_NOT_ALLOWED"
	})
	scenario(sendID+"05", "landline", func(*testing.T) (answer, int, string) {
		return send(sendBody("+34691000001"), header()), http.StatusForbidden, prefixAPI + "PHONE_NUMBER_NOT_ALLOWED"
	})
	scenario(sendID+"06", "SMS barring", func(*testing.T) (answer, int, string) {
		return send(sendBody("+34607700001"), header()), http.StatusForbidden, prefixAPI + "PHONE_NUMBER_BLOCKED"
	})
	scenario(sendID+"404.1", "number of another operator", func(*testing.T) (answer, int, string) {
		return send(sendBody("+447700900123"), header()), http.StatusNotFound, "NOT_FOUND"
	})
	for _, op := range []string{"/send-code", "/validate-code"} {
		id := map[string]string{"/send-code": sendID, "/validate-code": validateID}[op]
		body := map[string]string{"/send-code": sendBody("+34600000900"), "/validate-code": validateBody("an-id", "123456")}[op]
		scenario(id+"405", "GET (r1.1)", func(t *testing.T) (answer, int, string) {
			a, err := p.call(http.MethodGet, op, "", header())
			if err != nil {
				t.Fatal(err)
			}
			if a.header.Get("Allow") != http.MethodPost {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
			return a, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"
		})
		scenario(id+"406", "Accept application/xml (1.0.0)", func(*testing.T) (answer, int, string) {
			return p.post(op, body, header("Accept", "application/xml")), http.StatusNotAcceptable, "NOT_ACCEPTABLE"
		})
		scenario(id+"415", "Content-Type application/xml (1.0.0)", func(*testing.T) (answer, int, string) {
			return p.post(op, body, header("Content-Type", "application/xml")), http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE"
		})
	}

	scenario(validateID+"01", "success", func(*testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		return validate(validateBody(id, code), header()), http.StatusNoContent, ""
	})
	scenario(validateID+"02", "success without x-correlator", func(t *testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		a := validate(validateBody(id, code), header("X-Correlator", ""))
		if !uuidForm.MatchString(a.header.Get("x-correlator")) {
			t.Errorf("x-correlator of the answer is %q, want a UUID", a.header.Get("x-correlator"))
		}
		a.header.Set("x-correlator", correlator)
		return a, http.StatusNoContent, ""
	})
	scenario(validateID+"400.1", "no body", func(*testing.T) (answer, int, string) {
		return validate("", header()), bad, "INVALID_ARGUMENT"
	})
	for _, s := range []struct{ id, title, body string }{
		{"400.2", "empty body", `{}`},
		{"400.3", "authenticationId absent", `{"code":"123456"}`},
		{"400.3", "authenticationId null", `{"authenticationId":null,"code":"123456"}`},
		{"400.3", "authenticationId empty", `{"authenticationId":"","code":"123456"}`},
		{"400.3", "code absent", `{"authenticationId":"an-id"}`},
		{"400.3", "code null", `{"authenticationId":"an-id","code":null}`},
		{"400.3", "code empty", `{"authenticationId":"an-id","code":""}`},
	} {
		scenario(validateID+s.id, s.title, func(*testing.T) (answer, int, string) {
			return validate(s.body, header()), bad, "INVALID_ARGUMENT"
		})
	}
	scenario(validateID+"400.4", "code too long costs no try", func(t *testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		var a answer
		for range maxTry + 1 {
			a = validate(validateBody(id, "thisCodeExceedsTenCharacters"), header())
		}
		if right := p.validate(id, code); right.status != http.StatusNoContent {
			t.Errorf("the right code afterwards: %d %s", right.status, right.body)
		}
		return a, bad, "INVALID_ARGUMENT"
	})
	scenario(validateID+"400.5", "wrong code", func(*testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		return validate(validateBody(id, wrongFor(code)), header()), bad, prefixAPI + "INVALID_OTP"
	})
	scenario(validateID+"400.6", "validity elapsed", func(t *testing.T) (answer, int, string) {
		id, code := brief.send(fresh())
		<-time.After(1100 * time.Millisecond) // the life of a code is the matter of this scenario, in real time
		return brief.post("/validate-code", validateBody(id, code), header()), bad, prefixAPI + "VERIFICATION_EXPIRED"
	})
	scenario(validateID+"400.7", "code of a replaced request", func(t *testing.T) (answer, int, string) {
		to := fresh()
		id, code := p.send(to)
		newID, newCode := p.send(to)
		a := validate(validateBody(id, code), header())
		if newer := p.validate(newID, newCode); newer.status != http.StatusNoContent {
			t.Errorf("the newer code: %d %s", newer.status, newer.body)
		}
		return a, bad, prefixAPI + "VERIFICATION_EXPIRED"
	})
	scenario(validateID+"400.8", "code used before", func(t *testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		if a := p.validate(id, code); a.status != http.StatusNoContent {
			t.Fatalf("first use: %d %s", a.status, a.body)
		}
		return validate(validateBody(id, code), header()), bad, prefixAPI + "VERIFICATION_EXPIRED"
	})
	scenario(validateID+"400.9", "too many tries", func(t *testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		for range maxTry - 1 {
			if a := p.validate(id, wrongFor(code)); a.code != prefixAPI+"INVALID_OTP" {
				t.Fatalf("a try within the limit: %d %s", a.status, a.body)
			}
		}
		last := validate(validateBody(id, wrongFor(code)), header())
		if a := p.validate(id, code); a.code != prefixAPI+"VERIFICATION_FAILED" {
			t.Errorf("the right code after the lock: %d %s", a.status, a.body)
		}
		return last, bad, prefixAPI + "VERIFICATION_FAILED"
	})
	scenario(validateID+"403", "token without the scope", func(*testing.T) (answer, int, string) {
		id, code := p.send(fresh())
		return validate(validateBody(id, code), bearer(unscoped)), http.StatusForbidden, "PERMISSION_DENIED"
	})
	scenario(validateID+"404", "unknown authenticationId", func(*testing.T) (answer, int, string) {
		return validate(validateBody("ea0840f3-3663-4149-bd10-c7c6b8912105", "123456"), header()), http.StatusNotFound, "NOT_FOUND"
	})
	t.Logf("CAMARA one-time-password-sms v1: %d scenarios", scenarios)
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// checkAnswer holds what is true of every answer: the caller's x-correlator, no caching, the exact media type, and an
// ErrorInfo whose status is the response's.
func checkAnswer(t *testing.T, a answer, correlator string) {
	t.Helper()
	if got := a.header.Values("x-correlator"); len(got) != 1 || got[0] != correlator {
		t.Errorf("x-correlator: %q, want %q", got, correlator)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	switch {
	case a.status == http.StatusNoContent:
		if a.body != "" || a.header.Get("Content-Type") != "" {
			t.Errorf("a 204 with Content-Type %q and body %q", a.header.Get("Content-Type"), a.body)
		}
	case a.header.Get("Content-Type") != "application/json":
		t.Errorf("Content-Type: %q", a.header.Get("Content-Type"))
	case a.status == http.StatusOK:
		if form := regexp.MustCompile(`^\{"authenticationId":"[0-9a-f-]{36}"\}\s*$`); !form.MatchString(a.body) {
			t.Errorf("body: %s", a.body)
		}
	default:
		form := regexp.MustCompile(fmt.Sprintf(`^\{"status":%d,"code":"[A-Z_.]+","message":".+"\}\s*$`, a.status))
		if !form.MatchString(a.body) {
			t.Errorf("ErrorInfo: %s", a.body)
		}
	}
}
