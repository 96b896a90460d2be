//go:build linux

package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"otpgw/smpp/counterpart"
	"otpgw/smpp/pdu"
)

// TestTsharkReadsWhatTheDaemonSays records a life of the daemon on the wire, from bind to unbind, and has every PDU that
// it wrote judged by a dissector that is not ours.
func TestTsharkReadsWhatTheDaemonSays(t *testing.T) {
	counterpart.Need(t, "tshark", "text2pcap", "tshark")
	const messages = 30
	var tap *counterpart.Tap
	p := newPlant(t, func(c *plantConfig) {
		c.smsc = "max_segments = 5"
		c.relay = func(t *testing.T, smsc string) string {
			tap = counterpart.NewTap(t, smsc)
			return tap.Address
		}
	})
	texts := []string{"{{code}} is your code", "{{code}} [€] ~ {}", "Ваш код {{code}}", "{{code}} " + strings.Repeat("😀", 60)}
	for n := range messages {
		body := fmt.Sprintf(`{"phoneNumber":%q,"message":%q}`, number(n), texts[n%len(texts)])
		if a := p.post("/send-code", body, nil); a.status != http.StatusOK {
			t.Fatalf("send-code: %d %s", a.status, a.body)
		}
	}
	p.post("/send-code", sendBody(number(0)[:8]+"9922"), nil) // strangers, one of which is answered with generic_nack
	p.await("receipts", func() bool {
		return metric(t, p.metrics(), `otpgw_store_receipts_total{outcome="delivered"}`) > messages
	})
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}

	var spoken [][]byte
	for _, call := range tap.Calls() {
		spoken = append(spoken, call.Caller)
	}
	wrote := map[string]int{}
	for _, read := range counterpart.Dissect(t, spoken) {
		if read.Complaint != "" {
			t.Errorf("tshark complains of PDU %d of connection %d: %s", read.At, read.Stream, read.Complaint)
			continue
		}
		id, err := strconv.ParseUint(read.Fields["smpp.command_id"][0], 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		wrote[pdu.Command(id).String()]++
	}
	for command, least := range map[string]int{
		"bind_transceiver": 1, "submit_sm": messages, "deliver_sm_resp": messages, "unbind": 1, "generic_nack": 1,
	} {
		if wrote[command] < least {
			t.Errorf("%d %s on the wire, want at least %d: %v", wrote[command], command, least, wrote)
		}
	}
	t.Logf("read by tshark: %v", wrote)
}
