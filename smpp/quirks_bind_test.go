package smpp_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// TestQuirk01BindRespOddBodies: the status of a bind response counts, whatever its body is.
func TestQuirk01BindRespOddBodies(t *testing.T) {
	version := func(octets ...byte) *pdu.BindResp {
		return &pdu.BindResp{SystemID: "smsc", TLVs: pdu.TLVs{{Tag: pdu.TagSCInterfaceVersion, Value: octets}}}
	}
	type row struct {
		status pdu.Status
		body   pdu.Body
	}
	table(t, map[string]row{
		"no body":                     {pdu.StatusOK, nil},
		"system_id without NUL":       {pdu.StatusOK, raw("smsc")},
		"system_id empty":             {pdu.StatusOK, raw("\x00")},
		"system_id too long":          {pdu.StatusOK, raw(strings.Repeat("s", 100) + "\x00")},
		"no version":                  {pdu.StatusOK, &pdu.BindResp{SystemID: "smsc"}},
		"version 3.3":                 {pdu.StatusOK, version(0x33)},
		"version 5.0":                 {pdu.StatusOK, version(0x50)},
		"version in no octet":         {pdu.StatusOK, version()},
		"version in two octets":       {pdu.StatusOK, version(0x00, 0x34)},
		"version without a system_id": {pdu.StatusOK, raw("\x02\x10\x00\x01\x34")},
		"vendor's TLV":                {pdu.StatusOK, raw("smsc\x00\x14\x00\x00\x02ab")},
		"TLV cut off":                 {pdu.StatusOK, raw("smsc\x00\x02\x10\x00\x05\x34")},
		"refusal without a body":      {pdu.StatusSysErr, nil},
		"refusal with a system_id":    {pdu.StatusSysErr, &pdu.BindResp{SystemID: "smsc"}},
		"refusal with TLVs only":      {pdu.StatusSysErr, raw("\x02\x10\x00\x01\x34")},
		"refusal with a text":         {pdu.StatusSysErr, raw("internal error")},
	}, func(t *testing.T, l *link, tc row) {
		r := run(t, l, testConfig(), nil)
		p := r.accept()
		p.answer(p.expect(pdu.BindTransceiver), tc.status, tc.body)
		failures := 0.0
		if tc.status != pdu.StatusOK {
			failures = 1
			p.eof()
			p = r.bound()
			if last := r.Binds()[0].LastError; !strings.Contains(last, tc.status.String()) {
				t.Errorf("last error %q, want %v", last, tc.status)
			}
		}
		r.up(p)
		if n := r.count("bind_failures_total", "status", tc.status.String()); n != failures {
			t.Errorf("%v failures with %v, want %v", n, tc.status, failures)
		}
		if n := r.count("connects_total"); n != failures+1 {
			t.Errorf("%v connections, want %v", n, failures+1)
		}
		r.stop(p)
	})
}

// TestQuirk02BindNeverAnswered: an SMSC that accepts and says nothing, or does not know bind_transceiver, costs the time
// limit of the bind and no more.
func TestQuirk02BindNeverAnswered(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.BindTimeout = 100 * time.Millisecond
			r := run(t, l, cfg, nil)
			for _, says := range []func(*peer){
				func(*peer) {},
				func(p *peer) { p.alive() }, // it lives, and still does not answer
			} {
				p := r.accept()
				began := time.Now()
				p.expect(pdu.BindTransceiver)
				says(p)
				if r.Ready() == nil {
					t.Error("ready although nothing is bound")
				}
				p.eof()
				if waited := time.Since(began); waited < 50*time.Millisecond {
					t.Errorf("gave up after %v, want 100ms", waited)
				}
			}
			p := r.bound()
			r.up(p)
			if n := r.count("bind_failures_total", "status", "timeout"); n != 2 {
				t.Errorf("%v timeouts, want 2", n)
			}
			r.stop(p)
		})
	})
	t.Run("back-off", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			var between time.Duration
			for range 10 {
				began := time.Now()
				p := r.accept()
				between += time.Since(began)
				began = time.Now()
				p.expect(pdu.BindTransceiver)
				p.eof()
				if waited := time.Since(began); waited != 10*time.Second {
					t.Errorf("gave up after %v, want 10s", waited)
				}
			}
			if between < 500*time.Millisecond {
				t.Errorf("%v between 10 attempts: a hot loop", between)
			}
			r.stop(r.bound())
		})
	})
}

