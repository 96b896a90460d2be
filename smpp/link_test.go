package smpp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

func TestBindNeverAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.accept()
		began := time.Now()
		p.expect(pdu.BindTransceiver)
		p.eof()
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", waited)
		}
		r.stop(r.bound())
		if n := r.count("bind_failures_total", "status", "timeout"); n != 1 {
			t.Errorf("%v timeouts, want 1", n)
		}
	})
}

func TestConnectionThatIsNeverMade(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil) // the dialer waits until its context ends
		time.Sleep(4 * time.Second)
		if got := r.Binds()[0].State; got != "connecting" {
			t.Errorf("state %q, want connecting", got)
		}
		time.Sleep(1010 * time.Millisecond)
		if n := r.count("bind_failures_total", "status", "connect"); n != 1 {
			t.Errorf("%v failures to connect after 5s, want 1", n)
		}
		r.stop(nil)
	})
}

// TestSpacing drives 8 attempts of each kind of failure and looks at the time between them.
func TestSpacing(t *testing.T) {
	refused := func(status pdu.Status) func(p *peer) {
		return func(p *peer) {
			p.answer(p.expect(pdu.BindTransceiver), status, nil)
			p.eof()
		}
	}
	lost := func(p *peer) { // a load balancer in front of nothing
		p.answer(p.expect(pdu.BindTransceiver), pdu.StatusOK, nil)
		p.conn.Close()
	}
	for _, tc := range []struct {
		name  string
		fail  func(p *peer)
		floor time.Duration
		state string
	}{
		{"wrong password", refused(pdu.StatusInvPaswd), time.Minute, "blocked"},
		{"wrong system id", refused(pdu.StatusInvSysID), time.Minute, "blocked"},
		{"wrong system type", refused(pdu.StatusInvSysTyp), time.Minute, "blocked"},
		{"bind failed", refused(pdu.StatusBindFail), time.Minute, "blocked"},
		{"already bound", refused(pdu.StatusAlyBnd), 5 * time.Second, "backoff"},
		{"system error", refused(pdu.StatusSysErr), 0, "backoff"},
		{"vendor's status", refused(0x489), 0, "backoff"},
		{"lost once bound", lost, 0, "backoff"},
		{"lost while binding", func(p *peer) { p.expect(pdu.BindTransceiver); p.conn.Close() }, 0, "backoff"}, // nothing behind it
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				var total time.Duration
				for i := range 8 {
					p := r.accept()
					tc.fail(p)
					failed := time.Now()
					synctest.Wait()
					if got := r.Binds()[0]; got.State != tc.state || got.LastError == "" {
						t.Errorf("state %q, last error %q, want %q", got.State, got.LastError, tc.state)
					}
					if err := r.Ready(); err == nil || !strings.Contains(err.Error(), tc.state) {
						t.Errorf("Ready = %v", err)
					}
					next := r.accept()
					waited := time.Since(failed)
					total += waited
					next.conn.Close()
					if ceiling := min(time.Second<<(2*i), 30*time.Second); waited < tc.floor || waited > tc.floor+ceiling {
						t.Errorf("attempt %d after %v, want %v and up to %v more", i, waited, tc.floor, ceiling)
					}
				}
				if least := 8*tc.floor + 10*time.Second; total < least && !(tc.name == "lost while binding" && total > 3*time.Second) {
					t.Errorf("8 attempts in %v: a hot loop", total)
				}
				r.stop(nil)
				if logged := r.log.String(); (tc.state == "blocked") != strings.Contains(logged, `"level":"ERROR"`) {
					t.Errorf("log: %s", logged)
				}
			})
		})
	}
}

func TestBackoffStartsAnewAfter30sBound(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		for range 10 {
			r.bound().conn.Close()
		}
		p := r.bound()
		time.Sleep(29 * time.Second)
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 1}, nil)
		p.expect(pdu.EnquireLinkResp)
		time.Sleep(2 * time.Second)
		p.conn.Close()
		lost := time.Now()
		p = r.bound()
		if waited := time.Since(lost); waited > time.Second {
			t.Errorf("bound again after %v, want at most 1s", waited)
		}
		r.stop(p)
	})
}

func TestFirstBindsAreStaggered(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 3
		r := run(t, l, cfg, nil)
		began := time.Now()
		var peers []*peer
		for i := range 3 {
			peers = append(peers, r.bound())
			if got, want := time.Since(began), time.Duration(i)*100*time.Millisecond; got != want {
				t.Errorf("bind %d after %v, want %v", i, got, want)
			}
		}
		r.cancel()
		for _, p := range peers {
			p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
		}
		r.stop(nil)
	})
}

