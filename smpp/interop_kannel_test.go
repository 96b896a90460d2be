//go:build linux

package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"otpgw/smpp/counterpart"
	"otpgw/smpp/pdu"
)

const (
	driveSMPP = "/usr/lib/kannel/test/drive_smpp"
	// drivePort is where drive_smpp calls its smsbox; it cannot be told another.
	drivePort = "127.0.0.1:13001"
)

// driveConfig has drive_smpp put a receipted_message_id into each message that it sends, though they are no receipts.
const driveConfig = `
group = core
admin-port = 13000
smsbox-port = 13001
admin-password = unused

group = smpp-tlv
name = receipted_message_id
tag = 0x001E
type = octetstring
length = 65
`

// TestInteropDriveSMPP has Kannel's SMSC simulator, which knows transmitters and receivers only, gives no message ids,
// begins its sequence numbers at 0 and asks for a sign of life after each message.
func TestInteropDriveSMPP(t *testing.T) {
	t.Parallel()
	const messages = 300
	if _, err := os.Stat(driveSMPP); err != nil {
		counterpart.Missing(t, driveSMPP+" (apt-get install kannel-extras)")
	}
	smsbox, err := net.Listen("tcp", drivePort)
	if errors.Is(err, syscall.EADDRINUSE) {
		counterpart.Missing(t, "a free port "+drivePort)
	} else if err != nil {
		t.Fatal(err)
	}
	defer smsbox.Close() // it has to be there, and has nothing to say

	config := filepath.Join(t.TempDir(), "drive_smpp.conf")
	if err := os.WriteFile(config, []byte(driveConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	port := counterpart.Ports(t, 1)[0]
	drive := counterpart.Start(t, interopLife, driveSMPP, "-v", "0", "-p", fmt.Sprint(port), "-m", fmt.Sprint(messages), "-c", config)
	tap := counterpart.NewTap(t, fmt.Sprintf("127.0.0.1:%d", port)) // whoever calls it to see whether it listens ends it
	esme := startESME(t, tap.Address, true)

	ctx, cancel := context.WithTimeout(t.Context(), interopPatience)
	defer cancel()
	for n := range messages {
		sent, err := esme.send(ctx, "ACME", fmt.Sprintf("+346%08d", n), fmt.Sprintf("%06d is your code", n))
		if err != nil || strings.Join(sent.ids, "") != "" {
			t.Fatalf("message %d: %+v, %v, want it accepted without an id", n, sent, err)
		}
	}
	said := awaitAnswers(t, drive, messages)
	esme.stop()
	rest, _ := drive.Until(interopPatience, func(string) bool { return false }) // all there is until its end
	said = append(said, rest...)
	if err := drive.End(interopPatience); err != nil {
		t.Errorf("drive_smpp ended with %v", err)
	}

	var texts []string
	for _, line := range said {
		if _, text, found := strings.Cut(line, "submit_sm: short_message = "); found {
			texts = append(texts, text)
		}
		for _, word := range []string{" ERROR: ", " WARNING: ", " PANIC: "} {
			if strings.Contains(line, word) {
				t.Errorf("drive_smpp says: %s", line)
			}
		}
	}
	slices.Sort(texts)
	for n := range max(messages, len(texts)) {
		if want := fmt.Sprintf("<%06d is your code>", n); n >= len(texts) || texts[n] != want {
			t.Fatalf("%d texts, number %d is not %s: %v", len(texts), n, want, texts[n:min(n+1, len(texts))])
		}
	}
	if n := len(esme.receipts); n > 0 {
		t.Errorf("%d messages were taken for receipts", n)
	}
	checkDriven(t, tap, messages)
}

// awaitAnswers waits until drive_smpp has its answers to n messages and as many enquire_link, and returns all it said.
func awaitAnswers(t *testing.T, drive *counterpart.Process, n int) []string {
	t.Helper()
	left := map[string]int{"deliver_sm_resp": n, "enquire_link_resp": n}
	lines, ok := drive.Until(interopPatience, func(line string) bool {
		if _, command, found := strings.Cut(line, "Handling SMPP PDU of type "); found {
			left[command]--
		}
		return left["deliver_sm_resp"] <= 0 && left["enquire_link_resp"] <= 0
	})
	if !ok {
		t.Fatalf("answers are missing: %v", left)
	}
	return lines
}

// checkDriven says whether all that drive_smpp asked on the receiver was answered under its own number, from 0 on, and
// whether we ended in order: it hangs up on everybody when the first has.
func checkDriven(t *testing.T, tap *counterpart.Tap, messages int) {
	t.Helper()
	answers := map[pdu.Header]int{}
	requests := map[pdu.Command]int{}
	for _, call := range tap.Calls() {
		if len(call.Called) == 0 {
			continue // called before it listened
		}
		reader := pdu.NewReader(strings.NewReader(string(call.Caller)))
		for {
			f, err := reader.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if f.Command.IsResponse() {
				answers[f.Header]++
			} else {
				requests[f.Command]++
			}
		}
	}
	want := map[pdu.Command]int{pdu.BindTransmitter: 1, pdu.BindReceiver: 1, pdu.SubmitSM: messages}
	for command, n := range want {
		if requests[command] != n {
			t.Errorf("%d %v, want %d", requests[command], command, n)
		}
	}
	if n := requests[pdu.Unbind]; n < 1 || n > 2 {
		t.Errorf("unbind came %d times", n)
	}
	for n := range messages {
		for i, command := range []pdu.Command{pdu.DeliverSMResp, pdu.EnquireLinkResp} {
			h := pdu.Header{Command: command, Sequence: uint32(2*n + i)}
			if answers[h] != 1 {
				t.Errorf("%v %d with ESME_ROK came %d times", h.Command, h.Sequence, answers[h])
			}
			delete(answers, h)
		}
	}
	if len(answers) > 0 {
		t.Errorf("answers to nothing: %v", answers)
	}
}
