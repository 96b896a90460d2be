package smpp

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	maxExpected  = 100_000        // messages of one account whose receipts are waited for
	maxEarly     = 4096           // receipts that came before the answer to their message
	longValidity = 24 * time.Hour // of a message that the SMSC may deliver as long as it likes
	promptly     = 30 * time.Second
)

// A sentMessage is what is kept of a message that was sent: not its text.
type sentMessage struct {
	ref, client, to     string
	source, destination pdu.Address
	service             string
	validity            time.Duration
	replaces            bool // it was to overwrite an older one on the phone
}

// An expectation is a short message that was accepted and has no final receipt yet.
type expectation struct {
	id, raw  string // as receipts are matched, and as the SMSC wrote it
	message  sentMessage
	accepted time.Time
	due      time.Time // when the receipt is missing
	index    int       // in due
}

// expected are the messages of one account whose receipts are waited for: in memory, bounded, and gone at the end of the
// process. What a receipt means is not decided here; it is known here how long it took, and that it does not come.
type expected struct {
	metrics *metrics
	wake    chan struct{} // the first to be due has changed

	mu       sync.Mutex // guards the rest
	byID     map[string]*expectation
	byRef    map[string][]*expectation // where messages may be cancelled
	byTarget map[string]string         // ref of the last message of a client to a number, likewise
	due      ordered[*expectation]
	early    map[string]struct{} // ids of final receipts that nobody waited for
	order    []string            // of early
}

func newExpected(m *metrics) *expected {
	return &expected{
		metrics:  m,
		wake:     make(chan struct{}, 1),
		byID:     make(map[string]*expectation),
		byRef:    make(map[string][]*expectation),
		byTarget: make(map[string]string),
		early:    make(map[string]struct{}),
	}
}

// add waits for the receipts of a message, and returns the ref of an older one that it replaces.
func (e *expected) add(cfg *Config, m sentMessage, accepted Accepted) (replaced string) {
	if cfg.RegisteredDelivery&3 == 0 || !cfg.receives() {
		return ""
	}
	validity := m.validity
	if validity <= 0 || cfg.ValidityPeriod == validityNone {
		validity = longValidity
	}
	due := accepted.AnsweredAt.Add(validity + cfg.ReceiptGrace)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, id := range accepted.MessageIDs {
		if id == "" || e.claim(id) {
			continue
		}
		if older := e.byID[id]; older != nil { // the SMSC has begun its numbers anew
			e.forget(older)
		}
		if len(e.byID) >= maxExpected {
			e.metrics.unwatched.Inc()
			continue
		}
		x := &expectation{id: id, message: m, accepted: accepted.AnsweredAt, due: due}
		if i < len(accepted.raw) {
			x.raw = accepted.raw[i]
		}
		e.byID[id] = x
		heap.Push(&e.due, x)
		if cfg.Cancel && m.ref != "" {
			e.byRef[m.ref] = append(e.byRef[m.ref], x)
		}
	}
	if len(e.due) > 0 && e.due[0].due.Equal(due) {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	e.metrics.expected.Set(float64(len(e.byID)))
	if cfg.Cancel && len(e.byRef[m.ref]) > 0 {
		if older := e.byTarget[m.target()]; older != m.ref {
			replaced = older
		}
		e.byTarget[m.target()] = m.ref
	}
	return replaced
}

func (m sentMessage) target() string { return m.client + "\x00" + m.to }

// claim says that the final receipt of a message has come before its answer. It is called with mu held.
func (e *expected) claim(id string) bool {
	_, found := e.early[id]
	delete(e.early, id)
	return found
}

// settle takes note of a receipt. forms are those of its id that it may be known under, found says that it was recorded
// under the only one of them. It returns the message where it is known.
func (e *expected) settle(r Receipt, forms []idForm, found bool) (expectation, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, form := range forms {
		x := e.byID[form.id]
		if x == nil || i > 0 && !slices.Contains(r.Numbers, x.message.to) {
			continue
		}
		if r.Final {
			e.forget(x)
			after := r.At.Sub(x.accepted)
			e.metrics.receiptAfter.Observe(after.Seconds())
			if r.Delivered && after <= promptly {
				e.metrics.promptly.Inc()
			}
		}
		return *x, true
	}
	if r.Final && !found {
		e.remember(forms[0].id)
	}
	return expectation{}, false
}

// remember keeps an early receipt. It is called with mu held.
func (e *expected) remember(id string) {
	if len(e.order) >= maxEarly {
		delete(e.early, e.order[0])
		e.order = e.order[1:]
	}
	e.early[id] = struct{}{}
	e.order = append(e.order, id)
}

// forget is called with mu held.
func (e *expected) forget(x *expectation) {
	delete(e.byID, x.id)
	if x.index >= 0 {
		heap.Remove(&e.due, x.index)
	}
	ref := x.message.ref
	if rest, found := e.byRef[ref]; found {
		kept := rest[:0:0]
		for _, other := range rest {
			if other != x {
				kept = append(kept, other)
			}
		}
		if len(kept) > 0 {
			e.byRef[ref] = kept
		} else {
			delete(e.byRef, ref)
			if e.byTarget[x.message.target()] == ref {
				delete(e.byTarget, x.message.target())
			}
		}
	}
	e.metrics.expected.Set(float64(len(e.byID)))
}

// of are the messages with that ref that have no final receipt.
func (e *expected) of(ref string) []expectation {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []expectation
	for _, x := range e.byRef[ref] {
		all = append(all, *x)
	}
	return all
}

// overdue takes out the messages whose receipts are missing, and says how long until the next one is.
func (e *expected) overdue(now time.Time) ([]expectation, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []expectation
	for len(e.due) > 0 {
		if left := e.due[0].due.Sub(now); left > 0 {
			return all, left
		}
		all = append(all, *e.due[0])
		e.forget(e.due[0])
	}
	return all, time.Hour
}

// watch reports the receipts that do not come, until ctx ends.
func (a *account) watch(ctx context.Context) {
	for {
		missing, wait := a.expected.overdue(time.Now())
		for _, x := range missing {
			a.metrics.missing.Inc()
			a.log.Debug("receipt missing", "ref", x.message.ref)
			if a.config.QueryMissing {
				a.errands.query(x)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-a.expected.wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// before orders expectations by when their receipts are missing.
func (x *expectation) before(other *expectation) bool { return x.due.Before(other.due) }

func (x *expectation) moved(to int) { x.index = to }
