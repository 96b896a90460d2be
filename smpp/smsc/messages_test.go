package smsc_test

import (
	"strings"
	"testing"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// phone is the submit_sm of a text to a number that does nothing special.
func phone(text string) *pdu.ShortMessage {
	return &pdu.ShortMessage{
		Source: pdu.Address{TON: 5, Number: "ACME"}, Destination: pdu.Address{TON: 1, NPI: 1, Number: "34600000001"},
		RegisteredDelivery: 1, Text: []byte(text),
	}
}

// put writes a submit_sm and returns its message id.
func (c *client) put(sequence uint32, m *pdu.ShortMessage) string {
	c.t.Helper()
	c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: sequence}, m)
	return c.answer(sequence, pdu.StatusOK)
}

func TestNewerMessageReplacesOlder(t *testing.T) {
	s, address := serve(t, smsc.Config{LostReceipts: 1})
	c := bound(t, address)
	texts := func(want ...string) {
		t.Helper()
		var got []string
		for _, m := range s.Messages("+34600000001") {
			got = append(got, m.Text)
		}
		if strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	typed := func(text string, protocol byte, sender string) *pdu.ShortMessage {
		m := phone(text)
		m.ProtocolID, m.Source.Number = protocol, sender
		return m
	}
	c.put(1, typed("plain", 0, "ACME"))
	c.put(2, typed("type 1", 0x41, "ACME"))
	c.put(3, typed("type 7", 0x47, "ACME"))
	c.put(4, typed("type 1, other sender", 0x41, "SHOP"))
	c.put(5, typed("no type", 0x48, "ACME"))
	c.put(6, typed("no type again", 0x48, "ACME"))
	texts("plain", "type 1", "type 7", "type 1, other sender", "no type", "no type again")
	c.put(7, typed("type 1 again", 0x41, "ACME"))
	texts("plain", "type 7", "type 1, other sender", "no type", "no type again", "type 1 again")
	if m := s.Messages("+34600000001")[5]; m.ProtocolID != 0x41 {
		t.Errorf("%+v", m)
	}

	replacing := phone("replaces the newest of ACME")
	replacing.ReplaceIfPresent = 1
	c.put(8, replacing)
	texts("plain", "type 7", "type 1, other sender", "no type", "no type again", "replaces the newest of ACME")
	replacing.ServiceType, replacing.Text = "OTP", []byte("of another service")
	c.put(9, replacing)
	texts("plain", "type 7", "type 1, other sender", "no type", "no type again", "replaces the newest of ACME", "of another service")
}

// What replaces takes the place of what it replaces in the count of those that are kept.
func TestReplacedMessagesAreNotKept(t *testing.T) {
	s, address := serve(t, smsc.Config{KeepMessages: 2, LostReceipts: 1})
	c := bound(t, address)
	other := phone("other phone")
	other.Destination.Number = "34600000002"
	c.put(1, phone("old"))
	c.put(2, other)
	for range 5 {
		m := phone("new")
		m.ReplaceIfPresent = 1
		c.put(3, m)
	}
	if all := s.Messages(""); len(all) != 2 || all[0].Text != "other phone" || all[1].Text != "new" {
		t.Errorf("%+v", all)
	}
}

func TestMessagesAreReadWhateverTheirForm(t *testing.T) {
	for _, row := range []struct {
		name     string
		alphabet string
		change   func(m *pdu.ShortMessage)
		text     string
		encoding string
	}{
		{"latin1", "latin1", func(m *pdu.ShortMessage) { m.Text = []byte("caf\xe9") }, "café", "Latin-1"},
		{"ascii", "ascii", func(m *pdu.ShortMessage) { m.Text = []byte("me@home_$") }, "me@home_$", "ASCII"},
		{"packed", "gsm7_packed", func(m *pdu.ShortMessage) { m.Text = []byte{0xE8, 0x32, 0x9B, 0xFD, 0x06} }, "hello", "GSM-7"},
		{"packed, padded", "gsm7_packed", func(m *pdu.ShortMessage) { m.Text = []byte{0x31, 0xD9, 0x8C, 0x56, 0xB3, 0xDD, 0x1A} }, "1234567", "GSM-7"},
		{"packed behind a UDH", "gsm7_packed", func(m *pdu.ShortMessage) {
			m.ESMClass, m.Text = 0x40, []byte{5, 0, 3, 1, 1, 1, 0x68 << 1, 0x65}
		}, "he", "GSM-7"},
		{"UCS-2, flash", "", func(m *pdu.ShortMessage) { m.DataCoding, m.Text = 0x18, []byte{4, 0x36} }, "ж", "UCS-2"},
		{"message_payload", "", func(m *pdu.ShortMessage) {
			m.Text, m.TLVs = nil, pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte(strings.Repeat("x", 400))}}
		}, strings.Repeat("x", 400), "GSM-7"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, address := serve(t, smsc.Config{Alphabet: row.alphabet})
			c := bound(t, address)
			m := phone("")
			row.change(m)
			c.put(7, m)
			if m := s.Messages("+34600000001")[0]; m.Text != row.text || m.Encoding != row.encoding || m.Segments != 1 {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestSegmentsWith16BitReferenceBecomeOneMessage(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c := bound(t, address)
	var ids []string
	for i := byte(2); i >= 1; i-- { // the last comes first
		m := phone("\x06\x08\x04\x01\x2a\x02" + string(i) + string('0'+rune(i)))
		m.ESMClass = 0x40
		id := c.put(uint32(i), m)
		ids = append(ids, id)
		c.expectReceipts(id, pdu.Delivered) // each segment has its own
	}
	if all := s.Messages("+34600000001"); len(all) != 1 || all[0].Text != "12" || all[0].Segments != 2 || all[0].MessageID != ids[1] {
		t.Errorf("%+v, ids %v", all, ids)
	}
}

func TestDataSMIsAMessage(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c := bound(t, address)
	c.write(pdu.Header{Command: pdu.DataSM, Sequence: 7}, &pdu.DataMessage{
		Destination: pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}, RegisteredDelivery: 1,
		TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("hello")}},
	})
	b, err := pdu.Decode(c.expect(pdu.DataSMResp, 0, 7))
	if err != nil {
		t.Fatal(err)
	}
	c.expectReceipts(b.(*pdu.MessageResp).MessageID, pdu.Delivered)
	if m := s.Messages("+34600000001")[0]; m.Text != "hello" {
		t.Errorf("%+v", m)
	}
}

