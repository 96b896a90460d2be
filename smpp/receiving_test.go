package smpp_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// receiptOf is a receipt with that state in its TLVs.
func receiptOf(id string, state pdu.State) *pdu.ShortMessage {
	return &pdu.ShortMessage{
		Source:      pdu.Address{TON: 1, NPI: 1, Number: "34600000001"},
		Destination: pdu.Address{TON: 5, Number: "ACME"},
		ESMClass:    0x04,
		TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: []byte(id + "\x00")},
			{Tag: pdu.TagMessageState, Value: []byte{byte(state)}},
		},
	}
}

func TestReceiptTellsAllThatMayIdentifyIt(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MessageIDFormat = "auto"
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		p.accept(p.expect(pdu.SubmitSM), "6C7D5E64")
		accepted := r.result(c)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("1820155492", pdu.Delivered))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 1)
		got := <-r.receipts
		if i := slices.Index(got.MessageIDs, accepted.MessageIDs[0]); i < got.Converted {
			t.Errorf("receipt %+v of %q", got, accepted.MessageIDs)
		}
		if got.MessageID != "1820155492" || !slices.Equal(got.Numbers, []string{"+34600000001"}) {
			t.Errorf("receipt %+v", got)
		}
		r.stop(p)
	})
}

func TestMatchesAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MessageIDFormat = "auto"
		r := run(t, l, cfg, nil)
		matches := []smpp.Match{{Found: true}, {Found: true, Form: 1}, {Found: true, Form: 1}, {}, {Found: true, Form: 99}}
		r.match = func(smpp.Receipt) smpp.Match {
			m := matches[0]
			matches = matches[1:]
			return m
		}
		p := r.bound()
		for i := range uint32(5) {
			id := []string{"10", "10", "a1", "12", "13"}[i] // 10 is a, a1 is 161
			p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: i}, receiptOf(id, pdu.Delivered))
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, i)
		}
		for how, want := range map[string]float64{"same": 1, "dec_to_hex": 1, "hex_to_dec": 1, "orphan": 2} {
			if n := r.count("dlr_match_total", "how", how); n != want {
				t.Errorf("%v %s, want %v", n, how, want)
			}
		}
		if n := strings.Count(r.log.String(), "message_id_format"); n != 2 {
			t.Errorf("the log advises %d times, want once for each conversion", n)
		}
		r.stop(p)
	})
}

func TestAnswersAreNotWaitedForForEver(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.EnquireLinkInterval = 10 * time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		m := hello
		m.Ref = "late"
		c := r.send(within(t, time.Minute), m)
		f := p.expect(pdu.SubmitSM)
		isUnknown(t, r.result(c).err)
		p.alive()
		time.Sleep(9 * time.Minute)
		p.alive()
		time.Sleep(2 * time.Minute)
		p.accept(f, "nobody remembers")
		p.alive()
		time.Sleep(10 * time.Second)
		if len(r.late) != 0 {
			t.Errorf("told %+v", <-r.late)
		}
		r.stop(p)
	})
}

func TestMissingReceiptIsReported(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.EnquireLinkInterval = 10 * time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		m := hello
		m.Validity = 2 * time.Minute
		for _, id := range []string{"comes", "never"} {
			c := r.send(within(t, time.Minute), m)
			p.accept(p.expect(pdu.SubmitSM), id)
			r.accepted(c, id)
		}
		time.Sleep(3 * time.Second)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("comes", pdu.Delivered))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 1)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, receiptOf("never", pdu.Enroute))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 2)
		if n := r.count("dlr_expected"); n != 1 {
			t.Errorf("%v expected, want 1", n)
		}
		time.Sleep(7*time.Minute - 4*time.Second)
		if n := r.count("dlr_missing_total"); n != 0 {
			t.Errorf("%v missing before the end of validity and grace", n)
		}
		time.Sleep(2 * time.Second)
		if n, left := r.count("dlr_missing_total"), r.count("dlr_expected"); n != 1 || left != 0 {
			t.Errorf("%v missing and %v expected, want 1 and 0", n, left)
		}
		if n, prompt := r.count("dlr_seconds"), r.count("delivered_promptly_total"); n != 1 || prompt != 1 {
			t.Errorf("%v timed and %v prompt, want 1 and 1", n, prompt)
		}
		r.stop(p)
	})
}

// Prompt is what is on the phone within 30 s.
func TestPromptDeliveries(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.EnquireLinkInterval = 10 * time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		for i, c := range []struct {
			after  time.Duration
			state  pdu.State
			prompt float64 // so far
		}{
			{30 * time.Second, pdu.Delivered, 1}, {time.Second, pdu.Undeliverable, 1}, {31 * time.Second, pdu.Delivered, 1}, {0, pdu.Delivered, 2},
		} {
			id := fmt.Sprint("id-", i)
			sent := r.send(within(t, time.Minute), hello)
			p.accept(p.expect(pdu.SubmitSM), id)
			r.accepted(sent, id)
			time.Sleep(c.after)
			sequence := uint32(100 + i)
			p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: sequence}, receiptOf(id, c.state))
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, sequence)
			if n := r.count("delivered_promptly_total"); n != c.prompt {
				t.Errorf("%v after %v: %v prompt, want %v", c.state, c.after, n, c.prompt)
			}
		}
		r.stop(p)
	})
}

