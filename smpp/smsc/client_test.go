package smsc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// serve runs an SMSC on loopback until the test ends.
func serve(t *testing.T, cfg smsc.Config) (*smsc.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smsc.New(cfg, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

// A client is an ESME of a few lines: it writes what it is told to and reads what comes.
type client struct {
	t      *testing.T
	conn   net.Conn
	reader *pdu.Reader
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t, conn, pdu.NewReader(conn)}
}

// bound is a client that is bound as a transceiver.
func bound(t *testing.T, address string) *client {
	t.Helper()
	c := dial(t, address)
	c.bind(pdu.BindTransceiver, "otpgw", "secret", pdu.StatusOK)
	return c
}

func (c *client) bind(command pdu.Command, systemID, password string, want pdu.Status) {
	c.t.Helper()
	c.write(pdu.Header{Command: command, Sequence: 1}, &pdu.Bind{SystemID: systemID, Password: password, InterfaceVersion: 0x34})
	if f := c.read(); f.Command != command.Response() || f.Status != want || f.Sequence != 1 {
		c.t.Fatalf("%v answered %+v, want %v", command, f.Header, want)
	}
}

func (c *client) write(h pdu.Header, b pdu.Body) {
	c.t.Helper()
	octets, err := pdu.Append(nil, h, b)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(octets); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() pdu.Frame {
	c.t.Helper()
	f, err := c.reader.Next()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return f
}

// expect reads the PDU with that header.
func (c *client) expect(command pdu.Command, status pdu.Status, sequence uint32) pdu.Frame {
	c.t.Helper()
	f := c.read()
	if want := (pdu.Header{Command: command, Status: status, Sequence: sequence}); f.Header != want {
		c.t.Fatalf("%+v, want %+v", f.Header, want)
	}
	return f
}

// deliver reads deliver_sm and answers it.
func (c *client) deliver() (*pdu.ShortMessage, uint32) {
	c.t.Helper()
	f := c.read()
	if f.Command != pdu.DeliverSM {
		c.t.Fatalf("%+v, want deliver_sm", f.Header)
	}
	b, err := pdu.Decode(f)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(pdu.Header{Command: pdu.DeliverSMResp, Sequence: f.Sequence}, &pdu.MessageResp{})
	return b.(*pdu.ShortMessage), f.Sequence
}

// closed says that the peer has closed the connection, with nothing more on it.
func (c *client) closed() {
	c.t.Helper()
	f, err := c.reader.Next()
	if timeout := net.Error(nil); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("still open: %+v, %v", f.Header, err)
	}
}

// enquire says that nothing but the answer to enquire_link comes.
func (c *client) enquire() {
	c.t.Helper()
	c.write(pdu.Header{Command: pdu.EnquireLink, Sequence: 99}, nil)
	if f := c.read(); f.Command != pdu.EnquireLinkResp || f.Sequence != 99 {
		c.t.Fatalf("%+v, want enquire_link_resp", f.Header)
	}
}

// submit writes submit_sm that ask for receipts, one for each segment.
func (c *client) submit(sequence uint32, to, text string) {
	c.t.Helper()
	encoded, err := pdu.EncodeText(text, 42)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, s := range encoded.Segments {
		c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: sequence + uint32(i)}, &pdu.ShortMessage{
			Source: pdu.Address{TON: 5, Number: "ACME"}, Destination: pdu.Address{TON: 1, NPI: 1, Number: to},
			ESMClass: s.ESMClass, DataCoding: s.DataCoding, RegisteredDelivery: 1, Text: s.Octets,
		})
	}
}

// answer reads submit_sm_resp and returns the message id.
func (c *client) answer(sequence uint32, want pdu.Status) string {
	c.t.Helper()
	f := c.read()
	if f.Command != pdu.SubmitSMResp || f.Sequence != sequence || f.Status != want {
		c.t.Fatalf("%+v, want submit_sm_resp %d %v", f.Header, sequence, want)
	}
	b, err := pdu.Decode(f)
	if err != nil {
		c.t.Fatal(err)
	}
	return b.(*pdu.MessageResp).MessageID
}

// receipt reads deliver_sm and answers it.
func (c *client) receipt(status pdu.Status) (pdu.Receipt, uint32) {
	c.t.Helper()
	f := c.read()
	if f.Command != pdu.DeliverSM {
		c.t.Fatalf("%+v, want deliver_sm", f.Header)
	}
	b, err := pdu.Decode(f)
	if err != nil {
		c.t.Fatal(err)
	}
	r, ok := pdu.ParseReceipt(b.(*pdu.ShortMessage))
	if !ok {
		c.t.Fatalf("no receipt: %+v", b)
	}
	c.write(pdu.Header{Command: pdu.DeliverSMResp, Status: status, Sequence: f.Sequence}, &pdu.MessageResp{})
	return r, f.Sequence
}

// serveUntil runs an SMSC on loopback until ctx ends and tells its address.
func serveUntil(ctx context.Context, address chan<- string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address <- l.Addr().String()
	return smsc.New(smsc.Config{}, slog.New(slog.DiscardHandler)).Serve(ctx, l)
}
