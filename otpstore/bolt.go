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
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	boltFile     = "otp.db"
	boltVersion  = 4
	headVersion  = 3                     // the first whose file has a head
	patchVersion = 4                     // the first whose file has patches
	lazyWithin   = 20 * time.Millisecond // bound on the age of a job that nobody waits for
	begunWithin  = 10 * time.Second      // bound on the wait for a commit
	leastRecord  = 128                   // octets that a record takes in the file, at the least
)

// Bolt is the backend for one machine: one bbolt file.
//
// Records lie in one bucket under the id of their newest code, so that writes gather at the end of the tree. Numbers, older ids and
// messages are found through maps in memory that the scan builds. One goroutine, Run, makes all changes: it takes what is
// queued, runs the steps in order in one transaction and commits once.
type Bolt struct {
	db      *bbolt.DB
	head    head // as committed last; owned by whoever may write
	lost    time.Time
	scanned bool
	used    int64 // octets of the file, free pages among them
	page    int64 // octets of one
	room    *room
	clock   *timekeeper
	index   *index
	queue   *queue
	metrics *boltMetrics
	running atomic.Bool

	broken atomic.Bool                                 // bbolt panicked: it may hold its locks, and is left alone
	panics chan error                                  // of readers
	commit func(*bbolt.Tx) error                       // replaced by tests of failing disks
	covers func(used, spare, need int64) (bool, error) // room.covers, replaced by its tests

	restored  bool       // the file was a backup when it was opened
	doubtful  bool       // a record in it is not as it was written, so that others may be of an earlier time
	compacted Compaction // by the opening
	bulky     error      // why it was not, though the file is much larger than what is live
}

// OpenBolt opens the store in dir and creates directory and file where they are missing. The error wraps ErrInUse, ErrNewer or
// ErrCorrupt where that is the reason.
func OpenBolt(dir string, reg prometheus.Registerer) (*Bolt, error) {
	metrics := newBoltMetrics(reg)
	b, err := openBolt(dir, metrics, inspectHere)
	if err != nil {
		return nil, err
	}
	metrics.of.Store(b)
	return b, nil
}

// openBolt opens the store in dir, once its file was inspected.
func openBolt(dir string, metrics *boltMetrics, inspect inspection) (*Bolt, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := guarded(dir); err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	path := filepath.Join(dir, boltFile)
	b, err := openFile(path, metrics, inspect)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return b, nil
}

func openFile(path string, metrics *boltMetrics, inspect inspection) (*Bolt, error) {
	if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
		_ = f.Close() // nothing was written
	} else if isReadOnly(err) { // before all of it is read
		return nil, openError(err)
	}
	sound, err := inspectFile(path, inspect)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createFile(path, time.Time{}); err == nil {
			sound, err = checkFile(path)
		}
	}
	if err != nil {
		return nil, openError(err)
	}
	db, err := openDB(path)
	if err != nil {
		return nil, openError(err)
	}
	if err := os.Remove(path + freshSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a compaction that was cut off
		return nil, errors.Join(openError(err), db.Close())
	}
	compacted, refused := compactBulky(db, sound.used)
	if compacted.After > 0 { // it is another file now
		if err := errors.Join(refused, db.Close()); err != nil {
			return nil, openError(err)
		}
		if db, err = openDB(path); err != nil {
			return nil, openError(err)
		}
		sound.used = compacted.After
	}
	b := &Bolt{
		db:      db,
		page:    int64(db.Info().PageSize),
		queue:   newQueue(),
		metrics: metrics,
		panics:  make(chan error, 1),
		commit:  (*bbolt.Tx).Commit,

		compacted: compacted, bulky: refused,
	}
	err = db.View(func(tx *bbolt.Tx) (err error) {
		if b.head, err = readHead(tx); err == nil {
			b.restored = tx.Bucket(metaBucket).Get(backupKey) != nil
		}
		return err
	})
	if err == nil {
		b.used = sound.used
		b.room, err = openRoom(path, b.used)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b.index = newIndex(int(min(b.head.count, uint64(b.used/leastRecord))))
	b.covers = b.room.covers
	b.clock = newTimekeeper(b.head.clock)
	b.lost = b.head.lost
	if b.restored {
		b.lose()
	}
	if sound.fellBack {
		metrics.fellBack.Set(1)
		if !b.head.closed { // else both held the same records
			metrics.fellBack.Set(2)
		}
	}
	return b, nil
}

