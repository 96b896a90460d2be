//go:build linux

package smsc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/smpp/counterpart"
	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// TestInteropBearerbox has Kannel send messages through the simulator and take its receipts, with either form of ids.
func TestInteropBearerbox(t *testing.T) {
	t.Parallel()
	counterpart.Need(t, "kannel", "bearerbox", "smsbox")
	for _, ids := range []struct {
		name, kannel string // msg-id-type
		hex          bool
	}{{"decimal", "0x00", false}, {"hexadecimal", "0x01", true}} {
		t.Run(ids.name, func(t *testing.T) {
			t.Parallel()
			s, address := serve(t, smsc.Config{SystemID: "kannel", Password: "secret", HexIDs: ids.hex})
			tap := counterpart.NewTap(t, address)
			testBearerbox(t, s, tap, startKannel(t, tap.Address, ids.kannel))
		})
	}
}

func testBearerbox(t *testing.T, s *smsc.Server, tap *counterpart.Tap, k kannel) {
	const messages = 200
	receipts := make(chan string, 2*messages)
	told := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { receipts <- r.URL.RawQuery }))
	t.Cleanup(told.Close)
	kind := func(n int) counterpart.Text { return counterpart.Texts[n%len(counterpart.Texts)] }

	next := make(chan int)
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			for n := range next {
				coding := "0"
				if kind(n).Encoding == "UCS-2" {
					coding = "2"
				}
				k.send(t, url.Values{
					"from": {"ACME"}, "to": {fmt.Sprintf("+346%08d", n)}, "text": {kind(n).With(n)}, "charset": {"UTF-8"}, "coding": {coding},
					"dlr-mask": {"19"}, "dlr-url": {fmt.Sprintf("%s/?n=%d&outcome=%%d", told.URL, n)}, // 1 delivered, 2 not, 16 refused
				})
			}
		})
	}
	for n := range messages {
		next <- n
	}
	close(next)
	sending.Wait()

	wait(t, s, "", messages)
	for n := range messages {
		got := s.Messages(fmt.Sprintf("+346%08d", n))
		if text := kind(n).With(n); len(got) != 1 || got[0].Text != text || got[0].From != "ACME" || got[0].Encoding != kind(n).Encoding {
			t.Errorf("message %d (%s): %+v, want %q", n, kind(n).Name, got, text)
		}
	}
	outcomes := map[string]int{}
	for n := range messages {
		select {
		case outcome := <-receipts:
			outcomes[outcome]++
		case <-time.After(patience):
			t.Fatalf("%d receipts of %d", n, messages)
		}
	}
	for n := range messages {
		if outcome := fmt.Sprintf("n=%d&outcome=1", n); outcomes[outcome] != 1 {
			t.Errorf("%d receipts say %s", outcomes[outcome], outcome)
		}
	}
	k.stop(t)
	if n := len(receipts); n > 0 {
		t.Errorf("%d receipts too many", n)
	}
	stats := s.Stats()
	if stats.Accepted != stats.Submits || stats.ReceiptsSent != messages || stats.ReceiptsAcknowledged != messages || stats.ReceiptsWaiting != 0 {
		t.Errorf("%+v", stats)
	}
	calls := tap.Calls()
	if len(calls) != 1 {
		t.Fatalf("%d connections, want 1", len(calls))
	}
	asked, answered := last(t, calls[0].Caller), last(t, calls[0].Called)
	if asked.Command != pdu.Unbind || answered != (pdu.Header{Command: pdu.UnbindResp, Sequence: asked.Sequence}) {
		t.Errorf("the session ended with %+v and %+v", asked, answered)
	}
	t.Run("tshark", func(t *testing.T) {
		for _, p := range counterpart.Dissect(t, [][]byte{calls[0].Called}) {
			if p.Complaint != "" {
				t.Errorf("PDU %d: %s", p.At, p.Complaint)
			}
		}
	})
}

// last is the last PDU of what one side said.
func last(t *testing.T, octets []byte) (h pdu.Header) {
	t.Helper()
	reader := pdu.NewReader(strings.NewReader(string(octets)))
	for {
		f, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return h
		} else if err != nil {
			t.Fatal(err)
		}
		h = f.Header
	}
}

// A kannel is a bearerbox that is bound to an SMSC, and the smsbox through which messages come to it.
type kannel struct {
	bearerbox, smsbox *counterpart.Process
	sendSMS           string // address of smsbox
}

// startKannel returns when both run. Where a port was taken by another meanwhile it tries again.
func startKannel(t *testing.T, smscAddress, msgIDType string) kannel {
	t.Helper()
	for range 3 {
		if k, ok := tryKannel(t, smscAddress, msgIDType); ok {
			return k
		}
	}
	t.Fatal("Kannel does not start")
	return kannel{}
}

func tryKannel(t *testing.T, smscAddress, msgIDType string) (k kannel, ok bool) {
	t.Helper()
	ports := counterpart.Ports(t, 3)
	_, smscPort, _ := strings.Cut(smscAddress, ":")
	config := filepath.Join(t.TempDir(), "kannel.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
group = core
admin-port = %[1]d
admin-interface = 127.0.0.1
admin-password = unused
smsbox-port = %[2]d
smsbox-interface = 127.0.0.1
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = simulator
host = 127.0.0.1
port = %[4]s
transceiver-mode = true
smsc-username = kannel
smsc-password = secret
system-type = ""
source-addr-autodetect = true
msg-id-type = %[5]s

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = %[3]d
sendsms-interface = 127.0.0.1

group = sendsms-user
username = otpgw
password = unused
max-messages = 3
concatenation = true
`, ports[0], ports[1], ports[2], smscPort, msgIDType), 0o600); err != nil {
		t.Fatal(err)
	}
	const life = time.Minute
	says := func(words string) func(string) bool {
		return func(line string) bool { return strings.Contains(line, words) }
	}
	k.sendSMS = fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms", ports[2])
	k.bearerbox = counterpart.Start(t, life, "bearerbox", "-v", "0", config)
	if _, ok = k.bearerbox.Until(patience, says("type_name: bind_transceiver_resp")); ok {
		k.smsbox = counterpart.Start(t, life, "smsbox", "-v", "0", config)
		_, ok = k.smsbox.Until(patience, says("Connected to bearerbox"))
	}
	if !ok {
		_ = k.bearerbox.Stop(patience) // it would get receipts of the one that is tried next
	}
	return k, ok
}

// send has smsbox accept a message.
func (k kannel) send(t *testing.T, q url.Values) {
	q.Set("username", "otpgw")
	q.Set("password", "unused")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.sendSMS+"?"+q.Encode(), nil)
	if err != nil {
		t.Error(err)
		return
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusAccepted {
		t.Errorf("smsbox answers %s %s, %v", answer.Status, body, err)
	}
}

// stop ends bearerbox in order, and smsbox with it; neither may have complained.
func (k kannel) stop(t *testing.T) {
	t.Helper()
	if err := k.bearerbox.Stop(patience); err != nil {
		t.Errorf("bearerbox ended with %v", err)
	}
	if err := k.smsbox.Stop(patience); err != nil {
		t.Errorf("smsbox ended with %v", err)
	}
	for name, p := range map[string]*counterpart.Process{"bearerbox": k.bearerbox, "smsbox": k.smsbox} {
		lines, _ := p.Until(0, func(string) bool { return false })
		for _, line := range lines {
			if strings.Contains(line, " ERROR: ") || strings.Contains(line, " PANIC: ") {
				t.Errorf("%s says: %s", name, line)
			}
		}
	}
}
