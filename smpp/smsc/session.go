package smsc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"otpgw/smpp/pdu"
)

const (
	bindTimeout = 10 * time.Second // from connection to bind
	idleTimeout = 5 * time.Minute  // without any PDU
	outputQueue = 4096             // PDUs; a client that does not read them is cut off
	maxPending  = 10_000           // answers that latency holds back; more submit_sm are refused with ESME_RMSGQFUL
)

// A session is one connection of a client. One goroutine reads and decides; one writes.
type session struct {
	server *Server
	conn   net.Conn
	reader *pdu.Reader
	output chan []byte
	ended  chan struct{} // closed when run returns

	account            *account // nil until bound
	transmit, receives bool
	sequence           atomic.Uint32 // how many requests we have made
	pending            atomic.Int64  // what is left to do later
	later              sync.WaitGroup
}

func newSession(s *Server, conn net.Conn) *session {
	return &session{
		server: s,
		conn:   conn,
		reader: pdu.NewReader(conn),
		output: make(chan []byte, outputQueue),
		ended:  make(chan struct{}),
	}
}

// errDone ends a session that has nothing more to say.
var errDone = errors.New("done")

// run serves the session until the peer leaves, misbehaves, or ctx ends.
func (c *session) run(ctx context.Context) error {
	var writer sync.WaitGroup
	writer.Go(c.write)
	stopped := context.AfterFunc(ctx, c.farewell)

	err := c.read()
	stopped()
	if c.account != nil {
		c.account.leave(c)
	}
	close(c.ended)
	writer.Wait() // what is queued still goes out, as far as the peer takes it
	closing := c.conn.Close()
	c.later.Wait()
	if errors.Is(err, errDone) || errors.Is(err, io.EOF) {
		return closing
	}
	return err
}

// farewell asks the peer to unbind and gives it a moment.
func (c *session) farewell() {
	c.send(pdu.Header{Command: pdu.Unbind, Sequence: c.nextSequence()}, nil)
	time.AfterFunc(unbindWait, func() { _ = c.conn.Close() }) // usually closed by then
}

// nextSequence is the number of our next request: 1 to 0x7FFFFFFF (SMPP 3.4 §3.2).
func (c *session) nextSequence() uint32 { return (c.sequence.Add(1)-1)%0x7FFFFFFF + 1 }

// send queues one PDU. When the peer has not taken those before it, the connection is closed.
func (c *session) send(h pdu.Header, b pdu.Body) {
	octets, err := pdu.Append(nil, h, b)
	if err != nil {
		c.server.log.Error("a PDU of ours cannot be written", "command", h.Command.String(), "error", err)
		return
	}
	c.sendOctets(octets)
}

func (c *session) sendOctets(octets []byte) {
	select {
	case <-c.ended:
	case c.output <- octets:
	default:
		_ = c.conn.Close() // the reader ends the session
	}
}

func (c *session) respond(request pdu.Header, status pdu.Status, b pdu.Body) {
	c.send(pdu.Header{Command: request.Command.Response(), Status: status, Sequence: request.Sequence}, b)
}

func (c *session) nack(h pdu.Header, status pdu.Status) {
	c.send(pdu.Header{Command: pdu.GenericNack, Status: status, Sequence: h.Sequence}, nil)
}