func TestOneBindMoreThanTheSMSCAllows(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, nil)
		p := r.bound()
		second := r.accept()
		second.answer(second.expect(pdu.BindTransceiver), pdu.StatusAlyBnd, nil)
		for range 5 {
			c := r.send(t.Context(), hello)
			p.accept(p.expect(pdu.SubmitSM), "one")
			r.accepted(c, "one")
		}
		if err := r.Ready(); err != nil {
			t.Errorf("Ready = %v, want nil", err)
		}
		r.stop(p)
	})
}

func TestNoBindFailsFast(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		began := time.Now()
		_, err := r.Send(within(t, time.Minute), hello)
		isUnavailable(t, err)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v just after the start, want 1s", waited)
		}
		began = time.Now()
		_, err = r.Send(within(t, time.Minute), hello)
		isUnavailable(t, err)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v later, want 0s", waited)
		}
		p := r.bound()
		waiting := make([]<-chan result, 12) // 10 in the window, 2 behind it
		for i := range waiting {
			waiting[i] = r.send(within(t, time.Minute), hello)
		}
		synctest.Wait()
		p.conn.Close()
		time.Sleep(time.Second) // failover_after
		synctest.Wait()
		for _, c := range waiting {
			select {
			case got := <-c:
				isUnavailable(t, got.err)
			default:
				t.Error("a Send still waits although no bind is up")
			}
		}
		r.stop(nil)
	})
}

func TestSendBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := smpp.NewPool([]smpp.Config{testConfig()}, smpp.Hooks{Deliver: ignore}, nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		smpp.SetDialer(pool, func(context.Context, string, int) (net.Conn, error) { return nil, errors.New("no route") })
		began := time.Now()
		sent := make(chan error, 1)
		go func() {
			_, err := pool.Send(t.Context(), hello)
			sent <- err
		}()
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- pool.Run(ctx) }()
		isUnavailable(t, <-sent)
		if waited := time.Since(began); waited != 1500*time.Millisecond {
			t.Errorf("waited %v, want 1.5s: one after Run began", waited)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestSendWaitsForTheFirstBind(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		c := r.send(t.Context(), hello)
		time.Sleep(500 * time.Millisecond)
		p := r.bound()
		p.accept(p.expect(pdu.SubmitSM), "first")
		r.accepted(c, "first")
		r.stop(p)
	})
}

func TestDrainLosesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		recorded := make(chan struct{})
		r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error { <-recorded; return nil })
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptFor("before"))
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 1}, nil)
		p.expect(pdu.EnquireLinkResp)
		r.cancel()
		for { // until the pool has begun to drain
			_, err := r.Send(within(t, 0), hello) // too late to be sent in any case
			isUnavailable(t, err)
			if strings.Contains(err.Error(), "shut down") {
				break
			}
		}
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, receiptFor("while"))
		p.accept(f, "id-1")
		r.accepted(c, "id-1")
		close(recorded)
		got := map[uint32]bool{p.expect(pdu.DeliverSMResp).Sequence: true, p.expect(pdu.DeliverSMResp).Sequence: true}
		if !got[1] || !got[2] {
			t.Errorf("acknowledged %v, want 1 and 2", got)
		}
		unbind := p.expect(pdu.Unbind)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 3}, receiptFor("after unbind"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 3)
		p.answer(unbind, pdu.StatusOK, &pdu.Raw{'b', 'y', 'e'})
		p.eof()
		r.stop(nil)
		if state := r.Binds()[0].State; state != "idle" {
			t.Errorf("state %q after Run, want idle", state)
		}
		_, err := r.Send(t.Context(), hello)
		isUnavailable(t, err)
	})
}

func TestDrainEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(within(t, time.Hour), hello)
		p.expect(pdu.SubmitSM)
		time.Sleep(5 * time.Second)
		began := time.Now()
		r.cancel()
		p.expect(pdu.Unbind)
		isUnknown(t, r.result(c).err) // at its response timeout
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("unbind after %v, want 5s", waited)
		}
		r.stop(nil)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("Run returned after %v, want 10s: unbind was not answered", waited)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.ResponseTimeout = time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(within(t, time.Hour), hello)
		p.expect(pdu.SubmitSM)
		began := time.Now()
		r.cancel()
		f := p.expect(pdu.Unbind)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("unbind after %v, want 10s", waited)
		}
		p.answer(f, pdu.StatusOK, nil)
		isUnknown(t, r.result(c).err)
		r.stop(nil)
	})
}

