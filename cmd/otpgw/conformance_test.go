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

// A release is one published release of the API: where it is served, how its scenarios are called, and which of our documents is its.
type release struct {
	name string
	base string
	ours string
	id   func(s playable) string // "" where it has not published the scenario
}

func at(place string) string { return "/one-time-password-sms/" + place }

// releases are all that were published but for candidates that another one followed.
var releases = []release{
	{"0.5.0", at("v0"), "v0", func(playable) string { return "" }}, // it came without scenarios
	{"1.0.0", at("v1"), "v1", func(s playable) string { return tag("@OTPvalidationAPI_"+s.op+"_", s.id10) }},
	{"1.1.0", at("v1"), "v1", func(s playable) string { return tag("@OTPvalidationAPI_"+s.op+"_", s.id11) }},
	{"1.1.1", at("v1"), "v1", func(s playable) string { return tag("@OTPvalidationAPI_"+s.op+"_", s.id11) }},
	{"2.0.0-rc.2", at("v2"), "v2", func(s playable) string {
		return tag(map[string]string{sendOp: "@otp_send_code_", validateOp: "@otp_validate_code_"}[s.op], s.id2)
	}},
}

func tag(prefix, id string) string {
	if id == "" {
		return ""
	}
	return prefix + id
}

const sendOp, validateOp = "sendCode", "validateCode"

// A playable is a scenario: a request, what leads to it, and how it is answered. Those that a release has not published are played all the same:
// its document lists their answers, or CAMARA's guide does.
type playable struct {
	op, title       string
	id10, id11, id2 string // in 1.0.0, 1.1.x and 2.0.0-rc.2
	play            func(c *tester) (got answer, status int, code string)
}

// A tester plays the scenarios of one release.
type tester struct {
	*testing.T
	release
	*plant
	brief  *plant // where a code lives for a second only
	short  struct{ id, code string }
	dies   time.Time // when short's life is surely over
	number func() string
}

const (
	testCorrelator = "b4333c46-49c0-4f62-80d7-f0ef930f1c46"
	maxSend        = 3 // accepted sends; the tester's max_send is one more
	maxTry         = 3
)

// Tokens of the plant, besides the one that is good.
const expiredToken, unscopedToken, slowToken, cappedToken = "expired-token-of-acme", "token-without-the-scope", "token-of-slow", "token-of-capped"

// with is the header of a good request but for the pairs; "" takes a header away.
func with(pairs ...string) http.Header {
	h := http.Header{"X-Correlator": {testCorrelator}}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = nil
		if pairs[i+1] != "" {
			h[pairs[i]] = []string{pairs[i+1]}
		}
	}
	return h
}

func bearer(token string) http.Header { return with("Authorization", "Bearer "+token) }

func (c *tester) sends(body string, h http.Header) answer  { return c.post("/send-code", body, h) }
func (c *tester) checks(body string, h http.Header) answer { return c.post("/validate-code", body, h) }
func (c *tester) guess(id, code string) answer             { return c.checks(validateBody(id, code), with()) }
func (c *tester) fresh() (id, code string)                 { return c.send(c.number()) }
func (c *tester) must(a answer, status int, code, at string) {
	c.Helper()
	if a.status != status || a.code != code {
		c.Fatalf("%s: %d %s, want %d %s", at, a.status, a.body, status, code)
	}
}

