package smpp_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// TestSilentSMSCIsSuspected: after three messages without an answer nothing more is sent, callers are told at once, and
// one message shows that the SMSC is back.
func TestSilentSMSCIsSuspected(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		r.unansweredAtOnce(p, 3)
		probe := p.expect(pdu.EnquireLink)
		if state := r.Binds()[0].State; state != "suspect" {
			t.Errorf("state %q, want suspect", state)
		}
		if r.Ready() == nil {
			t.Error("ready although the SMSC does not answer")
		}
		for range 100 {
			began := time.Now()
			_, err := r.Send(within(t, time.Minute), hello)
			isUnavailable(t, err)
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("waited %v", waited)
			}
		}
		p.answer(probe, pdu.StatusOK, nil)
		synctest.Wait()
		canary := r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		_, err := r.Send(within(t, time.Minute), hello) // one is enough
		isUnavailable(t, err)
		p.accept(f, "canary")
		r.accepted(canary, "canary")
		c, d := r.send(within(t, time.Minute), hello), r.send(within(t, time.Minute), hello)
		f, g := p.expect(pdu.SubmitSM), p.expect(pdu.SubmitSM)
		p.accept(f, "c")
		p.accept(g, "d")
		for _, c := range []<-chan result{c, d} {
			if got := r.result(c); got.err != nil {
				t.Error(got.err)
			}
		}
		r.stop(p)
	})
}

func TestCanaryThatDies(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		r.unanswered(p, 3)
		for range 5 { // the link is well, and the SMSC behind it is not: one message every ten seconds finds out
			probe := p.expect(pdu.EnquireLink)
			_, err := r.Send(within(t, time.Minute), hello)
			isUnavailable(t, err)
			p.answer(probe, pdu.StatusOK, nil)
			synctest.Wait()
			c := r.send(within(t, time.Minute), hello)
			for f := p.read(); f.Command != pdu.SubmitSM; f = p.read() {
				p.answer(f, pdu.StatusOK, nil) // another enquire_link
			}
			isUnknown(t, r.result(c).err)
		}
		r.cancel()
		p.conn.Close()
		<-r.ended
	})
}

func TestSuspectWithoutASignOfLifeIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		r.unansweredAtOnce(p, 3)
		began := time.Now()
		p.expect(pdu.EnquireLink)
		p.eof()
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("closed after %v, want 10s", waited)
		}
		began = time.Now()
		p = r.bound() // and tried again soon, but one message goes over it until it has shown that it lives
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("tried again after %v", waited)
		}
		p.answer(p.expect(pdu.EnquireLink), pdu.StatusOK, nil)
		synctest.Wait()
		c := r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		_, err := r.Send(within(t, time.Minute), hello) // one is enough
		isUnavailable(t, err)
		p.accept(f, "id")
		r.accepted(c, "id")
		r.stop(p)
	})
}

// TestSlowAnswersAreNoSuspicion: a message that had hardly any time left says nothing of the SMSC.
func TestSlowAnswersAreNoSuspicion(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for range 4 {
			c := r.send(within(t, time.Second), hello)
			p.expect(pdu.SubmitSM)
			isUnknown(t, r.result(c).err)
		}
		if state := r.Binds()[0].State; state != "bound" {
			t.Errorf("state %q", state)
		}
		r.stop(p)
	})
}

func TestSMSCThatIsBackIsFoundSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		p.conn.Close()
		time.Sleep(2 * time.Minute) // every dial runs into connect_timeout: nobody accepts
		began := time.Now()
		p = r.bound()
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("bound after %v", waited)
		}
		c := r.send(within(t, time.Minute), hello)
		p.accept(p.expect(pdu.SubmitSM), "id")
		r.accepted(c, "id")
		r.stop(p)
	})
}

func TestLateAnswerIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.EnquireLinkInterval = 10 * time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		for _, ref := range []string{"one", "two"} {
			m := hello
			m.Ref = ref
			c := r.send(within(t, time.Minute), m)
			f := p.expect(pdu.SubmitSM)
			isUnknown(t, r.result(c).err)
			p.alive()
			time.Sleep(9 * time.Minute)
			p.alive()
			if ref == "one" {
				p.accept(f, "0815")
			} else {
				p.answer(f, pdu.StatusInvDstAdr, nil)
			}
			p.accept(f, "twice is once")
		}
		got := <-r.late
		if got.Ref != "one" || got.Err != nil || len(got.Accepted.MessageIDs) != 1 || got.Accepted.MessageIDs[0] != "0815" || got.Accepted.SMSC != "main" {
			t.Errorf("late %+v", got)
		}
		var refused *smpp.StatusError
		if got = <-r.late; got.Ref != "two" || !errors.As(got.Err, &refused) || refused.Class != smpp.ClassDestination {
			t.Errorf("late %+v", got)
		}
		r.cancel()
		p.conn.Close()
		<-r.ended
	})
}

