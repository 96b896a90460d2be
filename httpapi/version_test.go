package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"otpgw/httpapi"
	"otpgw/otpstore"
	"otpgw/smpp"
)

const apiPath = "/one-time-password-sms/"

func everyVersion(p *plant) { p.cfg.Versions = []string{"v0", "v0.5", "v1", "v2", "v2rc2"} }

// What differs between the versions, each row against all of them: 0 stands for a success.
func TestVersionsDiffer(t *testing.T) {
	p := newPlant(t, everyVersion)
	type outcome struct {
		status int
		code   string
	}
	var (
		good    = outcome{}
		invalid = outcome{400, "INVALID_ARGUMENT"}
		unknown = outcome{404, "NOT_FOUND"}
		unnamed = outcome{404, "IDENTIFIER_NOT_FOUND"}
	)
	send := func(number string) string {
		return `{"phoneNumber":"` + number + `","message":"{{code}}"}`
	}
	for _, row := range []struct {
		name, operation, body, correlator string
		v0, v1, v2                        outcome
	}{
		{"plus left out", "send-code", send("34600000001"), "", good, invalid, invalid},
		{"five digits without plus", "send-code", send("34600"), "", good, invalid, invalid},
		{"five digits", "send-code", send("+34600"), "", good, good, good},
		{"four digits", "send-code", send("+3460"), "", invalid, invalid, invalid},
		{"sixteen digits", "send-code", send("+3460000000000000"), "", invalid, invalid, invalid},
		{"begins with 0", "send-code", send("0034600000001"), "", unknown, invalid, invalid},
		{"two plus", "send-code", send("++34600000001"), "", invalid, invalid, invalid},
		{"foreign", "send-code", send("+351600000001"), "", unknown, unknown, unnamed},
		{"undeclared member", "send-code", `{"phoneNumber":"+34600000001","message":"{{code}}","x":1}`, "", good, good, invalid},
		{"undeclared member", "validate-code", strings.TrimSuffix(verifyBody, "}") + `,"unexpectedParam":"x"}`, "", good, good, invalid},
		{"deep undeclared member", "validate-code", strings.TrimSuffix(verifyBody, "}") + `,"x":{"y":[1]}}`, "", good, good, invalid},
		{"id against the pattern", "validate-code", `{"authenticationId":"a_b","code":"1"}`, "", unknown, unknown, invalid},
		{"id in other letters", "validate-code", `{"authenticationId":"é","code":"1"}`, "", unknown, unknown, invalid},
		{"id too long", "validate-code", `{"authenticationId":"` + strings.Repeat("a", 37) + `","code":"1"}`, "", invalid, invalid, invalid},
		{"correlator against the pattern", "validate-code", verifyBody, "a b", good, invalid, invalid},
		{"correlator too long", "validate-code", verifyBody, strings.Repeat("a", 257), good, invalid, invalid},
		{"correlator of all characters", "validate-code", verifyBody, "aZ0-_:;./<>{}", good, good, good},
	} {
		for place, want := range map[string]outcome{"v0": row.v0, "v0.5": row.v0, "v1": row.v1, "v2": row.v2, "v2rc2": row.v2} {
			t.Run(place+" "+row.operation+" "+row.name, func(t *testing.T) {
				p.t = t
				sent := row.correlator
				if sent == "" {
					sent = correlator
				}
				a := p.post(apiPath+place+"/"+row.operation, row.body, "x-correlator", sent)
				if want == good && a.status >= 300 || want != good && !a.is(want.status, want.code) {
					t.Errorf("%d %s, want %v", a.status, a.code, want)
				}
				if valid := len(sent) <= 256 && sent != "a b"; valid != (a.header.Get("x-correlator") == sent) {
					t.Errorf("x-correlator %q answered with %q", sent, a.header.Get("x-correlator"))
				}
			})
		}
	}
}

func TestVersion0SendsToE164(t *testing.T) {
	p := newPlant(t)
	var asked, sent string
	p.codes.issue = func(_ context.Context, r otpstore.Request) (otpstore.Issued, error) {
		asked = r.Number
		return otpstore.Issued{ID: authID, Code: theCode}, nil
	}
	p.sender.send = func(_ context.Context, m smpp.Message) (smpp.Accepted, error) {
		sent = m.To
		return smpp.Accepted{SMSC: "smsc-a", MessageIDs: []string{"1"}}, nil
	}
	p.post(apiPath+"v0/send-code", `{"phoneNumber":"34600000001","message":"{{code}}"}`)
	if asked != theNumber || sent != theNumber {
		t.Errorf("issued for %q, sent to %q", asked, sent)
	}
}

func TestEachVersionHasItsWords(t *testing.T) {
	p := newPlant(t)
	for place, want := range map[string]string{
		"v0": "Request not authenticated due to missing, invalid, or expired credentials",
		"v1": "Request not authenticated due to missing, invalid, or expired credentials.",
		"v2": "Request not authenticated due to missing, invalid, or expired credentials. A new authentication is required.",
	} {
		a := p.post(apiPath+place+"/send-code", sendBody, "Authorization", "-")
		if !strings.Contains(a.body, `"message":"`+want+`"`) {
			t.Errorf("%s: %s", place, a.body)
		}
	}
	// The path says whose words even where nothing is served.
	if a := p.do(get(apiPath + "v0/x")); !strings.Contains(a.body, `"A specified resource is not found"`) {
		t.Error(a.body)
	}
}

func TestVersionsAreSwitchable(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.cfg.Versions = []string{"v2rc2"} })
	for place, status := range map[string]int{"v0": 404, "v0.5": 404, "v1": 404, "v2": 404, "v2rc2": http.StatusOK} {
		if a := p.post(apiPath+place+"/send-code", sendBody); a.status != status {
			t.Errorf("%s: %d, want %d", place, a.status, status)
		}
	}
	for _, places := range [][]string{nil, {"v3"}, {"v1", "v1"}, {""}, {"v2rc1"}} {
		cfg := httpapi.DefaultConfig()
		cfg.Versions = places
		if cfg.Validate() == nil {
			t.Errorf("%q is a valid list of versions", places)
		}
	}
}
