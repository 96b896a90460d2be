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
	mu     sync.Mutex // guards the fields below, and those of the parked
	names  map[Name][]*parked
	order  *list.List // of *parked, by time, so that those which are over stand in front
	gone   int        // orphans that were over, since expired was asked
	latest *orphan    // of those
}

type parked struct {
	*orphan
	until time.Time
	place *list.Element // nil when it is not parked any more
}

func newParking() *parking {
	return &parking{names: map[Name][]*parked{}, order: list.New()}
}

// put keeps o, or the orphan that says the same and is here already: p is what is kept, nil when there is no room.
func (k *parking) put(now time.Time, o *orphan) (p *parked, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	for _, name := range o.names[:min(len(o.names), 1)] {
		for _, p := range k.names[name] {
			if p.same(o) {
				return p, false
			}
		}
	}
	if k.order.Len() >= parkedLimit {
		return nil, false
	}
	p = &parked{orphan: o, until: now.Add(parkedFor)}
	p.place = k.order.PushBack(p)
	for _, name := range o.names {
		if here := k.names[name]; len(here) == 0 || here[len(here)-1] != p { // two forms may be the same
			k.names[name] = append(here, p)
		}
	}
	return p, true
}

// same reports whether other says the same of the same message, as when a receipt is sent again.
func (o *orphan) same(other *orphan) bool {
	return o.State == other.State && o.Error == other.Error && o.Final == other.Final && o.Delivered == other.Delivered &&
		o.Converted == other.Converted && o.addressed == other.addressed &&
		slices.Equal(o.names, other.names) && slices.Equal(o.numbers, other.numbers)
}

// claims gives the receipts of a message that becomes known now, in the order in which they came.
func (k *parking) claims(now time.Time, name, number Name) []*parked {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	return claims(k.names[name], name, number)
}

// drop forgets p, and reports whether it was still here.
func (k *parking) drop(p *parked) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	here := p.place != nil
	k.remove(p)
	return here
}

// remove is called with mu held.
func (k *parking) remove(p *parked) {
	if p.place == nil {
		return
	}
	k.order.Remove(p.place)
	p.place = nil
	for _, name := range p.names {
		if rest := slices.DeleteFunc(k.names[name], func(q *parked) bool { return q == p }); len(rest) > 0 {
			k.names[name] = rest
		} else {
			delete(k.names, name)
		}
	}
}

// waiting counts the orphans.
func (k *parking) waiting(now time.Time) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	return k.order.Len()
}

// expired tells, once, how many orphans were forgotten because their time was over, and the latest of them.
func (k *parking) expired(now time.Time) (gone int, latest *orphan) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	gone, latest = k.gone, k.latest
	k.gone, k.latest = 0, nil
	return gone, latest
}

// expire is called with mu held.
func (k *parking) expire(now time.Time) {
	for e := k.order.Front(); e != nil && !now.Before(e.Value.(*parked).until); e = k.order.Front() {
		p := e.Value.(*parked)
		k.remove(p)
		k.gone++
		k.latest = p.orphan
	}
}
