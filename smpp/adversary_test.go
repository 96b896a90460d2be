package smpp_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

func named(ref string) smpp.Message { m := hello; m.Ref = ref; return m }

func TestCongestionWhileAProbeIsOut(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		inBubble(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.Rate = rate
			r := run(t, l, cfg, nil)
			p := r.bound()
			a := r.send(within(t, time.Minute), hello)
			fa := p.expect(pdu.SubmitSM)
			time.Sleep(50 * time.Millisecond)
			b := r.send(within(t, time.Minute), hello)
			fb := p.expect(pdu.SubmitSM)
			p.answer(fb, pdu.StatusThrottled, nil)
			probe := p.expect(pdu.SubmitSM) // after the pause, alone
			p.answer(fa, pdu.StatusOK, &pdu.MessageResp{MessageID: "a", TLVs: pdu.TLVs{{Tag: pdu.TagCongestionState, Value: []byte{95}}}})
			r.accepted(a, "a")
			time.Sleep(100 * time.Millisecond)
			p.accept(probe, "b")
			r.accepted(b, "b")
			c := r.send(within(t, time.Hour), hello)
			p.wait = 30 * time.Minute
			f, err := p.next()
			for err == nil && f.Command == pdu.EnquireLink {
				p.answer(f, pdu.StatusOK, nil)
				p.wait = 10 * time.Minute
				if p.wait = time.Until(time.Now().Add(10 * time.Minute)); false {
				}
				select {
				case got := <-c:
					t.Fatalf("rate %v: Send = %v after an hour of a healthy account", rate, got.err)
				default:
				}
				f, err = p.next()
			}
			if err != nil {
				t.Fatal(err)
			}
			p.accept(f, "c")
			r.accepted(c, "c")
			r.stop(p)
		})
	}
}

func TestLateRefusalOfTheFirstOfTwoTries(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.OnUnknown = "resend_once"
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), named("ref"))
		first := p.expect(pdu.SubmitSM)
		second := p.expect(pdu.SubmitSM) // 10 s later
		p.answer(first, pdu.StatusSysErr, nil)
		time.Sleep(2 * time.Second)
		select {
		case got := <-r.late:
			t.Errorf("told %+v of a message whose Send still runs", got)
		default:
		}
		p.accept(second, "id")
		r.accepted(c, "id")
		r.stop(p)
	})
}

func TestResentMessageCancelsItself(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.OnUnknown, cfg.Cancel = "resend_once", true
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), named("ref"))
		first := p.expect(pdu.SubmitSM)
		second := p.expect(pdu.SubmitSM)
		p.accept(first, "1")
		synctest.Wait()
		p.accept(second, "2")
		r.accepted(c, "2")
		p.wait = time.Second
		if f, err := p.next(); err == nil {
			t.Errorf("got %v for a message that was just accepted", f.Command)
			p.answer(f, pdu.StatusOK, nil)
			if f, err = p.next(); err == nil {
				p.answer(f, pdu.StatusOK, nil)
			}
		}
		r.cancel()
		p.conn.Close()
		<-r.ended
	})
}

func TestQueryNamesTheRightMessage(t *testing.T) {
	for _, tc := range []struct{ format, answer, want string }{
		{"resp_dec_dlr_hex", "26", "26"},
		{"resp_hex_dlr_dec", "1A", "26"},
		{"auto", "1A", "1a"},
		{"as_is", "1A", "1A"},
	} {
		inBubble(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.QueryMissing, cfg.MessageIDFormat, cfg.ReceiptGrace = true, tc.format, time.Second
			cfg.EnquireLinkInterval = 10 * time.Minute
			r := run(t, l, cfg, nil)
			p := r.bound()
			m := named("ref")
			m.Validity = time.Second
			c := r.send(within(t, time.Minute), m)
			p.accept(p.expect(pdu.SubmitSM), tc.answer)
			got := r.result(c)
			f := p.expect(pdu.QuerySM)
			p.answer(f, pdu.StatusOK, &pdu.QueryResp{MessageID: tc.answer, State: pdu.Undeliverable})
			receipt := <-r.receipts
			if receipt.MessageIDs[0] != got.MessageIDs[0] || got.MessageIDs[0] != tc.want {
				t.Errorf("%s: Send said %q, the queried state is told for %q", tc.format, got.MessageIDs, receipt.MessageIDs)
			}
			r.stop(p)
		})
	}
}

func TestReloadWithMessagesInTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := account("a", func(c *smpp.Config) { c.Window = 1 })
		f := runFleet(t, a)
		old := f.bound("a")
		one := f.send(within(t, time.Minute), hello)
		g := old.expect(pdu.SubmitSM)
		var waiting []<-chan result
		for range 3 {
			waiting = append(waiting, f.send(within(t, time.Minute), hello))
		}
		synctest.Wait()
		a.ServiceType = "OTP"
		change, err := f.Prepare([]smpp.Config{a})
		if err != nil {
			t.Fatal(err)
		}
		f.Apply(change)
		next := f.bound("a")
		time.Sleep(time.Second)
		old.accept(g, "one")
		f.accepted(one, "one")
		old.answer(old.expect(pdu.Unbind), pdu.StatusOK, nil)
		served := make(chan int, 1)
		go func() {
			n := 0
			for {
				next.wait = 30 * time.Second
				g, err := next.next()
				if err != nil {
					break
				}
				if g.Command == pdu.SubmitSM {
					n++
					next.accept(g, "id")
				} else {
					next.answer(g, pdu.StatusOK, nil)
					if g.Command == pdu.Unbind {
						break
					}
				}
			}
			served <- n
		}()
		for _, c := range waiting {
			if got := <-c; got.err != nil {
				t.Errorf("a message that waited when the account was reloaded, with its successor up: %v", got.err)
			}
		}
		f.cancel()
		<-f.ended
		<-served
	})
}

func TestAnswerAfterAnAmbiguousNack(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), named("ref"))
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: f.Sequence}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, f.Sequence)
		p.send(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusSysErr, Sequence: f.Sequence}, nil) // of our answer
		isUnknown(t, r.result(c).err)
		p.accept(f, "id")
		time.Sleep(5 * time.Second)
		if len(r.late) != 1 {
			t.Error("the answer to a message that was given up as unknown was not told")
		}
		r.stop(p)
	})
}

func TestHugeIDs(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		huge := strings.Repeat("A", 60_000)
		c := r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		raw := encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: "A"})
		raw = append(append(raw[:16:16], huge...), 0)
		binary.BigEndian.PutUint32(raw, uint32(len(raw)))
		p.write(raw)
		if got := r.result(c); got.err != nil || len(got.MessageIDs[0]) > 255 {
			t.Errorf("an id of %d octets is kept, %v", len(got.MessageIDs[0]), got.err)
		}
		b := receiptFor("x")
		b.TLVs = pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte(huge)}}
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 5}, b)
		p.expect(pdu.DeliverSMResp)
		if got := <-r.receipts; len(got.MessageID) > 255 {
			t.Errorf("a receipt with an id of %d octets is handed on", len(got.MessageID))
		}
		r.stop(p)
	})
}

func TestQuotedEmptyID(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 5}, receiptFor(`""`))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 5)
		if len(r.receipts) > 0 {
			t.Errorf("receipt handed on under %q", (<-r.receipts).MessageIDs)
		}
		r.stop(p)
	})
}

func TestLateSubmittedAt(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), named("ref"))
		f := p.expect(pdu.SubmitSM)
		isUnknown(t, r.result(c).err)
		p.accept(f, "id")
		got := <-r.late
		if got.Accepted.SubmittedAt.IsZero() {
			t.Error("SubmittedAt is zero")
		}
		r.stop(p)
	})
}

func TestTrialAfterAPauseWaitsForTheGrace(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.FailoverAfter, cfg.Rate, cfg.EnquireLinkInterval = time.Minute, 1, 10*time.Minute
		cfg.ReconnectMin = 10 * time.Millisecond
		r := run(t, l, cfg, nil)
		p := r.bound()
		for range 3 {
			c := r.send(within(t, time.Minute), hello)
			p.expect(pdu.SubmitSM)
			isUnknown(t, r.result(c).err)
		}
		p.expect(pdu.EnquireLink)
		p.eof() // wary: the next one begins suspect
		p = r.accept()
		p.answer(p.expect(pdu.BindTransceiver), pdu.StatusOK, &pdu.BindResp{})
		p.answer(p.expect(pdu.EnquireLink), pdu.StatusOK, nil)
		synctest.Wait()
		c := r.send(within(t, time.Minute), hello)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusThrottled, nil)
		f := p.expect(pdu.SubmitSM)
		p.accept(f, "id")
		r.accepted(c, "id")
		r.stop(p)
	})
}

func TestNilRegistererAndRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := smpp.NewPool([]smpp.Config{account("a", nil), account("b", nil)}, smpp.Hooks{Deliver: ignore}, nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for _, cfgs := range [][]smpp.Config{{}, {account("a", nil)}, {account("a", func(c *smpp.Config) { c.Binds = 3 })}, {account("b", nil)}} {
				change, err := pool.Prepare(cfgs)
				if err != nil {
					t.Fatal(err)
				}
				pool.Apply(change)
			}
		}
	})
}

func TestRegistryIsEmptyAfterRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("a", nil))
		p := f.bound("a")
		f.over(p, hello)
		for i := range 4 {
			change, _ := f.Prepare([]smpp.Config{account("a", func(c *smpp.Config) { c.Binds = 1 + i; c.ServiceType = "X" })})
			f.Apply(change)
		}
		change, _ := f.Prepare(nil)
		f.Apply(change)
		families, err := f.registry.Gather()
		if err != nil || len(families) != 0 {
			t.Errorf("%d families left, %v", len(families), err)
		}
		change, _ = f.Prepare([]smpp.Config{account("a", nil)})
		f.Apply(change)
		if _, err := f.registry.Gather(); err != nil {
			t.Error(err)
		}
		f.cancel()
		p.conn.Close()
		<-f.ended
	})
}

func TestSMSCWithoutEnquireLink(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var conns []net.Conn
		go func() {
			for {
				select {
				case conn := <-l.accepted:
					conns = append(conns, conn)
					go func() {
						p := &peer{t: t, conn: conn, reader: pdu.NewReader(conn), wait: 24 * time.Hour}
						for {
							f, err := p.next()
							if err != nil {
								conn.Close()
								return
							}
							switch f.Command {
							case pdu.BindTransceiver:
								p.answer(f, pdu.StatusOK, &pdu.BindResp{})
							case pdu.SubmitSM:
								p.accept(f, "id")
							case pdu.Unbind:
								p.answer(f, pdu.StatusOK, nil)
							}
						}
					}()
				case <-ctx.Done():
					return
				}
			}
		}()
		time.Sleep(5 * time.Second)
		if _, err := r.Send(within(t, time.Minute), hello); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // a quiet night
		n := 0
		for range 100 {
			time.Sleep(7 * time.Second)
			if _, err := r.Send(within(t, 5*time.Second), hello); err == nil {
				n++
			}
		}
		if n < 50 {
			t.Errorf("%d of 100 messages after a quiet minute", n)
		}
		r.cancel()
		<-r.ended
	})
}

func TestTurnThatComesTooLateForAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Rate = 1
		r := run(t, l, cfg, nil)
		p := r.bound()
		for i := range 10 { // the SMSC is known to answer after half a second
			c := r.send(within(t, time.Minute), hello)
			f := p.expect(pdu.SubmitSM)
			time.Sleep(500 * time.Millisecond)
			p.accept(f, "id")
			r.accepted(c, "id")
			_ = i
		}
		time.Sleep(time.Second)
		go r.Send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		c := r.send(within(t, 1100*time.Millisecond), hello) // the token comes after 1 s, the answer after 1.5 s
		time.Sleep(500 * time.Millisecond)
		p.accept(f, "id")
		p.wait = 700 * time.Millisecond
		if g, err := p.next(); err == nil {
			t.Errorf("%v with 100ms left at an SMSC that takes 500ms", g.Command)
		}
		isUnavailable(t, r.result(c).err)
		p.wait = time.Hour
		r.stop(p)
	})
}

// A message that was throttled once and waits when its account is reloaded.
func TestReloadWithAThrottledMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := account("a", nil)
		f := runFleet(t, a)
		old := f.bound("a")
		c := f.send(within(t, time.Minute), hello)
		g := old.expect(pdu.SubmitSM)
		a.ServiceType = "OTP"
		change, err := f.Prepare([]smpp.Config{a})
		if err != nil {
			t.Fatal(err)
		}
		old.answer(g, pdu.StatusThrottled, nil) // it waits for a second
		synctest.Wait()
		f.Apply(change)
		next := f.bound("a")
		old.answer(old.expect(pdu.Unbind), pdu.StatusOK, nil)
		next.wait = 5 * time.Second
		g, err = next.next()
		if err != nil || g.Command != pdu.SubmitSM {
			t.Errorf("Send = %v, the successor got %v", f.result(c).err, err)
		} else {
			next.accept(g, "id")
			f.accepted(c, "id")
		}
		f.cancel()
		next.conn.Close()
		<-f.ended
	})
}

// A peer whose receiving half is dead: requests of its own come, answers never.
func TestHalfDeadPeerEatsMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		go func() {
			p := peer{t: t, conn: p.conn, reader: p.reader, wait: 10 * time.Hour}
			for {
				if _, err := p.next(); err != nil {
					return
				}
			}
		}()
		go func() {
			for {
				time.Sleep(5 * time.Second)
				_ = p.conn.SetWriteDeadline(time.Now().Add(time.Minute))
				if _, err := p.conn.Write(encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 5}, nil)); err != nil {
					return
				}
			}
		}()
		began, eaten := time.Now(), 0
		for time.Since(began) < 30*time.Minute {
			c := r.send(within(t, 20*time.Second), hello)
			if _, is := r.result(c).err.(*smpp.UnknownError); is {
				eaten++
			}
			if r.Binds()[0].State == "connecting" {
				break
			}
			time.Sleep(time.Second)
		}
		if d := time.Since(began); d > 5*time.Minute {
			t.Errorf("after %v the connection is still in use; %d messages became unknown on it", d, eaten)
		}
		r.cancel()
		p.conn.Close()
		<-r.ended
		time.Sleep(time.Minute)
	})
}
