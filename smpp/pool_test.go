package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestWindowIsKeptAndServedInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window = 2
		r := run(t, l, cfg, nil)
		p := r.bound()
		var sends []<-chan result
		for i := range 5 {
			sends = append(sends, r.send(t.Context(), smpp.Message{From: "ACME", To: "+34600000001", Text: fmt.Sprint("m", i)}))
			synctest.Wait()
		}
		text := func(f pdu.Frame) string {
			body, err := pdu.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			return string(body.(*pdu.ShortMessage).Text)
		}
		var open []pdu.Frame
		for i := range 5 {
			open = append(open, p.expect(pdu.SubmitSM))
			if got, want := text(open[i]), fmt.Sprint("m", i); got != want {
				t.Errorf("message %d is %q, want %q", i, got, want)
			}
			synctest.Wait()
			if in := r.Binds()[0].InFlight; in > 2 {
				t.Errorf("%d in flight, want at most 2", in)
			}
			if i > 0 {
				p.accept(open[i-1], text(open[i-1]))
			}
		}
		p.accept(open[4], "m4")
		for i, c := range sends {
			r.accepted(c, fmt.Sprint("m", i))
		}
		r.stop(p)
	})
}

func TestWaitForTheWindowEndsWithTheContext(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window = 1
		r := run(t, l, cfg, nil)
		p := r.bound()
		first := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		began := time.Now()
		_, err := r.Send(within(t, 3*time.Second), hello)
		isUnavailable(t, err)
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("waited %v, want 3s", waited)
		}
		p.accept(f, "first")
		r.accepted(first, "first")
		next := r.send(t.Context(), hello) // the place is free again
		p.accept(p.expect(pdu.SubmitSM), "next")
		r.accepted(next, "next")
		r.stop(p)
	})
}

func TestRate(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Rate = 10
		r := run(t, l, cfg, nil)
		p := r.bound()
		began := time.Now()
		for i := range 21 {
			c := r.send(within(t, time.Second), hello)
			p.accept(p.expect(pdu.SubmitSM), fmt.Sprint(i))
			r.accepted(c, fmt.Sprint(i))
		}
		if took := time.Since(began); took < 1999*time.Millisecond || took > 2001*time.Millisecond {
			t.Errorf("21 messages at 10 a second took %v, want 2s", took)
		}
		r.stop(p)
	})
}

func TestRateThatLeavesNoRoomRefusesAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Rate = 0.1
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.accept(p.expect(pdu.SubmitSM), "first")
		r.accepted(c, "first")
		for range 100 { // those who are turned away take nothing from those who wait
			began := time.Now()
			_, err := r.Send(within(t, 4*time.Second), hello)
			isUnavailable(t, err)
			var unavailable *smpp.UnavailableError
			if errors.As(err, &unavailable); unavailable.RetryAfter < 5900*time.Millisecond || unavailable.RetryAfter > 6*time.Second {
				t.Errorf("retry after %v, want 6s", unavailable.RetryAfter)
			}
			if waited := time.Since(began); waited != 0 {
				t.Errorf("refused after %v, want at once", waited)
			}
		}
		began := time.Now()
		c = r.send(within(t, 11*time.Second), hello)
		p.accept(p.expect(pdu.SubmitSM), "second")
		r.accepted(c, "second")
		if waited := time.Since(began); waited < 9*time.Second || waited > 10*time.Second {
			t.Errorf("waited %v, want 10s", waited)
		}
		r.setRate(0)
		c = r.send(within(t, time.Second), hello)
		p.accept(p.expect(pdu.SubmitSM), "third")
		r.accepted(c, "third")
		r.setRate(100)
		c = r.send(within(t, time.Second), hello)
		p.accept(p.expect(pdu.SubmitSM), "fourth")
		r.accepted(c, "fourth")
		r.stop(p)
	})
}

