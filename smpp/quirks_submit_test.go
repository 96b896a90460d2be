package smpp_test

import (
	"slices"
	"testing"

	"otpgw/smpp/pdu"
)

// TestQuirk15ResponsesOutOfStep: an answer belongs to the message whose number it has. Answers to nobody are counted and
// change nothing, and the first of several counts.
func TestQuirk15ResponsesOutOfStep(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		first := r.send(t.Context(), hello)
		one := p.expect(pdu.SubmitSM)
		second := r.send(t.Context(), hello)
		two := p.expect(pdu.SubmitSM)
		stray := func(c pdu.Command, status pdu.Status, sequence uint32) {
			p.send(pdu.Header{Command: c, Status: status, Sequence: sequence}, raw("stray\x00"))
		}
		stray(pdu.SubmitSMResp, pdu.StatusOK, 0)
		stray(pdu.SubmitSMResp, pdu.StatusInvDstAdr, 0)
		stray(pdu.SubmitSMResp, pdu.StatusOK, two.Sequence+1)
		stray(pdu.SubmitSMResp, pdu.StatusThrottled, 0xFFFFFFFF)
		stray(pdu.DataSMResp, pdu.StatusOK, one.Sequence) // a number that we gave, and not the answer to it
		stray(pdu.EnquireLinkResp, pdu.StatusOK, two.Sequence)
		p.accept(two, "two")
		r.accepted(second, "two")
		p.accept(two, "duplicate")
		p.answer(two, pdu.StatusSysErr, nil)
		p.accept(one, "one")
		r.accepted(first, "one")
		p.alive()
		if n := r.count("unexpected_responses_total"); n != 8 {
			t.Errorf("%v unexpected responses, want 8", n)
		}
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk16RefusalBodies: the status of a refusal counts, whatever its body is.
func TestQuirk16RefusalBodies(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for _, body := range []pdu.Body{
			nil,
			raw("\x00"),
			raw("0000000000\x00"),
			raw("no NUL"),
			raw("\x04\x28\x00\x01\x32"), // TLVs only: congestion_state
			raw("\x00\x1d\x00\x08no route"),
			raw("id\x00\x04\x28\x00\x01\x32"),
			raw("id\x00\x04\x28\x00\x32"), // a TLV that is longer than the PDU
			raw("\x04"),
			raw("Sorry, the destination is not allowed for this account. Call your account manager.\r\n"),
		} {
			c := r.send(t.Context(), hello)
			p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, body)
			r.refused(c, pdu.StatusInvDstAdr, pdu.SubmitSMResp)
		}
		if n := r.count("submit_total", "result", "refused", "status", "ESME_RINVDSTADR"); n != 10 {
			t.Errorf("%v refused, want 10", n)
		}
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk17EmptyMessageID: a message without an id is accepted, and no receipt is waited for that could not be told to be
// its own.
func TestQuirk17EmptyMessageID(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for _, body := range []pdu.Body{nil, raw("\x00"), &pdu.MessageResp{}, raw("\x00\x04\x28\x00\x01\x32")} {
			c := r.send(t.Context(), hello)
			p.answer(p.expect(pdu.SubmitSM), pdu.StatusOK, body)
			r.accepted(c, "")
		}
		if n := r.count("submit_total", "result", "accepted"); n != 4 {
			t.Errorf("%v accepted, want 4", n)
		}
		if n := r.count("dlr_expected"); n != 0 {
			t.Errorf("%v receipts waited for, want 0", n)
		}
		p.deliver(1, receiptFor("unheard-of"))
		if got := r.receipt(); got.MessageID != "unheard-of" {
			t.Errorf("receipt %+v", got)
		}
		r.stop(p)
	})
}

// TestQuirk22AnswerLostWithTheConnection: such a message may be on the phone. It is unknown, it is not sent again, and its
// receipt is handed on like any other.
func TestQuirk22AnswerLostWithTheConnection(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		m := hello
		m.Text = "only once"
		c := r.send(t.Context(), m)
		p.expect(pdu.SubmitSM)
		p.conn.Close()
		isUnknown(t, r.result(c).err)
		p = r.bound()
		next := r.send(t.Context(), hello)
		f, body := p.submitted()
		if string(body.Text) != hello.Text {
			t.Errorf("%q was sent, want %q", body.Text, hello.Text)
		}
		p.accept(f, "next")
		r.accepted(next, "next")
		p.deliver(1, receiptFor("lost"))
		if got := r.receipt(); got.MessageID != "lost" || !got.Delivered {
			t.Errorf("receipt %+v", got)
		}
		if n := r.count("submit_unknown_total", "reason", "connection lost"); n != 1 {
			t.Errorf("%v unknown, want 1", n)
		}
		r.stop(p)
		if n := r.count("pdus_total", "dir", "out", "command", "submit_sm"); n != 2 {
			t.Errorf("%v submit_sm, want 2", n)
		}
	})
}

// TestQuirk25ReceiptBeforeItsAnswer: a receipt may overtake the answer to its message, in the same segment and under the
// same number.
func TestQuirk25ReceiptBeforeItsAnswer(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for i, id := range []string{"a", "b", "c"} {
			c := r.send(t.Context(), hello)
			f := p.expect(pdu.SubmitSM)
			number := []uint32{f.Sequence, f.Sequence + 1, 0}[i]
			octets := encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: number}, receiptFor(id))
			octets = slices.Concat(octets, encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: id}))
			p.write(octets)
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, number)
			if got := r.receipt(); got.MessageID != id || !got.Delivered {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
			r.accepted(c, id)
		}
		if n := r.count("unexpected_responses_total"); n != 0 {
			t.Errorf("%v unexpected responses", n)
		}
		r.stop(p)
	})
}