func TestStopInEveryState(t *testing.T) {
	for name, until := range map[string]func(r *running){
		"connecting": func(*running) {},
		"binding":    func(r *running) { r.accept().expect(pdu.BindTransceiver) },
		"backoff":    func(r *running) { r.bound().conn.Close() },
		"blocked": func(r *running) {
			p := r.accept()
			p.answer(p.expect(pdu.BindTransceiver), pdu.StatusInvPaswd, nil)
		},
		"unbinding": func(r *running) {
			p := r.bound()
			r.send(context.Background(), hello)
			p.expect(pdu.SubmitSM)
			p.send(pdu.Header{Command: pdu.Unbind, Sequence: 1}, nil)
			p.expect(pdu.UnbindResp)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				until(r)
				synctest.Wait()
				if got := r.Binds()[0].State; got != name {
					t.Errorf("state %q, want %q", got, name)
				}
				if n := r.count("bind_state", "state", name); n != 1 {
					t.Errorf("metric of the state is %v, want 1", n)
				}
				began := time.Now()
				r.stop(nil)
				if waited := time.Since(began); waited > time.Second {
					t.Errorf("Run returned after %v", waited)
				}
			})
		})
	}
}

func TestRunOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		synctest.Wait()
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run returned nil")
		}
		r.stop(nil)
	})
}

func TestFloodThatReadsNoAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.WriteTimeout = time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		flood := encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 1}, nil)
		for range 12 {
			flood = append(flood, flood...)
		}
		var err error
		for range 100 {
			if _, err = p.conn.Write(flood); err != nil {
				break
			}
		}
		if err == nil {
			t.Error("the pool kept 6 MiB of answers")
		}
		r.stop(nil)
		if n := r.count("disconnects_total", "reason", "peer_does_not_read"); n != 1 {
			t.Errorf("%v disconnects for a peer that does not read, want 1", n)
		}
	})
}

// TestNothingIsTold runs through answers, refusals and failures, and looks for secrets in what was logged and counted.
func TestNothingIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		m := smpp.Message{From: "ACME", To: "+34600123456", Text: "your code is 987654"}
		for _, status := range []pdu.Status{pdu.StatusOK, pdu.StatusInvDstAdr, pdu.StatusInvSrcAdr} {
			c := r.send(t.Context(), m)
			p.answer(p.expect(pdu.SubmitSM), status, &pdu.MessageResp{})
			if got := r.result(c); got.err != nil && strings.Contains(got.err.Error(), "600123456") {
				t.Errorf("error tells the number: %v", got.err)
			}
		}
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, &pdu.ShortMessage{
			Source: pdu.Address{Number: "34600123456"}, ESMClass: 0x04, Text: []byte("id:7 stat:DELIVRD text:your code is 987654"),
		})
		p.expect(pdu.DeliverSMResp)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, &pdu.Raw{'9', '8', '7', '6', '5', '4'})
		p.expect(pdu.DeliverSMResp)
		p.conn.Close()
		p = r.accept()
		p.answer(p.expect(pdu.BindTransceiver), pdu.StatusInvPaswd, nil)
		p.eof()
		r.stop(nil)
		told := r.log.String()
		families, err := r.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			told += f.String()
			if !strings.HasPrefix(f.GetName(), "otpgw_smpp_") {
				t.Errorf("metric %s", f.GetName())
			}
		}
		if !strings.Contains(told, "unreadable pdu") {
			t.Error("the log is empty")
		}
		for _, secret := range []string{"600123456", "987654", "s3cr3t", "your code"} {
			if strings.Contains(told, secret) {
				t.Errorf("%q was told", secret)
			}
		}
	})
}

func TestNilRegisterer(t *testing.T) {
	pool, err := smpp.NewPool([]smpp.Config{testConfig()}, smpp.Hooks{Deliver: ignore}, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Ready(); err == nil || !strings.Contains(err.Error(), "idle") {
		t.Errorf("Ready before Run = %v", err)
	}
}

func TestRefusedConnectionOnASocket(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Endpoints = []string{listener.Addr().String()}
	listener.Close()
	pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: ignore}, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- pool.Run(ctx) }()
	_, err = pool.Send(within(t, 100*time.Millisecond), hello)
	isUnavailable(t, err)
	if err := pool.Ready(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Ready = %v", err)
	}
	cancel()
	if err := <-ended; err != nil || errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
