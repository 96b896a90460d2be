package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"otpgw/httpapi"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// One line tells of a request what can be told of it.
func TestRequestLine(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*plant)
		path   string
		body   string
		want   map[string]any
	}{
		{"send-code", func(*plant) {}, sendPath, sendBody, map[string]any{"level": "DEBUG", "client": "acme", "route": "v1/send-code", "status": 200.0,
			"correlator": correlator, "id": authID, "number": "+34*******01", "code": nil}},
		{"validate-code", func(*plant) {}, verifyPath, verifyBody, map[string]any{"level": "DEBUG", "client": "acme", "route": "v1/validate-code",
			"status": 204.0, "id": authID, "number": nil}},
		{"wrong code", verifyFails(otpstore.ErrWrongCode), verifyPath, verifyBody, map[string]any{"level": "DEBUG", "status": 400.0,
			"code": otp + "INVALID_OTP", "reason": "wrong_code", "id": authID, "error": nil}},
		{"unknown id", verifyFails(otpstore.ErrNotFound), verifyPath, verifyBody, map[string]any{"status": 404.0, "id": nil}},
		{"short number", func(*plant) {}, sendPath, strings.Replace(sendBody, theNumber, "+34612", 1), map[string]any{"status": 200.0, "number": "+***12"}},
		{"store down", verifyFails(otpstore.ErrUnavailable), verifyPath, verifyBody, map[string]any{"level": "INFO", "status": 503.0,
			"error": "verify: " + otpstore.ErrUnavailable.Error()}},
		{"broken", verifyFails(errBroken), verifyPath, verifyBody, map[string]any{"level": "ERROR", "status": 500.0, "error": "verify: broken"}},
		{"bad token", func(p *plant) { p.live.Authenticate = tokens.File(nil) }, sendPath, sendBody, map[string]any{"level": "DEBUG", "client": "", "status": 401.0,
			"reason": "unauthenticated", "check": "unknown"}},
		{"stranger", func(p *plant) { p.live.Authenticate = nil }, base, "", map[string]any{"client": "", "route": "other", "status": 404.0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlant(t, c.change)
			p.post(c.path, c.body)
			lines := strings.Split(strings.TrimSpace(p.logged.String()), "\n")
			var line map[string]any
			if err := json.Unmarshal([]byte(lines[0]), &line); err != nil || len(lines) != 1 || line["msg"] != "request" {
				t.Fatalf("log: %s", p.logged)
			}
			for key, want := range c.want {
				if line[key] != want {
					t.Errorf("%s is %v, want %v", key, line[key], want)
				}
			}
			if d, ok := line["duration"].(float64); !ok || d <= 0 {
				t.Errorf("duration %v", line["duration"])
			}
		})
	}
}

