package otpstore

import (
	"bytes"
	"context"
	"runtime"
	"time"

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

// Scan implements [Backend]. It builds the index on the way: one goroutine reads, some run the step, and this one indexes.
func (b *Bolt) Scan(ctx context.Context, step Step) error {
	type change struct {
		key  []byte
		next Record
	}
	var changes []change
	now := clock()
	err := b.db.View(func(tx *bbolt.Tx) error {
		g, ctx := errgroup.WithContext(ctx)
		steps, indexing := make(chan *portion), make(chan *portion, 2*runtime.GOMAXPROCS(0))
		g.Go(func() error {
			defer close(steps)
			defer close(indexing)
			for c, k, v := first(tx); k != nil; {
				p := &portion{done: make(chan struct{})}
				for ; k != nil && len(p.keys) < portionLength; k, v = c.Next() {
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
			return nil
		})
		for range runtime.GOMAXPROCS(0) {
			g.Go(func() error {
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
					changes = append(changes, change{bytes.Clone(p.keys[i]), p.next[i]})
				} else {
					b.index.replace(nil, p.records[i])
				}
			}
		}
		return g.Wait()
	})
	if err == nil && len(changes) > 0 {
		err = b.db.Update(func(tx *bbolt.Tx) error {
			t := &table{bucket: tx.Bucket(numbersBucket), index: b.index}
			for _, c := range changes {
				if err := t.replace(c.key, Record{}, c.next); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.metrics.records.Set(float64(len(b.index.numbers)))
	return err
}

func first(tx *bbolt.Tx) (c *bbolt.Cursor, key, value []byte) {
	c = tx.Bucket(numbersBucket).Cursor()
	key, value = c.First()
	return c, key, value
}

func (p *portion) run(now time.Time, step Step) {
	defer close(p.done)
	p.next, p.changed = make([]Record, len(p.records)), make([]bool, len(p.records))
	for i, r := range p.records {
		p.next[i], p.changed[i] = step(now, r)
	}
}
