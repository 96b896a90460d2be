package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"otpgw/smpp/smsc"
)

// TestWhateverTheSMSCDoes sends a code to every number that makes the simulator misbehave: the client gets the answer of
// docs/api.md, the receipts that come are recorded, the bind is lost only where the SMSC ends it, and an ordinary send
// afterwards works.
func TestWhateverTheSMSCDoes(t *testing.T) {
	type outcome struct {
		status    int
		code      string
		delivered int  // receipts that make a code delivered
		failed    int  // or failed
		lost      bool // the connection is
	}
	accepted := outcome{status: http.StatusOK, delivered: 1}
	failed := outcome{status: http.StatusOK, failed: 1}
	untold := outcome{status: http.StatusOK} // no final receipt that is known to be this message's
	refused := outcome{status: http.StatusForbidden, code: prefixAPI + "PHONE_NUMBER_NOT_ALLOWED"}
	busy := outcome{status: http.StatusServiceUnavailable, code: "UNAVAILABLE"}
	// The SMSC may have taken the message: its receipt finds no code, for nobody knows which message it was.
	inDoubt := outcome{status: http.StatusGatewayTimeout, code: "TIMEOUT"}
	lost := outcome{status: http.StatusGatewayTimeout, code: "TIMEOUT", lost: true}
	outcomes := map[string]outcome{
		"undelivered":     failed,
		"no-receipt":      untold,
		"bad-destination": refused,
		"throttled":       busy,
		"queue-full":      busy,
		"system-error":    busy,
		"not-bound":       {status: http.StatusServiceUnavailable, code: "UNAVAILABLE", lost: true},
		"no-answer":       inDoubt,
		"drop-before":     lost,
		"drop-after":      lost,
		"garbage":         lost,
		"late-answer":     inDoubt,
		"unbind":          {status: http.StatusOK, delivered: 1, lost: true},
		"unbind-first":    {status: http.StatusOK, delivered: 1, lost: true},
		"unbind-close":    lost,

		"vendor-status":      refused,
		"error-with-body":    refused,
		"error-with-tlvs":    refused,
		"receipt-of-refusal": refused,
		"nack":               {status: http.StatusInternalServerError, code: "INTERNAL"},
		"nack-0":             inDoubt,
		"empty-id":           untold,
		"short-length":       {status: http.StatusOK, lost: true}, // the id lacks four characters
		"long-length":        {status: http.StatusOK, delivered: 1, lost: true},

		"notification":  untold,
		"expired":       failed,
		"rejected":      failed,
		"unknown-state": failed,
		"error-digits":  failed,
	}
	// All others are accepted and delivered.
	for _, b := range smsc.Behaviours() {
		if _, special := outcomes[b.Name]; !special {
			outcomes[b.Name] = accepted
		}
	}
	p := newPlant(t, func(c *plantConfig) {
		c.http = `request_timeout = "5s"`
		c.smsc = "binds = 1\nresponse_timeout = \"1500ms\"" // more than the second after which an answer out of order comes
	})
	const connects = `otpgw_smpp_connects_total{bind="1",smsc="smsc-a"}`
	receipts := func(outcome string) int {
		return int(metric(t, p.metrics(), fmt.Sprintf("otpgw_store_receipts_total{outcome=%q}", outcome)))
	}
	// The late one comes last: its receipt must not be counted for another.
	late := func(b smsc.Behaviour) bool { return b.Name == "late-receipt" }
	all := slices.DeleteFunc(smsc.Behaviours(), late)
	all = append(all, smsc.Behaviours()[slices.IndexFunc(smsc.Behaviours(), late)])
	for _, b := range all {
		t.Run(b.Name, func(t *testing.T) {
			p.t = t
			defer func() { p.t = nil }()
			want := outcomes[b.Name]
			p.await("readiness", func() bool { return p.probe("/readyz") == http.StatusOK })
			delivered, failed := receipts("delivered"), receipts("failed")
			before := metric(t, p.metrics(), connects)
			to := number(0)[:8] + b.Suffix
			if b.Suffix == "" {
				to = number(0)
			}

			a := p.post("/send-code", sendBody(to), nil)
			if a.status != want.status || a.code != want.code {
				t.Fatalf("send-code: %d %s, want %d %s", a.status, a.body, want.status, want.code)
			}
			if retry := a.header.Get("Retry-After"); (retry != "") != (want.status == http.StatusServiceUnavailable) {
				t.Errorf("Retry-After %q on a %d", retry, a.status)
			}
			if a.status == http.StatusOK {
				if v := p.validate(a.id, p.codeOf(to)); v.status != http.StatusNoContent {
					t.Errorf("validate-code: %d %s", v.status, v.body)
				}
			}
			p.await("receipts", func() bool {
				return receipts("delivered") == delivered+want.delivered && receipts("failed") == failed+want.failed
			})
			p.await("readiness", func() bool { return p.probe("/readyz") == http.StatusOK })
			if after := metric(t, p.metrics(), connects); (after > before) != want.lost {
				t.Errorf("%v connections before, %v after", before, after)
			}
			id, code := p.send(number(1))
			if v := p.validate(id, code); v.status != http.StatusNoContent {
				t.Errorf("an ordinary code afterwards: %d %s", v.status, v.body)
			}
			p.await("its receipt", func() bool { return receipts("delivered") == delivered+want.delivered+1 })
		})
	}
	p.t = t
}