// query asks for the state of a message.
func (c *client) query(id, source string, want pdu.Status) *pdu.QueryResp {
	c.t.Helper()
	c.write(pdu.Header{Command: pdu.QuerySM, Sequence: 50}, &pdu.Query{MessageID: id, Source: pdu.Address{TON: 5, Number: source}})
	f := c.expect(pdu.QuerySMResp, want, 50)
	if want != pdu.StatusOK {
		return nil
	}
	b, err := pdu.Decode(f)
	if err != nil {
		c.t.Fatal(err)
	}
	return b.(*pdu.QueryResp)
}

func (c *client) cancel(b *pdu.Cancel, want pdu.Status) {
	c.t.Helper()
	c.write(pdu.Header{Command: pdu.CancelSM, Sequence: 51}, b)
	c.expect(pdu.CancelSMResp, want, 51)
}

func TestQueryTellsTheState(t *testing.T) {
	const delay = time.Minute
	inBubble(t, smsc.Config{ReceiptDelay: delay}, func(t *testing.T, c *client) {
		id := c.put(7, phone("hello"))
		quiet := phone("without a receipt")
		quiet.RegisteredDelivery = 0
		other := c.put(8, quiet)
		failing := phone("fails")
		failing.Destination.Number = numberFor(t, "undelivered")
		failed := c.put(9, failing)
		for _, id := range []string{id, other, failed} {
			if r := c.query(id, "ACME", pdu.StatusOK); r.State != pdu.Enroute || r.FinalDate != "" || r.MessageID != id {
				t.Errorf("%+v", r)
			}
		}
		c.receipt(pdu.StatusOK)
		c.receipt(pdu.StatusOK)
		date := time.Now().UTC().Format("060102150405") + "000+"
		for _, id := range []string{id, other} {
			if r := c.query(id, "ACME", pdu.StatusOK); r.State != pdu.Delivered || r.FinalDate != date || r.ErrorCode != 0 {
				t.Errorf("%+v, want %s", r, date)
			}
		}
		if r := c.query(failed, "ACME", pdu.StatusOK); r.State != pdu.Undeliverable || r.ErrorCode != 11 {
			t.Errorf("%+v", r)
		}
		c.query("nobody's", "ACME", pdu.StatusQueryFail)
		c.query(id, "SHOP", pdu.StatusQueryFail)
	})
}

