package admin

import (
	"container/list"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// A Trace is what is known of one verification: neither code nor text, and the number masked.
type Trace struct {
	ID         string `json:"authenticationId"`
	Client     string `json:"client"`
	Number     string `json:"number"`
	Correlator string `json:"correlator"`
	Parent     string `json:"traceparent,omitempty"`
	State      string `json:"state"`
	Delivery   string `json:"delivery,omitempty"` // state of the receipts; "" before the first
	Steps      []Step `json:"steps"`
}

// A Step is one thing that happened to it.
type Step struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Detail string    `json:"detail"`
}

// What is kept of traces: so many verifications, so many steps each, so many names by which one is found.
const (
	tracesKept = 5000
	stepsKept  = 24
	namesKept  = 8
)

// Traces keeps the steps of the latest verifications in memory. Its methods may be called concurrently.
type Traces struct {
	mu     sync.Mutex // guards the rest
	seed   maphash.Seed
	byID   map[string]*list.Element
	byName map[string]*list.Element // correlator, message ids
	order  list.List                // of *kept, oldest first
}

type kept struct {
	Trace
	number uint64 // hash of the number
	names  []string
}

// NewTraces makes room for traces.
func NewTraces() *Traces {
	return &Traces{seed: maphash.MakeSeed(), byID: map[string]*list.Element{}, byName: map[string]*list.Element{}}
}

// Begin opens the trace of a verification. Where there are too many, the oldest goes. Of the number only a hash is kept, by which it
// is found, and masked, by which it is shown. parent is a traceparent or "".
func (t *Traces) Begin(id, client, number, masked, correlator, parent string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[id] != nil {
		return
	}
	if t.order.Len() >= tracesKept {
		t.drop(t.order.Front())
	}
	e := t.order.PushBack(&kept{number: maphash.String(t.seed, number), Trace: Trace{ID: id, Client: client, Number: masked, Correlator: correlator, Parent: parent}})
	t.byID[id] = e
	t.name(e, correlator)
}

// Add writes down a step of a verification that was begun, under names by which it can be found as well. A step of the zero time is
// of now.
func (t *Traces) Add(id string, at time.Time, what, detail string, names ...string) {
	if at.IsZero() {
		at = time.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	if e == nil {
		return
	}
	k := e.Value.(*kept)
	if len(k.Steps) < stepsKept {
		k.Steps = append(k.Steps, Step{At: at, What: what, Detail: detail})
	}
	for _, name := range names {
		t.name(e, name)
	}
}

func (t *Traces) name(e *list.Element, name string) {
	k := e.Value.(*kept)
	if name == "" || len(k.names) == namesKept {
		return
	}
	k.names = append(k.names, name)
	t.byName[name] = e
}

func (t *Traces) drop(e *list.Element) {
	k := t.order.Remove(e).(*kept)
	delete(t.byID, k.ID)
	for _, name := range k.names {
		if t.byName[name] == e {
			delete(t.byName, name)
		}
	}
}

// A Forgotten says what was erased of a number.
type Forgotten struct {
	Verifications int `json:"verifications"` // in the store
	Live          int `json:"live"`          // of them, those that could still be verified
	Traces        int `json:"traces"`        // in memory
}

// Forget drops the traces of this number and says how many there were.
func (t *Traces) Forget(number string) (dropped int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := maphash.String(t.seed, number)
	for e := t.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*kept).number == hash {
			t.drop(e)
			dropped++
		}
		e = next
	}
	return dropped
}

// Find gives the trace of an authenticationId, an x-correlator or a message id of an SMSC.
func (t *Traces) Find(query string) (Trace, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[query]
	if e == nil {
		e = t.byName[query]
	}
	if e == nil {
		return Trace{}, false
	}
	return e.Value.(*kept).shown(), true
}

// shown is a copy, its steps in the order of their times: a receipt may have been faster than the answer that it follows.
func (k *kept) shown() Trace {
	t := k.Trace
	t.Steps = slices.Clone(t.Steps)
	slices.SortStableFunc(t.Steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return t
}

// Latest gives up to n traces of this number, newest first.
func (t *Traces) Latest(number string, n int) []Trace {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := maphash.String(t.seed, number)
	var all []Trace
	for e := t.order.Back(); e != nil && len(all) < n; e = e.Prev() {
		if k := e.Value.(*kept); k.number == hash {
			all = append(all, k.shown())
		}
	}
	return all
}
