package smpp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/smsc"
)

// serveSMSC runs a simulator until the test ends and returns its address.
func serveSMSC(t *testing.T, cfg smsc.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := smsc.New(cfg, discard()).Serve(ctx, listener); err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		serving.Wait()
	})
	return listener.Addr().String()
}

// probeSteps is what a Probe says, a line a step.
func probeSteps(t *testing.T, cfg smpp.Config, message *smpp.ProbeMessage) (string, error) {
	t.Helper()
	var all strings.Builder
	err := smpp.Probe(within(t, 20*time.Second), cfg, message, func(s smpp.ProbeStep) {
		verdict := "ok "
		if !s.OK {
			verdict = "no "
		}
		all.WriteString(verdict + s.Name + ": " + s.Detail + " -> " + s.Advice + "\n")
	})
	return all.String(), err
}

func TestProbe(t *testing.T) {
	for _, tc := range []struct {
		name string
		sim  smsc.Config
		to   string
		want []string
		fail bool
	}{
		{"well", smsc.Config{}, "+34600000000", []string{"ok connect: ", "ok bind: bind_transceiver accepted by", "0x34", "ok enquire_link", `ok submit_sm: GSM-7, 1 segment(s), message_id`, `ok receipt: DELIVRD`, `message_id_format = "as_is"`, "ok unbind"}, false},
		{"hexadecimal ids", smsc.Config{HexIDs: true, FirstID: 0xABCDEF}, "+34600000000", []string{`message_id "ABCDEF" (hexadecimal)`, `message_id "11259375" (decimal)`, `message_id_format = "resp_hex_dlr_dec"`}, false},
		{"no message", smsc.Config{}, "", []string{"ok bind", "ok unbind"}, false},
		{"wrong password", smsc.Config{Password: "other"}, "", []string{"ok connect", "no bind: bind_transceiver_resp with status ESME_RINVPASWD -> check password"}, true},
		{"refused", smsc.Config{}, "+34600009911", []string{"no submit_sm: refused with ESME_RINVDSTADR (0x0000000b), taken as destination"}, true},
		{"no receipt", smsc.Config{}, "+34600009902", []string{"no receipt: none within 300ms"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.Endpoints = []string{serveSMSC(t, tc.sim)}
			var message *smpp.ProbeMessage
			if tc.to != "" {
				message = &smpp.ProbeMessage{Wait: 300 * time.Millisecond, Message: smpp.Message{From: "ACME", To: tc.to, Text: "test"}}
			}
			said, err := probeSteps(t, cfg, message)
			if errors.Is(err, smpp.ErrProbe) != tc.fail || err != nil && !tc.fail {
				t.Errorf("err = %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
		})
	}
}

func TestProbeOfNobody(t *testing.T) {
	cfg := testConfig()
	cfg.Endpoints = []string{"127.0.0.1:1"}
	said, err := probeSteps(t, cfg, nil)
	if !errors.Is(err, smpp.ErrProbe) || !strings.Contains(said, "no connect: 127.0.0.1:1: ") {
		t.Errorf("%v, %s", err, said)
	}
}