func TestThrottledThenAccepted(t *testing.T) {
	for _, status := range []pdu.Status{pdu.StatusThrottled, pdu.StatusMsgQFul} {
		t.Run(status.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				p := r.bound()
				c := r.send(within(t, 5*time.Second), hello)
				f := p.expect(pdu.SubmitSM)
				time.Sleep(time.Millisecond)
				other := r.send(within(t, 5*time.Second), smpp.Message{From: "ACME", To: hello.To, Text: "other"})
				g := p.expect(pdu.SubmitSM)
				began := time.Now()
				p.answer(g, status, nil) // the later one first
				p.answer(f, status, nil)
				for _, want := range []string{"hello", "other"} { // and yet the order is kept
					f := p.expect(pdu.SubmitSM)
					if waited := time.Since(began); want == "hello" && waited != time.Second {
						t.Errorf("tried again after %v, want 1s", waited)
					}
					body, err := pdu.Decode(f)
					if err != nil || string(body.(*pdu.ShortMessage).Text) != want {
						t.Fatalf("%v, %v, want %s", body, err, want)
					}
					p.accept(f, want)
				}
				if got := r.result(c); got.err != nil || got.MessageIDs[0] != "hello" || got.Tries != 2 {
					t.Errorf("%+v, %v", got.Accepted, got.err)
				}
				r.accepted(other, "other")
				r.stop(p)
				if n := r.count("throttled_total", "status", status.String()); n != 2 {
					t.Errorf("%v throttled, want 2", n)
				}
			})
		})
	}
}

// TestThrottledForGood: a message is tried once a second, and what would come too late is not waited for.
func TestThrottledForGood(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		var refused *smpp.StatusError
		began := time.Now()
		c := r.send(within(t, 5*time.Second), hello)
		for _, at := range []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second} {
			f := p.expect(pdu.SubmitSM)
			if since := time.Since(began); since != at {
				t.Errorf("tried after %v, want %v", since, at)
			}
			p.answer(f, pdu.StatusThrottled, nil)
		}
		err := r.result(c).err
		if !errors.As(err, &refused) || refused.Name() != "ESME_RTHROTTLED" || refused.RetryAfter < time.Second {
			t.Errorf("throttled five times: %v", err)
		}
		if since := time.Since(began); since != 4*time.Second {
			t.Errorf("given up after %v, want 4s: the next try would be after 5s", since)
		}
		_, err = r.Send(within(t, time.Second), hello) // another one does not even begin to wait
		isUnavailable(t, err)
		r.stop(p)
	})
}

// long is a text of three segments.
var long = smpp.Message{From: "ACME", To: "+34600000001", Text: strings.Repeat("0123456789", 40)}

func TestSegmentsGoInOrderOverOneBind(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MaxSegments, cfg.Window, cfg.Rate = 3, 1, 3
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), long)
		var text string
		for part := byte(1); part <= 3; part++ {
			f := p.expect(pdu.SubmitSM)
			body, err := pdu.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			m := body.(*pdu.ShortMessage)
			udh, _, _ := pdu.SplitUDH(m.Text)
			if _, total, got, ok := pdu.Concatenation(udh); !ok || total != 3 || got != part || m.ESMClass != 0x40 {
				t.Errorf("part %d: %d of %d, esm_class %#x", part, got, total, m.ESMClass)
			}
			text += pdu.DecodeText(m.DataCoding, m.ESMClass, m.Text)
			if part == 3 {
				p.answer(f, pdu.StatusThrottled, nil) // once more, after a second
				f = p.expect(pdu.SubmitSM)
			}
			p.accept(f, fmt.Sprint("part", part))
		}
		got := r.result(c)
		if got.err != nil || !slices.Equal(got.MessageIDs, []string{"part1", "part2", "part3"}) || got.Segments != 3 {
			t.Errorf("Send = %+v, %v", got.Accepted, got.err)
		}
		if text != long.Text {
			t.Errorf("text %q", text)
		}
		began := time.Now()
		c = r.send(t.Context(), hello) // 3 tokens are gone, and one came back in the pause of a second
		p.accept(p.expect(pdu.SubmitSM), "next")
		r.accepted(c, "next")
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v, want 0s", waited)
		}
		r.stop(p)
	})
}

func TestLaterSegmentRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MaxSegments = 3
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), long)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, nil)
		var refused *smpp.StatusError
		if err := r.result(c).err; !errors.As(err, &refused) {
			t.Errorf("first segment refused: %v", err)
		}
		c = r.send(t.Context(), long)
		p.accept(p.expect(pdu.SubmitSM), "one")
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, nil)
		isUnknown(t, r.result(c).err)
		c = r.send(t.Context(), long)
		p.accept(p.expect(pdu.SubmitSM), "one")
		p.expect(pdu.SubmitSM)
		p.conn.Close()
		isUnknown(t, r.result(c).err)
		r.stop(r.bound())
	})
}

