package otpstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 64 // records in one commit, so that none is held up long
)

// A Store issues, tracks and judges codes. Its methods are safe for concurrent use; those that change anything wait until Run
// has begun, and give ErrUnavailable after it has ended.
type Store struct {
	backend   Backend
	keys      *keyring
	policy    atomic.Pointer[Policy]
	budgets   *budgets
	parked    *parking
	metrics   metrics
	elapses   *wheel
	notify    func(Event) // nil: nobody is to be told
	log       *slog.Logger
	warn      sync.Once                 // of damaged records
	forgotten sync.Once                 // of records without a key
	lost      atomic.Pointer[time.Time] // when something that was known was lost last; nil: never
}

// Open opens the store in cfg.Dir, and creates it where there is none. cfg and p must be valid. A file that is damaged is set aside under
// another name, and an empty one takes its place, in which what was lost counts against the limits (loss.go). While the file system of a store is
// read-only all is refused with ErrReadOnly; Run opens it when it no longer is. The error is one line and wraps ErrInUse, ErrNewer or ErrWrongKey
// where that is the reason.
func Open(cfg Config, p Policy, reg prometheus.Registerer, log *slog.Logger) (*Store, error) {
	disk := newBoltMetrics(reg)
	s := newStore(p, reg, log)
	b, err := s.openFile(cfg, disk)
	if err == nil {
		s.backend = b
		return s, nil
	}
	if !isReadOnly(err) || s.useKey(cfg, true) != nil { // a store that has a key was opened before
		return nil, err
	}
	log.Error("all is refused until the store can be opened", "error", err)
	s.backend = &lateBolt{open: func() (*Bolt, error) {
		b, err := s.openFile(cfg, disk)
		if err == nil {
			log.Info("store opened, its file system can be written")
		}
		return b, err
	}}
	return s, nil
}

// openFile opens the store's file, sets it aside where it is damaged, and settles what is in it.
func (s *Store) openFile(cfg Config, disk *boltMetrics) (*Bolt, error) {
	b, err := s.openBolt(cfg, disk, cfg.inspect(s.log))
	if !errors.Is(err, ErrCorrupt) {
		return b, err
	}
	aside, failed := setAside(cfg.Dir, time.Now())
	if failed != nil {
		return nil, fmt.Errorf("%w; it cannot be set aside as %s: %w", err, aside, failed)
	}
	s.log.Error("the store is damaged: set aside, begun anew; codes that were sent are expired, limits are halved for one window each",
		"aside", aside, "error", err)
	return s.openBolt(cfg, disk, inspectHere) // of our own making
}

func (s *Store) openBolt(cfg Config, disk *boltMetrics, inspect inspection) (*Bolt, error) {
	b, err := openBolt(cfg.Dir, disk, inspect)
	if err != nil {
		return nil, err
	}
	if err = s.useKey(cfg, b.claimed()); err == nil {
		err = s.adopt(b)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", cfg.Dir, err), b.Close())
	}
	disk.of.Store(b)
	if b.doubtful {
		s.log.Error("records of the store were damaged, and others may be of an earlier time: codes that were sent are expired, limits are halved for one window each")
	}
	switch c := b.compacted; {
	case c.After > 0:
		s.log.Info("store compacted", "before_mib", c.Before>>20, "after_mib", c.After>>20)
	case b.bulky != nil:
		s.log.Warn("store is much larger than what is live and was not compacted: \"otpgw store compact\" does, while the daemon is down", "reason", b.bulky)
	}
	return b, nil
}

// useKey makes the keys of cfg those of s, once. known says that a key was used before, so that none is generated.
func (s *Store) useKey(cfg Config, known bool) error {
	if s.keys != nil {
		return nil
	}
	key, err := loadKey(cfg, known, s.log)
	if err != nil {
		return err
	}
	s.keys, err = newKeyring(key)
	return err
}

// New puts the rules on a backend. It checks that a key of the ring is the one that the store was claimed with, and settles what a process that
// ended left behind. On success the store owns the backend. p must be valid.
func New(b Backend, key Key, p Policy, reg prometheus.Registerer, log *slog.Logger) (*Store, error) {
	s := newStore(p, reg, log)
	var err error
	if s.keys, err = newKeyring(key); err != nil {
		return nil, err
	}
	if err = s.adopt(b); err != nil {
		return nil, err
	}
	s.backend = b
	return s, nil
}

// newStore gives a store without keys and backend.
func newStore(p Policy, reg prometheus.Registerer, log *slog.Logger) *Store {
	parked := newParking()
	s := &Store{
		budgets: newBudgets(),
		parked:  parked,
		elapses: newWheel(),
		metrics: newMetrics(reg, func() int { return parked.waiting(time.Now()) }),
		log:     log,
	}
	s.policy.Store(&p)
	return s
}

