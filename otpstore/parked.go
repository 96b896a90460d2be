package otpstore

import (
	"container/list"
	"sync"
	"time"
)

const (
	parkedLimit = 10_000
	parkedFor   = 60 * time.Second
)

// parking keeps receipts whose message no record knows yet: a receipt may overtake the outcome of its own submit. It is
// bounded in number and time, and safe for concurrent use.
type parking struct {
	mu    sync.Mutex
	names map[Name]*list.Element // of *parkedReceipt
	order *list.List             // by time, so that those which are over stand in front
}

type parkedReceipt struct {
	name    Name
	receipt Receipt
	until   time.Time
}

func newParking() *parking {
	return &parking{names: map[Name]*list.Element{}, order: list.New()}
}

// put keeps r, unless the parking is full or has a final receipt of that message. It reports whether one is kept now.
func (p *parking) put(now time.Time, name Name, r Receipt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	if e, ok := p.names[name]; ok {
		if kept := e.Value.(*parkedReceipt); !kept.receipt.Final {
			kept.receipt = r
		}
		return true
	}
	if len(p.names) >= parkedLimit {
		return false
	}
	p.names[name] = p.order.PushBack(&parkedReceipt{name, r, now.Add(parkedFor)})
	return true
}

// find gives the receipt that waits for a message.
func (p *parking) find(now time.Time, name Name) (Receipt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	if e, ok := p.names[name]; ok {
		return e.Value.(*parkedReceipt).receipt, true
	}
	return Receipt{}, false
}

// drop forgets the receipt of a message.
func (p *parking) drop(name Name) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.names[name]; ok {
		p.order.Remove(e)
		delete(p.names, name)
	}
}

// size forgets what is over and counts the rest.
func (p *parking) size(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	return len(p.names)
}

func (p *parking) expire(now time.Time) {
	for e := p.order.Front(); e != nil && !now.Before(e.Value.(*parkedReceipt).until); e = p.order.Front() {
		p.order.Remove(e)
		delete(p.names, e.Value.(*parkedReceipt).name)
	}
}
