package otpstore

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

const (
	parkedLimit = 10_000
	parkedFor   = 10 * time.Minute
)

// parking keeps receipts whose message no record knows yet: a receipt may overtake the outcome of its own submit. It is
// bounded in number and time, and safe for concurrent use.
type parking struct {
	mu      sync.Mutex
	names   map[Name]*list.Element // of *parkedReceipt, by each of its names that no older one has
	order   *list.List             // by time, so that those which are over stand in front
	expired int                    // since size was asked
}

type parkedReceipt struct {
	*wantedReceipt
	until time.Time
}

func newParking() *parking {
	return &parking{names: map[Name]*list.Element{}, order: list.New()}
}

// put keeps r, unless the parking is full or has a final receipt of that message. It reports whether one is kept now.
func (p *parking) put(now time.Time, r *wantedReceipt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	if e, ok := p.names[r.names[0]]; ok && e.Value.(*parkedReceipt).names[0] == r.names[0] {
		if kept := e.Value.(*parkedReceipt); !kept.Final {
			kept.wantedReceipt = r
		}
		return true
	}
	if p.order.Len() >= parkedLimit {
		return false
	}
	e := p.order.PushBack(&parkedReceipt{r, now.Add(parkedFor)})
	for _, name := range r.names {
		if _, taken := p.names[name]; !taken {
			p.names[name] = e
		}
	}
	return true
}

// find gives the receipt that waits for a message to n.
func (p *parking) find(now time.Time, name Name, n number) (*wantedReceipt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	e, ok := p.names[name]
	if !ok {
		return nil, false
	}
	r := e.Value.(*parkedReceipt).wantedReceipt
	return r, slices.Index(r.names, name) < r.Converted || r.to(n)
}

// drop forgets a receipt.
func (p *parking) drop(r *wantedReceipt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.names[r.names[0]]; ok {
		p.remove(e)
	}
}

// remove is called with mu held.
func (p *parking) remove(e *list.Element) {
	p.order.Remove(e)
	for _, name := range e.Value.(*parkedReceipt).names {
		if p.names[name] == e {
			delete(p.names, name)
		}
	}
}

// size forgets what is over and counts the rest, and what was forgotten since the last time.
func (p *parking) size(now time.Time) (waiting, expired int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	expired, p.expired = p.expired, 0
	return p.order.Len(), expired
}

func (p *parking) expire(now time.Time) {
	for e := p.order.Front(); e != nil && !now.Before(e.Value.(*parkedReceipt).until); e = p.order.Front() {
		p.remove(e)
		p.expired++
	}
}