// adopt checks that b is a store under the keys of s, and settles what is in it.
func (s *Store) adopt(b Backend) error {
	holder, err := b.Claim(context.Background(), s.keys.ids())
	if err != nil {
		return err
	}
	if holder != s.keys.ids()[0] {
		return ErrWrongKey
	}
	s.budgets.reset() // what an attempt before this one counted
	if err := s.settle(b); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	if lost := b.Lost(); !lost.IsZero() {
		if lost.After(s.lostAt()) { // else it is a record that was dropped
			s.lost.Store(&lost)
		}
		s.metrics.begun.Set(float64(lost.Unix()))
	}
	return nil
}

// settle reads every record of b once, and settles the codes that nobody settled.
func (s *Store) settle(b Backend) error {
	var codes atomic.Int64
	step := s.rule(func(now time.Time, n number) (number, bool) {
		for _, c := range n.codes {
			if c.state == pending {
				codes.Add(1)
			}
		}
		n, changed := recovered(now, n)
		n, ended := outdated(now, b.Lost(), n) // which a scan may have found out
		return n, changed || ended
	})
	err := b.Scan(context.Background(), func(now time.Time, r Record) (Record, bool) {
		content, ok := s.keys.unseal(r)
		if ok && content.scoped() {
			if n, ok := decode(content); ok {
				for _, c := range n.codes {
					s.budgets.count(c.id.Time(), c.scopes)
				}
			}
		}
		if ok && content.settled() && now.Sub(b.Lost()) >= leapMost { // until then a code that was lost may be live
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
	if s.notify != nil {
		g.Go(func() error {
			s.tellElapsed(ctx)
			return nil
		})
	}
	return g.Wait()
}

// bolt is the backend where that is a file that is open.
func (s *Store) bolt() (*Bolt, bool) {
	if l, ok := s.backend.(*lateBolt); ok {
		b := l.bolt.Load()
		return b, b != nil
	}
	b, ok := s.backend.(*Bolt)
	return b, ok
}

// Close gives back what the store holds, after Run returned or instead of it.
func (s *Store) Close() error { return s.backend.Close() }

// sweep removes from time to time what no longer matters.
func (s *Store) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	told := ""
	for {
		told = s.tell(told)
		if err := s.sweepOnce(ctx); err != nil && ctx.Err() == nil && !refused(err) { // of which it is told already
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
	before := s.backend.Now().Add(-p.TTL - p.memory())
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
				s.reportDamage(now, r)
				n = number{damaged: true}
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

// lostAt is when something that was known was lost last, or the zero time.
func (s *Store) lostAt() time.Time {
	if lost := s.lost.Load(); lost != nil {
		return *lost
	}
	return time.Time{}
}

// Trouble says what an operator should know, a line each, though work goes on.
func (s *Store) Trouble() []string {
	list := s.backend.Trouble()
	if lost := s.backend.Lost(); s.backend.Now().Sub(lost) < max(day, s.policy.Load().memory()) {
		list = append(list, fmt.Sprintf("something was lost at %s, for the file was damaged or a backup took its place: earlier codes are expired, limits are halved for one window each",
			lost.UTC().Format(time.RFC3339)))
	}
	return list
}

// Seals counts the records by the key that they are sealed with; those of formats that name none are under the zero id. It reads every record.
func (s *Store) Seals(ctx context.Context) (map[KeyID]int, error) {
	held := map[KeyID]int{}
	_, _, err := s.backend.Page(ctx, Name{}, math.MaxInt, func(r Record) bool {
		id, _, _ := r.key()
		held[id]++
		return true
	})
	return held, err
}

// Now is the store's clock, by which all that it tells happened but for receipts.
func (s *Store) Now() time.Time { return s.backend.Now() }

// Keys are the ids of the keys in the ring, newest first.
func (s *Store) Keys() []KeyID { return s.keys.ids() }

// tell logs what is amiss when that changes.
func (s *Store) tell(told string) string {
	now := strings.Join(s.Trouble(), "; ")
	switch {
	case now == told:
	case now == "":
		s.log.Info("trouble of the store is over")
	default:
		s.log.Warn("trouble of the store", "trouble", now)
	}
	return now
}

// reportDamage takes down that r could not be opened and is dropped.
func (s *Store) reportDamage(now time.Time, r Record) {
	s.lost.Store(&now)
	if id, named, ok := r.key(); ok && named && s.keys.with(id) == nil {
		s.metrics.keyless.Inc()
		s.forgotten.Do(func() {
			s.log.Warn("record is sealed with a key that is no longer in the ring, dropped; further ones are only counted", "key", id.String())
		})
		return
	}
	s.metrics.damaged.Inc()
	s.warn.Do(func() {
		s.log.Error("record is not as it was written, dropped; further ones are only counted")
	})
}