func TestDrainLetsAMessageEndItsSegments(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MaxSegments = 3
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), long)
		f := p.expect(pdu.SubmitSM)
		r.cancel()
		synctest.Wait()
		p.accept(f, "1")
		p.accept(p.expect(pdu.SubmitSM), "2")
		p.accept(p.expect(pdu.SubmitSM), "3")
		r.stop(p)
		if got := r.result(c); got.err != nil || len(got.MessageIDs) != 3 {
			t.Errorf("Send = %+v, %v", got.Accepted, got.err)
		}
	})
}

func TestSlowBindGetsLess(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, nil)
		peers := []*peer{r.bound(), r.bound()}
		time.Sleep(time.Second)
		var got [2]atomic.Int64
		var serving sync.WaitGroup
		for i, p := range peers {
			serving.Go(func() {
				for {
					f, err := p.next()
					if err != nil {
						return
					}
					switch f.Command {
					case pdu.SubmitSM:
						got[i].Add(1)
						time.Sleep([]time.Duration{10 * time.Millisecond, 500 * time.Millisecond}[i])
						p.accept(f, "x")
					case pdu.Unbind:
						p.answer(f, pdu.StatusOK, nil)
					}
				}
			})
		}
		for range 100 {
			if _, err := r.Send(t.Context(), hello); err != nil {
				t.Fatal(err)
			}
		}
		if fast, slow := got[0].Load(), got[1].Load(); fast < 95 || slow < 1 {
			t.Errorf("the fast bind got %d, the slow one %d", fast, slow)
		}
		r.stop(nil)
		serving.Wait()
	})
}

func TestCheck(t *testing.T) {
	cfg := testConfig()
	pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: ignore}, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		from, to, text string
		want           string
	}{
		{"ACME", "+34600000001", "hello", ""},
		{"Acme & Co. 1", "+34600000001", "hello", "from: is longer than 11 characters"},
		{"Acme & Co.", "+34600000001", "hello", ""},
		{"A_B", "+34600000001", "hello", ""},
		{"12345", "+34600000001", "hello", ""},
		{"12345678", "+34600000001", "hello", ""},
		{"123456789", "+34600000001", "hello", "from: has more digits"},
		{"+34600000002", "+34600000001", "hello", ""},
		{"+3460000000299999", "+34600000001", "hello", "from: is longer"},
		{"", "+34600000001", "hello", "from: is empty"},
		{"a@b", "+34600000001", "hello", "from: has a character"},
		{"ac\x00me", "+34600000001", "hello", "from: has a character"},
		{"ácme", "+34600000001", "hello", "from: has a character"},
		{"ACME", "34600000001", "hello", "to: must be"},
		{"ACME", "+0600000001", "hello", "to: must be"},
		{"ACME", "+3460000000123456", "hello", "to: must be"},
		{"ACME", "+346 0000", "hello", "to: must be"},
		{"ACME", "", "hello", "to: must be"},
		{"ACME", "+34600000001", "", "text: is empty"},
		{"ACME", "+34600000001", "\xff", "text: is no"},
		{"ACME", "+34600000001", strings.Repeat("x", 160), ""},
		{"ACME", "+34600000001", strings.Repeat("x", 161), "text: is too long: 2 segments, at most 1"},
		{"ACME", "+34600000001", strings.Repeat("ж", 70), ""},
		{"ACME", "+34600000001", strings.Repeat("ж", 71), "text: is too long: 2 segments, at most 1"},
	} {
		err := pool.Check(smpp.Message{From: tc.from, To: tc.to, Text: tc.text})
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("Check(%q, %q, %q) = %v, want %q", tc.from, tc.to, tc.text, err, tc.want)
		}
		if err == nil {
			continue
		}
		var address *smpp.AddressError
		var text *smpp.TextError
		if !errors.As(err, &address) && !errors.As(err, &text) {
			t.Errorf("Check = %T", err)
		}
		if _, sent := pool.Send(t.Context(), smpp.Message{From: tc.from, To: tc.to, Text: tc.text}); sent == nil || sent.Error() != err.Error() {
			t.Errorf("Send = %v, Check = %v", sent, err)
		}
	}
}

