// Package callbacks tells clients what became of their verifications: each fact is posted to the sink of its client, signed, until the
// sink takes it or its time is over.
//
// Nothing is kept here that cannot be found again: what is untold stands with the facts themselves, and a fact is marked there as told
// after it was taken. So a callback comes once in the normal case, and again with the same id when a process ended between the call and the
// mark. The package knows nothing of codes or numbers: what it posts is what Facts describes.
//
// Start reading at sink.go.
package callbacks

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An Event is one fact of one verification.
type Event struct {
	ID, Client string // of the verification
	Outcome    bool   // how it ended; else what became of its message
	Name       string // such as "delivered"
	At         time.Time
}

// key is the id under which the event is told, always the same.
func (e Event) key() string { return e.ID + "-" + e.Name }

// Facts is where the events are. Its methods are called concurrently.
type Facts interface {
	// Untold calls visit with events that are untold, until it gives false or a bounded part was seen. It begins at from, "" for the
	// beginning, and says where the next part does, with the event at which visit gave false; "" when all was seen.
	Untold(ctx context.Context, from string, visit func(Event) bool) (next string, err error)
	// Describe gives the data of an event, a JSON object, and when it came to be. False says that it needs no telling.
	Describe(ctx context.Context, e Event) (data []byte, at time.Time, untold bool, err error)
	// Told records that an event needs no more telling, before later calls of Describe. done is called once, when that is durable, unless
	// Told gives an error.
	Told(ctx context.Context, e Event, done func(error)) error
}

// Trace is told what became of an event of the verification with this id, in words. It is called concurrently and returns at once.
type Trace func(id, what, detail string, names ...string)

// Callbacks tells the events of all clients. Its methods are safe for concurrent use; Run is called once.
type Callbacks struct {
	facts   Facts
	trace   Trace
	log     *slog.Logger
	metrics metrics
	caller  func(Config, *x509.CertPool) *caller // replaced by tests of time

	changed chan struct{} // holds a signal after sinks were replaced

	mu      sync.Mutex // guards the rest, and what the sinks say that it does
	sinks   []*sink
	clients map[string]*sink
	held    map[string]struct{} // keys of events that are queued, on their way, or being marked
}

// New makes callbacks to the given sinks. It starts nothing. reg may be nil.
func New(facts Facts, sinks Prepared, trace Trace, reg prometheus.Registerer, log *slog.Logger) *Callbacks {
	c := &Callbacks{
		facts: facts, trace: trace, log: log, caller: newCaller,
		changed: make(chan struct{}, 1), clients: map[string]*sink{}, held: map[string]struct{}{},
	}
	c.metrics = newMetrics(reg, c)
	c.Apply(sinks)
	return c
}

// Prepared are sinks of which everything that can fail is done.
type Prepared struct {
	sinks []Config
	roots []*x509.CertPool
}

// Prepare reads the files that the sinks, which must be valid, refer to.
func Prepare(sinks []Config) (Prepared, error) {
	p := Prepared{sinks: sinks}
	for _, cfg := range sinks {
		roots, err := pool(cfg.CA)
		if err != nil {
			return Prepared{}, fmt.Errorf("sink %s: %w", cfg.Name, err)
		}
		p.roots = append(p.roots, roots)
	}
	return p, nil
}

// Apply replaces the sinks. One that stays as it was goes on, unless it was stopped by a 410: then it begins anew, as one does that changed,
// with what is untold. Calls that are on their way end as they do.
func (c *Callbacks) Apply(p Prepared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := map[string]*sink{}
	for _, s := range c.sinks {
		before[s.cfg.Name] = s
	}
	c.sinks, c.clients = nil, map[string]*sink{}
	for i, cfg := range p.sinks {
		s := before[cfg.Name]
		if s == nil || s.stopped || !reflect.DeepEqual(s.cfg, cfg) || !sameRoots(s.roots, p.roots[i]) {
			s = newSink(c, cfg, p.roots[i])
		} else {
			delete(before, cfg.Name)
		}
		c.sinks = append(c.sinks, s)
		for _, client := range cfg.Clients {
			c.clients[client] = s
		}
	}
	for _, s := range before {
		s.retire()
	}
	signal(c.changed)
}

func sameRoots(a, b *x509.CertPool) bool { return a == b || a != nil && b != nil && a.Equal(b) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // holds one already
	}
}

// Tell takes on an event that became due. It returns at once; what it has no room for is found again among what is untold.
func (c *Callbacks) Tell(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.clients[e.Client]; s != nil && s.wants(e) && !s.add(e) {
		s.missed = true
	}
}

// Run makes the calls until ctx ends. Then it begins none, and returns after those that are on their way have ended, in drainTime at most.
func (c *Callbacks) Run(ctx context.Context) error {
	calling, cancel := context.WithCancel(context.WithoutCancel(ctx)) // calls outlive ctx
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c.mu.Lock()
		for _, s := range c.sinks {
			if !s.running {
				s.running = true
				running.Go(func() { s.run(ctx, calling) })
			}
		}
		c.mu.Unlock()
		select {
		case <-c.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// forget removes the series of a sink that is no more.
func (c *Callbacks) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.sinks, func(s *sink) bool { return s.cfg.Name == name }) {
		c.metrics.forget(name)
	}
}

// drainTime bounds how long calls may go on when the daemon ends.
const drainTime = 5 * time.Second
