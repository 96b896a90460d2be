package otpstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	boltFile    = "otp.db"
	boltVersion = 3
	lazyWithin  = 20 * time.Millisecond // bound on the age of a job that nobody waits for
	begunWithin = 10 * time.Second      // bound on the wait for a commit
	quietTimes  = 3                     // so many times as long as the commits before it, what yields waits for one of its own
)

var (
	metaBucket    = []byte("meta")
	numbersBucket = []byte("numbers")
	versionKey    = []byte("version")
	keyIDKey      = []byte("key")
)

// Bolt is the backend for one machine: one bbolt file.
//
// Records lie in one bucket under the id of their newest code, so that writes gather at the end of the tree. Numbers, older ids and
// messages are found through maps in memory that the scan builds. One goroutine, Run, makes all changes: it takes what is
// queued, runs the steps in order in one transaction and commits once.
type Bolt struct {
	db      *bbolt.DB
	index   *index
	queue   *queue
	metrics boltMetrics
	running atomic.Bool
	commit  func(*bbolt.Tx) error // replaced by tests of failing disks
}

// OpenBolt opens the store in dir and creates directory and file where they are missing. The error wraps ErrInUse, ErrNewer or
// ErrCorrupt where that is the reason.
func OpenBolt(dir string, reg prometheus.Registerer) (*Bolt, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := guarded(dir); err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	path := filepath.Join(dir, boltFile)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, openError(err))
	}
	if err := errors.Join(prepare(db), syncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, err), db.Close())
	}
	return &Bolt{
		db:      db,
		index:   newIndex(),
		queue:   newQueue(),
		metrics: newBoltMetrics(reg),
		commit:  (*bbolt.Tx).Commit,
	}, nil
}

// guarded refuses a directory in which anybody could put another store, or another key, in the place of ours.
func guarded(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("mode is %04o: must not be writable by everybody", mode.Perm())
	}
	return nil
}

// openError says in this package's words why bbolt did not open a file.
func openError(err error) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrInUse
	case errors.As(err, &path): // permission, a directory, a full disk: says it all, but for the path that is said already
		return path.Err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// prepare makes a new file a store, or checks that the file is one that this version reads.
func prepare(db *bbolt.DB) error {
	fresh, older := false, false
	err := db.View(func(tx *bbolt.Tx) error {
		meta, numbers := tx.Bucket(metaBucket), tx.Bucket(numbersBucket)
		if fresh = meta == nil && numbers == nil; fresh {
			return nil
		}
		if meta == nil {
			return fmt.Errorf("%w: it has no format version", ErrCorrupt)
		}
		switch version := meta.Get(versionKey); {
		case len(version) != 1 || version[0] == 0:
			return fmt.Errorf("%w: format version %x", ErrCorrupt, version)
		case version[0] > boltVersion:
			return fmt.Errorf("%w: its format is %d, this version knows %d", ErrNewer, version[0], boltVersion)
		case numbers == nil:
			return fmt.Errorf("%w: it has no records", ErrCorrupt)
		default:
			older = version[0] < boltVersion
		}
		return nil
	})
	if err != nil || !fresh && !older {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucketIfNotExists(numbersBucket); err != nil {
			return err
		}
		return meta.Put(versionKey, []byte{boltVersion}) // older programs do not read what is written from now on
	})
}

// claimed reports whether a key was ever claimed for the store.
func (b *Bolt) claimed() (known bool, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		known = tx.Bucket(metaBucket).Get(keyIDKey) != nil
		return nil
	})
	return known, err
}

// Claim implements [Backend].
func (b *Bolt) Claim(_ context.Context, id KeyID) (KeyID, error) {
	known, err := b.claimed()
	if err == nil && !known {
		err = b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(keyIDKey, id[:]) })
	}
	if err == nil {
		err = b.db.View(func(tx *bbolt.Tx) error {
			if copy(id[:], tx.Bucket(metaBucket).Get(keyIDKey)) != len(id) {
				return ErrCorrupt
			}
			return nil
		})
	}
	if err != nil {
		return KeyID{}, fmt.Errorf("key identifier: %w", err)
	}
	return id, nil
}

// Update implements [Backend].
func (b *Bolt) Update(ctx context.Context, ref Ref, step Step) error {
	return b.wait(ctx, false, func(t *table, now time.Time) (bool, error) { return t.update(now, ref, step) })
}

// Choose implements [Backend].
func (b *Bolt) Choose(ctx context.Context, refs []Ref, choice Choice) error {
	return b.wait(ctx, true, func(t *table, now time.Time) (bool, error) { return t.choose(now, refs, choice) })
}

// Note implements [Backend].
func (b *Bolt) Note(ctx context.Context, ref Ref, step Step, done func(error)) error {
	return b.queue.put(ctx, &job{
		apply: func(t *table, now time.Time) (bool, error) { return t.update(now, ref, step) },
		done:  done,
	})
}

// Sweep implements [Backend].
func (b *Bolt) Sweep(ctx context.Context, after Name, before time.Time, limit int, step Step) (Name, bool, error) {
	var last Name
	var more bool
	err := b.wait(ctx, false, func(t *table, now time.Time) (changed bool, err error) {
		last, more, changed, err = t.sweep(now, after, before, limit, step)
		return changed, err
	})
	if err != nil { // the job may still run: nothing that it writes is read
		return Name{}, false, err
	}
	return last, more, nil
}

// pageReads bounds the records that are read in one transaction: the file keeps what a reader may still see.
const pageReads = 512