func TestUnknownIsResentWhereThatIsWanted(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.OnUnknown = "resend_once"
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		p.expect(pdu.SubmitSM)
		p.accept(p.expect(pdu.SubmitSM), "second")
		r.accepted(c, "second")

		c = r.send(within(t, time.Minute), hello)
		p.expect(pdu.SubmitSM)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, nil)
		isUnknown(t, r.result(c).err) // the first one may be on the phone all the same
		r.stop(p)
		if n := r.count("submit_retries_total", "class", "unknown"); n != 2 {
			t.Errorf("%v tried again, want 2", n)
		}
	})
}

func TestPassingFaultIsTriedOnceMore(t *testing.T) {
	for _, status := range []pdu.Status{pdu.StatusSysErr, pdu.StatusRxTAppn, pdu.StatusDeliveryFailure, pdu.StatusSubmitFail, pdu.StatusUnknownErr} {
		inBubble(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.Binds = 2
			r := run(t, l, cfg, nil)
			peers := map[bool]*peer{}
			peers[true], peers[false] = r.bound(), r.bound()
			began := time.Now()
			c := r.send(within(t, time.Minute), hello)
			first := false
			for which, p := range peers {
				p.wait = time.Millisecond
				if f, err := p.next(); err == nil {
					p.answer(f, status, nil)
					first = which
				}
				p.wait = time.Hour
			}
			other := peers[!first]
			other.answer(other.expect(pdu.SubmitSM), status, nil)
			if waited := time.Since(began); waited < 500*time.Millisecond || waited > 2100*time.Millisecond {
				t.Errorf("tried again after %v", waited)
			}
			var refused *smpp.StatusError
			if err := r.result(c).err; !errors.As(err, &refused) || refused.Status != uint32(status) {
				t.Errorf("err = %v", err)
			}
			r.cancel()
			for _, p := range peers {
				p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
			}
			<-r.ended
		})
	}
}

func TestValidityThatIsRefusedIsLeftOut(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		m := hello
		m.Validity = time.Minute
		c := r.send(within(t, time.Minute), m)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvExpiry, nil)
		f := p.expect(pdu.SubmitSM)
		if body, err := pdu.Decode(f); err != nil || body.(*pdu.ShortMessage).ValidityPeriod != "" {
			t.Errorf("validity_period %+v, %v", body, err)
		}
		p.accept(f, "id")
		r.accepted(c, "id")
		r.stop(p)
	})
}

func TestOverriddenStatus(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.StatusOverrides = []string{"0x00000401=throttled", "ESME_RSUBMITFAIL=rejected"}
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		p.answer(p.expect(pdu.SubmitSM), 0x401, nil)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusSubmitFail, nil)
		var refused *smpp.StatusError
		if err := r.result(c).err; !errors.As(err, &refused) || refused.Class != smpp.ClassRejected {
			t.Errorf("err = %v", err)
		}
		r.stop(p)
	})
}

// TestNackForOneOfOurAnswers: the peer's requests have numbers of their own, and its generic_nack may be meant for our answer.
func TestNackForOneOfOurAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: f.Sequence}, nil)
		p.expect(pdu.EnquireLinkResp)
		p.send(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdID, Sequence: f.Sequence}, nil)
		isUnknown(t, r.result(c).err)
		p.accept(f, "accepted after all")
		c = r.send(within(t, time.Minute), hello)
		f = p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdID, Sequence: f.Sequence}, nil)
		var refused *smpp.StatusError
		if err := r.result(c).err; !errors.As(err, &refused) || refused.Command != "generic_nack" {
			t.Errorf("err = %v", err)
		}
		r.stop(p)
	})
}

func TestPeerThatNeverUnderstandsIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for range 3 {
			c := r.send(within(t, time.Minute), hello)
			f := p.expect(pdu.SubmitSM)
			p.send(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdLen, Sequence: f.Sequence}, nil)
			<-c
		}
		p.eof()
		r.stop(r.bound())
		if n := r.count("disconnects_total", "reason", "protocol"); n != 1 {
			t.Errorf("%v disconnects, want 1", n)
		}
	})
}

// TestPaceAfterThrottling: the rate is cut to 0.7, and comes back by a twentieth a second.
func TestPaceAfterThrottling(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Rate = 100
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusThrottled, nil)
		p.accept(p.expect(pdu.SubmitSM), "a")
		r.accepted(c, "a")
		if rate := r.count("rate_limit"); rate < 70 || rate > 76 {
			t.Errorf("rate %v a second after the cut, want 75", rate)
		}
		time.Sleep(7 * time.Second)
		c = r.send(within(t, time.Minute), hello)
		p.accept(p.expect(pdu.SubmitSM), "b")
		r.accepted(c, "b")
		if rate := r.count("rate_limit"); rate != 100 {
			t.Errorf("rate %v, want 100 again", rate)
		}
		c = r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		p.answer(f, pdu.StatusOK, &pdu.MessageResp{MessageID: "c", TLVs: pdu.TLVs{{Tag: pdu.TagCongestionState, Value: []byte{95}}}})
		r.accepted(c, "c")
		if rate := r.count("rate_limit"); rate != 90 {
			t.Errorf("rate %v after congestion_state 95, want 90", rate)
		}
		r.stop(p)
	})
}