// TestConformance plays every published CAMARA One Time Password SMS scenario of every release, by its id, over HTTP against the real
// binary, and holds every request and every answer against the published document and against ours.
func TestConformance(t *testing.T) {
	p := newPlant(t,
		otp("send_limit", fmt.Sprint(maxSend)),
		otp("max_attempts", fmt.Sprint(maxTry)),
		func(c *plantConfig) {
			c.numbers = `own = ["+346"]
landline = ["+34691"]
not_allowed = ["+346066"]
blocked = ["+346077"]`
			hour := time.Now().Add(time.Hour)
			c.tokens = tokenStanza(expiredToken, "acme", time.Now().Add(-time.Second)) +
				strings.Replace(tokenStanza(unscopedToken, "acme", hour), "send-validate", "other", 1) +
				tokenStanza(slowToken, "slow", hour) + tokenStanza(cappedToken, "capped", hour)
			c.clients = `
[[client]]
id = "slow"
sender = "SLOW"
rate = 0.001
burst = 1
[[client]]
id = "capped"
sender = "CAPPED"
day_limit = 1`
			c.smsc, c.http = `response_timeout = "500ms"`, `request_timeout = "5s"`
		})
	brief := newPlant(t, otp("ttl", `"1s"`))

	next := 0
	testers := make([]*tester, len(releases))
	for i, r := range releases {
		c := &tester{T: t, release: r, plant: p, brief: brief, number: func() string { next++; return number(next) }}
		c.short.id, c.short.code = brief.send(c.number())
		c.dies = time.Now().Add(1100 * time.Millisecond)
		testers[i] = c
	}
	defer func() { p.t, p.base, p.observe, brief.t, brief.base, brief.observe = t, apiPath, nil, t, apiPath, nil }()
	for _, c := range testers {
		t.Run(c.release.name, func(t *testing.T) {
			contracts := append(published(t, c.release.name), described(t, c.ours))
			play := func(s playable) {
				name := s.op + " " + s.title
				if id := c.id(s); id != "" {
					name = id + " " + s.title
				}
				t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
					judge := func(r *http.Request, path, body string, a answer) {
						for _, contract := range contracts {
							if err := contract.check(r, path, body, a); err != nil {
								t.Error(err)
							}
						}
					}
					c.T, p.t, p.base, p.observe = t, t, c.base(), judge
					brief.t, brief.base, brief.observe = t, c.base(), judge
					got, status, code := s.play(c)
					if got.status != status || got.code != code {
						t.Fatalf("%d %q, want %d %q: %s", got.status, got.code, status, code, got.body)
					}
					checkAnswer(t, got, testCorrelator)
				})
			}
			for _, s := range sendScenarios {
				play(s)
			}
			for _, s := range validateScenarios {
				play(s)
			}
		})
	}
}

func (c *tester) base() string { return c.release.base }

const ok, bad = http.StatusOK, http.StatusBadRequest

// sending is a scenario of send-code that is one request.
func sending(id10, id11, id2, title string, h http.Header, status int, code string, body func(number string) string) playable {
	return playable{sendOp, title, id10, id11, id2, func(c *tester) (answer, int, string) { return c.sends(body(c.number()), h), status, code }}
}

func malformed(id10, id11, id2, title, body string) playable {
	return sending(id10, id11, id2, title, with(), bad, "INVALID_ARGUMENT", func(string) string { return body })
}

// to is the body of a send-code to a number that is known before.
func to(number string) func(string) string { return func(string) string { return sendBody(number) } }