// write writes what is queued, as much as there is at once, until the session has ended and the queue is empty.
func (c *session) write() {
	var batch []byte
	flush := func(octets []byte) bool {
		batch = append(batch[:0], octets...)
		for len(c.output) > 0 && len(batch) < 32<<10 {
			batch = append(batch, <-c.output...)
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only where Write does
		_, err := c.conn.Write(batch)
		return err == nil
	}
	for {
		select {
		case octets := <-c.output:
			if !flush(octets) {
				_ = c.conn.Close() // the reader ends the session
				return
			}
		case <-c.ended:
			for len(c.output) > 0 && flush(<-c.output) {
			}
			return
		}
	}
}

func (c *session) read() error {
	_ = c.conn.SetReadDeadline(time.Now().Add(bindTimeout)) // fails only where Read does
	for {
		f, err := c.reader.Next()
		if err != nil {
			if lost := (*pdu.LengthError)(nil); errors.As(err, &lost) {
				c.nack(lost.Header, pdu.StatusInvCmdLen)
			}
			return err
		}
		if err := c.handle(f); err != nil {
			return err
		}
		if c.account != nil {
			_ = c.conn.SetReadDeadline(time.Now().Add(idleTimeout))
		}
	}
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
		if !c.server.cfg.Silent {
			c.respond(f.Header, pdu.StatusOK, nil)
		}
		if c.account != nil { // a client that asks is alive, and comes by often enough
			c.account.overdue(c)
		}
	case pdu.Unbind:
		c.respond(f.Header, pdu.StatusOK, nil)
		return errDone
	case pdu.UnbindResp:
		return errDone
	case pdu.DeliverSMResp:
		if c.account != nil {
			c.account.answered(c, f.Sequence, f.Status)
		}
	case pdu.GenericNack:
		if c.account != nil && f.Status != pdu.StatusOK {
			c.account.answered(c, f.Sequence, f.Status)
		}
	case pdu.SubmitSM:
		if c.account == nil || !c.transmit {
			c.respond(f.Header, pdu.StatusInvBndSts, nil)
			return nil
		}
		return c.submit(f.Header, body.(*pdu.ShortMessage))
	default:
		if !f.Command.IsResponse() {
			c.nack(f.Header, pdu.StatusInvCmdID)
		}
	}
	return nil
}

func (c *session) bind(h pdu.Header, b *pdu.Bind) error {
	cfg := c.server.cfg
	status := pdu.StatusOK
	switch {
	case c.account != nil:
		c.respond(h, pdu.StatusAlyBnd, nil)
		return nil
	case cfg.SystemID != "" && b.SystemID != cfg.SystemID:
		status = pdu.StatusInvSysID
	case cfg.Password != "" && b.Password != cfg.Password:
		status = pdu.StatusInvPaswd
	}
	account := (*account)(nil)
	if status == pdu.StatusOK {
		if account = c.server.account(b.SystemID); account == nil {
			status = pdu.StatusBindFail
		}
	}
	if status != pdu.StatusOK {
		c.respond(h, status, nil)
		return nil
	}
	c.transmit = h.Command != pdu.BindReceiver
	c.receives = h.Command != pdu.BindTransmitter
	c.respond(h, pdu.StatusOK, &pdu.BindResp{
		SystemID: "smscsim",
		TLVs:     pdu.TLVs{{Tag: pdu.TagSCInterfaceVersion, Value: []byte{0x34}}},
	})
	c.account = account
	account.join(c)
	return nil
}

// submit accepts a message, or does to it what its destination or the configuration asks for.
func (c *session) submit(h pdu.Header, m *pdu.ShortMessage) error {
	s := c.server
	n := s.submits.Add(1)
	name := behaviourOf(m.Destination.Number)
	switch {
	case s.cfg.Silent:
		return nil
	case s.cfg.DropEvery > 0 && n%int64(s.cfg.DropEvery) == 0, name == dropBefore:
		return fmt.Errorf("%s: dropped", dropBefore)
	case s.limit != nil && !s.limit.Allow(), rand.Float64() < s.cfg.ThrottledShare:
		c.refuse(h, pdu.StatusThrottled)
		return nil
	case c.pending.Load() >= maxPending:
		c.respond(h, pdu.StatusMsgQFul, nil)
		return nil
	}
	switch name {
	case badDestination:
		c.refuse(h, pdu.StatusInvDstAdr)
		return nil
	case throttled:
		c.refuse(h, pdu.StatusThrottled)
		return nil
	case throttledOnce:
		if s.throttledOnce(m.Destination.Number) {
			c.refuse(h, pdu.StatusThrottled)
			return nil
		}
	case systemError:
		c.refuse(h, pdu.StatusSysErr)
		return nil
	}
	return c.accept(h, m, name)
}