func TestFieldsOnTheWire(t *testing.T) {
	for _, tc := range []struct {
		name     string
		change   func(c *smpp.Config)
		from     string
		validity time.Duration
		want     pdu.ShortMessage
	}{
		{"short code", nil, "12345", 0, pdu.ShortMessage{Source: pdu.Address{TON: 3, Number: "12345"}}},
		{"number", nil, "+34600000002", 0, pdu.ShortMessage{Source: pdu.Address{TON: 1, NPI: 1, Number: "34600000002"}}},
		{"configured source", func(c *smpp.Config) { c.SourceTON, c.SourceNPI = 6, 9 }, "12345", 0,
			pdu.ShortMessage{Source: pdu.Address{TON: 6, NPI: 9, Number: "12345"}}},
		{"service and priority", func(c *smpp.Config) { c.ServiceType, c.Priority = "OTP", 2 }, "ACME", 0,
			pdu.ShortMessage{Source: pdu.Address{TON: 5, Number: "ACME"}, ServiceType: "OTP", Priority: 2}},
		{"validity rounded up", nil, "ACME", 61*time.Second + time.Millisecond,
			pdu.ShortMessage{Source: pdu.Address{TON: 5, Number: "ACME"}, ValidityPeriod: "000000000102000R"}},
		{"validity of days", nil, "ACME", 51*time.Hour + 3*time.Minute + 4*time.Second,
			pdu.ShortMessage{Source: pdu.Address{TON: 5, Number: "ACME"}, ValidityPeriod: "000002030304000R"}},
		{"validity of years", nil, "ACME", 1e6 * time.Hour,
			pdu.ShortMessage{Source: pdu.Address{TON: 5, Number: "ACME"}, ValidityPeriod: "000099000000000R"}},
		{"no validity", func(c *smpp.Config) { c.ValidityPeriod = "none" }, "ACME", time.Minute,
			pdu.ShortMessage{Source: pdu.Address{TON: 5, Number: "ACME"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				if tc.change != nil {
					tc.change(&cfg)
				}
				r := run(t, l, cfg, nil)
				p := r.bound()
				c := r.send(t.Context(), smpp.Message{From: tc.from, To: "+34600000001", Text: "ж", Validity: tc.validity})
				f := p.expect(pdu.SubmitSM)
				body, err := pdu.Decode(f)
				if err != nil {
					t.Fatal(err)
				}
				want := tc.want
				want.Destination, want.RegisteredDelivery, want.DataCoding = pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}, 1, 8
				want.Text = []byte{0x04, 0x36}
				if got := body.(*pdu.ShortMessage); fmt.Sprint(*got) != fmt.Sprint(want) {
					t.Errorf("got  %+v\nwant %+v", *got, want)
				}
				p.accept(f, "x")
				if got := r.result(c); got.Encoding != "UCS-2" {
					t.Errorf("encoding %q", got.Encoding)
				}
				r.stop(p)
			})
		})
	}
}

// TestManySends sends from many goroutines over two sockets whose peer answers out of order, drops and refuses, with a
// receipt for each message that it takes, and compares what both sides know.
func TestManySends(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds, cfg.Window = 2, 20
		var receipts sync.Map
		r := run(t, l, cfg, func(_ context.Context, receipt smpp.Receipt) error {
			receipts.Store(receipt.MessageID, true)
			return nil
		})
		s := newSimulator(l)
		s.refuse, s.drop = 10, 500
		var ids sync.Map
		var accepted, refused, unknown, unavailable atomic.Int64
		var senders sync.WaitGroup
		for range 50 {
			senders.Go(func() {
				for range 40 {
					got, err := r.Send(within(t, 10*time.Second), hello)
					var status *smpp.StatusError
					switch {
					case err == nil:
						accepted.Add(1)
						if _, twice := ids.LoadOrStore(got.MessageIDs[0], true); twice {
							t.Errorf("id %s twice", got.MessageIDs[0])
						}
					case errors.As(err, &status):
						refused.Add(1)
					case errors.Is(err, smpp.ErrUnknown):
						unknown.Add(1)
					case errors.Is(err, smpp.ErrUnavailable):
						unavailable.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		senders.Wait()
		r.stop(nil)
		s.wait()
		t.Logf("%d accepted, %d refused, %d unknown, %d not sent", accepted.Load(), refused.Load(), unknown.Load(), unavailable.Load())
		if sum := accepted.Load() + refused.Load() + unknown.Load() + unavailable.Load(); sum != 2000 || accepted.Load() == 0 || refused.Load() == 0 {
			t.Errorf("%d outcomes of 2000 Sends", sum)
		}
		ids.Range(func(id, _ any) bool {
			if _, taken := s.taken.Load(id); !taken {
				t.Errorf("accepted %v, which the peer never took", id)
			}
			return true
		})
		s.acknowledged.Range(func(id, _ any) bool {
			if _, recorded := receipts.Load(id); !recorded {
				t.Errorf("receipt %v was acknowledged and not recorded", id)
			}
			return true
		})
	})
}
