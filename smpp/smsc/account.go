package smsc

import (
	"slices"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	maxWaiting     = 200_000          // receipts of one account; more are lost
	maxUnanswered  = 500              // deliver_sm of one session
	answerWait     = 30 * time.Second // for deliver_sm_resp; then it is sent again
	redeliverAfter = 200 * time.Millisecond
	redeliverMost  = 30 * time.Second
)

// An account is what the sessions of one system_id share: the receipts that any of them may take.
type account struct {
	server   *Server
	systemID string

	mu         sync.Mutex // guards what follows
	sessions   []*session // those that receive, and those that do not; the oldest first
	queue      []*receipt // due and not sent
	delayed    int        // receipts that are not due
	unanswered map[*session]map[uint32]*receipt
	turn       int
}

func (a *account) size() (sessions, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting = len(a.queue)
	for _, receipts := range a.unanswered {
		waiting += len(receipts)
	}
	return len(a.sessions), waiting
}

// bound is the sessions of the account as they are now.
func (a *account) bound() []*session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sessions)
}

// join adds a session, greets it, and sends it what is due. Above most sessions, where that is not 0, it returns false, or
// the session that has to go for it.
func (a *account) join(c *session, most int, kick bool, greet func()) (older *session, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if most > 0 && len(a.sessions) >= most {
		if !kick {
			return nil, false
		}
		older = a.sessions[0]
		a.remove(older)
	}
	a.sessions = append(a.sessions, c)
	if c.receives {
		if a.unanswered == nil {
			a.unanswered = map[*session]map[uint32]*receipt{}
		}
		a.unanswered[c] = map[uint32]*receipt{}
	}
	greet() // before any receipt
	a.dispatch()
	return older, true
}

// leave takes a session away. What it did not answer is sent again on another.
func (a *account) leave(c *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(c)
	a.dispatch()
}

func (a *account) remove(c *session) {
	a.sessions = slices.DeleteFunc(a.sessions, func(other *session) bool { return other == c })
	for _, r := range a.unanswered[c] {
		a.queue = append(a.queue, r)
	}
	delete(a.unanswered, c)
}

// schedule has receipts sent, one after the other, each when its delay is over.
func (a *account) schedule(plan []*receipt) {
	if len(plan) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.enqueue(plan, plan[0].delay)
}

// enqueue has receipts sent after a delay. The caller holds mu.
func (a *account) enqueue(receipts []*receipt, delay time.Duration) {
	if len(a.queue)+a.delayed+len(receipts) > maxWaiting {
		a.server.log.Warn("receipts lost: too many wait", "waiting", len(a.queue)+a.delayed)
		return
	}
	if delay <= 0 {
		a.queue = append(a.queue, receipts...)
		a.dispatch()
		return
	}
	a.delayed += len(receipts)
	time.AfterFunc(delay, func() { // outlives sessions, and needs none
		a.mu.Lock()
		defer a.mu.Unlock()
		a.delayed -= len(receipts)
		a.queue = append(a.queue, receipts...)
		a.dispatch()
	})
}

// dispatch writes what is due on the sessions that receive, in turn. The caller holds mu.
func (a *account) dispatch() {
	for len(a.queue) > 0 {
		r := a.queue[0]
		if r.cancelled() {
			a.queue = a.queue[1:]
			continue
		}
		c := a.next(r.elsewhere)
		if c == nil {
			return
		}
		a.queue = a.queue[1:]
		a.write(c, r, a.sequenceFor(c, r), nil)
	}
}

// cancelled says that the message was, and this receipt tells something else. The caller holds account.mu.
func (r *receipt) cancelled() bool {
	return r.record != nil && r.record.state == pdu.Deleted && r.state != pdu.Deleted
}

// sequenceFor is the number of a receipt's PDU, one that no unanswered receipt has. The caller holds mu.
func (a *account) sequenceFor(c *session, r *receipt) uint32 {
	free := func(sequence uint32) bool {
		_, taken := a.unanswered[c][sequence]
		return !taken
	}
	if r.sequence != nil && free(*r.sequence) {
		return *r.sequence
	}
	for {
		if sequence := c.nextSequence(); free(sequence) {
			return sequence
		}
	}
}

// next is a session that can take a receipt, another than that one if possible; nil when none can.
func (a *account) next(other *session) *session {
	var last *session
	for range a.sessions {
		a.turn++
		c := a.sessions[a.turn%len(a.sessions)]
		if !a.takes(c) {
			continue
		}
		if c != other {
			return c
		}
		last = c
	}
	return last
}