// lose takes it that some of what was known is lost, now.
func (b *Bolt) lose() {
	b.head.lost, _ = b.clock.now()
	b.lost = b.head.lost
}

// fileOptions are those of every file that is written to.
var fileOptions = bbolt.Options{
	Timeout:        lockWait,
	NoFreelistSync: true,
	FreelistType:   bbolt.FreelistMapType,

	InitialMmapSize: 1 << 30, // octets of addresses: a commit for which they are too few waits for all who read, and a backup may take long
}

const growth = 1 << 20 // octets by which the file is made longer at a time; behind them it is synced once more

// freshSuffix ends the name of a file that is being made.
const freshSuffix = ".new"

// openDB opens the file at path, once no other process has it open. ErrInUse says that one put another in its place meanwhile.
func openDB(path string) (*bbolt.DB, error) {
	options := fileOptions
	var opened fs.FileInfo
	options.OpenFile = func(name string, flag int, mode fs.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		if err != nil {
			return nil, err
		}
		if opened, err = f.Stat(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	db, err := bbolt.Open(path, 0o600, &options)
	if err != nil {
		return nil, err
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(there, opened) {
		return nil, errors.Join(ErrInUse, db.Close())
	}
	db.AllocSize = growth
	return db, nil
}

// createFile makes an empty store at path. It is whole when it has its name, and name and content are on the disk.
func createFile(path string, lost time.Time) error {
	fresh := path + freshSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a start that was cut off
		return err
	}
	db, err := openDB(fresh)
	if err != nil {
		return err
	}
	now, _ := newTimekeeper(lost).now()
	h := head{format: boltVersion, clock: now, lost: lost}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [...][]byte{metaBucket, numbersBucket, patchesBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return errors.Join(tx.Bucket(metaBucket).Put(versionKey, []byte{boltVersion}), h.put(tx))
	})
	if err = errors.Join(err, db.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	return errors.Join(err, syncDir(filepath.Dir(path)))
}

// checkFile checks the file at path in this process, once no other process has it open.
func checkFile(path string) (soundness, error) { return inspectFile(path, inspectHere) }

// inspectFile has the file at path inspected, once no other process has it open.
func inspectFile(path string, inspect inspection) (soundness, error) {
	f, err := os.Open(path)
	if err != nil {
		return soundness{}, err
	}
	defer f.Close()
	for left := lockWait; ; left -= lockRetry {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return soundness{}, err
		}
		if left <= 0 {
			return soundness{}, ErrInUse
		}
		time.Sleep(lockRetry)
	}
	info, err := f.Stat()
	if err != nil {
		return soundness{}, err
	}
	if !info.Mode().IsRegular() {
		return soundness{}, errors.New("is not a file")
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(there, info) { // who had it open put another in its place
		return soundness{}, ErrInUse
	}
	return inspect(f, info.Size())
}

const (
	lockWait  = time.Second // for another process to close the file
	lockRetry = 50 * time.Millisecond
)

// setAside gives the store's file in dir another name, which it returns, and puts an empty one in its place that knows of the loss at now.
func setAside(dir string, now time.Time) (string, error) {
	path := filepath.Join(dir, boltFile)
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	for {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			if err := os.Link(path, aside); err != nil { // so that path is one or the other at any moment
				return aside, err
			}
			if err := createFile(path, now); err != nil {
				return aside, errors.Join(err, os.Remove(aside))
			}
			return aside, nil
		} else if err != nil {
			return aside, err
		}
		aside += "-"
	}
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

// openError says in this package's words why the file was not opened.
func openError(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrInUse):
		return err
	case errors.As(err, &path): // permission, a directory, a full disk: says it all, but for the path that is said already
		return path.Err
	case errors.As(err, &link):
		return link.Err
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// Claim implements [Backend].
func (b *Bolt) Claim(_ context.Context, ids []KeyID) (KeyID, error) {
	if held := b.head.key; held != (KeyID{}) && (held == ids[0] || !slices.Contains(ids, held)) {
		return held, nil
	}
	h := b.head
	h.key = ids[0]
	if h.format >= headVersion { // else the scan writes it, when it knows the records
		err := b.reserve(headMost * b.page)
		if err == nil {
			err = b.db.Update(h.put)
		}
		if err != nil {
			return KeyID{}, fmt.Errorf("key identifier: %w", err)
		}
	}
	b.head = h
	return h.key, nil
}

// claimed reports whether a key was ever claimed for the store.
func (b *Bolt) claimed() bool { return b.head.key != (KeyID{}) }

// Lost implements [Backend].
func (b *Bolt) Lost() time.Time { return b.lost }

// Now implements [Backend].
func (b *Bolt) Now() time.Time {
	now, _ := b.clock.now()
	return now
}

// Trouble implements [Backend].
func (b *Bolt) Trouble() (list []string) {
	if _, skew := b.clock.now(); skew.Abs() > skewAlarm {
		list = append(list, fmt.Sprintf("the clock is off: the system's is %s from the store's, by which codes and limits run", skew.Round(time.Second)))
	}
	if said := b.room.trouble(); said != "" {
		list = append(list, said)
	}
	return list
}

// Update implements [Backend].
func (b *Bolt) Update(ctx context.Context, ref Ref, step Step) error {
	return b.wait(ctx, &job{grows: ref.By == ByNumber}, func(t *table, now time.Time) (bool, error) { return t.update(now, ref, step) })
}

// Choose implements [Backend].
func (b *Bolt) Choose(ctx context.Context, refs []Ref, choice Choice) error {
	receipt := slices.ContainsFunc(refs, func(r Ref) bool { return r.By == ByMessage })
	return b.wait(ctx, &job{yields: receipt}, func(t *table, now time.Time) (bool, error) { return t.choose(now, refs, choice) })
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
	err := b.wait(ctx, &job{}, func(t *table, now time.Time) (changed bool, err error) {
		e := &t.head.extent
		left := b.room.end - b.used + b.spare(e) - e.octets(t.bucket.Tx(), b.page)
		last, more, changed, err = t.sweep(now, after, before, min(limit, e.sweep(left, b.page)), step)
		return changed, err
	})
	if err != nil { // the job may still run: nothing that it writes is read
		return Name{}, false, err
	}
	return last, more, nil
}

// Records that are read in one transaction, which commits wait for: for a page that is short, and for one that goes on. 512 take 0.1 ms.
const (
	pageReads = 64
	mostReads = 512
)

// Page implements [Backend].
func (b *Bolt) Page(ctx context.Context, from Name, limit int, visit func(r Record) bool) (last Name, more bool, err error) {
	last = from
	inclusive, reads := true, pageReads
	for more = true; more && limit > 0; inclusive = false {
		if err := ctx.Err(); err != nil {
			return Name{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		n := min(limit, reads)
		limit -= n
		reads = min(2*reads, mostReads)
		var records []Record
		if records, last, more, err = b.readBack(last, inclusive, n); err != nil {
			return Name{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		for _, r := range records {
			if !visit(r) {
				return r.Newest(), false, nil
			}
		}
	}
	return last, more, nil
}

// readBack reads n records at most, and gives the key of the last.
func (b *Bolt) readBack(from Name, inclusive bool, n int) (records []Record, last Name, more bool, err error) {
	patches := b.index.patches
	patches.mu.RLock()
	defer patches.mu.RUnlock()
	if patches.astray {
		return nil, from, false, errors.New("an earlier write failed")
	}
	last = from
	err = b.view(func(tx *bbolt.Tx) error {
		c, patched := tx.Bucket(numbersBucket).Cursor(), tx.Bucket(patchesBucket)
		k, v := seekBack(c, from, inclusive)
		for ; k != nil && n > 0; n-- {
			copy(last[:], k)
			if r := read(k, patches.current(patched, k, v)); r != nil {
				records = append(records, slices.Clone(r))
			}
			k, v = c.Prev()
		}
		more = k != nil
		return nil
	})
	return records, last, more, err
}

// view reads. A page that bbolt cannot read ends Run.
func (b *Bolt) view(f func(*bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			b.broken.Store(true)
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
			select {
			case b.panics <- err:
			default: // one is enough
			}
		}
	}()
	return b.db.View(f)
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
func (b *Bolt) wait(ctx context.Context, j *job, apply func(*table, time.Time) (bool, error)) error {
	outcome := make(chan error, 1)
	j.apply, j.done, j.waited = apply, func(err error) { outcome <- err }, true
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
	return b.room.writable()
}

// Run implements [Backend]: it is the committer.
func (b *Bolt) Run(ctx context.Context) error {
	b.running.Store(true)
	defer b.running.Store(false)
	var quiet time.Time         // until when what yields leaves the store to others
	debug.SetPanicOnFault(true) // for this goroutine: a file that was cut short, or a bad sector
	for {
		next, wait := urgentTurn, time.Duration(0)
		select {
		case err := <-b.panics:
			return b.unread(err)
		case <-b.queue.urgent:
		case <-b.queue.polite:
			next, wait = politeTurn, time.Until(quiet)
		case <-b.queue.lazy:
			next, wait = anyTurn, lazyWithin
		case <-ctx.Done():
			b.queue.close(errStopping)
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
		if until := time.Now().Add(min(time.Since(began), lazyWithin)); until.After(quiet) {
			quiet = until
		}
	}
}

var errStopping = fmt.Errorf("%w: shutting down", ErrUnavailable)

// drain commits one batch in its turn, and more as long as there are jobs in a hurry. In anyTurn it leaves none.
func (b *Bolt) drain(t turn) error {
	for {
		select { // under load there is always another batch
		case err := <-b.panics:
			return b.unread(err)
		default:
		}
		batch := b.queue.take(t)
		if batch == nil {
			return nil
		}
		if t == politeTurn || t == anyTurn && b.queue.err() == nil { // what is left is signalled again, unless this is the end
			t = urgentTurn
		}
		if err := b.do(batch); err != nil {
			b.fail(writeFailed(err))
			return err
		}
		runtime.Gosched() // those who were just answered may have more: let it share the next commit
	}
}

// unread ends all work, for a page could not be read.
func (b *Bolt) unread(err error) error {
	b.fail(fmt.Errorf("%w: the store cannot be read: %w", ErrUnavailable, err))
	return err
}

func writeFailed(err error) error {
	return fmt.Errorf("%w: an earlier write failed: %w", ErrUnavailable, err)
}

// do runs a batch in one transaction and tells every job's owner.
func (b *Bolt) do(batch []*job) error {
	begun := batch[:0]
	for _, j := range batch {
		if j.taken.CompareAndSwap(false, true) {
			begun = append(begun, j)
		}
	}
	if len(begun) == 0 {
		return nil
	}
	if err := b.room.writable(); err != nil { // known before anything is written: no failed write, and no end
		for _, j := range begun {
			j.done(err)
		}
		return nil
	}
	for len(begun) > 0 {
		state, err := b.prepare(b.head.extent.step(b.page))
		if err == nil && state != roomy {
			begun = slices.DeleteFunc(begun, func(j *job) bool {
				refused := j.grows || state == packed
				if refused {
					b.metrics.full.Inc()
					j.done(ErrFull)
				}
				return refused
			})
		}
		ran := 0
		if err == nil && len(begun) > 0 {
			ran, err = b.transact(begun)
		}
		told := err
		if err != nil {
			told, ran = fmt.Errorf("%w: %w", ErrUnavailable, err), len(begun)
			b.queue.close(writeFailed(err)) // before anybody hears of it and comes again
		}
		for _, j := range begun[:ran] {
			j.done(told)
		}
		if err != nil {
			return err
		}
		begun = begun[ran:]
	}
	return nil
}

// prepare makes room for a commit, and says how much may be done that needs least octets or more.
func (b *Bolt) prepare(least int64) (roomState, error) {
	return b.room.prepare(b.used, b.spare(&b.head.extent), least)
}

// reserve makes room for a commit of at least so many octets, outside of Run.
func (b *Bolt) reserve(least int64) error {
	state, err := b.prepare(least)
	if err == nil && state == packed {
		err = ErrFull
	}
	return err
}

// spare are the octets in free pages of the file that a commit can count on: none where it may need several in a row.
func (b *Bolt) spare(e *extent) int64 {
	if !e.single(b.page) {
		return 0
	}
	return int64(b.db.Stats().FreePageN) * b.page
}

// transact runs jobs and commits, if any of them changed anything. It gives how many it ran: one at least, and no more than there is room for.
// A panic of bbolt's, which came upon a damaged page, is an error.
func (b *Bolt) transact(jobs []*job) (ran int, err error) {
	defer func() {
		if p := recover(); p != nil {
			b.broken.Store(true)
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	patches := b.index.patches
	patches.mu.Lock()
	defer patches.mu.Unlock()
	patches.astray = true
	start := time.Now()
	tx, err := b.db.Begin(true)
	if err != nil {
		return 0, err
	}
	h := b.head
	h.clock, _ = b.clock.now()
	h.closed = false
	h.extent.begin()
	t := newTable(tx, b.index, &h)
	changed := false
	for more := true; more; {
		did, err := jobs[ran].apply(t, h.clock)
		if err != nil {
			return 0, errors.Join(err, tx.Rollback())
		}
		changed = changed || did
		if ran++; ran == len(jobs) {
			break
		}
		if more, err = b.more(tx, &h.extent); err != nil {
			return 0, errors.Join(err, tx.Rollback())
		}
	}
	if !changed {
		patches.astray = false
		return ran, tx.Rollback()
	}
	if err := b.write(tx, h); err != nil {
		return 0, err
	}
	patches.astray = false
	b.metrics.commit.Observe(time.Since(start).Seconds())
	b.metrics.batch.Observe(float64(ran))
	return ran, nil
}

// more reports whether one step more may be run in tx: there is room for what it writes then.
func (b *Bolt) more(tx *bbolt.Tx, e *extent) (bool, error) {
	return b.covers(b.used, b.spare(e), e.octets(tx, b.page)+e.step(b.page))
}

// write commits what was done in tx, with the head that speaks of it.
func (b *Bolt) write(tx *bbolt.Tx, h head) error {
	if err := h.put(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := b.commit(tx); err != nil {
		return err
	}
	b.head = h
	if err := b.db.View(func(tx *bbolt.Tx) error {
		b.used = tx.Size()
		return nil
	}); err != nil {
		return err
	}
	b.metrics.records.Set(float64(h.count))
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
	failed := b.queue.err()
	b.fail(fmt.Errorf("%w: closed", ErrUnavailable))
	if b.broken.Load() { // bbolt may hold its own locks: the end of the process closes the file
		return nil
	}
	var err error
	if b.scanned && !b.head.closed && (failed == nil || errors.Is(failed, errStopping)) {
		err = b.seal()
	}
	return errors.Join(err, b.room.close(), b.db.Close())
}

// seal makes both metas of the file speak of the same records, so that the loss of either costs nothing. Where nothing can be written it is left out:
// what was acknowledged is there as after any other end.
func (b *Bolt) seal() error {
	for range 2 {
		if b.room.writable() != nil || errors.Is(b.reserve(headMost*b.page), ErrFull) {
			return nil
		}
		h := b.head
		h.clock, _ = b.clock.now()
		h.closed = true
		tx, err := b.db.Begin(true)
		if err != nil {
			return err
		}
		if err := b.write(tx, h); err != nil {
			return err
		}
	}
	return nil
}
