package smsc_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// message is a submit_sm to the number that a behaviour applies to.
func (c *client) message(behaviour string) *pdu.ShortMessage {
	c.t.Helper()
	return &pdu.ShortMessage{
		Source:      pdu.Address{TON: 5, Number: "ACME"},
		Destination: pdu.Address{TON: 1, NPI: 1, Number: numberFor(c.t, behaviour)}, RegisteredDelivery: 1, Text: []byte("hello"),
	}
}

// answers says what a client sees of each behaviour that is about answers.
func answers() map[string]func(c *client) {
	refusedWith := func(status pdu.Status) func(c *client) {
		return func(c *client) {
			if f := c.expect(pdu.SubmitSMResp, status, 7); len(f.Body) != 0 {
				c.t.Errorf("body %q", f.Body)
			}
			c.enquire()
		}
	}
	refusedWithBody := func(body string) func(c *client) {
		return func(c *client) {
			if f := c.expect(pdu.SubmitSMResp, pdu.StatusInvDstAdr, 7); string(f.Body) != body {
				c.t.Errorf("body %q", f.Body)
			}
			c.enquire()
		}
	}
	refusedOnceWith := func(status pdu.Status, name string) func(c *client) {
		return func(c *client) {
			c.answer(7, status)
			c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: 7}, c.message(name))
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
		}
	}
	// Two messages follow the first, which has no validity_period; status is that of each.
	validity := func(name string, relative, absolute pdu.Status) func(c *client) {
		return func(c *client) {
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
			for period, want := range map[string]pdu.Status{"000000000500000R": relative, "991231235959000+": absolute} {
				m := c.message(name)
				m.ValidityPeriod, m.Destination.Number = period, "1"+m.Destination.Number // to another phone
				c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: 8}, m)
				if c.answer(8, want); want == pdu.StatusOK {
					c.receipt(pdu.StatusOK)
				}
			}
		}
	}
	// accepted has an answer with that body, and a receipt.
	accepted := func(body func(id string) string) func(c *client) {
		return func(c *client) {
			f := c.expect(pdu.SubmitSMResp, 0, 7)
			r, _ := c.receipt(pdu.StatusOK)
			if want := body(r.MessageID); string(f.Body) != want || r.MessageID == "" {
				c.t.Errorf("body %q, want %q", f.Body, want)
			}
			c.enquire()
		}
	}
	lostFraming := func(difference int) func(c *client) {
		return func(c *client) {
			header := make([]byte, 16)
			if _, err := io.ReadFull(c.conn, header); err != nil {
				c.t.Fatal(err)
			}
			body := make([]byte, len("0000000001\x00"))
			if _, err := io.ReadFull(c.conn, body); err != nil {
				c.t.Fatal(err)
			}
			if got := int(binary.BigEndian.Uint32(header)); got != len(header)+len(body)+difference || string(body) != "0000000001\x00" {
				c.t.Errorf("command_length %d of a body %q", got, body)
			}
		}
	}
	return map[string]func(c *client){
		"bad-destination":   refusedWith(pdu.StatusInvDstAdr),
		"throttled":         refusedWith(pdu.StatusThrottled),
		"system-error":      refusedWith(pdu.StatusSysErr),
		"queue-full":        refusedWith(pdu.StatusMsgQFul),
		"not-bound":         refusedWith(pdu.StatusInvBndSts),
		"vendor-status":     refusedWith(0x422),
		"throttled-once":    refusedOnceWith(pdu.StatusThrottled, "throttled-once"),
		"system-error-once": refusedOnceWith(pdu.StatusSysErr, "system-error-once"),

		"no-validity":          validity("no-validity", pdu.StatusInvExpiry, pdu.StatusInvExpiry),
		"no-relative-validity": validity("no-relative-validity", pdu.StatusInvExpiry, pdu.StatusOK),
		"no-absolute-validity": validity("no-absolute-validity", pdu.StatusOK, pdu.StatusInvExpiry),

		"error-with-body": refusedWithBody("0000000000\x00"),
		"error-with-tlvs": refusedWithBody("\x00\x1d\x00\x08no route"),
		"nack":            func(c *client) { c.expect(pdu.GenericNack, pdu.StatusInvCmdLen, 7); c.enquire() },
		"nack-0":          func(c *client) { c.expect(pdu.GenericNack, pdu.StatusInvCmdLen, 0); c.enquire() },
		"receipt-of-refusal": func(c *client) {
			c.answer(7, pdu.StatusInvDstAdr)
			if r, _ := c.receipt(pdu.StatusOK); r.State != pdu.Rejected || r.MessageID == "" {
				c.t.Errorf("receipt %+v", r)
			}
		},

		"empty-id":       accepted(func(string) string { return "\x00" }),
		"id-without-nul": accepted(func(id string) string { return id }),
		"blank-id":       accepted(func(id string) string { return " " + id + "  \x00" }),
		"congestion":     accepted(func(id string) string { return id + "\x00\x04\x28\x00\x01\x64" }),
		"long-id": func(c *client) {
			id := c.answer(7, 0)
			if c.expectReceipts(id, pdu.Delivered); len(id) != 70 {
				c.t.Errorf("id %q", id)
			}
		},
		"uuid-id": func(c *client) {
			id := c.answer(7, 0)
			if c.expectReceipts(id, pdu.Delivered); len(id) != 36 || strings.Count(id, "-") != 4 {
				c.t.Errorf("id %q", id)
			}
		},

		"no-answer":   func(c *client) { c.receipt(pdu.StatusOK); c.enquire() },
		"late-answer": (*client).enquire,
		"double-answer": func(c *client) {
			if first, second := c.answer(7, 0), c.answer(7, 0); first != second {
				c.t.Errorf("ids %s and %s", first, second)
			}
			c.receipt(pdu.StatusOK)
		},
		"wrong-number": func(c *client) {
			c.expect(pdu.SubmitSMResp, 0, 1_000_007)
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
		},
		"out-of-order": func(c *client) {
			c.submit(8, "34600009902", "no receipt comes of this")
			c.answer(8, 0)
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
		},
		"one-segment": func(c *client) {
			octets := make([]byte, 64<<10)
			n, err := c.conn.Read(octets)
			if err != nil {
				c.t.Fatal(err)
			}
			reader := pdu.NewReader(bytes.NewReader(octets[:n]))
			for _, want := range []pdu.Command{pdu.DeliverSM, pdu.SubmitSMResp} {
				if f, err := reader.Next(); err != nil || f.Command != want {
					c.t.Errorf("%+v %v, want %v", f.Header, err, want)
				}
			}
		},
		"short-length": lostFraming(-4),
		"long-length":  lostFraming(4),
		"garbage": func(c *client) {
			if f, err := c.reader.Next(); err == nil {
				c.t.Errorf("a PDU: %+v", f)
			}
		},

		"drop-before": (*client).closed,
		"drop-after": func(c *client) {
			c.closed()
			again := bound(c.t, c.conn.RemoteAddr().String())
			if r, _ := again.receipt(pdu.StatusOK); r.State != pdu.Delivered {
				c.t.Errorf("receipt %+v", r)
			}
		},
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
		"unbind-first": func(c *client) {
			c.expect(pdu.Unbind, 0, 1)
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
			c.write(pdu.Header{Command: pdu.UnbindResp, Sequence: 1}, nil)
			c.closed()
		},
		"unbind-close": func(c *client) {
			c.expect(pdu.Unbind, 0, 1)
			c.closed()
			bound(c.t, c.conn.RemoteAddr().String()).receipt(pdu.StatusOK)
		},
		"strangers": func(c *client) {
			for _, want := range []pdu.Command{pdu.AlertNotification, 0x00010200, 0x80010200, pdu.DeliverSM} {
				if f := c.read(); f.Command != want {
					c.t.Errorf("%v, want %v", f.Command, want)
				}
			}
			c.answer(7, 0)
		},
		"foreigners": func(c *client) {
			for _, want := range []pdu.Command{0x0111, 0x80000111, pdu.Outbind, pdu.DataSM} {
				if f := c.read(); f.Command != want {
					c.t.Errorf("%v, want %v", f.Command, want)
				}
			}
			c.answer(7, 0)
		},
	}
}

func TestOutOfOrderWaitsASecondAtMost(t *testing.T) {
	inBubble(t, smsc.Config{}, func(t *testing.T, c *client) {
		c.submit(7, numberFor(t, "out-of-order"), "hello")
		c.expectReceipts(c.answer(7, 0), pdu.Delivered)
	})
}
