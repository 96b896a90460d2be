package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

func TestReceiptThatIsNotRecordedComesAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		failures := make(chan error, 2)
		failures <- errors.New("disk full")
		failures <- nil
		r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error { return <-failures })
		p := r.bound()
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 5}, receiptFor("x"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusRxTAppn, 5)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 6}, receiptFor("x"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 6)
		r.stop(p)
		if n := r.count("dlr_deferred_total", "reason", "error"); n != 1 {
			t.Errorf("%v deferred, want 1", n)
		}
	})
}

func TestFullQueueOfReceiptsIsAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.ReceiptQueue = 3
		recorded := make(chan struct{})
		r := run(t, l, cfg, func(context.Context, smpp.Receipt) error { <-recorded; return nil })
		p := r.bound()
		const workers = 64
		for i := range uint32(workers + 3) {
			p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: i}, receiptFor(fmt.Sprint(i)))
			synctest.Wait()
		}
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1000}, receiptFor("one more"))
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 1001}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 1001)
		close(recorded)
		for i := range uint32(workers + 3) { // in the order of their arrival
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, i)
		}
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusRxTAppn, 1000)
		r.stop(p)
	})
}

// TestFloodIsReadAtAPace: the processor is for others too. What comes over another bind is not held up.
func TestFloodIsReadAtAPace(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, func(context.Context, smpp.Receipt) error { return nil })
		flooding, quiet := r.bound(), r.bound()
		began := time.Now()
		const flood = 10_000
		go func() {
			for i := range uint32(flood) {
				flooding.send(pdu.Header{Command: pdu.DeliverSM, Sequence: i}, receiptFor(fmt.Sprint(i)))
			}
		}()
		answered := make(chan time.Duration)
		go func() {
			quiet.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 7}, receiptFor("alone"))
			quiet.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 8}, nil)
			quiet.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 7)
			quiet.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 8)
			answered <- time.Since(began)
		}()
		for i := range uint32(flood) {
			flooding.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, i)
		}
		if took := time.Since(began); took < 490*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("%d receipts were read in %v, want 20,000 a second", flood, took)
		}
		if took := <-answered; took > 10*time.Millisecond {
			t.Errorf("the other bind was answered after %v", took)
		}
		r.stopAll(flooding, quiet)
	})
}

// TestAnswerBehindAFlood: an SMSC answers a message behind all the receipts that it is sending. The pace does not hold that answer up for long.
func TestAnswerBehindAFlood(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error { return nil })
		p := r.bound()
		sent := r.send(within(t, time.Minute), hello)
		asked := p.expect(pdu.SubmitSM)
		began := time.Now()
		const flood = 60_000 // three seconds at that pace
		go func() {
			for i := range uint32(flood) {
				p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: i}, receiptFor(fmt.Sprint(i)))
			}
			p.accept(asked, "behind")
		}()
		for i := range uint32(flood) {
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, i)
		}
		r.accepted(sent, "behind")
		if took := time.Since(began); took < 990*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("answered after %v, want a second", took)
		}
		r.stop(p)
	})
}

func TestReceiptThatTakesTooLong(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), func(ctx context.Context, _ smpp.Receipt) error {
			<-ctx.Done()
			return ctx.Err()
		})
		p := r.bound()
		began := time.Now()
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 5}, receiptFor("x"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusRxTAppn, 5)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("answered after %v, want 10s", waited)
		}
		r.stop(p)
	})
}

func TestSlowReceiptsHoldUpNothingElse(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		recorded := make(chan struct{})
		r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error { <-recorded; return nil })
		p := r.bound()
		for i := range uint32(200) {
			p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: i}, receiptFor(fmt.Sprint(i)))
		}
		c := r.send(t.Context(), hello)
		p.accept(p.expect(pdu.SubmitSM), "x")
		r.accepted(c, "x")
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 9)
		close(recorded)
		for range 200 {
			p.expect(pdu.DeliverSMResp)
		}
		r.stop(p)
	})
}

func TestReceiptsOfOneMessageKeepTheirOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		var mu sync.Mutex
		order := make(map[string][]string)
		inside := make(map[string]int)
		r := run(t, l, testConfig(), func(_ context.Context, receipt smpp.Receipt) error {
			mu.Lock()
			order[receipt.MessageID] = append(order[receipt.MessageID], receipt.State)
			if inside[receipt.MessageID]++; inside[receipt.MessageID] > 1 {
				t.Errorf("two receipts of %s at once", receipt.MessageID)
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				inside[receipt.MessageID]--
				mu.Unlock()
			}()
			return nil
		})
		p := r.bound()
		states := []pdu.State{pdu.Enroute, pdu.Accepted, pdu.Enroute, pdu.Delivered}
		var octets []byte
		for i, state := range states {
			for id := range 50 {
				h := pdu.Header{Command: pdu.DeliverSM, Sequence: uint32(i*50 + id)}
				octets = append(octets, encode(t, h, &pdu.ShortMessage{ESMClass: 0x04, TLVs: pdu.TLVs{
					{Tag: pdu.TagReceiptedMessageID, Value: fmt.Append(nil, id, "\x00")}, {Tag: pdu.TagMessageState, Value: []byte{byte(state)}},
				}})...)
			}
		}
		p.write(octets)
		for range len(states) * 50 {
			p.expect(pdu.DeliverSMResp)
		}
		r.stop(p)
		for id, got := range order {
			if !slices.Equal(got, []string{"ENROUTE", "ACCEPTD", "ENROUTE", "DELIVRD"}) {
				t.Errorf("receipts of %s: %v", id, got)
			}
		}
		if len(order) != 50 {
			t.Errorf("receipts of %d messages, want 50", len(order))
		}
	})
}

func TestReceiptInDataSM(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		p.send(pdu.Header{Command: pdu.DataSM, Sequence: 77}, &pdu.DataMessage{ESMClass: 0x04, TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: []byte("ab\x00")}, {Tag: pdu.TagMessageState, Value: []byte{5}},
		}})
		p.expectStatus(pdu.DataSMResp, pdu.StatusOK, 77)
		if got := <-r.receipts; got.MessageID != "ab" || got.State != "UNDELIV" || !got.Final || got.Delivered {
			t.Errorf("receipt %+v", got)
		}
		r.stop(p)
	})
}

func TestWhatPeopleWriteIsAcknowledgedAndDropped(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error {
			t.Error("delivered")
			return nil
		})
		p := r.bound()
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, &pdu.ShortMessage{Text: []byte("STOP")})
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 1)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, &pdu.ShortMessage{ESMClass: 0x04, Text: []byte("a receipt without an id")})
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 2)
		r.stop(p)
		if n := r.count("mo_total"); n != 2 {
			t.Errorf("%v mobile originated, want 2", n)
		}
		if n := r.count("pdu_errors_total", "part", "receipt"); n != 1 {
			t.Errorf("%v receipts without an id, want 1", n)
		}
	})
}

func TestReceiptsOfALostBindAreNotAcknowledgedElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		recorded := make(chan struct{})
		r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error { <-recorded; return nil })
		p := r.bound()
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 5}, receiptFor("x"))
		synctest.Wait()
		p.conn.Close()
		p = r.bound()
		close(recorded)
		synctest.Wait()
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 6}, receiptFor("x"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 6)
		r.stop(p)
	})
}
