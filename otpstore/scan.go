package otpstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
)

// A portion is some records in the order of their keys. While the scan's transaction lasts, keys and records are its memory.
type portion struct {
	keys    [][]byte
	records []Record
	next    []Record // nil where nothing changed
	changed []bool
	done    chan struct{} // closed when next and changed are filled in
}

const portionLength = 512

// Scan implements [Backend]. It builds the index on the way: one goroutine reads, some run the step, and this one indexes. Before that it adds up what is
// there: where that is not what was written, and a damaged record may be the reason, others may have been set back with it, which counts as a loss.
func (b *Bolt) Scan(ctx context.Context, step Step) error {
	type change struct {
		key  []byte
		next Record
	}
	var changes []change
	h, dropped := b.head, false
	err := b.view(func(tx *bbolt.Tx) (err error) {
		defer unreadable(&err)
		if h.patches, err = b.index.patches.load(tx); err == nil {
			h.count, h.sum = sumRecords(b.index.patches.walk(tx))
		}
		return err
	})
	if err != nil {
		return err
	}
	if b.head.format >= headVersion && h.sum != b.head.sum {
		b.doubtful = true
		b.lose()
		h.lost = b.lost
	}
	now, _ := b.clock.now()
	err = b.view(func(tx *bbolt.Tx) error {
		records := b.index.patches.walk(tx)
		defer func() { h.extent.largest = int64(records.largest) }()
		g, ctx := errgroup.WithContext(ctx)
		steps, indexing := make(chan *portion), make(chan *portion, 2*runtime.GOMAXPROCS(0))
		g.Go(func() (err error) {
			defer close(steps)
			defer close(indexing)
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			defer unreadable(&err)
			for k, v := records.next(); k != nil; {
				p := &portion{done: make(chan struct{})}
				for ; k != nil && len(p.keys) < portionLength; k, v = records.next() {
					p.keys, p.records = append(p.keys, k), append(p.records, read(k, v))
				}
				for _, queue := range [...]chan *portion{steps, indexing} {
					select {
					case queue <- p:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			}
			return records.complete()
		})
		for range runtime.GOMAXPROCS(0) {
			g.Go(func() (err error) {
				defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
				defer unreadable(&err)
				for p := range steps {
					p.run(now, step)
				}
				return nil
			})
		}
		for p := range indexing {
			<-p.done
			for i, changed := range p.changed {
				if changed {
					dropped = dropped || len(p.next[i]) == 0
					changes = append(changes, change{bytes.Clone(p.keys[i]), p.next[i]})
				} else {
					b.index.replace(nil, p.records[i])
				}
			}
		}
		return g.Wait()
	})
	if err != nil {
		return err
	}
	if was := b.head; was.format >= headVersion && (was.count != h.count || was.patches != h.patches || b.doubtful && !dropped) {
		return fmt.Errorf("%w: %d records and %d patches, %d and %d were written, or some are of another time",
			ErrCorrupt, h.count, h.patches, was.count, was.patches)
	}
	b.scanned = true
	b.head.extent.largest = h.extent.largest
	b.metrics.records.Set(float64(h.count))
	if len(changes) == 0 && h.format == boltVersion && !h.closed && !b.restored && !b.doubtful { // else one of the heads has to say that it is open, before the other one changes
		_, err := b.prepare(headMost * b.page) // a file system that failed may be read-only without saying so: it is asked for space
		return err
	}
	h.format, h.clock, h.closed = boltVersion, now, false
	for first := true; first || len(changes) > 0; first = false { // each as large as there is room for: a start that was cut off goes on with the next
		least := headMost * b.page
		if len(changes) > 0 {
			least = h.extent.step(b.page)
		}
		if err := b.reserve(least); err != nil {
			return err
		}
		tx, err := b.db.Begin(true)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucketIfNotExists(patchesBucket); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		h.extent.begin()
		t := newTable(tx, b.index, &h)
		for more := true; more && len(changes) > 0; changes = changes[1:] {
			err := t.replace(changes[0].key, Record{}, changes[0].next)
			if err == nil {
				more, err = b.more(tx, &h.extent)
			}
			if err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if err := b.settle(tx, h); err != nil {
			return err
		}
	}
	return nil
}

// sumRecords counts what is left of a walk, and adds up its hashes.
func sumRecords(w *walk) (count, sum uint64) {
	for k, v := w.next(); k != nil; k, v = w.next() {
		count++
		sum += xxhash.Sum64(v)
	}
	return count, sum
}

// settle commits what a scan did in tx.
func (b *Bolt) settle(tx *bbolt.Tx, h head) error {
	err := tx.Bucket(metaBucket).Put(versionKey, []byte{boltVersion}) // older programs do not read what is written from now on
	if err == nil && b.restored {
		err = tx.Bucket(metaBucket).Delete(backupKey)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return b.write(tx, h)
}

// unreadable makes an error of a panic that came upon a page: of damage, or of a disk that did not give what is there.
func unreadable(err *error) {
	switch p := recover().(type) {
	case nil:
	case interface{ Addr() uintptr }: // runtime/debug.SetPanicOnFault
		*err = fmt.Errorf("the file cannot be read: %v", p)
	default:
		*err = fmt.Errorf("%w: %v", ErrCorrupt, p)
	}
}

func (p *portion) run(now time.Time, step Step) {
	defer close(p.done)
	p.next, p.changed = make([]Record, len(p.records)), make([]bool, len(p.records))
	for i, r := range p.records {
		p.next[i], p.changed[i] = step(now, r)
	}
}