var sendScenarios = []playable{
	sending("01", "01", "01", "success", with(), ok, "", sendBody),
	{sendOp, "success without x-correlator", "02", "02", "02", func(c *tester) (answer, int, string) {
		return newCorrelator(c, c.sends(sendBody(c.number()), with("X-Correlator", ""))), ok, ""
	}},
	malformed("400.1", "400.1", "400.1", "no body", ""),
	malformed("400.2", "400.2", "400.2", "empty body", `{}`),
	malformed("400.3", "", "", "no phone number", `{"message":"{{code}} is your code"}`),
	malformed("400.4", "400.4", "400.3", "phone number against the pattern", `{"phoneNumber":"3301","message":"{{code}} is your code"}`),
	malformed("400.5", "400.5", "400.4", "message absent", `{"phoneNumber":"+34600000900"}`),
	malformed("400.5", "400.5", "400.4", "message null", `{"phoneNumber":"+34600000900","message":null}`),
	malformed("400.5", "400.5", "400.4", "message empty", `{"phoneNumber":"+34600000900","message":""}`),
	malformed("400.6", "400.6", "400.5", "message without code", `{"phoneNumber":"+34600000900","message":"message without code"}`),
	malformed("400.7", "400.7", "400.6", "message too long", `{"phoneNumber":"+34600000900","message":"{{code}}`+strings.Repeat("x", 153)+`"}`),
	{sendOp, "undeclared member", "", "", "400.x", func(c *tester) (answer, int, string) {
		a := c.sends(strings.Replace(sendBody(c.number()), "{", `{"unexpectedParam":"x",`, 1), with())
		if c.closed() {
			return a, bad, "INVALID_ARGUMENT"
		}
		return a, ok, ""
	}},
	sending("401.1", "401.1", "401.1", "no Authorization", with("Authorization", ""), http.StatusUnauthorized, "UNAUTHENTICATED", sendBody),
	sending("401.2", "401.2", "401.2", "expired token", bearer(expiredToken), http.StatusUnauthorized, "UNAUTHENTICATED", sendBody),
	sending("401.3", "401.3", "401.3", "invalid token", bearer("no-such-token"), http.StatusUnauthorized, "UNAUTHENTICATED", sendBody),
	sending("", "", "403.x", "token without the scope", bearer(unscopedToken), http.StatusForbidden, "PERMISSION_DENIED", sendBody),
	{sendOp, "too many codes", "03", "03", "403.1", func(c *tester) (answer, int, string) {
		to := c.number()
		for range maxSend {
			c.must(c.sends(sendBody(to), with()), ok, "", "a send within the limit")
		}
		a := c.sends(sendBody(to), with())
		if a.header.Get("Retry-After") == "" {
			c.Error("no Retry-After")
		}
		return a, http.StatusForbidden, prefixAPI + "MAX_OTP_CODES_EXCEEDED"
	}},
	sending("04", "04", "403.2", "number that cannot receive SMS", with(), http.StatusForbidden, prefixAPI+"PHONE_NUMBER_NOT_ALLOWED", to("+34606600001")),
	sending("05", "05", "403.3", "landline", with(), http.StatusForbidden, prefixAPI+"PHONE_NUMBER_NOT_ALLOWED", to("+34691000001")),
	sending("06", "06", "403.4", "SMS barring", with(), http.StatusForbidden, prefixAPI+"PHONE_NUMBER_BLOCKED", to("+34607700001")),
	{sendOp, "number of another operator", "404.1", "404.1", "404.1", func(c *tester) (answer, int, string) {
		code := "NOT_FOUND"
		if c.closed() {
			code = "IDENTIFIER_NOT_FOUND"
		}
		return c.sends(sendBody("+447700900123"), with()), http.StatusNotFound, code
	}},
	wrongMethod(sendOp, "/send-code"),
	sending("406", "", "", "Accept application/xml", with("Accept", "application/xml"), http.StatusNotAcceptable, "NOT_ACCEPTABLE", sendBody),
	sending("415", "", "", "Content-Type application/xml", with("Content-Type", "application/xml"), http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", sendBody),
	{sendOp, "above the rate", "", "", "", func(c *tester) (answer, int, string) {
		c.sends(sendBody(c.number()), bearer(slowToken)) // the one that it has
		a := c.sends(sendBody(c.number()), bearer(slowToken))
		if a.header.Get("Retry-After") == "" {
			c.Error("no Retry-After")
		}
		return a, http.StatusTooManyRequests, "TOO_MANY_REQUESTS"
	}},
	{sendOp, "above the quota", "", "", "", func(c *tester) (answer, int, string) {
		c.sends(sendBody(c.number()), bearer(cappedToken)) // the one that it has
		code := "QUOTA_EXCEEDED"
		if c.ours == "v0" {
			code = "TOO_MANY_REQUESTS" // 0.5 has no other
		}
		return c.sends(sendBody(c.number()), bearer(cappedToken)), http.StatusTooManyRequests, code
	}},
	sending("", "", "", "the SMSC calls the message wrong", with(), http.StatusInternalServerError, "INTERNAL", misbehaving("9934")),
	sending("", "", "", "the SMSC fails", with(), http.StatusServiceUnavailable, "UNAVAILABLE", misbehaving("9913")),
	sending("", "", "", "the SMSC does not answer", with(), http.StatusGatewayTimeout, "TIMEOUT", misbehaving("9914")),
}

// misbehaving is the body for a number that ends so that the simulator does what it does for it.
func misbehaving(end string) func(string) string {
	return func(fresh string) string { return sendBody("+3465" + fresh[len(fresh)-4:len(fresh)-1] + end) }
}

// checking is a scenario of validate-code that is one request about no verification in particular.
func checking(id10, id11, id2, title string, h http.Header, status int, code, body string) playable {
	return playable{validateOp, title, id10, id11, id2, func(c *tester) (answer, int, string) { return c.checks(body, h), status, code }}
}

var anyCheck = validateBody("an-id", "123456")

var validateScenarios = []playable{
	{validateOp, "success", "01", "01", "01", func(c *tester) (answer, int, string) {
		return c.guess(c.fresh()), http.StatusNoContent, ""
	}},
	{validateOp, "success without x-correlator", "02", "02", "02", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		return newCorrelator(c, c.checks(validateBody(id, code), with("X-Correlator", ""))), http.StatusNoContent, ""
	}},
	checking("400.1", "400.1", "400.1", "no body", with(), bad, "INVALID_ARGUMENT", ""),
	checking("400.2", "400.2", "400.2", "empty body", with(), bad, "INVALID_ARGUMENT", `{}`),
	checking("400.3", "400.3", "400.3", "authenticationId absent", with(), bad, "INVALID_ARGUMENT", `{"code":"123456"}`),
	checking("400.3", "400.3", "400.3", "authenticationId null", with(), bad, "INVALID_ARGUMENT", `{"authenticationId":null,"code":"123456"}`),
	checking("400.3", "400.3", "400.3", "authenticationId empty", with(), bad, "INVALID_ARGUMENT", `{"authenticationId":"","code":"123456"}`),
	checking("400.3", "400.3", "400.10", "code absent", with(), bad, "INVALID_ARGUMENT", `{"authenticationId":"an-id"}`),
	checking("400.3", "400.3", "400.10", "code null", with(), bad, "INVALID_ARGUMENT", `{"authenticationId":"an-id","code":null}`),
	checking("400.3", "400.3", "400.10", "code empty", with(), bad, "INVALID_ARGUMENT", `{"authenticationId":"an-id","code":""}`),
	{validateOp, "code too long costs no try", "400.4", "400.4", "400.4", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		var a answer
		for range maxTry + 1 {
			a = c.guess(id, "thisCodeExceedsTenCharacters")
		}
		c.must(c.guess(id, code), http.StatusNoContent, "", "the right code afterwards")
		return a, bad, "INVALID_ARGUMENT"
	}},
	{validateOp, "wrong code", "08", "400.5", "400.5", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		return c.guess(id, wrongFor(code)), bad, prefixAPI + "INVALID_OTP"
	}},
	{validateOp, "validity elapsed", "09", "400.6", "400.6", func(c *tester) (answer, int, string) {
		<-time.After(time.Until(c.dies)) // the life of a code is the matter of this scenario, in real time
		return c.brief.post("/validate-code", validateBody(c.short.id, c.short.code), with()), bad, prefixAPI + "VERIFICATION_EXPIRED"
	}},
	{validateOp, "code of a replaced request", "10", "400.7", "400.7", func(c *tester) (answer, int, string) {
		to := c.number()
		id, code := c.send(to)
		newID, newCode := c.send(to)
		a := c.guess(id, code)
		c.must(c.guess(newID, newCode), http.StatusNoContent, "", "the newer code")
		return a, bad, prefixAPI + "VERIFICATION_EXPIRED"
	}},
	{validateOp, "code used before", "11", "400.8", "400.8", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		c.must(c.guess(id, code), http.StatusNoContent, "", "first use")
		return c.guess(id, code), bad, prefixAPI + "VERIFICATION_EXPIRED"
	}},
	{validateOp, "too many tries", "12", "400.9", "400.9", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		for range maxTry - 1 {
			c.must(c.guess(id, wrongFor(code)), bad, prefixAPI+"INVALID_OTP", "a try within the limit")
		}
		last := c.guess(id, wrongFor(code))
		c.must(c.guess(id, code), bad, prefixAPI+"VERIFICATION_FAILED", "the right code after the lock")
		return last, bad, prefixAPI + "VERIFICATION_FAILED"
	}},
	{validateOp, "undeclared member", "", "", "400.11", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		a := c.checks(strings.Replace(validateBody(id, code), "{", `{"unexpectedParam":"x",`, 1), with())
		if !c.closed() {
			return a, http.StatusNoContent, ""
		}
		c.must(c.guess(id, code), http.StatusNoContent, "", "the code afterwards")
		return a, bad, "INVALID_ARGUMENT"
	}},
	checking("401.1", "401.1", "401.1", "no Authorization", with("Authorization", ""), http.StatusUnauthorized, "UNAUTHENTICATED", anyCheck),
	checking("401.2", "401.2", "401.2", "expired token", bearer(expiredToken), http.StatusUnauthorized, "UNAUTHENTICATED", anyCheck),
	checking("401.3", "401.3", "401.3", "invalid token", bearer("no-such-token"), http.StatusUnauthorized, "UNAUTHENTICATED", anyCheck),
	{validateOp, "token without the scope", "", "", "403.1", func(c *tester) (answer, int, string) {
		id, code := c.fresh()
		a := c.checks(validateBody(id, code), bearer(unscopedToken))
		c.must(c.guess(id, code), http.StatusNoContent, "", "with the scope")
		return a, http.StatusForbidden, "PERMISSION_DENIED"
	}},
	checking("404", "404", "404.1", "unknown authenticationId", with(), http.StatusNotFound, "NOT_FOUND", validateBody("ea0840f3-3663-4149-bd10-c7c6b8912105", "123456")),
	wrongMethod(validateOp, "/validate-code"),
	checking("406", "", "", "Accept application/xml", with("Accept", "application/xml"), http.StatusNotAcceptable, "NOT_ACCEPTABLE", anyCheck),
	checking("415", "", "", "Content-Type application/xml", with("Content-Type", "application/xml"), http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", anyCheck),
	{validateOp, "above the rate", "", "", "", func(c *tester) (answer, int, string) {
		c.checks(anyCheck, bearer(slowToken))
		return c.checks(anyCheck, bearer(slowToken)), http.StatusTooManyRequests, "TOO_MANY_REQUESTS"
	}},
}

