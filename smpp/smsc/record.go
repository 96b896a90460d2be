package smsc

import (
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

// A record is what the SMSC knows of a segment that it accepted.
type record struct {
	id, receiptID       string // as answered, and as receipts tell it
	account             *account
	submitted           time.Time
	serviceType         string
	source, destination pdu.Address
	asked               bool      // for a receipt
	planned             bool      // receipts will tell what became of it
	due                 time.Time // when it is delivered where no receipt tells
	final               pdu.State // what becomes of it

	// Guarded by account.mu.
	state pdu.State // pdu.Enroute until a receipt has told another
	done  time.Time // when it became final
}

// now is the state of the message and when it became final. The caller holds account.mu.
func (r *record) now() (pdu.State, time.Time) {
	if r.state == pdu.Enroute && !r.planned && !time.Now().Before(r.due) {
		return r.final, r.due
	}
	return r.state, r.done
}

// A ledger holds the records of the newest messages, keep of them.
type ledger struct {
	mu    sync.Mutex // guards what follows
	keep  int
	byID  map[string]*record
	order []string
}

func (l *ledger) setKeep(keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep = keep
}

func (l *ledger) add(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.id == "" {
		return // nobody can ask for it
	}
	l.byID[r.id] = r
	l.order = append(l.order, r.id)
	for len(l.order) > l.keep {
		delete(l.byID, l.order[0])
		l.order = l.order[1:]
	}
}

// of finds the message of an account by its id, which its source has to match (SMPP 3.4 §4.8.1, §4.9.1); nil is none.
func (l *ledger) of(a *account, id string, source pdu.Address) *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.byID[id]; r != nil && r.account == a && r.source.Number == source.Number {
		return r
	}
	return nil
}

// between finds the messages of an account with that service type, source and destination.
func (l *ledger) between(a *account, serviceType string, source, destination pdu.Address) []*record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*record
	for _, r := range l.byID {
		if r.account == a && r.serviceType == serviceType && r.source.Number == source.Number && r.destination.Number == destination.Number {
			all = append(all, r)
		}
	}
	return all
}

// query answers query_sm (SMPP 3.4 §4.8).
func (c *session) query(h pdu.Header, q *pdu.Query) {
	if c.server.config().Silent {
		return
	}
	r := c.server.ledger.of(c.account, q.MessageID, q.Source)
	if r == nil || len(r.id) > 64 { // more than the field of the answer takes
		c.respond(h, pdu.StatusQueryFail, nil)
		return
	}
	c.account.mu.Lock()
	state, done := r.now()
	c.account.mu.Unlock()
	answer := &pdu.QueryResp{MessageID: r.id, State: state, ErrorCode: byte(errorOf(state))}
	if state.Final() {
		answer.FinalDate = absoluteTime(done)
	}
	c.respond(h, pdu.StatusOK, answer)
}

// cancel answers cancel_sm (SMPP 3.4 §4.9): by message id, or without one for all messages of a service type from a
// source to a destination. ESME_RCANCELFAIL where there was nothing left to cancel.
func (c *session) cancel(h pdu.Header, b *pdu.Cancel) {
	if c.server.config().Silent {
		return
	}
	var records []*record
	if b.MessageID == "" {
		records = c.server.ledger.between(c.account, b.ServiceType, b.Source, b.Destination)
	} else if r := c.server.ledger.of(c.account, b.MessageID, b.Source); r != nil {
		records = []*record{r}
	}
	status := pdu.StatusCancelFail
	for _, r := range records {
		if c.account.cancel(r) {
			c.server.inbox.deleted(display(r.destination), r.id)
			status = pdu.StatusOK
		}
	}
	c.respond(h, status, nil)
}
