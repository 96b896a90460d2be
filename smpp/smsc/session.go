package smsc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"otpgw/smpp/pdu"
)

const (
	bindTimeout = 10 * time.Second // from connection to bind
	idleTimeout = 5 * time.Minute  // without any PDU
	deafTimeout = 10 * time.Minute // of a connection that is not read on purpose: its end cannot be seen
	outputQueue = 4096             // PDUs; a client that does not read them is cut off
	maxPending  = 10_000           // answers that latency holds back; more submit_sm are refused with ESME_RMSGQFUL
)

// A session is one connection of a client. One goroutine reads and decides; one writes (write.go).
type session struct {
	server *Server
	conn   net.Conn
	reader *pdu.Reader
	output chan packet
	ended  chan struct{} // closed when nothing more is read
	gone   chan struct{} // closed with conn
	gather sync.Once     // closes them

	account            *account // nil until bound
	transmit, receives bool
	deaf               atomic.Bool // nothing is read any more
	outbound           bool        // we called the client
	since              time.Time
	sequence           atomic.Uint32
	pending            atomic.Int64 // what is left to do later
	later              sync.WaitGroup

	mu    sync.Mutex  // guards what follows
	held  []func()    // answers that wait for another to go first
	timer *time.Timer // ends the session when nothing comes
}

func newSession(s *Server, conn net.Conn) *session {
	return &session{
		server: s,
		conn:   conn,
		reader: pdu.NewReader(conn),
		output: make(chan packet, outputQueue),
		ended:  make(chan struct{}),
		gone:   make(chan struct{}),
	}
}

var (
	// errDone ends a session that has nothing more to say.
	errDone = errors.New("done")
	// errDropped ends one as an SMSC that fails.
	errDropped = errors.New("dropped on purpose")
)

// close closes the connection; whoever reads, writes or waits on the session comes back.
func (c *session) close() {
	c.gather.Do(func() {
		close(c.gone)
		_ = c.conn.Close() // whatever was not written is lost, which is the point
	})
}

// run serves the session until the peer leaves, misbehaves, or ctx ends.
func (c *session) run(ctx context.Context) error {
	var writer sync.WaitGroup
	writer.Go(c.write)
	stopped := context.AfterFunc(ctx, c.farewell)
	if c.outbound {
		c.send(pdu.Header{Command: pdu.Outbind, Sequence: c.nextSequence()},
			&pdu.OutbindBody{SystemID: systemID, Password: c.server.config().OutbindPassword})
	}

	err := c.read()
	stopped()
	if c.account != nil {
		c.account.leave(c)
	}
	close(c.ended)
	writer.Wait() // what is queued still goes out, as far as the peer takes it
	c.close()
	c.later.Wait()
	if errors.Is(err, errDone) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// farewell asks the peer to unbind and gives it a moment.
func (c *session) farewell() {
	if c.deaf.Load() || c.server.frozen() {
		c.close()
		return
	}
	c.send(pdu.Header{Command: pdu.Unbind, Sequence: c.nextSequence()}, nil)
	time.AfterFunc(unbindWait, c.close) // usually closed by then
}

// nextSequence is the number of our next request: 1 to 0x7FFFFFFF (SMPP 3.4 §3.2).
func (c *session) nextSequence() uint32 { return (c.sequence.Add(1)-1)%0x7FFFFFFF + 1 }

// pass waits until the server is not frozen. It returns false when the session is over.
func (c *session) pass() bool {
	select {
	case <-c.server.gate():
		return true
	case <-c.gone:
		return false
	}
}

func (c *session) read() error {
	if c.server.config().Stuck {
		c.deaf.Store(true)
		return c.rest()
	}
	c.watch(bindTimeout) // no deadline on the connection: it would run on while the server is frozen
	defer c.unwatch()
	for {
		f, err := c.reader.Next()
		if err != nil {
			if lost := (*pdu.LengthError)(nil); errors.As(err, &lost) {
				c.nack(lost.Header, pdu.StatusInvCmdLen)
			}
			return err
		}
		if !c.pass() {
			return net.ErrClosed
		}
		if err := c.handle(f); err != nil {
			return err
		}
		if c.deaf.Load() {
			c.unwatch()
			return c.rest()
		}
		if c.account != nil {
			c.watch(idleTimeout)
		}
	}
}

// rest reads nothing until the session is over.
func (c *session) rest() error {
	timer := time.NewTimer(deafTimeout)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-timer.C:
		c.close()
	}
	return net.ErrClosed
}