// closed says whether bodies have no members but the declared ones, which came with what else version 2 changed.
func (c *tester) closed() bool { return c.ours == "v2" }

// wrongMethod is a GET, which 0.5.0 lists and 1.0.0's candidate tested.
func wrongMethod(op, path string) playable {
	return playable{op, "GET", "", "", "", func(c *tester) (answer, int, string) {
		a, err := c.call(http.MethodGet, path, "", with())
		if err != nil {
			c.Fatal(err)
		}
		if a.header.Get("Allow") != http.MethodPost {
			c.Errorf("Allow: %q", a.header.Get("Allow"))
		}
		return a, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"
	}}
}

// newCorrelator holds that an answer has an x-correlator of its own, and gives it the usual one for the common checks.
func newCorrelator(c *tester, a answer) answer {
	c.Helper()
	if !uuidForm.MatchString(a.header.Get("x-correlator")) {
		c.Errorf("x-correlator of the answer is %q, want a UUID", a.header.Get("x-correlator"))
	}
	a.header.Set("x-correlator", testCorrelator)
	return a
}

// TestAnIDIsGoodInEveryVersion: one that a version gave out validates in any other.
func TestAnIDIsGoodInEveryVersion(t *testing.T) {
	p := newPlant(t)
	n := 0
	for _, from := range []string{"v0", "v1", "v2"} {
		for _, other := range []string{"v0", "v1", "v2"} {
			n++
			p.base = at(from)
			id, code := p.send(number(n))
			p.base = at(other)
			if a := p.validate(id, wrongFor(code)); a.code != prefixAPI+"INVALID_OTP" {
				t.Errorf("from %s at %s, wrong: %d %s", from, other, a.status, a.body)
			}
			if a := p.validate(id, code); a.status != http.StatusNoContent {
				t.Errorf("from %s at %s: %d %s", from, other, a.status, a.body)
			}
			p.base = at(from)
			if a := p.validate(id, code); a.code != prefixAPI+"VERIFICATION_EXPIRED" {
				t.Errorf("from %s, again: %d %s", from, a.status, a.body)
			}
		}
	}
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
