//go:build linux

package smpp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"otpgw/smpp/counterpart"
)

const (
	interopPatience = 15 * time.Second // for one step of a test
	interopLife     = time.Minute      // of a counterpart
	interopScripts  = "../testdata/interop/"
)

// An event is a line that a script says.
type event struct {
	Event              string
	Port               int
	SystemID, Password string
	InterfaceVersion   int

	ID                                       string
	Sequence                                 uint32
	Source, Destination                      string // ton/npi/number
	ESMClass, DataCoding, RegisteredDelivery int
	Validity                                 string
	UDH, Octets                              string // of short_message, in hexadecimal
	Text                                     string // as it decoded Octets
	Own                                      string // as it encodes Text again
	TLVs                                     []string
	Status                                   uint32
}

// An interopSMSC is a script that is an SMSC.
type interopSMSC struct {
	*counterpart.Process
	t   *testing.T
	tap *counterpart.Tap // between us and it
}

func startSMSC(t *testing.T, name string, args ...string) *interopSMSC {
	t.Helper()
	s := &interopSMSC{Process: counterpart.Start(t, interopLife, name, args...), t: t}
	listening := s.until("listening", 1)
	s.tap = counterpart.NewTap(t, fmt.Sprintf("127.0.0.1:%d", listening[0].Port))
	return s
}

// until returns all events up to the n-th of that name.
func (s *interopSMSC) until(name string, n int) []event {
	s.t.Helper()
	var events []event
	_, ok := s.Until(interopPatience, func(line string) bool {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Errorf("the counterpart says: %s", line)
			return false
		}
		events = append(events, e)
		if e.Event == name {
			n--
		}
		return n == 0
	})
	if !ok {
		s.t.Fatalf("%d of %q have not come", n, name)
	}
	return events
}

// TestInteropNodeSMPP has node-smpp read what the pool writes, and the pool what node-smpp writes; tshark judges both.
func TestInteropNodeSMPP(t *testing.T) {
	t.Parallel()
	counterpart.Need(t, "nodejs npm", "node", "npm")
	smsc := startSMSC(t, "env", "NODE_PATH="+installNodeSMPP(t), "node", interopScripts+"node-smsc.js")
	submits := interopSession(t, smsc, "300s") // it makes a date of validity_period

	t.Run("tshark", func(t *testing.T) {
		calls := smsc.tap.Calls()
		streams := make([][]byte, 0, 2*len(calls))
		for _, call := range calls {
			streams = append(streams, call.Caller, call.Called)
		}
		read := map[string]int{}
		for _, p := range counterpart.Dissect(t, streams, "smpp.destination_addr", "smpp.message") {
			if p.Complaint != "" {
				t.Errorf("connection %d, PDU %d: %s", p.Stream/2, p.At, p.Complaint)
			}
			if command := p.Fields["smpp.command_id"]; p.Stream%2 == 0 && slices.Equal(command, []string{"0x00000004"}) {
				message := strings.ReplaceAll(strings.Join(p.Fields["smpp.message"], ""), ":", "")
				read[strings.Join(p.Fields["smpp.destination_addr"], "")+" "+message]++
			}
		}
		for _, s := range submits {
			_, number, _ := strings.Cut(strings.TrimPrefix(s.Destination, "1/"), "/")
			read[number+" "+s.UDH+s.Octets]--
		}
		for message, n := range read {
			if n != 0 {
				t.Errorf("%s: %d times more for tshark than for node-smpp", message, n)
			}
		}
	})
}

// installNodeSMPP gets node-smpp from the registry where that has not been done before, and returns where it is.
func installNodeSMPP(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	script := interopScripts + "install-node-smpp"
	install := counterpart.Command(ctx, "sh", script)
	var complaints strings.Builder
	install.Stderr = &complaints
	modules, err := install.Output()
	if err != nil {
		counterpart.Missing(t, fmt.Sprintf("node-smpp (%s: %v)\n%s", script, err, complaints.String()))
	}
	return strings.TrimSpace(string(modules))
}

// TestInteropNetSMPP does the same with Net::SMPP.
func TestInteropNetSMPP(t *testing.T) {
	t.Parallel()
	counterpart.Need(t, "perl", "perl")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := counterpart.Command(ctx, "perl", "-MNet::SMPP", "-MJSON::PP", "-e", "1").Run(); err != nil {
		counterpart.Missing(t, "Net::SMPP (apt-get install libnet-smpp-perl)")
	}
	interopSession(t, startSMSC(t, "perl", interopScripts+"net-smpp-smsc.pl"), "000000000500000R")
}