// watch ends the session when nothing comes for that long.
func (c *session) watch(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(patience, c.idle)
		return
	}
	c.timer.Reset(patience)
}

func (c *session) unwatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
}

func (c *session) idle() {
	if c.server.frozen() { // and not the client's fault
		c.watch(idleTimeout)
		return
	}
	c.close()
}

// handle does what one PDU asks for.
func (c *session) handle(f pdu.Frame) error {
	body, err := pdu.Decode(f)
	switch {
	case errors.Is(err, pdu.ErrUnknownCommand) && !f.Command.IsResponse():
		c.nack(f.Header, pdu.StatusInvCmdID)
		return nil
	case err != nil && body == nil:
		if !f.Command.IsResponse() {
			c.respond(f.Header, pdu.StatusInvMsgLen, nil)
		}
		return nil
	}
	switch f.Command {
	case pdu.BindReceiver, pdu.BindTransmitter, pdu.BindTransceiver:
		return c.bind(f.Header, body.(*pdu.Bind))
	case pdu.EnquireLink:
		c.enquired(f.Header)
	case pdu.Unbind:
		return c.unbound(f.Header)
	case pdu.UnbindResp:
		return errDone
	case pdu.DeliverSMResp, pdu.DataSMResp:
		if c.account != nil {
			c.account.answered(c, f.Sequence, f.Status)
		}
	case pdu.GenericNack:
		if c.account != nil && f.Status != pdu.StatusOK {
			c.account.answered(c, f.Sequence, f.Status)
		}
	case pdu.SubmitSM, pdu.DataSM, pdu.QuerySM, pdu.CancelSM:
		if c.account == nil || !c.transmit {
			c.respond(f.Header, pdu.StatusInvBndSts, nil)
			return nil
		}
		switch b := body.(type) {
		case *pdu.ShortMessage:
			return c.submit(f.Header, b)
		case *pdu.DataMessage:
			return c.submit(f.Header, shortMessage(b))
		case *pdu.Query:
			c.query(f.Header, b)
		case *pdu.Cancel:
			c.cancel(f.Header, b)
		}
	default:
		if !f.Command.IsResponse() {
			c.nack(f.Header, pdu.StatusInvCmdID)
		}
	}
	return nil
}

func (c *session) enquired(h pdu.Header) {
	switch cfg := c.server.config(); {
	case cfg.EnquireDeaf, cfg.Silent:
	case cfg.OddAnswers:
		text := pdu.Raw("alive and well")
		c.respond(h, pdu.StatusSysErr, &text)
	default:
		c.respond(h, pdu.StatusOK, nil)
	}
	if c.account != nil { // a client that asks is alive, and comes by often enough
		c.account.overdue(c)
	}
}

func (c *session) unbound(h pdu.Header) error {
	switch cfg := c.server.config(); {
	case cfg.IgnoreUnbind:
		return nil
	case cfg.OddAnswers:
		text := pdu.Raw("good bye")
		c.respond(h, pdu.StatusOK, &text)
	default:
		c.respond(h, pdu.StatusOK, nil)
	}
	return errDone
}

// shortMessage is data_sm as the submit_sm that says the same (SMPP 3.4 §4.7).
func shortMessage(d *pdu.DataMessage) *pdu.ShortMessage {
	return &pdu.ShortMessage{
		ServiceType: d.ServiceType, Source: d.Source, Destination: d.Destination,
		ESMClass: d.ESMClass, RegisteredDelivery: d.RegisteredDelivery, DataCoding: d.DataCoding, TLVs: d.TLVs,
	}
}

// after does what may be done later, unless the session ended before.
func (c *session) after(delay time.Duration, do func()) {
	if delay <= 0 {
		do()
		return
	}
	timer := time.NewTimer(delay)
	c.pending.Add(1)
	c.later.Go(func() {
		defer c.pending.Add(-1)
		defer timer.Stop()
		select {
		case <-timer.C:
			do()
		case <-c.ended:
		}
	})
}
