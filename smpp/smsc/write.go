package smsc

import (
	"net"
	"time"

	"otpgw/smpp/pdu"
)

// A packet is octets that go out in one write.
type packet struct {
	octets  []byte
	written func() // called when they are; nil does nothing
	last    ending // what follows them
}

func (p *packet) done() {
	if p.written != nil {
		p.written()
	}
}

// An ending is how a session goes on when a packet has been written.
type ending byte

const (
	goOn     ending = iota
	hangUp          // the connection is closed
	reset           // the connection is reset
	fallMute        // nothing more is written
)

// send queues one PDU.
func (c *session) send(h pdu.Header, b pdu.Body) { c.put(c.packet(h, b)) }

// packet is one PDU; an empty one for what cannot be written.
func (c *session) packet(h pdu.Header, b pdu.Body) packet {
	octets, err := pdu.Append(nil, h, b)
	if err != nil {
		c.server.log.Error("a PDU of ours cannot be written", "command", h.Command.String(), "error", err)
	}
	return packet{octets: octets}
}

// put queues a packet. When the peer has not taken those before it, the connection is closed.
func (c *session) put(p packet) {
	select {
	case <-c.ended:
	case c.output <- p:
	default:
		c.close() // the reader ends the session
	}
}

func (c *session) respond(request pdu.Header, status pdu.Status, b pdu.Body) {
	c.send(pdu.Header{Command: request.Command.Response(), Status: status, Sequence: request.Sequence}, b)
}

func (c *session) nack(h pdu.Header, status pdu.Status) {
	c.send(pdu.Header{Command: pdu.GenericNack, Status: status, Sequence: h.Sequence}, nil)
}

// write writes what is queued until the session has ended and the queue is empty.
func (c *session) write() {
	for {
		select {
		case p := <-c.output:
			if !c.flush(p) {
				return
			}
		case <-c.ended:
			for len(c.output) > 0 {
				if !c.flush(<-c.output) {
					return
				}
			}
			return
		}
	}
}

// flush writes a packet and those that wait behind it, as much as there is at once. It returns false when nothing more can
// be written.
func (c *session) flush(p packet) bool {
	select { // no pass: what a session that has ended left behind must not wait for the thaw
	case <-c.server.gate():
	case <-c.gone:
		return false
	case <-c.frozenAndEnded():
		return false
	}
	batch := []packet{p}
	octets := p.octets
	for len(c.output) > 0 && len(octets) < 32<<10 && batch[len(batch)-1].last == goOn {
		next := <-c.output
		batch = append(batch, next)
		octets = append(octets, next.octets...)
	}
	if err := c.transfer(octets); err != nil {
		c.close() // the reader ends the session
		return false
	}
	for _, p := range batch {
		p.done()
	}
	switch batch[len(batch)-1].last {
	case hangUp:
		c.close()
	case reset:
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // then Close resets; where that fails it closes
		}
		c.close()
	case fallMute:
		<-c.gone
	default:
		return true
	}
	return false
}

// frozenAndEnded is closed when nothing more is read.
func (c *session) frozenAndEnded() <-chan struct{} {
	if c.server.frozen() {
		return c.ended
	}
	return nil
}

// transfer gives octets to the network, at once or one after the other.
func (c *session) transfer(octets []byte) error {
	delay := c.server.config().OctetDelay
	switch {
	case len(octets) == 0:
		return nil
	case delay <= 0:
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only where Write does
		_, err := c.conn.Write(octets)
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range octets {
		select {
		case <-timer.C:
		case <-c.gone:
			return net.ErrClosed
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.conn.Write(octets[i : i+1]); err != nil {
			return err
		}
		timer.Reset(delay)
	}
	return nil
}