func TestReceiptBeforeTheAnswerIsNotMissing(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("early", pdu.Delivered))
		p.expect(pdu.DeliverSMResp)
		p.accept(f, "early")
		r.accepted(c, "early")
		r.stop(p)
	})
}

func TestMissingReceiptIsAskedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.EnquireLinkInterval, cfg.QueryMissing, cfg.MessageIDFormat = 10*time.Minute, true, "auto"
		r := run(t, l, cfg, nil)
		p := r.bound()
		m := hello
		m.Validity = time.Minute
		c := r.send(within(t, time.Minute), m)
		p.accept(p.expect(pdu.SubmitSM), "00ABC")
		r.accepted(c, "abc")
		f := p.expect(pdu.QuerySM)
		body, err := pdu.Decode(f)
		if q, is := body.(*pdu.Query); err != nil || !is || q.MessageID != "00ABC" || q.Source.Number != "ACME" || q.Source.TON != 5 {
			t.Errorf("query %+v, %v", body, err)
		}
		p.answer(f, pdu.StatusOK, &pdu.QueryResp{MessageID: "00ABC", State: pdu.Undeliverable, ErrorCode: 8})
		got := <-r.receipts
		if got.MessageIDs[0] != "abc" || got.State != "UNDELIV" || got.Error != "8" || !got.Final {
			t.Errorf("receipt %+v", got)
		}
		r.stop(p)
		if n := r.count("query_total", "state", "UNDELIV"); n != 1 {
			t.Errorf("%v queries, want 1", n)
		}
	})
}

func TestCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Cancel, cfg.ServiceType = true, "OTP"
		r := run(t, l, cfg, nil)
		p := r.bound()
		send := func(ref, id, client, to string) {
			t.Helper()
			c := r.send(within(t, time.Minute), smpp.Message{From: "ACME", To: to, Text: "x", Ref: ref, Client: client, Validity: time.Minute})
			p.accept(p.expect(pdu.SubmitSM), id)
			r.accepted(c, id)
		}
		canceled := func(id string) {
			t.Helper()
			f := p.expect(pdu.CancelSM)
			body, err := pdu.Decode(f)
			if c, is := body.(*pdu.Cancel); err != nil || !is || c.MessageID != id || c.ServiceType != "OTP" || c.Destination.Number == "" {
				t.Errorf("cancel %+v, %v, want %s", body, err, id)
			}
			p.answer(f, pdu.StatusOK, nil)
		}
		send("one", "1", "acme", "+34600000001")
		r.Cancel("one") // its code was validated
		canceled("1")
		send("two", "2", "acme", "+34600000002")
		send("other", "3", "shop", "+34600000002")
		send("three", "4", "acme", "+34600000002") // takes the place of two
		canceled("2")
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("4", pdu.Delivered))
		p.expect(pdu.DeliverSMResp)
		r.Cancel("three") // has arrived
		r.Cancel("nobody")
		r.stop(p)
		if n := r.count("cancel_total", "result", "accepted"); n != 2 {
			t.Errorf("%v canceled, want 2", n)
		}
	})
}

func TestReplaceOnThePhone(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.ReplaceType, cfg.ReplaceIfPresent = 3, true
		r := run(t, l, cfg, nil)
		p := r.bound()
		check := func(to string, replace bool, pid, flag byte, id string) {
			t.Helper()
			c := r.send(within(t, time.Minute), smpp.Message{From: "ACME", To: to, Text: "x", Replace: replace, Validity: time.Minute})
			f := p.expect(pdu.SubmitSM)
			body, err := pdu.Decode(f)
			if m, is := body.(*pdu.ShortMessage); err != nil || !is || m.ProtocolID != pid || m.ReplaceIfPresent != flag {
				t.Errorf("to %s: %+v, %v, want protocol_id %#x", to, body, err, pid)
			}
			p.accept(f, id)
			r.accepted(c, id)
		}
		check("+34600000001", false, 0, 0, "1")
		check("+34600000001", true, 0x43, 1, "2")
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("2", pdu.Undeliverable))
		p.expect(pdu.DeliverSMResp)
		check("+34600000001", true, 0, 1, "3") // this phone cannot
		check("+34600000002", true, 0x43, 1, "4")
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, receiptOf("4", pdu.Delivered))
		p.expect(pdu.DeliverSMResp)
		check("+34600000002", true, 0x43, 1, "5")
		r.stop(p)
	})
}

func TestReceiptsOfTwoBindsKeepTheirOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		hold := make(chan struct{})
		var order []string
		r := run(t, l, cfg, func(_ context.Context, receipt smpp.Receipt) error {
			if len(order) == 0 {
				<-hold
			}
			order = append(order, receipt.State)
			return nil
		})
		a, b := r.bound(), r.bound()
		a.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("x", pdu.Enroute))
		synctest.Wait()
		b.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptOf("x", pdu.Delivered))
		synctest.Wait()
		close(hold)
		a.expect(pdu.DeliverSMResp)
		b.expect(pdu.DeliverSMResp)
		if got := strings.Join(order, " "); got != "ENROUTE DELIVRD" {
			t.Errorf("recorded %s", got)
		}
		r.cancel()
		for _, p := range []*peer{a, b} {
			p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
		}
		<-r.ended
	})
}
