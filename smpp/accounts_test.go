package smpp_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// A fleet is a running pool of several accounts, over pipes and in fake time.
type fleet struct {
	*running
	doors map[string]chan net.Conn
}

func account(name string, change func(c *smpp.Config)) smpp.Config {
	cfg := testConfig()
	cfg.Name = name
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// runFleet must be called in a bubble.
func runFleet(t *testing.T, accounts ...smpp.Config) *fleet {
	t.Helper()
	f := &fleet{doors: make(map[string]chan net.Conn)}
	r := &running{
		t: t, link: &link{patience: time.Hour}, registry: prometheus.NewRegistry(), log: new(logBuffer), ended: make(chan error, 1),
		receipts: make(chan smpp.Receipt, 1000), late: make(chan smpp.LateAnswer, 1000),
	}
	f.running = r
	var err error
	r.Pool, err = smpp.NewPool(accounts, smpp.Hooks{
		Deliver: func(_ context.Context, receipt smpp.Receipt) (smpp.Match, error) {
			r.receipts <- receipt
			return smpp.Match{Found: true}, nil
		},
	}, r.registry, slog.New(slog.NewJSONHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range accounts {
		f.doors[cfg.Name] = make(chan net.Conn)
	}
	f.open()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	t.Cleanup(cancel)
	go func() { r.ended <- r.Run(ctx) }()
	return f
}

func (f *fleet) open() {
	smpp.SetDialer(f.Pool, func(ctx context.Context, smsc string, _ int) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case f.doors[smsc] <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// bound binds the next connection of an account.
func (f *fleet) bound(name string) *peer {
	f.t.Helper()
	f.link.accepted = f.doors[name]
	p := f.accept()
	g, err := p.next()
	if err != nil {
		f.t.Fatal(err)
	}
	p.answer(g, pdu.StatusOK, &pdu.BindResp{SystemID: name})
	synctest.Wait()
	return p
}

// over sends m, which must come over p.
func (f *fleet) over(p *peer, m smpp.Message) {
	f.t.Helper()
	c := f.send(within(f.t, time.Minute), m)
	p.accept(p.expect(pdu.SubmitSM), "id")
	f.accepted(c, "id")
}

func TestBackupTakesOverAndGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("backup", func(c *smpp.Config) { c.Tier = 2 }), account("main", nil))
		main, backup := f.bound("main"), f.bound("backup")
		f.over(main, hello)
		main.conn.Close()
		synctest.Wait()
		began := time.Now()
		f.over(backup, hello)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("the backup took over after %v, want 1s", waited)
		}
		began = time.Now()
		f.over(backup, hello)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v for an account that is known to be down", waited)
		}
		main = f.bound("main")
		f.over(backup, hello) // the main one has to stay up for a moment
		time.Sleep(time.Second)
		f.over(main, hello)
		f.stopAll(main, backup)
	})
}

func TestLoneAccountIsUsedAtOnceWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("main", nil), account("backup", func(c *smpp.Config) { c.Tier = 2 }))
		main, backup := f.bound("main"), f.bound("backup")
		main.conn.Close()
		backup.conn.Close()
		time.Sleep(3 * time.Second)
		_, err := f.Send(within(t, time.Minute), hello)
		isUnavailable(t, err)
		main = f.bound("main")
		f.over(main, hello)
		f.stopAll(main)
	})
}

func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t,
			account("all", nil),
			account("spain", func(c *smpp.Config) { c.Prefixes = []string{"+34", "+351"} }),
			account("movil", func(c *smpp.Config) { c.Prefixes = []string{"+346"} }),
			account("bank", func(c *smpp.Config) { c.Clients = []string{"bank"} }),
			account("shop", func(c *smpp.Config) { c.Senders = []string{"SHOP"} }),
		)
		peers := make(map[string]*peer)
		for name := range f.doors {
			peers[name] = f.bound(name)
		}
		for _, tc := range []struct {
			message smpp.Message
			want    string
		}{
			{smpp.Message{From: "ACME", To: "+4915112345678", Text: "x"}, "all"},
			{smpp.Message{From: "ACME", To: "+34911234567", Text: "x"}, "spain"},
			{smpp.Message{From: "ACME", To: "+351911234567", Text: "x"}, "spain"},
			{smpp.Message{From: "ACME", To: "+34611234567", Text: "x"}, "movil"},
			{smpp.Message{From: "ACME", To: "+4915112345678", Text: "x", Client: "bank"}, "bank"},
			{smpp.Message{From: "ACME", To: "+34611234567", Text: "x", Client: "bank"}, "movil"},
			{smpp.Message{From: "SHOP", To: "+4915112345678", Text: "x", Client: "other"}, "shop"},
		} {
			f.over(peers[tc.want], tc.message)
		}
		peers["movil"].conn.Close()
		time.Sleep(2 * time.Second)
		f.over(peers["spain"], smpp.Message{From: "ACME", To: "+34611234567", Text: "x"}) // the next best
		f.stopAll(peers["all"], peers["spain"], peers["bank"], peers["shop"])
	})
}

func TestNoRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("spain", func(c *smpp.Config) { c.Prefixes = []string{"+34"} }))
		p := f.bound("spain")
		m := smpp.Message{From: "ACME", To: "+4915112345678", Text: "x"}
		var address *smpp.AddressError
		if _, err := f.Send(t.Context(), m); !errors.As(err, &address) {
			t.Errorf("Send = %v", err)
		}
		if err := f.Check(m); !errors.As(err, &address) {
			t.Errorf("Check = %v", err)
		}
		f.stopAll(p)
	})
}

func TestWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("light", nil), account("heavy", func(c *smpp.Config) { c.Weight = 3 }))
		peers := map[string]*peer{"light": f.bound("light"), "heavy": f.bound("heavy")}
		counts := make(map[string]int)
		for range 8 {
			c := f.send(within(t, time.Minute), hello)
			_ = c // all stay unanswered, so that load counts
			synctest.Wait()
			for name, p := range peers {
				if err := p.conn.SetReadDeadline(time.Now()); err != nil {
					t.Fatal(err)
				}
				_ = name
			}
			for name, p := range peers {
				p.wait = time.Millisecond
				if g, err := p.next(); err == nil && g.Command == pdu.SubmitSM {
					counts[name]++
					break
				}
			}
		}
		if counts["heavy"] != 6 || counts["light"] != 2 {
			t.Errorf("messages %v, want 6 and 2", counts)
		}
		f.cancel()
		for _, p := range peers {
			p.conn.Close()
		}
		<-f.ended
	})
}

func TestThrottledMessageMovesToAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("main", nil), account("backup", func(c *smpp.Config) { c.Tier = 2 }))
		main, backup := f.bound("main"), f.bound("backup")
		c := f.send(within(t, time.Minute), hello)
		main.answer(main.expect(pdu.SubmitSM), pdu.StatusThrottled, nil)
		main.answer(main.expect(pdu.SubmitSM), pdu.StatusThrottled, nil)
		backup.accept(backup.expect(pdu.SubmitSM), "id")
		f.accepted(c, "id")
		c = f.send(within(t, time.Minute), hello)
		main.answer(main.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, nil) // after its pause
		var refused *smpp.StatusError
		if err := f.result(c).err; !errors.As(err, &refused) || refused.Class != smpp.ClassDestination {
			t.Errorf("err = %v: what is refused for good is not tried elsewhere", err)
		}
		f.stopAll(main, backup)
	})
}

// TestOtherAccountTakesMoreSegments: an account that cannot say a text is passed over.
func TestOtherAccountTakesMoreSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("short", nil), account("long", func(c *smpp.Config) { c.Tier, c.MaxSegments = 2, 3 }))
		short, p := f.bound("short"), f.bound("long")
		if err := f.Check(long); err != nil {
			t.Errorf("Check = %v", err)
		}
		c := f.send(within(t, time.Minute), long)
		for _, id := range []string{"1", "2", "3"} {
			p.accept(p.expect(pdu.SubmitSM), id)
		}
		if got := f.result(c); got.err != nil || got.SMSC != "long" {
			t.Errorf("Send = %+v", got)
		}
		f.stopAll(short, p)
	})
}

func TestAccountsComeAndGoByReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := account("a", nil), account("b", nil)
		f := runFleet(t, a, b)
		pa, pb := f.bound("a"), f.bound("b")
		f.doors["c"] = make(chan net.Conn)

		apply := func(accounts ...smpp.Config) {
			t.Helper()
			change, err := f.Prepare(accounts)
			if err != nil {
				t.Fatal(err)
			}
			f.Apply(change)
			synctest.Wait()
		}
		apply(b, account("c", nil)) // a goes, c comes
		pa.answer(pa.expect(pdu.Unbind), pdu.StatusOK, nil)
		pa.eof()
		pc := f.bound("c")
		for _, p := range []*peer{pb, pc} {
			p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
			p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 9) // b was never touched
		}
		if n := f.count("bind_state", "smsc", "a"); n != 0 {
			t.Error("metrics of an account that is none any more")
		}

		b.ServiceType = "OTP" // b changes: a new connection first, then the old one drains with what is on it
		c := f.send(within(t, time.Minute), hello)
		synctest.Wait()
		_ = c
		apply(b, account("c", nil))
		f.link.accepted = f.doors["b"]
		next := f.bound("b")
		time.Sleep(time.Second)
		var old *peer
		for _, p := range []*peer{pb, pc} {
			p.wait = time.Millisecond
			if g, err := p.next(); err == nil && g.Command == pdu.SubmitSM {
				p.wait = time.Hour
				p.accept(g, "id")
				f.accepted(c, "id")
				old = p
			}
			p.wait = time.Hour
		}
		if old == nil {
			t.Fatal("the message came over nothing")
		}
		pb.answer(pb.expect(pdu.Unbind), pdu.StatusOK, nil)
		pb.eof()
		states := f.count("bind_state", "smsc", "b", "state", "bound")
		if states != 1 {
			t.Errorf("bind_state of the successor: %v bound, want 1", states)
		}
		f.stopAll(next, pc)
	})
}

func TestReloadChecksBeforeItTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("a", nil))
		p := f.bound("a")
		for _, accounts := range [][]smpp.Config{
			{account("a", nil), account("a", nil)},
			{account("b", func(c *smpp.Config) { c.Window = 0 })},
			{account("b", func(c *smpp.Config) { c.TLS, c.TLSCA = true, "/missing.pem" })},
		} {
			if _, err := f.Prepare(accounts); err == nil {
				t.Errorf("Prepare took %+v", accounts)
			}
		}
		f.over(p, hello)
		f.stopAll(p)
	})
}

func TestTransmittersAndReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("a", func(c *smpp.Config) { c.Binds, c.Transmitters, c.Receivers = 0, 1, 1 }))
		f.link.accepted = f.doors["a"]
		peers := make(map[pdu.Command]*peer)
		for range 2 {
			p := f.accept()
			g, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			p.answer(g, pdu.StatusOK, &pdu.BindResp{})
			peers[g.Command] = p
		}
		tx, rx := peers[pdu.BindTransmitter], peers[pdu.BindReceiver]
		if tx == nil || rx == nil {
			t.Fatalf("binds %v", peers)
		}
		synctest.Wait()
		f.over(tx, hello)
		rx.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 7}, receiptFor("id"))
		rx.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 7)
		if got := <-f.receipts; got.MessageID != "id" {
			t.Errorf("receipt %+v", got)
		}
		for _, b := range f.Binds() {
			if want := map[string]string{"tx1": "transmitter", "rx1": "receiver"}[b.Name]; b.Kind != want || b.State != "bound" {
				t.Errorf("bind %+v", b)
			}
		}
		tx.conn.Close()
		time.Sleep(time.Second)
		if f.Ready() == nil {
			t.Error("ready with a receiver alone")
		}
		f.stopAll(rx)
	})
}

func TestEndpointsInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := account("a", func(c *smpp.Config) { c.Binds, c.Endpoints = 2, []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"} })
		pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: ignore}, nil, discard())
		if err != nil {
			t.Fatal(err)
		}
		tried := make(chan int, 100)
		smpp.SetDialer(pool, func(_ context.Context, _ string, endpoint int) (net.Conn, error) {
			tried <- endpoint % 3
			return nil, errors.New("refused")
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- pool.Run(ctx) }()
		time.Sleep(10 * time.Second)
		cancel()
		<-ended
		seen := make(map[int]int)
		for len(tried) > 0 {
			seen[<-tried]++
		}
		if len(seen) != 3 || seen[0] < 3 || seen[1] < 3 || seen[2] < 3 {
			t.Errorf("endpoints tried %v", seen)
		}
	})
}
