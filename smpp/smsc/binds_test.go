package smsc_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// profile is the Config of that name, without the delay of receipts.
func profile(t *testing.T, name string) smsc.Config {
	t.Helper()
	cfg, known := smsc.Config{}.WithProfile(name)
	if !known {
		t.Fatalf("no profile %q", name)
	}
	cfg.ReceiptDelay = 0
	return cfg
}

// silent says that nothing comes for a while.
func (c *client) silent() {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	f, err := c.reader.Next()
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		c.t.Fatalf("%+v, %v; want nothing", f.Header, err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

func TestBindResponsesVary(t *testing.T) {
	for name, want := range map[string]string{
		"normal":            "smscsim\x00\x02\x10\x00\x01\x34",
		"version-5":         "smscsim\x00\x02\x10\x00\x01\x50",
		"version-33":        "smscsim\x00",
		"bind-without-body": "",
		"bind-without-nul":  "smscsim",
	} {
		_, address := serve(t, profile(t, name))
		c := dial(t, address)
		c.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw", InterfaceVersion: 0x34})
		if f := c.expect(pdu.BindTransceiverResp, 0, 1); string(f.Body) != want {
			t.Errorf("%s: %q", name, f.Body)
		}
		c.submit(7, "34600000001", "hello")
		id := c.answer(7, 0)
		if m, _ := c.deliver(); (len(m.TLVs) == 0) != (name == "version-33") {
			t.Errorf("%s: receipt of %s with %v", name, id, m.TLVs)
		}
	}
}

func TestBindsAreRefusedForAWhile(t *testing.T) {
	_, address := serve(t, profile(t, "refuse-binds"))
	for _, want := range []pdu.Status{pdu.StatusAlyBnd, pdu.StatusAlyBnd, pdu.StatusAlyBnd, pdu.StatusOK} {
		dial(t, address).bind(pdu.BindTransceiver, "otpgw", "", want)
	}
}

func TestBindsAreRefusedWithAnyStatus(t *testing.T) {
	_, address := serve(t, smsc.Config{BindStatus: pdu.StatusThrottled})
	for range 3 {
		dial(t, address).bind(pdu.BindTransceiver, "otpgw", "", pdu.StatusThrottled)
	}
}

func TestTransceiversAreRefusedOrPassedOver(t *testing.T) {
	_, address := serve(t, profile(t, "tx-rx-only"))
	c := dial(t, address)
	c.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw"})
	c.expect(pdu.GenericNack, pdu.StatusInvCmdID, 1)
	c.bind(pdu.BindTransmitter, "otpgw", "", pdu.StatusOK)

	_, address = serve(t, profile(t, "tx-rx-silent"))
	c = dial(t, address)
	c.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw"})
	c.silent()
	dial(t, address).bind(pdu.BindReceiver, "otpgw", "", pdu.StatusOK)
}

func TestBindsOfAnAccountAreLimited(t *testing.T) {
	_, address := serve(t, profile(t, "full-account"))
	first, _ := bound(t, address), bound(t, address)
	dial(t, address).bind(pdu.BindReceiver, "otpgw", "", pdu.StatusAlyBnd)
	dial(t, address).bind(pdu.BindReceiver, "other", "", pdu.StatusOK)
	first.enquire()
}

func TestOldestBindIsKicked(t *testing.T) {
	s, address := serve(t, profile(t, "kick-older"))
	first, second := bound(t, address), bound(t, address)
	third := bound(t, address)
	first.closed()
	second.enquire()
	third.enquire()
	if stats := s.Stats(); stats.Sessions != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestConnectionsThatAreDead(t *testing.T) {
	t.Run("stuck", func(t *testing.T) {
		_, address := serve(t, profile(t, "stuck"))
		c := dial(t, address)
		c.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw"})
		c.silent()
	})
	t.Run("half-open", func(t *testing.T) {
		s, address := serve(t, profile(t, "half-open"))
		c := bound(t, address)
		c.submit(7, "34600000001", "hello")
		c.silent()
		if stats := s.Stats(); stats.Submits != 0 || stats.Sessions != 1 {
			t.Errorf("%+v", stats)
		}
		// What is not read fills up both ends of the connection.
		if err := c.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var err error
		for total := 0; err == nil && total < 64<<20; {
			var n int
			n, err = c.conn.Write(make([]byte, 1<<20))
			total += n
		}
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		_, address := serve(t, profile(t, "reset"))
		c := dial(t, address)
		c.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw"})
		if _, err := io.ReadAll(c.conn); err == nil {
			t.Error("closed, not reset")
		}
	})
}

func TestEagerSMSC(t *testing.T) {
	_, address := serve(t, profile(t, "eager"))
	c := dial(t, address)
	c.write(pdu.Header{Command: pdu.BindTransceiver, Sequence: 1}, &pdu.Bind{SystemID: "otpgw"})
	for _, want := range []pdu.Command{pdu.EnquireLink, pdu.DeliverSM, pdu.BindTransceiverResp, pdu.EnquireLink} {
		if f := c.read(); f.Command != want {
			t.Errorf("%v, want %v", f.Command, want)
		}
	}
	c.enquire()
}

func TestSignsOfLifeVary(t *testing.T) {
	t.Run("deaf", func(t *testing.T) {
		_, address := serve(t, profile(t, "enquire-deaf"))
		c := bound(t, address)
		c.write(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
		c.submit(7, "34600009902", "hello")
		c.answer(7, pdu.StatusOK)
	})
	t.Run("odd", func(t *testing.T) {
		_, address := serve(t, profile(t, "odd-answers"))
		c := bound(t, address)
		c.write(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
		if f := c.expect(pdu.EnquireLinkResp, pdu.StatusSysErr, 9); len(f.Body) == 0 {
			t.Error("no body")
		}
		c.write(pdu.Header{Command: pdu.Unbind, Sequence: 10}, nil)
		if f := c.expect(pdu.UnbindResp, pdu.StatusOK, 10); len(f.Body) == 0 {
			t.Error("no body")
		}
		c.closed()
	})
	t.Run("unbind ignored", func(t *testing.T) {
		_, address := serve(t, profile(t, "ignore-unbind"))
		c := bound(t, address)
		c.write(pdu.Header{Command: pdu.Unbind, Sequence: 10}, nil)
		c.enquire()
	})
	t.Run("flood", func(t *testing.T) {
		inBubble(t, profile(t, "enquire-flood"), func(t *testing.T, c *client) {
			start := time.Now()
			for sequence := range uint32(100) {
				c.expect(pdu.EnquireLink, 0, sequence+1)
				c.write(pdu.Header{Command: pdu.EnquireLinkResp, Sequence: sequence + 1}, nil)
			}
			took(t, "a hundred", start, 500*time.Millisecond)
		})
	})
}

func TestUnbindsOften(t *testing.T) {
	_, address := serve(t, smsc.Config{UnbindEvery: 2})
	c := bound(t, address)
	c.submit(7, "34600009902", "hello")
	c.answer(7, pdu.StatusOK)
	c.submit(8, "34600009902", "hello")
	c.answer(8, pdu.StatusOK)
	c.expect(pdu.Unbind, 0, 1)
}

func TestOctetsComeOneByOne(t *testing.T) {
	inBubble(t, profile(t, "slow-loris"), func(t *testing.T, c *client) {
		start := time.Now()
		c.enquire()
		took(t, "16 octets", start, 15*time.Second) // from the first to the last
	})
}

func TestClientIsCalled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serve(t, smsc.Config{Outbind: l.Addr().String(), OutbindPassword: "secret"})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &client{t, conn, pdu.NewReader(conn)}
	b, err := pdu.Decode(c.expect(pdu.Outbind, 0, 1))
	if err != nil || *b.(*pdu.OutbindBody) != (pdu.OutbindBody{SystemID: "smscsim", Password: "secret"}) {
		t.Errorf("%+v %v", b, err)
	}
	c.bind(pdu.BindReceiver, "otpgw", "", pdu.StatusOK)
	c.enquire()
}