func TestQueryIsForOnesOwnMessages(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	c := bound(t, address)
	id := c.put(7, phone("hello"))
	stranger := dial(t, address)
	stranger.bind(pdu.BindTransceiver, "other", "", pdu.StatusOK)
	stranger.query(id, "ACME", pdu.StatusQueryFail)
	stranger.cancel(&pdu.Cancel{MessageID: id, Source: pdu.Address{Number: "ACME"}}, pdu.StatusCancelFail)
}

func TestCancelUntilTheReceiptIsSent(t *testing.T) {
	acme := pdu.Address{TON: 5, Number: "ACME"}
	inBubble(t, smsc.Config{ReceiptDelay: time.Minute}, func(t *testing.T, c *client) {
		id := c.put(7, phone("hello"))
		c.cancel(&pdu.Cancel{MessageID: id, Source: pdu.Address{Number: "SHOP"}}, pdu.StatusCancelFail)
		c.write(pdu.Header{Command: pdu.CancelSM, Sequence: 51}, &pdu.Cancel{MessageID: id, Source: acme})
		c.expectReceipts(id, pdu.Deleted)
		c.expect(pdu.CancelSMResp, 0, 51)
		c.cancel(&pdu.Cancel{MessageID: id, Source: acme}, pdu.StatusCancelFail) // once
		if r := c.query(id, "ACME", pdu.StatusOK); r.State != pdu.Deleted {
			t.Errorf("%+v", r)
		}
		time.Sleep(2 * time.Minute)
		c.enquire() // and no receipt DELIVRD

		late := c.put(8, phone("hello"))
		c.receipt(pdu.StatusOK)
		c.cancel(&pdu.Cancel{MessageID: late, Source: acme}, pdu.StatusCancelFail)

		quiet := phone("without a receipt")
		quiet.RegisteredDelivery = 0
		c.cancel(&pdu.Cancel{MessageID: c.put(9, quiet), Source: acme}, pdu.StatusOK)
		id = c.put(10, quiet)
		time.Sleep(2 * time.Minute)
		c.cancel(&pdu.Cancel{MessageID: id, Source: acme}, pdu.StatusCancelFail)
	})
}

func TestCancelAllToANumber(t *testing.T) {
	s, address := serve(t, smsc.Config{ReceiptDelay: time.Hour})
	c := bound(t, address)
	first, second := phone("first"), phone("second")
	first.RegisteredDelivery, second.RegisteredDelivery = 0, 0
	c.put(7, first)
	c.put(8, second)
	c.cancel(&pdu.Cancel{Source: first.Source, Destination: pdu.Address{Number: "34600000002"}}, pdu.StatusCancelFail)
	c.cancel(&pdu.Cancel{Source: first.Source, Destination: first.Destination}, pdu.StatusOK)
	for _, m := range s.Messages("+34600000001") {
		if m.Receipt != "DELETED" {
			t.Errorf("%+v", m)
		}
	}
}