// TestQuirk03AlreadyBound: after a crash the SMSC takes us for bound for a while. That locks nobody out and is no reason
// to hammer.
func TestQuirk03AlreadyBound(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		onSocket(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.accept()
			p.answer(p.expect(pdu.BindTransceiver), pdu.StatusAlyBnd, nil)
			p.eof()
			r.until("the back-off", func() bool { return r.Binds()[0].State == "backoff" })
			if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "ESME_RALYBND") {
				t.Errorf("Ready = %v, want the refusal", err)
			}
			r.quiet(200 * time.Millisecond) // although reconnect_min is 10 ms
			r.stop(nil)
		})
	})
	t.Run("spacing", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			began := time.Now()
			for i := range 5 {
				p := r.accept()
				p.answer(p.expect(pdu.BindTransceiver), pdu.StatusAlyBnd, nil)
				refused := time.Now()
				p.eof()
				synctest.Wait()
				if r.bindState("bound") || r.Ready() == nil {
					t.Errorf("refusal %d: bound", i)
				}
				r.accept().conn.Close() // which is a failure of another kind
				if waited := time.Since(refused); waited < 5*time.Second {
					t.Errorf("refusal %d: tried again after %v, want 5s at least", i, waited)
				}
			}
			p := r.bound()
			if waited := time.Since(began); waited > 5*time.Minute {
				t.Errorf("bound after %v", waited)
			}
			r.up(p)
			r.stop(p)
		})
	})
}

// TestQuirk04AuthFailure: a refusal for the credentials is an alarm and a slow retry: no hot loop, which locks accounts,
// and no end for good, for somebody will mend the account.
func TestQuirk04AuthFailure(t *testing.T) {
	statuses := []pdu.Status{pdu.StatusBindFail, pdu.StatusInvPaswd, pdu.StatusInvSysID, pdu.StatusInvSysTyp}
	for _, status := range statuses {
		t.Run("tcp "+status.String(), func(t *testing.T) {
			t.Parallel()
			onSocket(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				p := r.accept()
				p.answer(p.expect(pdu.BindTransceiver), status, nil)
				p.eof()
				r.until("the alarm", func() bool { return r.bindState("blocked") })
				r.until("the log", func() bool { return strings.Contains(r.log.String(), `"level":"ERROR"`) })
				_, err := r.Send(within(t, 100*time.Millisecond), hello)
				isUnavailable(t, err)
				r.quiet(200 * time.Millisecond)
				if n := r.count("bind_failures_total", "status", status.String()); n != 1 {
					t.Errorf("%v failures, want 1", n)
				}
				r.stop(nil)
			})
		})
	}
	t.Run("spacing", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			for _, status := range statuses {
				p := r.accept()
				p.answer(p.expect(pdu.BindTransceiver), status, nil)
				p.eof()
				refused := time.Now()
				next := r.accept()
				if waited := time.Since(refused); waited < time.Minute || waited > 2*time.Minute {
					t.Errorf("%v: tried again after %v, want 1m to 2m", status, waited)
				}
				next.conn.Close()
			}
			p := r.bound()
			r.up(p)
			r.stop(p)
		})
	})
}