func (c *session) refuse(h pdu.Header, status pdu.Status) {
	c.after(c.server.cfg.Latency, func() { c.respond(h, status, nil) })
}

// accept puts a message on the phone, answers, and has receipts sent.
func (c *session) accept(h pdu.Header, m *pdu.ShortMessage, name string) error {
	s := c.server
	s.accepted.Add(1)
	answeredID, receiptID := s.messageID()
	plan := c.plan(m, name, receiptID)
	told := ""
	if len(plan) > 0 {
		told = plan[len(plan)-1].state.String()
	}
	s.receive(m, answeredID, told)

	answer := func() {
		c.respond(h, pdu.StatusOK, &pdu.MessageResp{MessageID: answeredID})
		c.account.schedule(plan)
	}
	latency := s.cfg.Latency
	switch name {
	case noAnswer:
		c.account.schedule(plan)
		return nil
	case dropAfter:
		c.account.leave(c) // so that the receipt comes on another connection
		c.account.schedule(plan)
		return fmt.Errorf("%s: dropped", dropAfter)
	case garbage:
		c.sendOctets([]byte("HTTP/1.1 400 Bad Request\r\n\r\nThis is no SMSC"))
		c.account.schedule(plan)
		return nil
	case earlyReceipt:
		c.account.schedule(plan)
		plan = nil
	case sameSequence:
		if len(plan) > 0 {
			c.account.deliverAs(c, plan[0], h.Sequence)
			plan = plan[1:]
		}
	case lateAnswer:
		latency = 15 * time.Second
	case strangers:
		c.sendStrangers(h)
	}
	c.after(latency, answer)
	if name == unbindAfter {
		c.after(latency, func() { c.send(pdu.Header{Command: pdu.Unbind, Sequence: c.nextSequence()}, nil) })
	}
	return nil
}

// plan is the receipts that follow a message, in their order.
func (c *session) plan(m *pdu.ShortMessage, name, id string) []*receipt {
	s := c.server
	const always, onFailure = 1, 2 // SMPP 3.4 §5.2.17
	asked := m.RegisteredDelivery & 0x03
	if asked != always && (asked != onFailure || name != undelivered) || name == noReceipt || rand.Float64() < s.cfg.LostReceipts {
		return nil
	}
	delay := s.cfg.ReceiptDelay
	states := []pdu.State{pdu.Delivered}
	switch name {
	case undelivered:
		states[0] = pdu.Undeliverable
	case doubleReceipt:
		states = append(states, pdu.Delivered)
	case intermediate:
		states = []pdu.State{pdu.Enroute, pdu.Delivered, pdu.Undeliverable}
	case lateReceipt:
		delay += 5 * time.Second
	case earlyReceipt, sameSequence:
		delay = 0
	}
	plan := make([]*receipt, len(states))
	for i, state := range states {
		plan[i] = &receipt{
			id: id, state: state, delay: delay, submitted: time.Now(),
			source: m.Destination, destination: m.Source, // turned around: it goes back
		}
	}
	return plan
}

// sendStrangers writes PDUs that a client must survive.
func (c *session) sendStrangers(h pdu.Header) {
	c.send(pdu.Header{Command: pdu.AlertNotification, Sequence: c.nextSequence()},
		&pdu.AlertNotificationBody{Source: pdu.Address{TON: 1, NPI: 1, Number: "34600000000"}})
	unknown := pdu.Raw("vendor")
	c.send(pdu.Header{Command: 0x00010200, Sequence: c.nextSequence()}, &unknown)
	c.send(pdu.Header{Command: 0x80010200, Sequence: h.Sequence}, nil)
	malformed := pdu.Raw{0, 1, 1, '3', '4'}
	c.send(pdu.Header{Command: pdu.DeliverSM, Sequence: c.nextSequence()}, &malformed)
}

// after does what may be done later, unless the session ended before.
func (c *session) after(delay time.Duration, do func()) {
	if delay == 0 {
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

// networkError is network_error_code for a network of type 3, GSM (SMPP 3.4 §5.3.2.31).
func networkError(code uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{3}, code)
}
