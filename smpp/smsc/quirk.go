package smsc

import (
	"fmt"
	"strings"
	"time"

	"otpgw/smpp/pdu"
)

// A quirk is how the treatment of a message differs from the ordinary. Its zero value is the ordinary: accepted, answered,
// delivered.
type quirk struct {
	dropped bool                                            // the connection is, before the message is accepted
	refuse  func(s *Server, m *pdu.ShortMessage) pdu.Status // ESME_ROK accepts; nil accepts all
	refusal func(c *session, b *submission, status pdu.Status)
	id      func(n uint64, id string) (answered, receipted string)
	answer  func(c *session, b *submission) error // an error drops the connection
	body    func(id string) pdu.Body              // of the answer
	latency time.Duration                         // of the answer, where it is not that of the configuration

	states    []pdu.State   // that receipts tell
	noReceipt bool          // none is ever sent
	unasked   bool          // they come where nobody asked for them
	early     bool          // without delay
	delay     time.Duration // on top of that of the configuration
	form      form
	sequence  *uint32                                    // of deliver_sm; nil is the next one
	elsewhere bool                                       // on another connection than that of the message
	wake      func(c *session, b *submission) []*receipt // comes behind them, whatever was asked for
}

// quirkOf is what happens to messages to that number.
func (s *Server) quirkOf(number string) *quirk {
	for i := range s.behaviours[1:] {
		if b := &s.behaviours[i+1]; strings.HasSuffix(number, b.Suffix) {
			return &b.quirk
		}
	}
	return &s.behaviours[0].quirk
}

// refused is a message that gets that status.
func refused(status pdu.Status) func(*Server, *pdu.ShortMessage) pdu.Status {
	return func(*Server, *pdu.ShortMessage) pdu.Status { return status }
}

// refusedOnce is one that gets it the first time that somebody writes to the number.
func refusedOnce(status pdu.Status) func(*Server, *pdu.ShortMessage) pdu.Status {
	return func(s *Server, m *pdu.ShortMessage) pdu.Status {
		if s.firstTime(m.Destination.Number) {
			return status
		}
		return pdu.StatusOK
	}
}

// refusedValidity is one that gets ESME_RINVEXPIRY for a validity_period that ends in one of these.
func refusedValidity(ends string) func(*Server, *pdu.ShortMessage) pdu.Status {
	return func(_ *Server, m *pdu.ShortMessage) pdu.Status {
		if p := m.ValidityPeriod; p != "" && strings.Contains(ends, p[len(p)-1:]) {
			return pdu.StatusInvExpiry
		}
		return pdu.StatusOK
	}
}

// refusalBody is a refusal that has a body.
func refusalBody(body pdu.Raw) func(*session, *submission, pdu.Status) {
	return func(c *session, b *submission, status pdu.Status) { c.reply(b, status, &body) }
}

// nacked is a refusal by generic_nack, with the number of the message or with 0.
func nacked(withNumber bool) func(*session, *submission, pdu.Status) {
	return func(c *session, b *submission, status pdu.Status) {
		h := pdu.Header{Command: pdu.GenericNack, Status: status}
		p := packet{}
		if withNumber {
			h.Sequence = b.header.Sequence
			p.written = func() { c.observe(b, Answered, status) }
		}
		p.octets = c.packet(h, nil).octets
		c.put(p)
		c.release()
	}
}

// Ids of messages that surprise.

func longID(n uint64, _ string) (string, string) {
	id := fmt.Sprintf("%070d", n)
	return id, id
}

func uuid(n uint64, _ string) (string, string) {
	id := fmt.Sprintf("0c0de5a1-0000-4000-8000-%012x", n%(1<<48))
	return id, id
}

func emptyID(_ uint64, id string) (string, string) { return "", id }

func blankID(_ uint64, id string) (string, string) { return " " + id + "  ", id }

func withoutNUL(id string) pdu.Body {
	raw := pdu.Raw(id)
	return &raw
}

func withNUL(id string) pdu.Body {
	raw := pdu.Raw(id + "\x00")
	return &raw
}

func congested(id string) pdu.Body {
	return &pdu.MessageResp{MessageID: id, TLVs: pdu.TLVs{{Tag: pdu.TagCongestionState, Value: []byte{100}}}}
}

// Answers that surprise.

func noAnswer(c *session, b *submission) error {
	c.account.schedule(b.plan)
	return nil
}

func dropAfter(c *session, b *submission) error {
	c.account.leave(c) // so that the receipt comes on another connection
	c.account.schedule(b.plan)
	return errDropped
}

func garbage(c *session, b *submission) error {
	c.put(packet{octets: []byte("HTTP/1.1 400 Bad Request\r\n\r\nThis is no SMSC")})
	c.account.schedule(b.plan)
	return nil
}