// TestQuirk05RequestsAroundTheBindResp: some SMSCs begin to send before the client is bound, or in one segment with the
// bind response.
func TestQuirk05RequestsAroundTheBindResp(t *testing.T) {
	table(t, map[string]bool{"one segment": false, "one octet at a time": true}, func(t *testing.T, l *link, slow bool) {
		r := run(t, l, testConfig(), nil)
		p := r.accept()
		f := p.expect(pdu.BindTransceiver)
		var octets []byte
		add := func(h pdu.Header, body pdu.Body) { octets = append(octets, encode(t, h, body)...) }
		add(pdu.Header{Command: pdu.EnquireLink, Sequence: f.Sequence}, nil) // the number of our bind
		add(pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, receiptFor("before"))
		add(pdu.Header{Command: pdu.BindTransceiverResp, Sequence: f.Sequence}, &pdu.BindResp{SystemID: "smsc"})
		add(pdu.Header{Command: pdu.DeliverSM, Sequence: 3}, receiptFor("behind"))
		add(pdu.Header{Command: pdu.EnquireLink, Sequence: 4}, nil)
		if slow {
			for _, octet := range octets {
				p.write([]byte{octet})
			}
		} else {
			p.write(octets)
		}
		answered := make(map[pdu.Header]bool)
		for range 4 {
			f, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			answered[f.Header] = true
		}
		for _, want := range []pdu.Header{
			{Command: pdu.EnquireLinkResp, Sequence: f.Sequence}, {Command: pdu.DeliverSMResp, Sequence: 2},
			{Command: pdu.DeliverSMResp, Sequence: 3}, {Command: pdu.EnquireLinkResp, Sequence: 4},
		} {
			if !answered[want] {
				t.Errorf("no %v, sequence %d, status %v", want.Command, want.Sequence, want.Status)
			}
		}
		if one, two := r.receipt().MessageID, r.receipt().MessageID; one+two != "beforebehind" && one+two != "behindbefore" {
			t.Errorf("receipts %q and %q", one, two)
		}
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk06ResetAtOnce: a load balancer with no SMSC behind it binds and resets. Only a bind that held for 30 s makes
// the next wait a short one.
func TestQuirk06ResetAtOnce(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.ReconnectMax = 20 * time.Millisecond
			r := run(t, l, cfg, nil)
			for range 5 {
				p := r.accept()
				p.answer(p.expect(pdu.BindTransceiver), pdu.StatusOK, nil)
				if err := p.conn.(*net.TCPConn).SetLinger(0); err != nil {
					t.Fatal(err)
				}
				p.conn.Close() // RST
			}
			p := r.bound()
			r.up(p)
			if n := r.count("connects_total"); n != 6 {
				t.Errorf("%v connections, want 6", n)
			}
			r.stop(p)
		})
	})
	t.Run("back-off", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			began := time.Now()
			for range 12 {
				r.bound().conn.Close()
			}
			if took := time.Since(began); took < 20*time.Second {
				t.Errorf("12 binds in %v: a hot loop", took)
			}
			p := r.bound()
			time.Sleep(29 * time.Second)
			p.alive()
			time.Sleep(2 * time.Second)
			p.conn.Close()
			lost := time.Now()
			p = r.bound()
			if waited := time.Since(lost); waited > time.Second {
				t.Errorf("bound again %v after a bind that held, want 1s at most", waited)
			}
			r.stop(p)
		})
	})
}

