package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
)

// One line tells of a final receipt, by which it is found with the request that it belongs to.
func TestReceiptsAreLogged(t *testing.T) {
	p := newPlant(t, func(c *plantConfig) { c.level, c.sim.ReceiptDelay = "info", 50*c.sim.ReceiptDelay })
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	header := map[string][]string{"X-Correlator": {"order-4711"}, "Traceparent": {parent}}
	lines := func(want string) func() bool {
		return func() bool {
			for line := range strings.Lines(p.logged()) {
				if strings.Contains(line, `"msg":"receipt"`) && strings.Contains(line, want) {
					return true
				}
			}
			return false
		}
	}
	a := p.post("/send-code", sendBody(number(1)), header)
	p.await("the receipt", lines(`"id":"`+a.id+`","smsc":"smsc-a","message_id":"0000000001","state":"DELIVRD","error":"3:0","correlator":"order-4711","traceparent":"`+parent+`"`))
	b := p.post("/send-code", sendBody("+34600009901"), nil)
	p.await("the bad receipt", lines(`"id":"`+b.id+`"`))
	if m := p.metrics(); !strings.Contains(m, `otpgw_receipt_errors_total{error="3:11",state="UNDELIV"} 1`) {
		t.Error("the network's error is not counted")
	}

	p.replace("[log]\n", "[log]\nrequests = \"failures\"\n")
	p.expectOutput(0, "in force: log.requests", "reload")
	c := p.post("/send-code", sendBody(number(2)), nil)
	d := p.post("/send-code", sendBody("+34600009976"), nil)
	p.await("the bad receipt", lines(`"id":"`+d.id+`"`))
	p.await("the receipts in the traces", func() bool { out, _ := p.operate("trace", c.id); return strings.Contains(out, "DELIVRD") })
	if lines(`"id":"` + c.id + `"`)() {
		t.Error("a delivery is logged where only failures are to be")
	}
	if strings.Contains(p.logged(), `"msg":"request","component":"httpapi","status":200`) != true || strings.Contains(p.logged(), c.id) {
		t.Error("requests are not logged as they are to be")
	}
}

// What an SMSC writes makes no more labels than there is room for.
func TestReceiptErrorsAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := newReceiptErrors(registry)
	for i := range 1000 {
		e.count(smpp.Receipt{State: "UNDELIV", Error: strings.Repeat("0", i%9) + string(rune('1'+i%9)) + string(rune('0'+i/100))})
		e.count(smpp.Receipt{State: "WHATEVER " + string(rune('a'+i%26)), Error: "text of the phone " + string(rune('a'+i%26))})
	}
	e.count(smpp.Receipt{State: "REJECTD"})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(families[0].GetMetric()); n > errorCodes+6 || n < 20 {
		t.Errorf("%d series", n)
	}
	total := 0.0
	for _, m := range families[0].GetMetric() {
		total += m.GetCounter().GetValue()
	}
	if total != 2001 {
		t.Errorf("%v of 2001 were counted", total)
	}
}