// TestOneMessageTriesAfterAPause: a burst after each pause would only be throttled again.
func TestOneMessageTriesAfterAPause(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Rate = 1000
		r := run(t, l, cfg, nil)
		p := r.bound()
		var sent []<-chan result
		for range 5 {
			sent = append(sent, r.send(within(t, time.Minute), hello))
		}
		var frames []pdu.Frame
		for range 5 {
			frames = append(frames, p.expect(pdu.SubmitSM))
		}
		for _, f := range frames {
			p.answer(f, pdu.StatusThrottled, nil)
		}
		f := p.expect(pdu.SubmitSM)
		p.wait = 100 * time.Millisecond
		if g, err := p.next(); err == nil {
			t.Fatalf("%v before the first one was answered", g.Command)
		}
		p.wait = time.Hour
		p.accept(f, "id")
		for range 4 {
			p.accept(p.expect(pdu.SubmitSM), "id")
		}
		for _, c := range sent {
			if got := r.result(c); got.err != nil {
				t.Error(got.err)
			}
		}
		r.stop(p)
	})
}

// TestNearestDeadlineGoesFirst, and one that cannot be met is not waited for.
func TestNearestDeadlineGoesFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window, cfg.Rate = 1, 0
		r := run(t, l, cfg, nil)
		p := r.bound()
		first := r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		var waiting []<-chan result
		for _, d := range []time.Duration{9, 5, 7} {
			m := hello
			m.Text = d.String()
			waiting = append(waiting, r.send(within(t, d*time.Second), m))
			synctest.Wait()
		}
		p.accept(f, "first")
		r.accepted(first, "first")
		for _, want := range []string{"5ns", "7ns", "9ns"} {
			f := p.expect(pdu.SubmitSM)
			body, err := pdu.Decode(f)
			if err != nil || string(body.(*pdu.ShortMessage).Text) != want {
				t.Errorf("%q, %v, want %q", body.(*pdu.ShortMessage).Text, err, want)
			}
			p.accept(f, want)
		}
		for _, c := range waiting {
			if got := r.result(c); got.err != nil {
				t.Error(got.err)
			}
		}
		r.stop(p)
	})
}

// TestOneFullMailboxDoesNotStopTheAccount: a message that alone is throttled costs the others a pause or two, not more.
func TestOneFullMailboxDoesNotStopTheAccount(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		began := time.Now()
		full := r.send(within(t, 20*time.Second), smpp.Message{From: "ACME", To: hello.To, Text: "full"})
		var answered []time.Duration
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				f, err := p.next()
				switch {
				case err != nil:
					return
				case f.Command == pdu.Unbind:
					p.answer(f, pdu.StatusOK, nil)
					return
				case f.Command != pdu.SubmitSM:
					continue
				}
				body, err := pdu.Decode(f)
				if err == nil && string(body.(*pdu.ShortMessage).Text) == "full" {
					p.answer(f, pdu.StatusMsgQFul, nil)
				} else {
					p.accept(f, "id")
				}
			}
		}()
		for range 100 {
			if _, err := r.Send(within(t, 10*time.Second), hello); err != nil {
				t.Fatal(err)
			}
			answered = append(answered, time.Since(began))
			time.Sleep(100 * time.Millisecond)
		}
		if last := answered[99] - 9900*time.Millisecond; last > 3*time.Second {
			t.Errorf("100 messages were held up by %v", last)
		}
		var refused *smpp.StatusError
		if err := r.result(full).err; !errors.As(err, &refused) || refused.Class != smpp.ClassThrottled {
			t.Errorf("err = %v", err)
		}
		r.cancel()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		<-served
	})
}

// TestReceiverThatWasSilent is bound again as soon as it shows a sign of life: no message can try it.
func TestReceiverThatWasSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("a", func(c *smpp.Config) { c.Binds, c.Transmitters, c.Receivers = 0, 1, 1 }))
		tx, rx := f.bound("a"), f.bound("a")
		rx.expect(pdu.EnquireLink) // the second connection is the receiver's
		tx.answer(tx.expect(pdu.EnquireLink), pdu.StatusOK, nil)
		rx.expect(pdu.EnquireLink)
		tx.answer(tx.expect(pdu.EnquireLink), pdu.StatusOK, nil)
		rx.eof()
		rx = f.bound("a")
		rx.answer(rx.expect(pdu.EnquireLink), pdu.StatusOK, nil)
		synctest.Wait()
		for _, b := range f.Binds() {
			if b.State != "bound" {
				t.Errorf("bind %+v", b)
			}
		}
		f.cancel()
		tx.conn.Close()
		rx.conn.Close()
		<-f.ended
	})
}

// TestReadyWhenOneMessageMayTry: a load balancer that sends nothing to a daemon that is not ready must not keep it so.
func TestReadyWhenOneMessageMayTry(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		r.unanswered(p, 3)
		probe := p.expect(pdu.EnquireLink)
		if r.Ready() == nil {
			t.Error("ready although nothing would be sent")
		}
		p.answer(probe, pdu.StatusOK, nil)
		synctest.Wait()
		if err := r.Ready(); err != nil {
			t.Errorf("Ready = %v", err)
		}
		r.cancel()
		p.conn.Close()
		<-r.ended
	})
}