// TestQuirk07PeerEndsTheBind: what the SMSC still answers counts, what it does not answer is unknown, and what is not
// sent yet is not sent there.
func TestQuirk07PeerEndsTheBind(t *testing.T) {
	t.Run("unbind, answers, end", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			first := r.send(t.Context(), hello)
			one := p.expect(pdu.SubmitSM)
			second := r.send(t.Context(), hello)
			p.expect(pdu.SubmitSM)
			p.send(pdu.Header{Command: pdu.Unbind, Sequence: one.Sequence}, nil)
			p.expectStatus(pdu.UnbindResp, pdu.StatusOK, one.Sequence)
			_, err := r.Send(within(t, 20*time.Millisecond), hello)
			isUnavailable(t, err)
			p.accept(one, "owed")
			r.accepted(first, "owed")
			p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptFor("owed"))
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 1) // and no submit_sm before it
			p.conn.Close()
			isUnknown(t, r.result(second).err)
			r.stop(nil)
		})
	})
	answer := encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: 2}, &pdu.MessageResp{MessageID: "never whole"})
	for name, last := range map[string][]byte{
		"unbind and end":              encode(t, pdu.Header{Command: pdu.Unbind, Sequence: 7}, nil),
		"end without unbind":          nil,
		"end in the middle of a pdu":  answer[:20],
		"end in the middle of a head": answer[:7],
	} {
		t.Run(name, func(t *testing.T) {
			onSocket(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				p := r.bound()
				c := r.send(t.Context(), hello)
				p.expect(pdu.SubmitSM)
				p.write(last)
				p.conn.Close()
				isUnknown(t, r.result(c).err)
				if name == "unbind and end" {
					r.stop(nil) // after an unbind the next connection may take more than a second
					return
				}
				p = r.bound()
				r.up(p)
				r.stop(p)
			})
		})
	}
}

// TestQuirk08UnbindRespOdd: the end of the program does not hang on the SMSC's last word.
func TestQuirk08UnbindRespOdd(t *testing.T) {
	table(t, map[string]func(p *peer, f pdu.Frame){
		"with a text":    func(p *peer, f pdu.Frame) { p.answer(f, pdu.StatusOK, raw("goodbye")) },
		"with an error":  func(p *peer, f pdu.Frame) { p.answer(f, pdu.StatusSysErr, raw("\x00")) },
		"closed instead": func(p *peer, f pdu.Frame) { p.conn.Close() },
		"unbind instead": func(p *peer, f pdu.Frame) {
			p.send(pdu.Header{Command: pdu.Unbind, Sequence: f.Sequence}, nil)
			p.expectStatus(pdu.UnbindResp, pdu.StatusOK, f.Sequence)
		},
	}, func(t *testing.T, l *link, last func(*peer, pdu.Frame)) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		r.up(p)
		r.cancel()
		began := time.Now()
		last(p, p.expect(pdu.Unbind))
		r.stop(nil)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("ended after %v, as if there had been no answer", took)
		}
	})
	t.Run("never", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			r.cancel()
			p.expect(pdu.Unbind)
			began := time.Now()
			r.stop(nil)
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("ended after %v, want 5s", took)
			}
		})
	})
}

// TestQuirk09EnquireLinkOdd: any PDU is a sign of life, an enquire_link_resp with an error too, and a flood of
// enquire_links holds up nothing.
func TestQuirk09EnquireLinkOdd(t *testing.T) {
	t.Run("flood", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			c := r.send(t.Context(), hello)
			submit := p.expect(pdu.SubmitSM)
			const chunk = 500 // more would wait in the sockets for nobody to read
			for n := range uint32(10) {
				var octets []byte
				for i := range uint32(chunk) {
					octets = append(octets, encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: n*chunk + i}, nil)...)
				}
				p.write(octets)
				for i := range uint32(chunk) {
					p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, n*chunk+i)
				}
			}
			p.accept(submit, "meanwhile")
			r.accepted(c, "meanwhile")
			r.stop(p)
		})
	})
	t.Run("odd answers", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			for _, body := range []pdu.Body{nil, raw("alive"), raw("\x00"), raw("\x02\x10\x00\x09\x34")} {
				for _, status := range []pdu.Status{pdu.StatusOK, pdu.StatusSysErr, 0x422} {
					p.answer(p.expect(pdu.EnquireLink), status, body)
				}
			}
			r.up(p)
			r.stop(p)
			if n := r.count("enquire_link_misses_total"); n != 0 {
				t.Errorf("%v misses, want 0", n)
			}
		})
	})
	t.Run("ignored", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			for range 10 {
				p.expect(pdu.EnquireLink) // has no answer, but other things come
				p.deliver(1, receiptFor("x"))
			}
			for range 10 { // and while messages are answered there is no question
				time.Sleep(29 * time.Second)
				r.up(p)
			}
			if state := r.Binds()[0].State; state != "bound" {
				t.Errorf("state %q, want bound", state)
			}
			r.stop(p)
			if n := r.count("enquire_link_misses_total"); n != 0 {
				t.Errorf("%v misses, want 0", n)
			}
		})
	})
}

