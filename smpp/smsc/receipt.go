package smsc

import (
	"slices"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	maxWaiting      = 200_000                // receipts of one account; more are lost
	maxUnanswered   = 500                    // deliver_sm of one session
	answerWait      = 30 * time.Second       // for deliver_sm_resp; then it is sent again
	redeliverAfter  = 200 * time.Millisecond // an answer that was not ESME_ROK
	maxRedeliveries = 20
)

// A receipt is what the network has to say on one segment.
type receipt struct {
	id                  string
	state               pdu.State
	delay               time.Duration // from the moment in which it is scheduled
	submitted           time.Time
	source, destination pdu.Address
	written             time.Time // when it was last sent
	tries               int
}

// body is the deliver_sm of a receipt, with the TLVs and with the text of SMPP 3.4 appendix B.
func (r *receipt) body() *pdu.ShortMessage {
	const form = "0601021504"
	code := uint16(0)
	text := "000"
	if r.state == pdu.Undeliverable {
		code, text = 11, "011"
	}
	return &pdu.ShortMessage{
		Source:      r.source,
		Destination: r.destination,
		ESMClass:    0x04,
		Text: []byte(pdu.FormatReceipt(pdu.Receipt{
			MessageID: r.id, State: r.state, Error: text,
			Submitted: r.submitted.UTC().Format(form), Done: time.Now().UTC().Format(form),
		}, "")),
		TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: append([]byte(r.id), 0)},
			{Tag: pdu.TagMessageState, Value: []byte{byte(r.state)}},
			{Tag: pdu.TagNetworkErrorCode, Value: networkError(code)},
		},
	}
}

// An account is what the sessions of one system_id share: the receipts that any of them may take.
type account struct {
	server *Server

	mu         sync.Mutex // guards what follows
	sessions   []*session // those that receive, and those that do not
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

func (a *account) join(c *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = append(a.sessions, c)
	if c.receives {
		if a.unanswered == nil {
			a.unanswered = map[*session]map[uint32]*receipt{}
		}
		a.unanswered[c] = map[uint32]*receipt{}
	}
	a.dispatch()
}

// leave takes a session away. What it did not answer is sent again on another.
func (a *account) leave(c *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions = slices.DeleteFunc(a.sessions, func(other *session) bool { return other == c })
	for _, r := range a.unanswered[c] {
		a.queue = append(a.queue, r)
	}
	delete(a.unanswered, c)
	a.dispatch()
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
		c := a.next()
		if c == nil {
			return
		}
		r := a.queue[0]
		a.queue = a.queue[1:]
		a.write(c, r, a.freeSequence(c))
	}
}

// freeSequence is a number for our next request that no unanswered receipt has: [account.deliverAs] takes numbers out of
// turn. The caller holds mu.
func (a *account) freeSequence(c *session) uint32 {
	for {
		sequence := c.nextSequence()
		if _, taken := a.unanswered[c][sequence]; !taken {
			return sequence
		}
	}
}

// next is a session that can take a receipt, nil when none can.
func (a *account) next() *session {
	for range a.sessions {
		a.turn++
		c := a.sessions[a.turn%len(a.sessions)]
		if unanswered, receives := a.unanswered[c]; receives && len(unanswered) < maxUnanswered {
			return c
		}
	}
	return nil
}

func (a *account) write(c *session, r *receipt, sequence uint32) {
	r.written = time.Now()
	a.unanswered[c][sequence] = r
	a.server.sent.Add(1)
	c.send(pdu.Header{Command: pdu.DeliverSM, Sequence: sequence}, r.body())
}

// deliverAs writes a receipt at once on c, under a sequence number that is not ours to choose. Where c does not receive,
// or the number stands for another receipt that waits for its answer, it goes out like any other.
func (a *account) deliverAs(c *session, r *receipt, sequence uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, taken := a.unanswered[c][sequence]
	if unanswered, receives := a.unanswered[c]; !receives || taken || len(unanswered) >= maxUnanswered {
		a.enqueue([]*receipt{r}, 0)
		return
	}
	a.write(c, r, sequence)
}

// overdue has receipts sent again that c has not answered for too long.
func (a *account) overdue(c *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for sequence, r := range a.unanswered[c] {
		if time.Since(r.written) >= answerWait {
			a.refused(c, sequence, r)
		}
	}
	a.dispatch()
}

// refused gives up on a receipt, or has it sent again after a while. The caller holds mu.
func (a *account) refused(c *session, sequence uint32, r *receipt) {
	delete(a.unanswered[c], sequence)
	if r.tries++; r.tries < maxRedeliveries {
		a.enqueue([]*receipt{r}, redeliverAfter)
	}
}

// answered takes deliver_sm_resp, or generic_nack in its place. A receipt that was refused is sent again after a while,
// unless it was refused for good (SMPP 3.4 §5.1.3).
func (a *account) answered(c *session, sequence uint32, status pdu.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.unanswered[c][sequence]
	if r == nil {
		return
	}
	switch status {
	case pdu.StatusOK:
		delete(a.unanswered[c], sequence)
		a.server.acked.Add(1)
	case pdu.StatusRxPAppn, pdu.StatusRxRAppn:
		delete(a.unanswered[c], sequence)
	default:
		a.refused(c, sequence, r)
	}
	a.dispatch()
}
