package smsc_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// number is one that the behaviour of that name applies to.
func numberFor(t *testing.T, name string) string {
	t.Helper()
	for _, b := range smsc.Behaviours() {
		if b.Name == name {
			return "34600000000"[:11-len(b.Suffix)] + b.Suffix
		}
	}
	t.Fatalf("no behaviour %q", name)
	return ""
}

// refused says whether a behaviour brings no message to the phone.
func refused(name string) bool {
	return slices.Contains([]string{
		"bad-destination", "throttled", "system-error", "drop-before", "queue-full", "not-bound", "vendor-status",
		"error-with-body", "error-with-tlvs", "nack", "nack-0", "receipt-of-refusal",
	}, name)
}

// Each behaviour is tried after one submit_sm with the number 7 that asks for a receipt.
func TestEachBehaviourDoesWhatItSays(t *testing.T) {
	does := maps.Collect(maps.All(answers()))
	maps.Copy(does, receipts())
	for _, b := range smsc.Behaviours() {
		t.Run(b.Name, func(t *testing.T) {
			do := does[b.Name]
			if do == nil {
				t.Fatal("nobody tests it")
			}
			s, address := serve(t, smsc.Config{})
			c := bound(t, address)
			c.submit(7, numberFor(t, b.Name), "hello")
			do(c)
			want := 1
			if refused(b.Name) {
				want = 0
			}
			if got := s.Messages("+" + numberFor(t, b.Name)); len(got) != want {
				t.Errorf("the phone has %d messages, want %d", len(got), want)
			}
		})
	}
}

func TestNoReceiptWhereNoneIsAskedFor(t *testing.T) {
	always := []string{"unasked-receipt", "receipt-of-refusal", "unknown-receipt", "reply", "reply-udh"} // which is their point
	for _, b := range smsc.Behaviours() {
		if slices.Contains(always, b.Name) {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			s, address := serve(t, smsc.Config{})
			c, to := bound(t, address), numberFor(t, b.Name)
			for sequence := range uint32(2) { // throttled-once wants to be asked again
				c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: sequence + 7}, &pdu.ShortMessage{
					Destination: pdu.Address{TON: 1, NPI: 1, Number: to}, Text: []byte("hello"),
				})
				if b.Name == "unbind-close" {
					c.expect(pdu.Unbind, 0, 1)
				}
				if slices.Contains([]string{"drop-before", "drop-after", "unbind-close"}, b.Name) {
					c.closed()
					break
				}
			}
			if !refused(b.Name) {
				wait(t, s, "+"+to, 1)
			}
			bound(t, address).enquire() // the SMSC still serves, and has nothing for the account
			if stats := s.Stats(); stats.ReceiptsSent+stats.ReceiptsWaiting != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func TestSuffixesAreDistinctAndEndInNoZero(t *testing.T) {
	seen := map[string]bool{}
	for i, b := range smsc.Behaviours() {
		if (b.Suffix == "") != (i == 0) || strings.HasSuffix(b.Suffix, "0") || seen[b.Suffix] || b.Description == "" {
			t.Errorf("%+v", b)
		}
		seen[b.Suffix] = true
	}
}