// TestQuirk10PeerStopsReading: with the buffers full the write deadline closes the connection. What the SMSC can have read
// whole is unknown, and nothing that it may have read is sent again.
func TestQuirk10PeerStopsReading(t *testing.T) {
	t.Parallel()
	onSocket(t, func(t *testing.T, l *link) {
		dial := l.dial
		l.dial = func(ctx context.Context) (net.Conn, error) {
			conn, err := dial(ctx)
			if err == nil {
				err = conn.(*net.TCPConn).SetWriteBuffer(4096)
			}
			return conn, err
		}
		cfg := testConfig()
		cfg.WriteTimeout, cfg.Window = 100*time.Millisecond, 1000
		r := run(t, l, cfg, nil)
		p := r.accept()
		if err := p.conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		p.answer(p.expect(pdu.BindTransceiver), pdu.StatusOK, nil)
		l.settle(r)
		const messages = 700
		sends := make(map[string]<-chan result)
		for i := range messages {
			text := fmt.Sprintf("%04d %0150d", i, 0)
			sends[text] = r.send(within(t, l.patience), smpp.Message{From: "ACME", To: "+34600000001", Text: text})
		}
		r.until("the end of the connection", func() bool { return r.Binds()[0].State != "bound" })
		if err := p.conn.(*net.TCPConn).SetReadBuffer(1 << 20); err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		for {
			f, err := p.next()
			if err != nil {
				break
			}
			if f.Command == pdu.SubmitSM {
				body, err := pdu.Decode(f)
				if err != nil {
					t.Fatal(err)
				}
				got[string(body.(*pdu.ShortMessage).Text)]++
			}
		}
		next := r.accept() // a healthy one
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				f, err := next.next()
				if err != nil {
					return
				}
				switch f.Command {
				case pdu.SubmitSM:
					body, err := pdu.Decode(f)
					if err != nil {
						t.Error(err)
						return
					}
					got[string(body.(*pdu.ShortMessage).Text)]++
					next.accept(f, "id")
				default:
					next.answer(f, pdu.StatusOK, nil)
				}
			}
		}()
		accepted, inDoubt := 0, 0
		verdicts := make(map[string]result)
		for text, c := range sends {
			verdicts[text] = r.result(c)
		}
		r.stop(nil)
		<-served
		for text, verdict := range verdicts {
			switch times := got[text]; {
			case times > 1:
				t.Errorf("%.4s was sent %d times", text, times)
			case verdict.err == nil:
				accepted++
				if times == 0 {
					t.Errorf("%.4s accepted, and never read", text)
				}
			default:
				if times == 1 {
					inDoubt++
					isUnknown(t, verdict.err)
				}
			}
		}
		t.Logf("%d accepted by the next connection, %d in doubt, %d not sent", accepted, inDoubt, messages-accepted-inDoubt)
		if n := r.count("disconnects_total", "reason", "write_error"); n != 1 {
			t.Errorf("%v disconnects at the write deadline, want 1", n)
		}
		if inDoubt == 0 || inDoubt == messages {
			t.Errorf("%d messages were read by an SMSC that stopped reading", inDoubt)
		}
	})
}

