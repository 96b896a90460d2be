package otpstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 256 // records in one commit, so that none is held up long
)

// A Store issues, tracks and judges codes. Its methods are safe for concurrent use; those that change anything wait until Run
// has begun, and give ErrUnavailable after it has ended.
type Store struct {
	backend Backend
	keys    *keyring
	policy  atomic.Pointer[Policy]
	budgets *budgets
	parked  *parking
	metrics metrics
	elapses *wheel
	tell    func(Event) // nil: nobody is to be told
	log     *slog.Logger
	warn    sync.Once // of damaged records
}

// Open opens the store in cfg.Dir, and creates it where there is none. cfg and p must be valid. The error is one line and wraps
// ErrInUse, ErrNewer, ErrCorrupt or ErrWrongKey where that is the reason.
func Open(cfg Config, p Policy, reg prometheus.Registerer, log *slog.Logger) (*Store, error) {
	b, err := OpenBolt(cfg.Dir, reg)
	if err != nil {
		return nil, err
	}
	s, err := openWith(b, cfg, p, reg, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", cfg.Dir, err), b.Close())
	}
	return s, nil
}

func openWith(b *Bolt, cfg Config, p Policy, reg prometheus.Registerer, log *slog.Logger) (*Store, error) {
	known, err := b.claimed()
	if err != nil {
		return nil, err
	}
	key, err := loadKey(cfg, known, log)
	if err != nil {
		return nil, err
	}
	return New(b, key, p, reg, log)
}

// New puts the rules on a backend. It checks that key is the one the records are sealed with, and settles what a process that
// ended left behind. On success the store owns the backend. p must be valid.
func New(b Backend, key Key, p Policy, reg prometheus.Registerer, log *slog.Logger) (*Store, error) {
	keys, err := newKeyring(key)
	if err != nil {
		return nil, err
	}
	holder, err := b.Claim(context.Background(), keys.id)
	if err != nil {
		return nil, err
	}
	if holder != keys.id {
		return nil, ErrWrongKey
	}
	s := &Store{
		backend: b,
		keys:    keys,
		budgets: newBudgets(),
		parked:  newParking(),
		elapses: newWheel(),
		log:     log,
	}
	s.metrics = newMetrics(reg, func() int { return s.parked.waiting(time.Now()) })
	s.policy.Store(&p)
	if err := s.settle(); err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return s, nil
}

// settle reads every record once, and settles the codes that nobody settled.
func (s *Store) settle() error {
	var codes atomic.Int64
	step := s.rule(func(now time.Time, n number) (number, bool) {
		for _, c := range n.codes {
			if c.state == pending {
				codes.Add(1)
			}
		}
		return recovered(now, n)
	})
	err := s.backend.Scan(context.Background(), func(now time.Time, r Record) (Record, bool) {
		content, ok := s.keys.unseal(r)
		if ok && content.scoped() {
			if n, ok := decode(content); ok {
				for _, c := range n.codes {
					s.budgets.count(c.issued, c.scopes)
				}
			}
		}
		if ok && content.settled() {
			return nil, false
		}
		return step(now, r)
	})
	if n := codes.Load(); n > 0 {
		s.metrics.codes.WithLabelValues("interrupted").Add(float64(n))
		s.log.Warn("submits without a recorded outcome, their codes count and cannot be verified", "codes", n)
	}
	return err
}

// SetPolicy changes the rules' figures from the next step on. p must be valid.
func (s *Store) SetPolicy(p Policy) { s.policy.Store(&p) }

// Ready gives nil when the store can be expected to do its work, else why not.
func (s *Store) Ready() error { return s.backend.Ready() }

// Run does the store's work until ctx ends: then all that was taken on is made durable, and Run returns nil. It returns an
// error when the store can no longer write; nothing is taken on from then on.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.backend.Run(ctx) })
	g.Go(func() error {
		s.sweep(ctx)
		return nil
	})
	if s.tell != nil {
		g.Go(func() error {
			s.tellElapsed(ctx)
			return nil
		})
	}
	return g.Wait()
}

// Close gives back what the store holds, after Run returned or instead of it.
func (s *Store) Close() error { return s.backend.Close() }

// sweep removes from time to time what no longer matters.
func (s *Store) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("sweep", "err", err)
		}
		if gone, latest := s.parked.expired(time.Now()); gone > 0 {
			s.metrics.orphans.WithLabelValues("expired").Add(float64(gone))
			s.log.Warn("receipts forgotten, no message was known by their ids",
				"receipts", gone, "latest_smsc", latest.SMSC, "latest_state", latest.State)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) sweepOnce(ctx context.Context) error {
	p := *s.policy.Load()
	before := time.Now().Add(-p.TTL - p.memory())
	var last Name
	for more := true; more; {
		var swept int
		step := s.rule(func(now time.Time, n number) (number, bool) {
			if !sweepable(now, p, n) {
				return n, false
			}
			swept++
			return number{}, true
		})
		var err error
		if last, more, err = s.backend.Sweep(ctx, last, before, sweepBatch, step); err != nil {
			return err
		}
		s.metrics.swept.Add(float64(swept))
	}
	return nil
}

// rule makes a step of a rule: it opens the record, applies the rule and seals the result. The rule sees a damaged record as
// none, and the record is dropped whatever the rule says.
func (s *Store) rule(f func(now time.Time, n number) (number, bool)) Step {
	return func(now time.Time, r Record) (Record, bool) {
		var n number
		damaged := false
		if r != nil {
			var ok bool
			n, ok = s.keys.open(r)
			if damaged = !ok; damaged {
				s.reportDamage()
			}
		}
		next, changed := f(now, n)
		switch {
		case !changed:
			return nil, damaged
		case len(next.codes) == 0:
			return nil, true
		}
		return s.keys.seal(next), true
	}
}

func (s *Store) reportDamage() {
	s.metrics.damaged.Inc()
	s.warn.Do(func() {
		s.log.Error("record is not as it was written, dropped; further ones are only counted")
	})
}