func (a *account) takes(c *session) bool {
	unanswered, receives := a.unanswered[c]
	return receives && len(unanswered) < maxUnanswered
}

// write sends a receipt, and other octets behind it. The caller holds mu.
func (a *account) write(c *session, r *receipt, sequence uint32, behind *packet) {
	cfg := a.server.config()
	octets, err := r.encode(sequence, cfg.withTLVs())
	if err != nil {
		a.server.log.Error("a receipt cannot be written", "error", err)
		if behind != nil {
			c.put(*behind)
		}
		return
	}
	r.written = time.Now()
	r.tries++
	a.unanswered[c][sequence] = r
	if r.record != nil && r.record.state == pdu.Enroute && r.state.Final() {
		r.record.state, r.record.done = r.state, r.written
	}
	a.server.sent.Add(1)
	event := a.event(r, ReceiptWritten, sequence)
	p := packet{octets: octets, written: func() { a.report(event) }}
	if behind != nil {
		p.octets = append(p.octets, behind.octets...)
		p.written = func() {
			a.report(event)
			behind.done()
		}
	}
	c.put(p)
	if cfg.ReceiptTimeout > 0 {
		attempt := r.tries
		time.AfterFunc(cfg.ReceiptTimeout, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.unanswered[c][sequence] == r && r.tries == attempt {
				c.close()
			}
		})
	}
}

// event is one of a receipt. The caller holds mu.
func (a *account) event(r *receipt, kind EventKind, sequence uint32) Event {
	e := Event{Kind: kind, SystemID: a.systemID, Sequence: sequence, ReceiptID: r.id, State: r.state, Attempt: r.tries}
	if r.record != nil {
		e.MessageID, e.Destination = r.record.id, display(r.record.destination)
	}
	return e
}

// report tells of a receipt, not of what only looks like one.
func (a *account) report(e Event) {
	if e.ReceiptID != "" {
		a.server.observe(e)
	}
}

// deliver writes a receipt at once on c, and other octets behind it. Where c takes none it goes out like any other.
func (a *account) deliver(c *session, r *receipt, behind *packet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := false
	if r.sequence != nil {
		_, taken = a.unanswered[c][*r.sequence]
	}
	if taken || !a.takes(c) {
		a.enqueue([]*receipt{r}, 0)
		if behind != nil {
			c.put(*behind)
		}
		return
	}
	a.write(c, r, a.sequenceFor(c, r), behind)
}

// overdue has receipts sent again that c has not answered for too long.
func (a *account) overdue(c *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for sequence, r := range a.unanswered[c] {
		if time.Since(r.written) >= answerWait {
			delete(a.unanswered[c], sequence)
			a.enqueue([]*receipt{r}, 0)
		}
	}
	a.dispatch()
}

// answered takes deliver_sm_resp or data_sm_resp, or generic_nack in their place. A receipt that was refused is sent again,
// for as long as the server runs, after a time that doubles; unless it was refused for good (SMPP 3.4 §5.1.3).
func (a *account) answered(c *session, sequence uint32, status pdu.Status) {
	a.mu.Lock()
	r := a.unanswered[c][sequence]
	if r == nil {
		a.mu.Unlock()
		return
	}
	delete(a.unanswered[c], sequence)
	switch status {
	case pdu.StatusOK:
		a.server.acked.Add(1)
	case pdu.StatusRxPAppn, pdu.StatusRxRAppn:
	default:
		a.enqueue([]*receipt{r}, min(redeliverAfter<<min(r.tries-1, 10), redeliverMost))
	}
	event := a.event(r, ReceiptAcknowledged, sequence)
	event.Status = status
	a.dispatch()
	a.mu.Unlock()
	a.report(event)
}

// cancel takes a message back of which no final receipt was sent, and has DELETED told where a receipt was asked for. It
// returns false when it is too late.
func (a *account) cancel(r *record) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if state, _ := r.now(); state.Final() {
		return false
	}
	r.state, r.done = pdu.Deleted, time.Now()
	if r.asked {
		a.enqueue([]*receipt{{
			id: r.receiptID, record: r, state: pdu.Deleted, submitted: r.submitted, source: r.destination, destination: r.source,
		}}, 0)
	}
	return true
}
