package smsc

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"otpgw/smpp/pdu"
)

// A submission is a segment between submit_sm or data_sm and the answer.
type submission struct {
	header   pdu.Header
	message  *pdu.ShortMessage
	part     part
	alphabet alphabet
	quirk    *quirk
	id       string     // that the answer gives; "" before it was accepted
	plan     []*receipt // that follow the answer, in their order
}

// observe tells what happened to a message.
func (c *session) observe(b *submission, kind EventKind, status pdu.Status) {
	if c.server.config().Observe == nil {
		return
	}
	c.server.observe(Event{
		Kind: kind, SystemID: c.account.systemID, Sequence: b.header.Sequence, MessageID: b.id,
		Destination: display(b.message.Destination), Text: b.alphabet.text(b.part.udh, b.part.octets), Status: status,
	})
}

// submit accepts a message, or does to it what its destination or the configuration asks for.
func (c *session) submit(h pdu.Header, m *pdu.ShortMessage) error {
	s, cfg := c.server, c.server.config()
	n := s.submits.Add(1)
	b := &submission{
		header: h, message: m, part: newPart(m), alphabet: alphabetOf(m.DataCoding, cfg.Alphabet), quirk: s.quirkOf(m.Destination.Number),
	}
	if b.alphabet.packed {
		b.part.octets = unpack(b.part.octets, len(b.part.udh))
	}
	c.observe(b, Submitted, 0)
	switch {
	case cfg.Silent:
		return nil
	case cfg.DropEvery > 0 && n%int64(cfg.DropEvery) == 0, b.quirk.dropped:
		return errDropped
	case cfg.limit != nil && !cfg.limit.Allow(), rand.Float64() < cfg.ThrottledShare:
		c.refuse(b, cfg.Latency, pdu.StatusThrottled)
	case c.pending.Load() >= maxPending:
		c.refuse(b, 0, pdu.StatusMsgQFul)
	default:
		if b.quirk.refuse != nil {
			if status := b.quirk.refuse(s, m); status != pdu.StatusOK {
				c.refuse(b, cfg.Latency, status)
				break
			}
		}
		if err := c.accept(b, cfg); err != nil {
			return err
		}
	}
	if cfg.UnbindEvery > 0 && n%int64(cfg.UnbindEvery) == 0 {
		c.after(cfg.Latency, c.unbind)
	}
	return nil
}

// refuse answers with an error after that time.
func (c *session) refuse(b *submission, latency time.Duration, status pdu.Status) {
	c.observe(b, Refused, status)
	c.after(latency, func() {
		if b.quirk.refusal != nil {
			b.quirk.refusal(c, b, status)
		} else {
			c.reply(b, status, nil)
		}
		if b.quirk.wake != nil {
			c.account.schedule(b.quirk.wake(c, b))
		}
	})
}

// accept puts a message on the phone, answers, and has receipts sent.
func (c *session) accept(b *submission, cfg *settings) error {
	s, q, m := c.server, b.quirk, b.message
	n, answered, receipted := s.messageID(cfg)
	if q.id != nil {
		answered, receipted = q.id(n, answered)
	}
	b.id, b.part.id = answered, answered
	r := &record{
		id: answered, receiptID: receipted, account: c.account, submitted: time.Now(),
		serviceType: m.ServiceType, source: m.Source, destination: m.Destination, state: pdu.Enroute,
	}
	told := c.foresee(b, r, cfg)
	s.accepted.Add(1)
	s.ledger.add(r)
	c.observe(b, Accepted, 0)
	s.receive(m, b.part, b.alphabet, told)
	if q.wake != nil {
		b.plan = append(b.plan, q.wake(c, b)...)
	}

	answer := q.answer
	if answer == nil {
		answer = (*session).answer
	}
	latency := cfg.Latency
	if q.latency > 0 {
		latency = q.latency
	}
	if latency == 0 {
		return answer(c, b)
	}
	c.after(latency, func() {
		if answer(c, b) != nil {
			c.put(packet{last: hangUp})
		}
	})
	return nil
}

// foresee decides what becomes of a message, plans its receipts, and returns the final state that they tell.
func (c *session) foresee(b *submission, r *record, cfg *settings) string {
	q, m := b.quirk, b.message
	states := q.states
	if states == nil {
		states = []pdu.State{pdu.Delivered}
	}
	delay := cfg.ReceiptDelay + q.delay
	if q.early {
		delay = 0
	}
	if valid, ok := validity(m.ValidityPeriod, r.submitted); ok && delay > valid {
		states, delay = []pdu.State{pdu.Expired}, valid
	}
	for i := len(states) - 1; i >= 0; i-- { // the first that is final sticks
		if states[i].Final() {
			r.final = states[i]
		}
	}
	r.due = r.submitted.Add(cfg.Latency + delay)
	const always, onFailure = 1, 2 // SMPP 3.4 §5.2.17
	asked := m.RegisteredDelivery & 0x03
	r.asked = asked == always || asked == onFailure
	wanted := asked == always || asked == onFailure && r.final != pdu.Delivered || q.unasked
	if !wanted || q.noReceipt || rand.Float64() < cfg.LostReceipts {
		return ""
	}
	r.planned = true
	for _, state := range states {
		receipt := &receipt{
			id: r.receiptID, record: r, state: state, delay: delay, submitted: r.submitted,
			source: m.Destination, destination: m.Source, // turned around: it goes back
			form: q.form, sequence: q.sequence,
		}
		if q.elsewhere {
			receipt.elsewhere = c
		}
		b.plan = append(b.plan, receipt)
	}
	return r.final.String()
}

// answer is the ordinary answer: receipts follow it.
func (c *session) answer(b *submission) error {
	c.reply(b, pdu.StatusOK, b.body())
	c.account.schedule(b.plan)
	return nil
}

// body is that of the ordinary answer.
func (b *submission) body() pdu.Body {
	if b.quirk.body != nil {
		return b.quirk.body(b.id)
	}
	return &pdu.MessageResp{MessageID: b.id}
}

// reply writes an answer, and behind it those that have waited for one.
func (c *session) reply(b *submission, status pdu.Status, body pdu.Body) {
	c.put(c.replyPacket(b, status, body))
	c.release()
}

func (c *session) replyPacket(b *submission, status pdu.Status, body pdu.Body) packet {
	cfg := c.server.config()
	if m, ok := body.(*pdu.MessageResp); ok && !cfg.withTLVs() {
		body = &pdu.MessageResp{MessageID: m.MessageID}
	}
	p := c.packet(pdu.Header{Command: b.header.Command.Response(), Status: status, Sequence: b.header.Sequence}, body)
	if cfg.LyingLength && len(p.octets) > 0 {
		length := uint32(len(p.octets))
		lies := [...]uint32{0, 15, 0x7FFFFFFF, length - 1, length + 1}
		binary.BigEndian.PutUint32(p.octets, lies[uint64(c.server.lies.Add(1)-1)%uint64(len(lies))])
	}
	p.written = func() { c.observe(b, Answered, status) }
	return p
}

// hold keeps an answer back until another is written, or for a second.
func (c *session) hold(answer func()) {
	c.mu.Lock()
	c.held = append(c.held, answer)
	c.mu.Unlock()
	c.after(time.Second, c.release)
}

func (c *session) release() {
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for _, answer := range held {
		answer()
	}
}

func (c *session) unbind() { c.send(pdu.Header{Command: pdu.Unbind, Sequence: c.nextSequence()}, nil) }
