package httpapi_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"

	"otpgw/httpapi"
	"otpgw/otpstore"
	"otpgw/smpp"
)

func TestTestCodeGoesTheWayOfOthers(t *testing.T) {
	var asked otpstore.Request
	var sent smpp.Message
	p := newPlant(t, func(p *plant) {
		p.live.Logged = httpapi.LoggedAll
		issue, send := p.codes.issue, p.sender.send
		p.codes.issue = func(ctx context.Context, r otpstore.Request) (otpstore.Issued, error) {
			asked = r
			return issue(ctx, r)
		}
		p.sender.send = func(ctx context.Context, m smpp.Message) (smpp.Accepted, error) {
			sent = m
			return send(ctx, m)
		}
	})
	got, err := p.SendTest(t.Context(), "acme", theNumber)
	if err != nil || got.Status != 200 || got.ID != authID || got.Correlator == "" || got.Reason != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if asked.Client != "acme" || asked.Number != theNumber || sent.From != "ACME" || sent.Text != theCode+" is a test code" {
		t.Errorf("asked the store for %v, sent %v", asked, sent)
	}
	if s := p.logged.String(); !strings.Contains(s, `"client":"acme","route":"console/send-code"`) {
		t.Errorf("logged: %s", s)
	}
	if s := strings.Join(p.steps.all, "\n"); !strings.Contains(s, "accepted: console/send-code  quota") {
		t.Errorf("traced: %s", s)
	}
}

func TestTestCodeIsRefusedAsOthers(t *testing.T) {
	for _, c := range []struct {
		name, number string
		change       func(*plant)
		status       int
		reason       string
		detail       string
	}{
		{"limit", theNumber, issueFails(&otpstore.LimitError{Limit: "send_limit", RetryAfter: 1}), 403, "send_limit", ""},
		{"foreign", "+4915112345678", func(*plant) {}, 404, "not_own", ""},
		{"blocked", "+34607700001", func(*plant) {}, 403, "blocked", ""},
		{"no bind", theNumber, sendFails(&smpp.UnavailableError{Reason: "no bind"}), 503, "smsc_unavailable", "not sent: no bind"},
		{"status", theNumber, sendFails(&smpp.StatusError{Status: 0x0B, Class: smpp.ClassDestination, Command: "submit_sm_resp"}), 403, "smsc_refused", "refused by the smsc: ESME_RINVDSTADR in submit_sm_resp"},
		{"broken", theNumber, issueFails(errBroken), 500, "internal", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlant(t, c.change)
			p.codes.discard = func(context.Context, string) error { return nil }
			got, err := p.SendTest(t.Context(), "acme", c.number)
			if err != nil || got.Status != c.status || got.Reason != c.reason || got.Detail != c.detail {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	p := newPlant(t)
	if got, err := p.SendTest(t.Context(), "retired", theNumber); err != nil || got.Status != 403 || got.Reason != "no_client" {
		t.Errorf("a disabled client: %+v, %v", got, err)
	}
	p.Pause(true)
	if got, err := p.SendTest(t.Context(), "acme", theNumber); err != nil || got.Reason != "paused" {
		t.Errorf("paused: %+v, %v", got, err)
	}
	for client, number := range map[string]string{"stranger": theNumber, "acme": "600000001"} {
		if got, err := p.SendTest(t.Context(), client, number); err == nil || got.Status != 0 {
			t.Errorf("%s to %s: %+v, %v", client, number, got, err)
		}
	}
}

// A client that may write only what was agreed sends that, its blanks filled.
func TestTestCodeInATemplate(t *testing.T) {
	var text string
	p := newPlant(t, func(p *plant) {
		p.live.Clients[0].Text = "templates"
		p.live.Clients[0].Templates = []string{"{{code}} for {{text:3}}, order {{digits:8}}"}
		send := p.sender.send
		p.sender.send = func(ctx context.Context, m smpp.Message) (smpp.Accepted, error) {
			text = m.Text
			return send(ctx, m)
		}
	})
	if got, err := p.SendTest(t.Context(), "acme", theNumber); err != nil || got.Status != 200 || text != theCode+" for tes, order 0" {
		t.Errorf("%+v, %v: %q", got, err, text)
	}
}

func TestCodesAreCountedByClient(t *testing.T) {
	p := newPlant(t)
	p.post(sendPath, sendBody)
	p.post(sendPath, sendBody)
	p.post(verifyPath, verifyBody)
	p.codes.verify = func(context.Context, string, string, string) error { return otpstore.ErrWrongCode }
	p.post(verifyPath, verifyBody)
	p.post(sendPath, sendBody, "Authorization", "Bearer stray-token") // of no configured client
	want := []string{
		`otpgw_client_codes_total{client="acme",outcome="sent"} 2`,
		`otpgw_client_codes_total{client="acme",outcome="verified"} 1`,
		`otpgw_client_codes_total{client="acme",outcome="wrong"} 1`,
		`otpgw_client_refusals_total{client="acme",reason="wrong_code"} 1`,
	}
	if got := p.series(t, "otpgw_client_"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	p.SetLive(httpapi.Live{Authenticate: p.live.Authenticate}) // the client is gone, and what was counted of it
	if got := p.series(t, "otpgw_client_"); len(got) > 0 {
		t.Errorf("of a client that is none any more: %q", got)
	}
}

// series are the metrics whose names begin so, as Prometheus reads them.
func (p *plant) series(t *testing.T, prefix string) (lines []string) {
	t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestTestCodeToATestNumberSaysSo(t *testing.T) {
	for outcome, status := range map[string]int{"sent": 200, "wrong_code": 200, "blocked": 403} {
		p := newPlant(t, sandboxed(testNumber(outcome)))
		if got, err := p.SendTest(t.Context(), "acme", theNumber); err != nil || !got.Test || got.Status != status {
			t.Errorf("%s: %+v, %v", outcome, got, err)
		}
	}
	p := newPlant(t)
	if got, err := p.SendTest(t.Context(), "acme", theNumber); err != nil || got.Test {
		t.Errorf("%+v, %v", got, err)
	}
}
