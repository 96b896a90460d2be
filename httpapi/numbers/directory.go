package numbers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// ErrUnavailable is that the look-up gave no answer and lookup_fail is closed, or that the caller did not wait for it.
var ErrUnavailable = errors.New("number look-up unavailable")

// A Directory judges numbers by the plan, by what the SMSC refused lately and by the operator's look-up. What it goes by may be
// exchanged while it runs. Any number of goroutines may use it.
type Directory struct {
	log     *slog.Logger
	dial    dialFunc
	metrics metrics
	now     atomic.Pointer[Change]
	refused *memory
	flights flights
}

// A Change is a configuration made ready: everything in it that can fail has been done.
type Change struct {
	plan        *Plan
	lookup      *lookup // nil: none
	open        bool    // when the look-up fails the plan holds
	refusedHeld time.Duration
	refusedSize int
}

// New makes the directory of a plan that was loaded from cfg. It reads lookup_ca, and starts nothing.
func New(plan *Plan, cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Directory, error) {
	return newDirectory(plan, cfg, nil, reg, log)
}

func newDirectory(plan *Plan, cfg Config, dial dialFunc, reg prometheus.Registerer, log *slog.Logger) (*Directory, error) {
	d := &Directory{log: log.With("component", "numbers"), dial: dial, flights: flights{open: map[flightKey]*flight{}}}
	first, err := d.change(plan, cfg)
	if err != nil {
		return nil, err
	}
	d.refused = newMemory(first.refusedHeld, first.refusedSize)
	d.now.Store(first)
	d.metrics = newMetrics(reg, d)
	d.metrics.loaded(plan)
	return d, nil
}

// Run waits until ctx ends, then for the look-ups that run, lookup_timeout at the most, and closes the connections. From then on
// Judge asks nobody. It returns nil.
func (d *Directory) Run(ctx context.Context) error {
	<-ctx.Done()
	d.flights.end()
	if l := d.now.Load().lookup; l != nil {
		l.client.CloseIdleConnections()
	}
	return nil
}

// Plan returns the plan in force.
func (d *Directory) Plan() *Plan { return d.now.Load().plan }

// Prepare validates cfg and reads its files, those that have not changed excepted. Nothing of it is in force before Apply.
func (d *Directory) Prepare(cfg Config) (*Change, error) {
	plan, err := Load(cfg, d.Plan())
	if err != nil {
		return nil, err
	}
	return d.change(plan, cfg)
}

// change takes the lookup in force, with its answers, its breaker and its connections, where cfg asks for no other.
func (d *Directory) change(plan *Plan, cfg Config) (*Change, error) {
	s, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	c := &Change{plan: plan, open: cfg.LookupFail == "open", refusedHeld: cfg.RefusedCache, refusedSize: cfg.RefusedCacheSize}
	if s.url == "" {
		return c, nil
	}
	if before := d.now.Load(); before != nil && before.lookup != nil && before.lookup.settings == s {
		c.lookup = before.lookup
		return c, nil
	}
	c.lookup = newLookup(s, d.dial, d.log)
	return c, nil
}

// Apply puts c, which Prepare made, in force.
func (d *Directory) Apply(c *Change) {
	before := d.now.Swap(c)
	d.refused.set(c.refusedHeld, c.refusedSize)
	d.metrics.loaded(c.plan)
	if before.lookup != nil && before.lookup != c.lookup {
		before.lookup.client.CloseIdleConnections() // those of look-ups that run included, once they end
	}
}

// Refused notes that the SMSC refused number as permanent: for refused_cache it is Refused. What is no number is not noted.
func (d *Directory) Refused(number string) {
	if n, _, ok := parse(number); ok {
		d.refused.note(n, Refused)
	}
}

// Judge says whether number, as +E.164, may be sent to. It waits for the look-up until ctx ends, and lookup_timeout at the most. An
// error is ErrUnavailable, and the verdict with it is not to be used.
func (d *Directory) Judge(ctx context.Context, number string) (Verdict, error) {
	v, err := d.judge(ctx, number)
	if err != nil {
		return Refused, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	d.metrics.verdicts[v].Inc()
	return v, nil
}

func (d *Directory) judge(ctx context.Context, number string) (Verdict, error) {
	now := d.now.Load()
	if v := now.plan.Judge(number); v != Served {
		return v, nil
	}
	n, _, _ := parse(number)
	if v, ok := d.refused.recall(n); ok {
		d.metrics.refused.Inc()
		return v, nil
	}
	if now.lookup == nil {
		return Served, nil
	}
	if v, ok := now.lookup.recall(n); ok {
		d.metrics.recalled.Inc()
		return v, nil
	}
	v, err := d.flights.join(ctx, now.lookup, n, func() (Verdict, error) { return d.ask(now.lookup, n, number) })
	if errors.Is(err, errTurnedAway) {
		d.metrics.lookups.WithLabelValues("busy").Inc()
	}
	if err != nil && now.open && ctx.Err() == nil {
		return Served, nil
	}
	return v, err
}

// ask is one look-up, measured.
func (d *Directory) ask(l *lookup, n uint64, number string) (Verdict, error) {
	start := time.Now()
	v, err := l.ask(n, number)
	d.metrics.lookedUp(result(v, err), time.Since(start))
	if err != nil {
		d.log.Debug("number look-up failed", "err", err)
	}
	return v, err
}

func result(v Verdict, err error) string {
	switch {
	case err == nil:
		return v.String()
	case errors.Is(err, errBusy):
		return "busy"
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return "breaker"
	case errors.Is(err, context.DeadlineExceeded):
		return "late"
	}
	return "failed"
}