// TestQuirk11OneBindTooMany: an SMSC that allows fewer binds than configured, and one that drops the older one, leave the
// others at work.
func TestQuirk11OneBindTooMany(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, nil)
		older := r.bound()
		second := r.accept()
		second.answer(second.expect(pdu.BindTransceiver), pdu.StatusAlyBnd, nil)
		second.eof()
		for range 5 {
			r.up(older)
		}
		if err := r.Ready(); err != nil {
			t.Errorf("Ready = %v with a bind up", err)
		}
		if n := r.count("binds_bound"); n != 1 {
			t.Errorf("%v binds bound, want 1", n)
		}
		r.stop(older)
	})
	t.Run("older one dropped", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.Binds = 2
			r := run(t, l, cfg, nil)
			peers := []*peer{r.bound(), r.bound()}
			r.until("both binds", func() bool { return r.count("binds_bound") == 2 })
			for range 3 { // whoever comes last throws the other out
				peers[0].conn.Close()
				r.until("the loss", func() bool { return r.count("binds_bound") == 1 })
				r.up(peers[1])
				p := r.accept()
				p.answer(p.expect(pdu.BindTransceiver), pdu.StatusOK, nil)
				r.until("the bind", func() bool { return r.count("binds_bound") == 2 })
				peers = []*peer{peers[1], p}
			}
			r.stopAll(peers...)
		})
	})
}

// TestQuirk12PDUInPieces: a PDU may come in as many pieces as the network likes, but from its first octet to its last it
// has pdu_read_timeout.
func TestQuirk12PDUInPieces(t *testing.T) {
	t.Run("many segments", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			c := r.send(t.Context(), hello)
			f := p.expect(pdu.SubmitSM)
			octets := encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: "slow"})
			for _, octet := range append(octets, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 3}, receiptFor("slow"))...) {
				p.write([]byte{octet})
			}
			r.accepted(c, "slow")
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 3)
			r.up(p)
			r.stop(p)
		})
	})
	octets := encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 3}, nil)
	for name, length := range map[string]int{"stuck in the length": 3, "stuck in the head": 15} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onSocket(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				cfg.PDUReadTimeout = 100 * time.Millisecond
				r := run(t, l, cfg, nil)
				p := r.bound()
				c := r.send(t.Context(), hello)
				p.expect(pdu.SubmitSM)
				p.write(octets[:length])
				began := time.Now()
				p.eof()
				if waited := time.Since(began); waited < 50*time.Millisecond {
					t.Errorf("closed after %v, want 100ms", waited)
				}
				isUnknown(t, r.result(c).err)
				p = r.bound()
				r.up(p)
				if n := r.count("disconnects_total", "reason", "slow_pdu"); n != 1 {
					t.Errorf("%v disconnects for a slow pdu, want 1", n)
				}
				r.stop(p)
			})
		})
	}
	t.Run("one octet a second", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			for range 5 { // within the time it may take as long as it likes
				p.write(octets[:1])
				time.Sleep(9 * time.Second)
				p.write(octets[1:])
				p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 3)
			}
			began := time.Now()
			for _, octet := range octets {
				if _, err := p.conn.Write([]byte{octet}); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			if waited := time.Since(began); waited < 10*time.Second || waited > 11*time.Second {
				t.Errorf("left after %v, want 10s", waited)
			}
			r.stop(r.bound())
			if n := r.count("disconnects_total", "reason", "slow_pdu"); n != 1 {
				t.Errorf("%v disconnects for a slow pdu, want 1", n)
			}
		})
	})
}

