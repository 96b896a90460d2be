package smpp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"otpgw/smpp"
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

// TestQuirk18MessageIDForms: a message id is whatever the SMSC takes for one, and the receipt finds it.
func TestQuirk18MessageIDForms(t *testing.T) {
	long := strings.Repeat("0123456789", 7)
	const uuid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	type row struct{ answer, id, receipt string }
	for _, format := range []string{"auto", "as_is"} {
		rows := map[string]row{
			"without NUL":     {"abcdef01", "abcdef01", "abcdef01"},
			"text behind NUL": {"abcdef01\x00garbage!", "abcdef01", "abcdef01"},
			"70 characters":   {long + "\x00", long, long},
			"UUID":            {uuid + "\x00", uuid, uuid},
			"blanks around":   {"  abcdef01 \x00", "abcdef01", "abcdef01"},
			"blanks padding":  {"abcdef01          \x00", "abcdef01", "abcdef01\x00\x00"},
			"odd characters":  {"a:b_c/d@e.f#g\x00", "a:b_c/d@e.f#g", "a:b_c/d@e.f#g"},
		}
		if format == "auto" {
			rows["70 characters"] = row{long + "\x00", strings.TrimLeft(long, "0"), long}
		}
		for name, tc := range rows {
			t.Run(format+" "+name, func(t *testing.T) {
				onSocket(t, func(t *testing.T, l *link) {
					cfg := testConfig()
					cfg.MessageIDFormat = format
					r := run(t, l, cfg, nil)
					p := r.bound()
					c := r.send(t.Context(), hello)
					p.answer(p.expect(pdu.SubmitSM), pdu.StatusOK, raw(tc.answer))
					r.accepted(c, tc.id)
					p.deliver(1, receiptOf(tc.receipt, pdu.Delivered))
					if got := r.receipt(); got.MessageIDs[0] != tc.id || got.Converted < 1 {
						t.Errorf("receipt of %q, %d certain, want %q", got.MessageIDs, got.Converted, tc.id)
					}
					r.stop(p)
				})
			})
		}
	}
}