func TestMessagesExpire(t *testing.T) {
	inBubble(t, smsc.Config{ReceiptDelay: 4 * time.Minute}, func(t *testing.T, c *client) {
		for period, want := range map[string]struct {
			after time.Duration
			state pdu.State
		}{
			"":                 {4 * time.Minute, pdu.Delivered},
			"000000000300000R": {3 * time.Minute, pdu.Expired},
			"000000000400000R": {4 * time.Minute, pdu.Delivered},
			"000001000000000R": {4 * time.Minute, pdu.Delivered},
			"nonsense of 16 o": {4 * time.Minute, pdu.Delivered},
		} {
			m := phone("hello")
			m.ValidityPeriod = period
			start := time.Now()
			c.expectReceipts(c.put(7, m), want.state)
			took(t, period, start, want.after)
		}
		m := phone("hello")
		now := time.Now().UTC()
		m.ValidityPeriod = now.Add(3*time.Minute+15*time.Minute).Format("060102150405") + "001+" // a quarter of an hour east
		start := time.Now()
		c.expectReceipts(c.put(7, m), pdu.Expired)
		took(t, m.ValidityPeriod, start, 3*time.Minute)
		m.ValidityPeriod = now.Format("060102150405") + "000-" // over
		start = time.Now()
		c.expectReceipts(c.put(7, m), pdu.Expired)
		took(t, m.ValidityPeriod, start, 0)
	})
}

func TestReceiptsComeAgainMoreAndMoreSeldomWithoutEnd(t *testing.T) {
	inBubble(t, smsc.Config{}, func(t *testing.T, c *client) {
		id := c.put(7, phone("hello"))
		wait := 200 * time.Millisecond
		c.receipt(pdu.StatusRxTAppn)
		for range 100 {
			start := time.Now()
			if r, _ := c.receipt(pdu.StatusRxTAppn); r.MessageID != id {
				t.Fatalf("receipt %+v", r)
			}
			took(t, "the next try", start, wait)
			wait = min(2*wait, 30*time.Second)
		}
		c.expectReceipts(id, pdu.Delivered)
		time.Sleep(time.Minute)
		c.enquire()
	})
}

func TestReceiptsOfStrangersAtBind(t *testing.T) {
	s, address := serve(t, smsc.Config{ReceiptsAtBind: 1200}) // more than may be unanswered at once
	c := bound(t, address)
	seen := map[string]bool{}
	for range 1200 {
		r, _ := c.receipt(pdu.StatusOK)
		seen[r.MessageID] = true
	}
	if c.enquire(); len(seen) != 1200 || s.Stats().ReceiptsAcknowledged != 1200 {
		t.Errorf("%d ids, %+v", len(seen), s.Stats())
	}
}

func TestImpatientSMSC(t *testing.T) {
	inBubble(t, smsc.Config{ReceiptTimeout: 5 * time.Second}, func(t *testing.T, c *client) {
		c.put(7, phone("hello"))
		c.receipt(pdu.StatusOK)
		time.Sleep(time.Minute)
		c.put(8, phone("hello"))
		c.read() // and no answer
		start := time.Now()
		c.closed()
		took(t, "the end", start, 5*time.Second)
	})
}

func TestIDsVary(t *testing.T) {
	for name, want := range map[string][2]string{
		"hex-ids":    {"6C7D5E64", "1820155492"},
		"dec-hex":    {"1820155492", "6c7d5e64"},
		"padded-ids": {"1820155492", "00000000001820155492"},
		"big-ids":    {"9223372038674931300", "9223372038674931300"},
	} {
		cfg := profile(t, name)
		cfg.FirstID = 0x6C7D5E64
		_, address := serve(t, cfg)
		c := bound(t, address)
		id := c.put(7, phone("hello"))
		if r, _ := c.receipt(pdu.StatusOK); id != want[0] || r.MessageID != want[1] {
			t.Errorf("%s: %s, %s", name, id, r.MessageID)
		}
	}
}

func TestLengthsLie(t *testing.T) {
	_, address := serve(t, profile(t, "lying-length"))
	const real = 16 + len("0000000001\x00")
	for i, want := range []int{0, 15, 0x7FFFFFFF, real - 1, real + 1, 0} {
		c := bound(t, address)
		c.submit(7, "34600009902", "hello")
		octets := make([]byte, real)
		for read := 0; read < real; {
			n, err := c.conn.Read(octets[read:])
			if err != nil {
				t.Fatal(err)
			}
			read += n
		}
		if got := int(octets[0])<<24 | int(octets[1])<<16 | int(octets[2])<<8 | int(octets[3]); got != want {
			t.Errorf("lie %d: %d, want %d", i, got, want)
		}
	}
}
