package smsc_test

import (
	"bytes"
	"strings"
	"testing"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// expectReceipts reads receipts of a message that tell these states, one after the other.
func (c *client) expectReceipts(id string, states ...pdu.State) {
	c.t.Helper()
	for _, want := range states {
		if r, _ := c.receipt(pdu.StatusOK); r.MessageID != id || r.State != want {
			c.t.Errorf("receipt %+v, want %v of %s", r, want, id)
		}
	}
}

// receipts says what a client sees of each behaviour that is about receipts.
func receipts() map[string]func(c *client) {
	// told has receipts that tell these states, and nothing after them.
	told := func(states ...pdu.State) func(c *client) {
		return func(c *client) {
			c.expectReceipts(c.answer(7, 0), states...)
			c.enquire()
		}
	}
	// formed has one receipt DELIVRD that looks like that.
	formed := func(looks func(m *pdu.ShortMessage, id string) bool) func(c *client) {
		return func(c *client) {
			id := c.answer(7, 0)
			m, _ := c.deliver()
			if r, ok := pdu.ParseReceipt(m); !ok || r.MessageID != id || r.State != pdu.Delivered {
				c.t.Errorf("receipt %v %+v, id %s", ok, r, id)
			}
			if !looks(m, id) {
				c.t.Errorf("%+v: %q", m, m.Text)
			}
			c.enquire()
		}
	}
	says := func(words ...string) func(c *client) {
		return formed(func(m *pdu.ShortMessage, id string) bool {
			text := strings.ReplaceAll(string(m.Text), id, "ID")
			for _, w := range words {
				if !strings.Contains(text, w) {
					return false
				}
			}
			return len(m.TLVs) == 0
		})
	}
	numbered := func(want uint32) func(c *client) {
		return func(c *client) {
			id := c.answer(7, 0)
			if r, sequence := c.receipt(pdu.StatusOK); r.MessageID != id || sequence != want {
				c.t.Errorf("receipt of %s with sequence %d, id %s", r.MessageID, sequence, id)
			}
			c.enquire()
		}
	}
	classed := func(class byte, state pdu.State) func(c *client) {
		return func(c *client) {
			c.answer(7, 0)
			m, _ := c.deliver()
			if r, _ := pdu.ParseReceipt(m); m.ESMClass != class || r.State != state {
				c.t.Errorf("%+v", m)
			}
		}
	}
	replied := func(class byte, text string) func(c *client) {
		return func(c *client) {
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
			if m, _ := c.deliver(); m.ESMClass != class || string(m.Text) != text || m.Destination.Number != "ACME" || m.Source.Number[:4] != "3460" {
				c.t.Errorf("%+v", m)
			}
			c.enquire()
		}
	}
	early := func(check func(c *client, sequence uint32)) func(c *client) {
		return func(c *client) {
			r, sequence := c.receipt(pdu.StatusOK)
			if id := c.answer(7, 0); r.MessageID != id {
				c.t.Errorf("receipt of %s, id %s", r.MessageID, id)
			}
			check(c, sequence)
			c.enquire()
		}
	}
	return map[string]func(c *client){
		"delivered":      told(pdu.Delivered),
		"undelivered":    told(pdu.Undeliverable),
		"no-receipt":     told(),
		"late-receipt":   told(),
		"double-receipt": told(pdu.Delivered, pdu.Delivered),
		"intermediate":   told(pdu.Enroute, pdu.Delivered, pdu.Undeliverable),
		"regret":         told(pdu.Delivered, pdu.Undeliverable),
		"after-final":    told(pdu.Delivered, pdu.Enroute),
		"expired":        told(pdu.Expired),
		"rejected":       told(pdu.Rejected),
		"unknown-state":  told(pdu.UnknownState),
		"receipt-words": func(c *client) {
			id := c.answer(7, 0)
			for _, word := range []string{"BUFFRED", "DELIVERED"} {
				if m, _ := c.deliver(); !strings.Contains(string(m.Text), "id:"+id) || !strings.Contains(string(m.Text), "stat:"+word+" err:0A1") {
					c.t.Errorf("%q", m.Text)
				}
			}
		},
		"unasked-receipt": func(c *client) {
			c.expectReceipts(c.answer(7, 0), pdu.Delivered)
			m := c.message("unasked-receipt")
			m.RegisteredDelivery, m.Destination.Number = 0, "1"+m.Destination.Number
			c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: 8}, m)
			c.expectReceipts(c.answer(8, 0), pdu.Delivered)
		},
		"unknown-receipt": func(c *client) {
			id := c.answer(7, 0)
			c.expectReceipts(id, pdu.Delivered)
			if r, _ := c.receipt(pdu.StatusOK); r.MessageID == id || r.MessageID == "" || r.State != pdu.Delivered {
				c.t.Errorf("receipt %+v", r)
			}
		},

		"early-receipt": early(func(*client, uint32) {}),
		"same-sequence": early(func(c *client, sequence uint32) {
			if sequence != 7 {
				c.t.Errorf("sequence %d", sequence)
			}
		}),
		"receipt-sequence-0":   numbered(0),
		"receipt-sequence-max": numbered(0xFFFFFFFF),
		"receipt-elsewhere":    numbered(1), // there is no other bind

		"receipt-tlvs":      formed(func(m *pdu.ShortMessage, _ string) bool { return len(m.Text) == 0 && len(m.TLVs) == 3 }),
		"receipt-text":      says("id:ID sub:001 dlvrd:001 submit date:", "stat:DELIVRD err:000"),
		"receipt-disagrees": formed(func(m *pdu.ShortMessage, _ string) bool { return bytes.Contains(m.Text, []byte("stat:UNDELIV")) }),
		"receipt-payload": formed(func(m *pdu.ShortMessage, id string) bool {
			return len(m.Text) == 0 && len(m.TLVs) == 1 && bytes.HasPrefix(m.Payload(), []byte("id:"+id))
		}),
		"receipt-data-sm": func(c *client) {
			id := c.answer(7, 0)
			f := c.expect(pdu.DataSM, 0, 1)
			b, err := pdu.Decode(f)
			if err != nil {
				c.t.Fatal(err)
			}
			if r, ok := pdu.ParseDataReceipt(b.(*pdu.DataMessage)); !ok || r.MessageID != id || r.State != pdu.Delivered {
				c.t.Errorf("receipt %v %+v", ok, r)
			}
			c.write(pdu.Header{Command: pdu.DataSMResp, Sequence: 1}, &pdu.MessageResp{})
			c.enquire()
		},
		"receipt-ucs2-label": formed(func(m *pdu.ShortMessage, id string) bool {
			return m.DataCoding == 8 && bytes.HasPrefix(m.Text, []byte("id:"+id)) && len(m.TLVs) == 0
		}),
		"receipt-utf16": formed(func(m *pdu.ShortMessage, id string) bool {
			return m.DataCoding == 8 && bytes.HasPrefix(m.Text, []byte("\x00i\x00d\x00:\x00"+id[:1])) && len(m.TLVs) == 0
		}),
		"receipt-unmarked":    formed(func(m *pdu.ShortMessage, _ string) bool { return m.ESMClass == 0 && len(m.TLVs) == 0 }),
		"receipt-udh":         formed(func(m *pdu.ShortMessage, _ string) bool { return m.ESMClass == 0x44 && m.Text[0] == 5 }),
		"receipt-lower-case":  says("id:ID", "stat:delivrd"),
		"receipt-upper-case":  says("ID:ID", "STAT:DELIVRD"),
		"receipt-other-order": says("stat:DELIVRD err:000 id:ID done date:"),
		"receipt-bare":        says("id:ID submit date:", " stat:DELIVRD text:"),
		"receipt-misleads": formed(func(m *pdu.ShortMessage, _ string) bool {
			return bytes.HasSuffix(m.Text, []byte("err:000 text:id:0 stat:UNDELIV"))
		}),
		"receipt-not-turned": formed(func(m *pdu.ShortMessage, _ string) bool {
			return m.Source.Number == "ACME" && m.Destination.TON == 1
		}),
		"receipt-national": formed(func(m *pdu.ShortMessage, _ string) bool {
			return m.Source == pdu.Address{TON: 2, NPI: 1, Number: "600009968"}
		}),
		"receipt-plus": formed(func(m *pdu.ShortMessage, _ string) bool { return m.Source.Number == "+34600009969" }),
		"error-digits": func(c *client) {
			c.answer(7, 0)
			m, _ := c.deliver()
			if code, _ := m.TLVs.Get(pdu.TagNetworkErrorCode); string(code) != "011" {
				c.t.Errorf("%q", code)
			}
		},
		"notification":    classed(0x20, pdu.Enroute),
		"acknowledgement": classed(0x08, pdu.Delivered),
		"reply":           replied(0, "STOP"),
		"reply-udh":       replied(0x40, "\x05\x00\x03\x2a\x01\x01STOP"),
	}
}

func TestReceiptComesElsewhere(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	first, second := bound(t, address), bound(t, address)
	for sequence := uint32(7); sequence < 10; sequence++ {
		first.submit(sequence, numberFor(t, "receipt-elsewhere"), "hello")
		second.expectReceipts(first.answer(sequence, 0), pdu.Delivered)
	}
	second.conn.Close()
	first.submit(10, numberFor(t, "receipt-elsewhere"), "hello")
	first.expectReceipts(first.answer(10, 0), pdu.Delivered) // where else
}