// Page implements [Backend].
func (b *Bolt) Page(ctx context.Context, from Name, limit int, visit func(r Record) bool) (more bool, err error) {
	inclusive := true
	for more = true; more && limit > 0; {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		n, stopped := min(limit, pageReads), false
		limit -= n
		err := b.db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket(numbersBucket).Cursor()
			k, v := seekBack(c, from, inclusive)
			for ; k != nil && n > 0 && !stopped; n-- {
				copy(from[:], k)
				stopped = !visit(read(k, v))
				k, v = c.Prev()
			}
			more = k != nil && !stopped
			return nil
		})
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		inclusive = false
	}
	return more, nil
}

// seekBack finds the last record whose key is not after from, or with the zero name the last of all.
func seekBack(c *bbolt.Cursor, from Name, inclusive bool) (k, v []byte) {
	if from == (Name{}) {
		return c.Last()
	}
	k, v = c.Seek(from[:])
	if k == nil {
		k, v = c.Last()
	} else if inclusive && bytes.Equal(k, from[:]) {
		return k, v
	} else {
		k, v = c.Prev()
	}
	return k, v
}

// wait queues a job and waits for its commit.
func (b *Bolt) wait(ctx context.Context, yields bool, apply func(*table, time.Time) (bool, error)) error {
	outcome := make(chan error, 1)
	j := &job{apply: apply, done: func(err error) { outcome <- err }, waited: true, yields: yields}
	if err := b.queue.put(ctx, j); err != nil {
		return err
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
	}
	if j.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	late := time.NewTimer(begunWithin)
	defer late.Stop()
	select {
	case err := <-outcome:
		return err
	case <-late.C:
		return fmt.Errorf("%w: no outcome within %s: %w", ErrUnavailable, begunWithin, ctx.Err())
	}
}

// Ready implements [Backend].
func (b *Bolt) Ready() error {
	if err := b.queue.err(); err != nil {
		return err
	}
	if !b.running.Load() {
		return fmt.Errorf("%w: not running", ErrUnavailable)
	}
	return nil
}

// Run implements [Backend]: it is the committer.
func (b *Bolt) Run(ctx context.Context) error {
	b.running.Store(true)
	defer b.running.Store(false)
	var quiet time.Time // until when what yields leaves the store to others
	for {
		next, wait := urgentTurn, time.Duration(0)
		select {
		case <-b.queue.urgent:
		case <-b.queue.polite:
			next, wait = politeTurn, time.Until(quiet)
		case <-b.queue.lazy:
			next, wait = anyTurn, lazyWithin
		case <-ctx.Done():
			b.queue.close(fmt.Errorf("%w: shutting down", ErrUnavailable))
			return b.drain(anyTurn)
		}
		if wait > 0 { // someone who is in a hurry may come and share the commit
			select {
			case <-b.queue.urgent:
				next = urgentTurn
			case <-time.After(wait):
			case <-ctx.Done():
				next = urgentTurn
			}
		}
		began := time.Now()
		if err := b.drain(next); err != nil {
			return err
		}
		quiet = time.Now().Add(min(quietTimes*time.Since(began), lazyWithin))
	}
}

// drain commits one batch in its turn, and more as long as there are jobs in a hurry. In anyTurn it leaves none.
func (b *Bolt) drain(t turn) error {
	for batch := b.queue.take(t); batch != nil; batch = b.queue.take(t) {
		if t == politeTurn {
			t = urgentTurn
		}
		if err := b.do(batch); err != nil {
			b.fail(fmt.Errorf("%w: an earlier write failed: %w", ErrUnavailable, err))
			return err
		}
		runtime.Gosched() // those who were just answered may have more: let it share the next commit
	}
	return nil
}

// do runs a batch in one transaction and tells every job's owner.
func (b *Bolt) do(batch []*job) error {
	begun := batch[:0]
	for _, j := range batch {
		if j.taken.CompareAndSwap(false, true) {
			begun = append(begun, j)
		}
	}
	err := b.transact(begun)
	told := err
	if err != nil {
		told = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for _, j := range begun {
		j.done(told)
	}
	return err
}

// transact runs the jobs and commits, if any of them changed anything.
func (b *Bolt) transact(jobs []*job) error {
	if len(jobs) == 0 {
		return nil
	}
	start := time.Now()
	tx, err := b.db.Begin(true)
	if err != nil {
		return err
	}
	t := &table{bucket: tx.Bucket(numbersBucket), index: b.index}
	changed, now := false, clock()
	for _, j := range jobs {
		did, err := j.apply(t, now)
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		changed = changed || did
	}
	if !changed {
		return tx.Rollback()
	}
	if err := b.commit(tx); err != nil {
		return err
	}
	b.metrics.commit.Observe(time.Since(start).Seconds())
	b.metrics.batch.Observe(float64(len(jobs)))
	b.metrics.records.Set(float64(len(b.index.numbers)))
	return nil
}

// fail refuses all work from now on and answers what is queued.
func (b *Bolt) fail(reason error) {
	b.queue.close(reason)
	for batch := b.queue.take(anyTurn); batch != nil; batch = b.queue.take(anyTurn) {
		for _, j := range batch {
			if j.taken.CompareAndSwap(false, true) {
				j.done(reason)
			}
		}
	}
}

// Close implements [Backend].
func (b *Bolt) Close() error {
	b.fail(fmt.Errorf("%w: closed", ErrUnavailable))
	return b.db.Close()
}

// clock is the backend's time.
func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