// TestQuirk19GenericNack: with the number of a message it is its answer, unless it may be meant for an answer of ours that
// had the same number; without one it is nobody's.
func TestQuirk19GenericNack(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.ResponseTimeout = time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		submit := func() (<-chan result, pdu.Frame) {
			c := r.send(within(t, l.patience), hello)
			return c, p.expect(pdu.SubmitSM)
		}
		nack := func(status pdu.Status, sequence uint32, body pdu.Body) {
			p.send(pdu.Header{Command: pdu.GenericNack, Status: status, Sequence: sequence}, body)
		}
		for _, status := range []pdu.Status{pdu.StatusInvCmdLen, pdu.StatusInvDstAdr, 0x422} {
			c, f := submit()
			nack(status, f.Sequence, nil)
			r.refused(c, status, pdu.GenericNack)
		}
		c, f := submit()
		nack(pdu.StatusInvDstAdr, f.Sequence, raw("with a body"))
		r.refused(c, pdu.StatusInvDstAdr, pdu.GenericNack)

		c, f = submit()
		nack(pdu.StatusOK, f.Sequence, nil) // neither one nor the other
		isUnknown(t, r.result(c).err)

		before := r.count("unexpected_responses_total")
		c, f = submit()
		nack(pdu.StatusInvCmdID, 0, nil) // once may be a fault; time and again would be a reason to leave
		nack(pdu.StatusSysErr, 0, nil)
		nack(pdu.StatusThrottled, 0, nil)
		p.alive()
		p.accept(f, "not meant")
		r.accepted(c, "not meant")
		if n := r.count("unexpected_responses_total") - before; n != 3 {
			t.Errorf("%v counted, want 3", n)
		}

		c, f = submit()
		p.deliver(f.Sequence, receiptFor("x"))
		nack(pdu.StatusInvDstAdr, f.Sequence, nil) // is it our deliver_sm_resp that it does not like?
		isUnknown(t, r.result(c).err)
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk20Throttling: every message of a burst that is throttled, time and again, is accepted in the end, in order and
// not after its deadline. An SMSC that slows down by answering late holds the window up, and no more.
func TestQuirk20Throttling(t *testing.T) {
	t.Run("late answers", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.Window = 2
			r := run(t, l, cfg, nil)
			p := r.bound()
			var sends []<-chan result
			for i := range 6 {
				m := hello
				m.Text = fmt.Sprint(i)
				sends = append(sends, r.send(within(t, l.patience-time.Duration(6-i)*time.Second), m))
				r.until("its turn", func() bool { return int(r.count("queue_depth")) == i+1 })
			}
			var open []pdu.Frame
			for i := range 6 {
				f, body := p.submitted()
				if string(body.Text) != fmt.Sprint(i) {
					t.Errorf("%q was sent, want %d", body.Text, i)
				}
				if open = append(open, f); len(open) < cfg.Window {
					continue
				}
				p.alive() // and nothing beyond the window
				p.accept(open[0], "id")
				open = open[1:]
			}
			p.accept(open[0], "id")
			for _, c := range sends {
				r.accepted(c, "id")
			}
			r.stop(p)
		})
	})
	for _, status := range []pdu.Status{pdu.StatusThrottled, pdu.StatusMsgQFul} {
		t.Run("once, "+status.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				p := r.bound()
				var sends []<-chan result
				var frames []pdu.Frame
				for i := range 5 {
					m := hello
					m.Text = fmt.Sprint(i)
					sends = append(sends, r.send(within(t, time.Minute+time.Duration(i)*time.Second), m))
					frames = append(frames, p.expect(pdu.SubmitSM))
				}
				began := time.Now()
				for _, f := range frames {
					p.answer(f, status, nil)
				}
				for i := range 5 {
					f, body := p.submitted()
					if waited := time.Since(began); waited < time.Second || waited > 2*time.Second {
						t.Errorf("tried again after %v, want 1s", waited)
					}
					if string(body.Text) != fmt.Sprint(i) {
						t.Errorf("%q sent, want %d", body.Text, i)
					}
					p.accept(f, "id")
				}
				for _, c := range sends {
					r.accepted(c, "id")
				}
				r.stop(p)
			})
		})
		t.Run("time and again, "+status.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				p := r.bound()
				began := time.Now()
				const hurried = "in a hurry"
				deadlines := make(map[string]time.Time)
				sends := make(map[string]<-chan result)
				for _, text := range []string{"0", "1", "2", "3", "4", hurried} {
					wait := time.Minute
					if text == hurried {
						wait = 3 * time.Second
					}
					m := hello
					m.Text = text
					deadlines[text] = began.Add(wait)
					sends[text] = r.send(within(t, wait), m)
				}
				accepted := 0
				for accepted < 5 {
					f, body := p.submitted()
					text := string(body.Text)
					if time.Now().After(deadlines[text]) {
						t.Errorf("%q sent %v after the start", text, time.Since(began))
					}
					if time.Since(began) < 10*time.Second {
						p.answer(f, status, nil)
						continue
					}
					p.accept(f, text)
					accepted++
				}
				for text, c := range sends {
					if text != hurried {
						r.accepted(c, text)
					}
				}
				if refused := r.refused(sends[hurried], status, pdu.SubmitSMResp); refused.Class != smpp.ClassThrottled || refused.RetryAfter <= 0 {
					t.Errorf("%+v, want the class throttled and a time to come back", refused)
				}
				if n := r.count("throttled_total", "status", status.String()); n < 4 || n > 20 {
					t.Errorf("throttled %v times in 10s, want a pause after each", n)
				}
				r.stop(p)
			})
		})
	}
}