// lostFraming writes the answer with a command_length that is wrong.
func lostFraming(length func(uint32) uint32) func(*session, *submission) error {
	return func(c *session, b *submission) error {
		p := c.replyPacket(b, pdu.StatusOK, b.body())
		n := length(uint32(len(p.octets)))
		p.octets[0], p.octets[1], p.octets[2], p.octets[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		c.put(p)
		c.account.schedule(b.plan)
		return nil
	}
}

func receiptFirst(c *session, b *submission) error {
	c.account.schedule(b.plan)
	c.reply(b, pdu.StatusOK, b.body())
	return nil
}

func sameSequence(c *session, b *submission) error {
	if len(b.plan) > 0 {
		first := *b.plan[0]
		first.sequence = &b.header.Sequence
		c.account.deliver(c, &first, nil)
	}
	c.reply(b, pdu.StatusOK, b.body())
	return nil
}

func oneSegment(c *session, b *submission) error {
	if len(b.plan) == 0 {
		return c.answer(b)
	}
	answer := c.replyPacket(b, pdu.StatusOK, b.body())
	c.account.deliver(c, b.plan[0], &answer)
	c.release()
	return nil
}

func answerTwice(c *session, b *submission) error {
	c.reply(b, pdu.StatusOK, b.body())
	return c.answer(b)
}

func wrongNumberFirst(c *session, b *submission) error {
	c.send(pdu.Header{Command: b.header.Command.Response(), Sequence: b.header.Sequence + 1_000_000}, &pdu.MessageResp{MessageID: "nobody's"})
	return c.answer(b)
}

func outOfOrder(c *session, b *submission) error {
	c.hold(func() { _ = c.answer(b) }) // the ordinary answer has no error
	return nil
}

func unbindAfter(c *session, b *submission) error {
	err := c.answer(b)
	c.unbind()
	return err
}

func unbindFirst(c *session, b *submission) error {
	c.unbind()
	return c.answer(b)
}

// unbindAndClose leaves the answer out.
func unbindAndClose(c *session, b *submission) error {
	c.account.leave(c)
	c.account.schedule(b.plan)
	c.unbind()
	return errDropped
}

// strangers writes PDUs that a client must survive before it answers.
func strangers(c *session, b *submission) error {
	c.send(pdu.Header{Command: pdu.AlertNotification, Sequence: c.nextSequence()},
		&pdu.AlertNotificationBody{Source: pdu.Address{TON: 1, NPI: 1, Number: "34600000000"}})
	unknown := pdu.Raw("vendor")
	c.send(pdu.Header{Command: 0x00010200, Sequence: c.nextSequence()}, &unknown)
	c.send(pdu.Header{Command: 0x80010200, Sequence: b.header.Sequence}, nil)
	malformed := pdu.Raw{0, 1, 1, '3', '4'}
	c.send(pdu.Header{Command: pdu.DeliverSM, Sequence: c.nextSequence()}, &malformed)
	return c.answer(b)
}

// foreigners writes PDUs of SMPP that have no business on a bound connection of a client before it answers.
func foreigners(c *session, b *submission) error {
	const broadcastSM = pdu.Command(0x0111) // SMPP 5.0 §4.4.1.1
	empty := pdu.Raw{0, 0, 0, 0, 0, 0, 0, 0, 0}
	c.send(pdu.Header{Command: broadcastSM, Sequence: c.nextSequence()}, &empty)
	c.send(pdu.Header{Command: broadcastSM.Response(), Sequence: b.header.Sequence}, &empty)
	c.send(pdu.Header{Command: pdu.Outbind, Sequence: c.nextSequence()}, &pdu.OutbindBody{SystemID: systemID})
	c.send(pdu.Header{Command: pdu.DataSM, Sequence: c.nextSequence()}, &pdu.DataMessage{
		Source: b.message.Destination, Destination: b.message.Source, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("hello")}},
	})
	return c.answer(b)
}

// What comes in the wake of a message.

func wake(c *session, b *submission, id string, state pdu.State, f form) []*receipt {
	return []*receipt{{
		id: id, state: state, delay: c.server.config().ReceiptDelay, submitted: time.Now(), form: f,
		source: b.message.Destination, destination: b.message.Source,
	}}
}

func unknownReceipt(c *session, b *submission) []*receipt {
	return wake(c, b, strangersID(c.server.strangers.Add(1)), pdu.Delivered, nil)
}

func rejectedReceipt(c *session, b *submission) []*receipt {
	return wake(c, b, strangersID(c.server.strangers.Add(1)), pdu.Rejected, nil)
}

// reply is a message that the phone sends back.
func reply(udh string) func(*session, *submission) []*receipt {
	return func(c *session, b *submission) []*receipt {
		return wake(c, b, "", pdu.Enroute, func(r *receipt, _ *pdu.ShortMessage) (pdu.Command, pdu.Body) {
			m := &pdu.ShortMessage{Source: r.source, Destination: r.destination, Text: []byte(udh + "STOP")}
			if udh != "" {
				m.ESMClass = 0x40
			}
			return pdu.DeliverSM, m
		})
	}
}
