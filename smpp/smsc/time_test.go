package smsc_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

// pipes is a listener whose connections live in a synctest bubble.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accept:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// inBubble runs do with a client that is bound to an SMSC, where waiting takes no time.
func inBubble(t *testing.T, cfg smsc.Config, do func(t *testing.T, c *client)) {
	t.Helper()
	inBubbleOf(t, cfg, make(chan *smsc.Server, 1), do)
}

// inBubbleOf also hands the SMSC over.
func inBubbleOf(t *testing.T, cfg smsc.Config, server chan<- *smsc.Server, do func(t *testing.T, c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		s := smsc.New(cfg, slog.New(slog.DiscardHandler))
		server <- s
		go func() { done <- s.Serve(ctx, l) }()
		ours, theirs := net.Pipe()
		defer func() {
			ours.Close()
			stop()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}()
		l.accept <- theirs
		c := &client{t, ours, pdu.NewReader(ours)}
		c.bind(pdu.BindTransceiver, "otpgw", "", pdu.StatusOK)
		do(t, c)
	})
}

// took checks how long something took.
func took(t *testing.T, what string, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func TestWhatIsLateComes(t *testing.T) {
	slow := smsc.Config{Latency: 2 * time.Second, ReceiptDelay: 10 * time.Second}
	for _, row := range []struct {
		name            string
		cfg             smsc.Config
		answer, receipt time.Duration
	}{
		{"late-answer", smsc.Config{}, 15 * time.Second, 0},
		{"late-receipt", smsc.Config{}, 0, 5 * time.Second},
		{"late-receipt", slow, 2 * time.Second, 15 * time.Second},
		{"delivered", slow, 2 * time.Second, 10 * time.Second},
	} {
		inBubble(t, row.cfg, func(t *testing.T, c *client) {
			start := time.Now()
			c.submit(7, numberFor(t, row.name), "hello")
			id := c.answer(7, pdu.StatusOK)
			took(t, row.name+": the answer", start, row.answer)
			start = time.Now()
			if r, _ := c.receipt(pdu.StatusOK); r.MessageID != id {
				t.Errorf("%s: receipt %+v, id %s", row.name, r, id)
			}
			took(t, row.name+": the receipt", start, row.receipt)
		})
	}
}

func TestReceiptWithoutAnswerComesAgain(t *testing.T) {
	inBubble(t, smsc.Config{}, func(t *testing.T, c *client) {
		c.submit(7, "34600000001", "hello")
		id := c.answer(7, pdu.StatusOK)
		first := c.read()
		if first.Command != pdu.DeliverSM {
			t.Fatalf("%+v", first.Header)
		}
		time.Sleep(29 * time.Second)
		c.enquire()
		time.Sleep(time.Second)
		c.enquire()
		if r, sequence := c.receipt(pdu.StatusOK); r.MessageID != id || sequence == first.Sequence {
			t.Errorf("receipt %+v with sequence %d, id %s", r, sequence, id)
		}
	})
}

func TestConnectionsThatSayNothingEnd(t *testing.T) {
	inBubble(t, smsc.Config{}, func(t *testing.T, c *client) {
		start := time.Now()
		c.closed()
		took(t, "the end", start, 5*time.Minute)
	})
}