// TestQuirk21LateAnswer: an answer that comes after response_timeout changes nothing for the caller, who was told that
// nothing is known. It is told all the same, once, and the receipt is known by it.
func TestQuirk21LateAnswer(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.ResponseTimeout = 100 * time.Millisecond
			r := run(t, l, cfg, nil)
			p := r.bound()
			m := hello
			m.Ref = "message 1"
			c := r.send(within(t, l.patience), m)
			f := p.expect(pdu.SubmitSM)
			isUnknown(t, r.result(c).err)
			p.accept(f, "late")
			p.accept(f, "twice")
			p.alive()
			if n := r.count("submit_late_total", "result", "accepted"); n != 1 {
				t.Errorf("%v late answers, want 1", n)
			}
			if n := r.count("submit_total", "result", "unknown"); n != 1 {
				t.Errorf("%v unknown, want 1", n)
			}
			if n := r.count("submit_total", "result", "accepted"); n != 0 {
				t.Errorf("%v accepted, want 0: one message has one result", n)
			}
			if n := r.count("dlr_expected"); n != 1 {
				t.Errorf("%v receipts waited for, want 1", n)
			}
			r.stop(p)
		})
	})
	late := func(r *running) smpp.LateAnswer {
		r.t.Helper()
		select {
		case answer := <-r.late:
			return answer
		case <-time.After(time.Minute):
			r.t.Fatal("nothing was told")
			return smpp.LateAnswer{}
		}
	}
	t.Run("told", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.EnquireLinkInterval, cfg.MessageIDFormat = 10*time.Minute, "auto"
			r := run(t, l, cfg, nil)
			p := r.bound()
			m := hello
			m.Ref = "message 1"
			c := r.send(within(t, time.Minute), m)
			f := p.expect(pdu.SubmitSM)
			isUnknown(t, r.result(c).err)
			time.Sleep(9 * time.Minute)
			p.alive()
			p.accept(f, "00AB")
			answer := late(r)
			if answer.Ref != m.Ref || answer.Err != nil || answer.Accepted.SMSC != "main" || !slices.Equal(answer.Accepted.MessageIDs, []string{"ab"}) {
				t.Errorf("late %+v", answer)
			}
			p.deliver(1, receiptOf("AB", pdu.Delivered))
			if got := r.receipt(); !slices.Contains(got.MessageIDs[:got.Converted], answer.Accepted.MessageIDs[0]) {
				t.Errorf("receipt of %q, want %q", got.MessageIDs, answer.Accepted.MessageIDs)
			}

			m.Ref = "message 2"
			c = r.send(within(t, time.Minute), m)
			f = p.expect(pdu.SubmitSM)
			isUnknown(t, r.result(c).err)
			p.answer(f, pdu.StatusInvDstAdr, nil)
			var refused *smpp.StatusError
			if answer = late(r); answer.Ref != m.Ref || !errors.As(answer.Err, &refused) || refused.Class != smpp.ClassDestination {
				t.Errorf("late %+v", answer)
			}
			r.stop(p)
			if n := len(r.late); n != 0 {
				t.Errorf("%d more told", n)
			}
		})
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

// TestQuirk23VendorStatus: a status of no standard refuses the message, and status_overrides says what it means here.
func TestQuirk23VendorStatus(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.StatusOverrides = []string{"0x00000401=destination", "0x22=sender", "ESME_RSYSERR=request", "1026=rejected"}
		r := run(t, l, cfg, nil)
		p := r.bound()
		for _, tc := range []struct {
			status      pdu.Status
			name, class string
		}{
			{0x22, "0x00000022", smpp.ClassSender},
			{0x400, "0x00000400", smpp.ClassRejected},
			{0x401, "0x00000401", smpp.ClassDestination},
			{0x402, "0x00000402", smpp.ClassRejected},
			{0x4FF, "0x000004ff", smpp.ClassRejected},
			{0x10000, "0x00010000", smpp.ClassRejected},
			{0xFFFFFFFF, "0xffffffff", smpp.ClassRejected},
			{pdu.StatusSysErr, "ESME_RSYSERR", smpp.ClassRequest},
		} {
			c := r.send(t.Context(), hello)
			p.answer(p.expect(pdu.SubmitSM), tc.status, nil)
			if refused := r.refused(c, tc.status, pdu.SubmitSMResp); refused.Class != tc.class || refused.Name() != tc.name {
				t.Errorf("%s is %q, want %s and %q", refused.Name(), refused.Class, tc.name, tc.class)
			}
		}
		if n := r.count("submit_total", "result", "refused", "status", "other"); n != 7 {
			t.Errorf("%v counted as other, want 7: a status must not make labels", n)
		}
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk24CongestionState: the TLV slows us down before the SMSC has to throttle, and is fatal in no form.
func TestQuirk24CongestionState(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Rate = 100
		r := run(t, l, cfg, nil)
		p := r.bound()
		with := func(octets string) {
			c := r.send(t.Context(), hello)
			f := p.expect(pdu.SubmitSM)
			p.answer(f, pdu.StatusOK, &pdu.MessageResp{MessageID: "id", TLVs: pdu.TLVs{{Tag: pdu.TagCongestionState, Value: []byte(octets)}}})
			r.accepted(c, "id")
		}
		for _, octets := range []string{"\x00", "\x59", "", "\x00\x64", "full"} {
			with(octets)
			if rate := r.count("rate_limit"); rate != 100 {
				t.Errorf("rate %v after congestion_state %q, want 100", rate, octets)
			}
		}
		with("\x64")
		if rate := r.count("rate_limit"); rate != 90 {
			t.Errorf("rate %v after congestion_state 100, want 90", rate)
		}
		r.up(p)
		r.stop(p)
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
