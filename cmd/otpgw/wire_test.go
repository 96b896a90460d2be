package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"otpgw/smpp/pdu"
)

// A tap is a connection between the daemon and the SMSC that keeps what the daemon says.
type tap struct {
	mu     sync.Mutex
	spoken map[int][]byte // by connection
}

// listen relays to the SMSC until the test ends and returns its own address.
func (tp *tap) listen(t *testing.T, smsc string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	relays.Go(func() {
		for n := 0; ; n++ {
			daemon, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", smsc)
			if err != nil {
				daemon.Close()
				continue
			}
			relays.Go(func() { io.Copy(daemon, far); daemon.Close() }) //nolint:errcheck // either side may end it
			relays.Go(func() {
				io.Copy(io.MultiWriter(far, tapped{tp, n}), daemon) //nolint:errcheck // likewise
				far.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); relays.Wait() })
	return l.Addr().String()
}

type tapped struct {
	*tap
	connection int
}

func (tp tapped) Write(b []byte) (int, error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.spoken[tp.connection] = append(tp.spoken[tp.connection], b...)
	return len(b), nil
}

// TestTsharkReadsWhatTheDaemonSays records a life of the daemon on the wire, from bind to unbind, and has every PDU that
// it wrote judged by a dissector that is not ours.
func TestTsharkReadsWhatTheDaemonSays(t *testing.T) {
	for _, tool := range []string{"text2pcap", "tshark"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: nobody judges the wire format", tool)
			}
			t.Skipf("SKIPPED, NOT PASSED: %s is missing (apt-get install tshark): nobody judges the wire format", tool)
		}
	}
	const messages = 30
	tp := &tap{spoken: map[int][]byte{}}
	p := newPlant(t, func(c *plantConfig) { c.smsc = "max_segments = 5"; c.relay = tp.listen })
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

	var dump strings.Builder
	wrote := map[string]int{}
	tp.mu.Lock()
	defer tp.mu.Unlock()
	total := 0
	for _, octets := range tp.spoken {
		for len(octets) >= 16 {
			length := int(binary.BigEndian.Uint32(octets))
			if length < 16 || length > len(octets) {
				t.Fatalf("command_length %d before %d octets", length, len(octets))
			}
			wrote[pdu.Command(binary.BigEndian.Uint32(octets[4:])).String()]++
			for at := 0; at < length; at += 16 {
				fmt.Fprintf(&dump, "%06x % x\n", at, octets[at:min(at+16, length)])
			}
			dump.WriteString("\n")
			octets = octets[length:]
			total++
		}
		if len(octets) > 0 {
			t.Errorf("%d octets behind the last PDU", len(octets))
		}
	}
	for command, least := range map[string]int{
		"bind_transceiver": 1, "submit_sm": messages, "deliver_sm_resp": messages, "unbind": 1, "generic_nack": 1,
	} {
		if wrote[command] < least {
			t.Errorf("%d %s on the wire, want at least %d: %v", wrote[command], command, least, wrote)
		}
	}

	input, capture := filepath.Join(t.TempDir(), "pdus.txt"), filepath.Join(t.TempDir(), "pdus.pcap")
	if err := os.WriteFile(input, []byte(dump.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("text2pcap", "-q", "-T", "40000,2775", input, capture).CombinedOutput(); err != nil {
		t.Fatalf("text2pcap: %v\n%s", err, out)
	}
	out, err := exec.Command("tshark", "-r", capture, "-d", "tcp.port==2775,smpp", "-o", "tcp.desegment_tcp_streams:FALSE",
		"-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "fields", "-E", "separator=|",
		"-e", "smpp.command_id", "-e", "_ws.malformed", "-e", "_ws.expert.message").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != total {
		t.Fatalf("tshark saw %d PDUs, %d were written", len(lines), total)
	}
	for _, line := range lines {
		if command, complaint, _ := strings.Cut(line, "|"); command == "" || strings.Trim(complaint, "|") != "" {
			t.Errorf("tshark complains: %s", line)
		}
	}
	t.Logf("%d PDUs read by tshark: %v", total, wrote)
}
