//go:build linux

package counterpart

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A PDU is one SMPP PDU as tshark reads it.
type PDU struct {
	Stream, At int                 // among the streams, and among the PDUs of its own
	Fields     map[string][]string // those that were asked for
	Complaint  string              // what tshark finds fault with; "" for nothing
}

// Dissect has tshark read the PDUs of streams, each what one side of a connection said, and tell the fields by the
// names of its display filters, such as "smpp.command_id". A stream that is no sequence of whole PDUs fails the test.
// Without tshark the test ends as with Need.
func Dissect(t testing.TB, streams [][]byte, fields ...string) []PDU {
	t.Helper()
	Need(t, "tshark", "text2pcap", "tshark")
	var dump bytes.Buffer
	var pdus []PDU
	for i, stream := range streams {
		for at := 0; len(stream) > 0; at++ {
			length := 0
			if len(stream) >= 16 {
				length = int(binary.BigEndian.Uint32(stream)) // SMPP 3.4 §3.2
			}
			if length < 16 || length > len(stream) {
				t.Fatalf("stream %d: PDU %d has command_length %d, and %d octets are left", i, at, length, len(stream))
			}
			for row := 0; row < length; row += 16 {
				fmt.Fprintf(&dump, "%06x % x\n", row, stream[row:min(row+16, length)])
			}
			dump.WriteString("\n")
			stream = stream[length:]
			pdus = append(pdus, PDU{Stream: i, At: at})
		}
	}

	dir := t.TempDir()
	input, capture := filepath.Join(dir, "pdus.txt"), filepath.Join(dir, "pdus.pcap")
	if err := os.WriteFile(input, dump.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "text2pcap", "-q", "-T", "40000,2775", input, capture) // one PDU, one packet
	args := []string{"-r", capture, "-d", "tcp.port==2775,smpp", "-o", "tcp.desegment_tcp_streams:FALSE",
		"-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "json", "-e", "smpp.command_id", "-e", "_ws.malformed", "-e", "_ws.expert.message"}
	for _, field := range fields {
		args = append(args, "-e", field)
	}
	var packets []struct {
		Source struct {
			Layers map[string][]string `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(run(t, "tshark", args...), &packets); err != nil {
		t.Fatalf("tshark: %v", err)
	}
	if len(packets) != len(pdus) {
		t.Fatalf("tshark saw %d PDUs of %d", len(packets), len(pdus))
	}
	for i, packet := range packets {
		layers := packet.Source.Layers
		pdus[i].Fields = layers
		complaints := append(layers["_ws.malformed"], layers["_ws.expert.message"]...)
		if len(layers["smpp.command_id"]) != 1 {
			complaints = append(complaints, fmt.Sprintf("%d PDUs", len(layers["smpp.command_id"])))
		}
		pdus[i].Complaint = strings.Join(complaints, ", ")
	}
	return pdus
}

func run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := Command(ctx, name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.Bytes())
	}
	return out
}