// Whatever happens, and wherever a client puts them by mistake, no code, token, text or number comes into a log line,
// a metric or an error.
func TestNoSecretIsTold(t *testing.T) {
	const secretText = "is your secret word"
	send := fmt.Sprintf(`{"phoneNumber":%q,"message":"{{code}} %s"}`, theNumber, secretText)
	misplaced := fmt.Sprintf(`{"authenticationId":%q,"code":%q,"x":%q}`, theCode, theCode, theNumber)
	swapped := fmt.Sprintf(`{"authenticationId":%q,"code":"1"}`, theToken)
	for name, change := range map[string]func(*plant){
		"success":         func(*plant) {},
		"not sent":        sendFails(&smpp.UnavailableError{Reason: "no bind"}),
		"refused":         sendFails(&smpp.StatusError{Status: 0x0B, Class: smpp.ClassDestination}),
		"our fault":       sendFails(&smpp.StatusError{Status: 0x0A, Class: smpp.ClassSender}),
		"unknown":         sendFails(&smpp.UnknownError{Reason: "no answer"}),
		"broken sender":   sendFails(errBroken),
		"limit":           issueFails(&otpstore.LimitError{Limit: "send_limit", RetryAfter: 1}),
		"store down":      issueFails(otpstore.ErrUnavailable),
		"not verified":    verifyFails(otpstore.ErrNotFound),
		"store not there": verifyFails(otpstore.ErrUnavailable),
		"not recorded": func(p *plant) {
			p.codes.sent = func(context.Context, string, otpstore.SendResult) error { return errBroken }
		},
		"panic": func(p *plant) {
			p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) { panic(m) }
			p.codes.verify = func(_ context.Context, _, id, code string) error { panic(id + code) }
		},
		"panic of the runtime": func(p *plant) {
			p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) { panic(any(m).(error)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			var told []outcome
			p := newPlant(t, recording(&told), change)
			var said strings.Builder
			for _, r := range []struct{ path, body string }{
				{sendPath, send}, {sendPath, strings.Replace(send, theNumber, "+34606600001", 1)}, {sendPath, send + "x"},
				{verifyPath, verifyBody}, {verifyPath, misplaced}, {verifyPath, swapped}, {verifyPath, send}, {sendPath, verifyBody},
				{sendPath + "?code=" + theCode + "&access_token=" + theToken, send}, {base + "/" + theToken, ""},
			} {
				said.WriteString(p.post(r.path, r.body).body)
				said.WriteString(p.post(r.path, r.body, "Authorization", theToken).body)
				said.WriteString(p.post(r.path, r.body, "x-correlator", theNumber).body)
			}
			families, err := p.reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			said.WriteString(fmt.Sprint(families))
			if _, err := p.SendTest(t.Context(), "acme", theNumber); err != nil {
				t.Fatal(err)
			}
			said.WriteString(p.logged.String())
			said.WriteString(p.audited.String())
			said.WriteString(strings.Join(p.steps.all, "\n"))
			for _, secret := range []string{theCode, theToken, theNumber[1:], "34606600001", secretText} {
				if at := strings.Index(said.String(), secret); at >= 0 {
					t.Errorf("%q is told: …%s…", secret, said.String()[max(0, at-100):at+20])
				}
			}
		})
	}
}

func TestWhichRequestsAreLogged(t *testing.T) {
	for logged, want := range map[string]string{
		httpapi.LoggedAll:      "INFO 200, INFO 400, ERROR 500",
		httpapi.LoggedFailures: "DEBUG 200, INFO 400, ERROR 500",
		"none":                 "DEBUG 200, DEBUG 400, ERROR 500",
	} {
		p := newPlant(t, func(p *plant) { p.live.Logged = logged })
		p.post(sendPath, sendBody)
		p.post(sendPath, "{")
		p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) { return otpstore.Issued{}, errBroken }
		p.post(sendPath, sendBody)
		var got []string
		for line := range strings.Lines(p.logged.String()) {
			var l struct {
				Level  string
				Status int
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(l.Level, " ", l.Status))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: got %s, want %s", logged, s, want)
		}
	}
}

// What the limits against abuse refuse is audited, and nothing else is.
func TestAbuseIsAudited(t *testing.T) {
	p := newPlant(t)
	p.post(sendPath, sendBody)
	p.post(sendPath, "{")
	p.codes.verify = func(context.Context, string, string, string) error { return otpstore.ErrWrongCode }
	p.post(verifyPath, verifyBody)
	if s := p.audited.String(); s != "" {
		t.Errorf("audited: %s", s)
	}
	p.codes.verify = func(context.Context, string, string, string) error { return otpstore.ErrFailed }
	p.post(verifyPath, verifyBody)
	p.codes.issue = func(context.Context, otpstore.Request) (otpstore.Issued, error) {
		return otpstore.Issued{}, &otpstore.LimitError{Limit: "send_limit", RetryAfter: 1}
	}
	p.post(sendPath, sendBody)
	got := p.audited.String()
	for _, want := range []string{
		`"msg":"refused","client":"acme","route":"v1/validate-code","correlator":"` + correlator + `","id":"` + authID + `","code":"` + otp + `VERIFICATION_FAILED","reason":"failed"`,
		`"number":"+34*******01","code":"` + otp + `MAX_OTP_CODES_EXCEEDED","reason":"send_limit","limit":"send_limit"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Count(got, "\n") != 2 {
		t.Errorf("audited:\n%s", got)
	}
}
