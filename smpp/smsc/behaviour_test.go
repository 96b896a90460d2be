package smsc_test

import (
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
	return slices.Contains([]string{"bad-destination", "throttled", "system-error", "drop-before"}, name)
}

func TestEachBehaviourDoesWhatItSays(t *testing.T) {
	expect := func(c *client, id string, states ...pdu.State) {
		c.t.Helper()
		for _, want := range states {
			if r, _ := c.receipt(pdu.StatusOK); r.MessageID != id || r.State != want {
				c.t.Errorf("receipt %+v, want %v of %s", r, want, id)
			}
		}
	}
	quiet := (*client).enquire
	does := map[string]func(c *client){
		"delivered":   func(c *client) { expect(c, c.answer(7, 0), pdu.Delivered); quiet(c) },
		"undelivered": func(c *client) { expect(c, c.answer(7, 0), pdu.Undeliverable); quiet(c) },
		"no-receipt":  func(c *client) { c.answer(7, 0); quiet(c) },
		"early-receipt": func(c *client) {
			r, _ := c.receipt(pdu.StatusOK)
			if id := c.answer(7, 0); r.MessageID != id {
				c.t.Errorf("receipt of %s, id %s", r.MessageID, id)
			}
		},
		"double-receipt": func(c *client) { expect(c, c.answer(7, 0), pdu.Delivered, pdu.Delivered); quiet(c) },
		"late-receipt":   func(c *client) { c.answer(7, 0); quiet(c) },
		"same-sequence": func(c *client) {
			r, sequence := c.receipt(pdu.StatusOK)
			if id := c.answer(7, 0); r.MessageID != id || sequence != 7 {
				c.t.Errorf("receipt of %s with sequence %d, id %s", r.MessageID, sequence, id)
			}
		},
		"intermediate":    func(c *client) { expect(c, c.answer(7, 0), pdu.Enroute, pdu.Delivered, pdu.Undeliverable) },
		"bad-destination": func(c *client) { c.answer(7, pdu.StatusInvDstAdr); quiet(c) },
		"throttled":       func(c *client) { c.answer(7, pdu.StatusThrottled); quiet(c) },
		"system-error":    func(c *client) { c.answer(7, pdu.StatusSysErr); quiet(c) },
		"no-answer":       func(c *client) { c.receipt(pdu.StatusOK); quiet(c) },
		"drop-before":     func(c *client) { c.closed() },
		"drop-after": func(c *client) {
			c.closed()
			again := bound(c.t, c.conn.RemoteAddr().String())
			if r, _ := again.receipt(pdu.StatusOK); r.State != pdu.Delivered {
				c.t.Errorf("receipt %+v", r)
			}
		},
		"garbage": func(c *client) {
			if f, err := c.reader.Next(); err == nil {
				c.t.Errorf("a PDU: %+v", f)
			}
		},
		"late-answer": func(c *client) { quiet(c) },
		"unbind": func(c *client) {
			c.answer(7, 0)
			seen := map[pdu.Command]bool{}
			for range 2 {
				seen[c.read().Command] = true
			}
			if !seen[pdu.Unbind] || !seen[pdu.DeliverSM] {
				c.t.Errorf("%v", seen)
			}
			c.write(pdu.Header{Command: pdu.UnbindResp, Sequence: 1}, nil)
			c.closed()
		},
		"strangers": func(c *client) {
			for _, want := range []pdu.Command{pdu.AlertNotification, 0x00010200, 0x80010200, pdu.DeliverSM} {
				if f := c.read(); f.Command != want {
					c.t.Errorf("%v, want %v", f.Command, want)
				}
			}
			c.answer(7, 0)
		},
		"throttled-once": func(c *client) {
			c.answer(7, pdu.StatusThrottled)
			c.submit(7, numberFor(c.t, "throttled-once"), "again")
			expect(c, c.answer(7, 0), pdu.Delivered)
		},
	}
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
	for _, b := range smsc.Behaviours() {
		t.Run(b.Name, func(t *testing.T) {
			s, address := serve(t, smsc.Config{})
			c, to := bound(t, address), numberFor(t, b.Name)
			for sequence := range uint32(2) { // throttled-once wants to be asked again
				c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: sequence + 7}, &pdu.ShortMessage{
					Destination: pdu.Address{TON: 1, NPI: 1, Number: to}, Text: []byte("hello"),
				})
				if b.Name == "drop-before" || b.Name == "drop-after" {
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