// TestQuirk13CommandLengthLies: where the stream can not be cut into PDUs any more it is refused and left, with no memory
// taken for what was claimed, and what was in flight is unknown.
func TestQuirk13CommandLengthLies(t *testing.T) {
	enquire := func(t *testing.T) []byte { return encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil) }
	answer := func(t *testing.T, f pdu.Frame) []byte {
		return encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence + 1000}, &pdu.MessageResp{MessageID: "0123456789"})
	}
	table(t, map[string]func(t *testing.T, f pdu.Frame) []byte{
		"zero":       func(t *testing.T, f pdu.Frame) []byte { return claiming(0, enquire(t)) },
		"one":        func(t *testing.T, f pdu.Frame) []byte { return claiming(1, enquire(t)) },
		"fifteen":    func(t *testing.T, f pdu.Frame) []byte { return claiming(15, enquire(t)) },
		"huge":       func(t *testing.T, f pdu.Frame) []byte { return claiming(0x7FFFFFFF, enquire(t)) },
		"highest":    func(t *testing.T, f pdu.Frame) []byte { return claiming(0xFFFFFFFF, enquire(t)) },
		"a megabyte": func(t *testing.T, f pdu.Frame) []byte { return claiming(1<<20, enquire(t)) },
		"too short": func(t *testing.T, f pdu.Frame) []byte { // the rest is taken for a head
			octets := answer(t, f)
			return append(claiming(uint32(len(octets)-4), octets), enquire(t)...)
		},
		"too long": func(t *testing.T, f pdu.Frame) []byte { // the next PDU loses its length
			octets := answer(t, f)
			octets = append(claiming(uint32(len(octets)+4), octets), encode(t, pdu.Header{Command: pdu.Unbind, Sequence: 9}, nil)...)
			return append(octets, enquire(t)...)
		},
		"no smpp at all": func(t *testing.T, f pdu.Frame) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
	}, func(t *testing.T, l *link, octets func(*testing.T, pdu.Frame) []byte) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.write(octets(t, f))
		if nack := p.expect(pdu.GenericNack); nack.Status != pdu.StatusInvCmdLen {
			t.Errorf("status %v, want ESME_RINVCMDLEN", nack.Status)
		}
		p.eof()
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 16<<20 {
			t.Errorf("%d octets of memory taken", taken)
		}
		isUnknown(t, r.result(c).err)
		p = r.bound()
		r.up(p)
		if n := r.count("disconnects_total", "reason", "framing"); n != 1 {
			t.Errorf("%v disconnects for the framing, want 1", n)
		}
		r.stop(p)
	})
}

// TestQuirk14StrangePDUs: what is not for us is passed over. Only a request that nobody knows has an answer: generic_nack
// with ESME_RINVCMDID and its number.
func TestQuirk14StrangePDUs(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.Outbind, Sequence: f.Sequence}, &pdu.OutbindBody{SystemID: "smsc", Password: "x"})
		p.send(pdu.Header{Command: pdu.AlertNotification, Sequence: f.Sequence}, &pdu.AlertNotificationBody{
			Source: pdu.Address{TON: 1, NPI: 1, Number: "34600000001"},
			TLVs:   pdu.TLVs{{Tag: pdu.TagMSAvailabilityStatus, Value: []byte{0}}},
		})
		p.send(pdu.Header{Command: pdu.AlertNotification, Sequence: f.Sequence}, raw("cut off"))
		p.alive() // they have no answer
		for _, request := range []pdu.Command{
			0x00000111, 0x00000112, 0x00000113, // SMPP 5.0: broadcast_sm, query_broadcast_sm, cancel_broadcast_sm
			0x00010200, 0x0001FFFF, 0x00000000, 0x7FFFFFFF, // vendors, and what nobody defined
			pdu.SubmitSM, pdu.QuerySM, pdu.CancelSM, pdu.SubmitMulti, pdu.BindTransceiver, // ours to send
		} {
			p.send(pdu.Header{Command: request, Sequence: f.Sequence}, raw("\x00\x01\x02"))
			p.expectStatus(pdu.GenericNack, pdu.StatusInvCmdID, f.Sequence)
		}
		for _, response := range []pdu.Command{
			0x80000111, 0x80000112, 0x80000113, 0x80010200, 0xFFFFFFFF, pdu.QuerySMResp, pdu.DeliverSMResp, pdu.BindTransceiverResp,
		} {
			p.send(pdu.Header{Command: response, Sequence: f.Sequence}, raw("\x00\x01\x02"))
		}
		p.alive()
		p.send(pdu.Header{Command: pdu.DataSM, Sequence: f.Sequence}, &pdu.DataMessage{
			TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("what a person wrote")}},
		})
		p.expectStatus(pdu.DataSMResp, pdu.StatusOK, f.Sequence)
		p.accept(f, "mine")
		r.accepted(c, "mine")
		r.noReceipt()
		r.stop(p)
	})
}
