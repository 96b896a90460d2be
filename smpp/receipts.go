package smpp

import (
	"context"
	"slices"
	"sync"
	"time"

	"otpgw/smpp/pdu"
)

const (
	receiptWorkers = 64               // receipts of one account that are recorded at once, so that they can share a commit
	receiptTimeout = 10 * time.Second // for one receipt to be recorded, or a twentieth less
)

// A delivery is a receipt that waits to be recorded and acknowledged.
type delivery struct {
	session *session
	ack     *ack
	receipt receivedReceipt
}

// key is one for all receipts of a message.
func (d *delivery) key() string { return d.receipt.MessageIDs[0] }

// receipts are those of one account on their way to the func that records them. Receipts of one message go one after the
// other, in the order of their arrival; others may overtake each other.
type receipts struct {
	account *account
	limit   int
	workers sync.WaitGroup

	mu      sync.Mutex // guards the rest
	more    sync.Cond
	queue   []*delivery
	busy    map[string]bool // keys in work
	started int
	idle    int // workers that wait and have not been signalled
	closed  bool
}

func newReceipts(a *account, limit int) *receipts {
	r := &receipts{account: a, limit: limit, busy: make(map[string]bool)}
	r.more.L = &r.mu
	return r
}

// offer queues d, or returns false when the queue is full. It never blocks. ctx must not end before close.
func (r *receipts) offer(ctx context.Context, d *delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= r.limit || r.closed {
		return false
	}
	r.queue = append(r.queue, d)
	if r.idle == 0 && r.started < receiptWorkers {
		r.started++
		r.workers.Go(func() { r.work(ctx) })
		return true
	}
	if r.idle > 0 {
		r.idle-- // here, so that the next offer does not count on the same one
		r.more.Signal()
	}
	return true
}

// close drops what is queued and returns when no receipt is in work any more.
func (r *receipts) close() {
	r.mu.Lock()
	r.closed = true
	r.queue = nil
	r.more.Broadcast()
	r.mu.Unlock()
	r.workers.Wait()
}

func (r *receipts) work(ctx context.Context) {
	var limit limit
	defer limit.end()
	for {
		d, found := r.take()
		if !found {
			return
		}
		r.record(limit.of(ctx), d)
		r.mu.Lock()
		delete(r.busy, d.key())
		r.mu.Unlock()
	}
}

// A limit is a context that ends receiptTimeout after it was begun. One serves the receipts of half a second: a context for each of them
// was a tenth of all garbage in a flood.
type limit struct {
	ctx    context.Context
	cancel context.CancelFunc
	begun  time.Time
}

func (l *limit) of(ctx context.Context) context.Context {
	if now := time.Now(); l.ctx == nil || now.Sub(l.begun) > receiptTimeout/20 {
		l.end()
		l.ctx, l.cancel = context.WithTimeout(ctx, receiptTimeout)
		l.begun = now
	}
	return l.ctx
}

func (l *limit) end() {
	if l.cancel != nil {
		l.cancel()
	}
}

// take waits for the first receipt in the queue whose message has none in work. Whoever ends the work on a message
// comes here next, so none is left behind.
func (r *receipts) take() (*delivery, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		for i, d := range r.queue {
			if r.busy[d.key()] {
				continue
			}
			r.busy[d.key()] = true
			if i == 0 {
				r.queue[0] = nil
				r.queue = r.queue[1:]
			} else {
				r.queue = slices.Delete(r.queue, i, i+1)
			}
			return d, true
		}
		r.idle++
		r.more.Wait()
	}
	return nil, false
}

func (r *receipts) record(ctx context.Context, d *delivery) {
	if d.session.over() {
		return // the SMSC got no answer and sends it again
	}
	status := pdu.StatusOK
	if err := r.account.deliver(ctx, d.receipt); err != nil {
		d.session.log.Warn("receipt not recorded", "error", err)
		d.session.metrics.deferred.WithLabelValues("error").Inc()
		status = pdu.StatusRxTAppn
	}
	d.session.metrics.receiptSeconds.Observe(time.Since(d.receipt.At).Seconds())
	d.session.acknowledge(d.ack, status)
}
