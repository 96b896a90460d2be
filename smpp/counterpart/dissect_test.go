//go:build linux

package counterpart_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"otpgw/smpp/counterpart"
)

func octets(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDissectFindsWhatIsDamaged is what makes the silence of Dissect mean something.
func TestDissectFindsWhatIsDamaged(t *testing.T) {
	enquire := octets(t, "00000010 00000015 00000000 00000001")
	submit := "00000004 00000000 00000002 00 0500 41434d4500 0101 33343600 00 00 00 00 00 01 00 00 00"
	whole := octets(t, "0000002d"+submit+"05 68656c6c6f")
	short := octets(t, "0000002d"+submit+"09 68656c6c6f") // sm_length says 9, and 5 octets follow
	pdus := counterpart.Dissect(t, [][]byte{append(enquire, whole...), short}, "smpp.destination_addr", "smpp.message_text")
	if len(pdus) != 3 {
		t.Fatalf("%d PDUs, want 3", len(pdus))
	}
	for i, damaged := range []bool{false, false, true} {
		if got := pdus[i].Complaint != ""; got != damaged {
			t.Errorf("PDU %d: complaint %q", i, pdus[i].Complaint)
		}
	}
	if got := pdus[1].Fields["smpp.destination_addr"]; len(got) != 1 || got[0] != "346" {
		t.Errorf("destination_addr %q", got)
	}
	if pdus[1].Stream != 0 || pdus[1].At != 1 || pdus[2].Stream != 1 || pdus[2].At != 0 {
		t.Errorf("%+v", pdus)
	}
}
