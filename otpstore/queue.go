package otpstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueLength = 4096 // jobs that may wait; more callers wait for room
	batchLength = 512  // jobs in one commit
	batchYields = 6    // jobs in it that yield, where there are fewer others
)

// A job is one step that waits for the committer.
type job struct {
	apply  func(t *table, now time.Time) (changed bool, err error)
	done   func(error) // called once, must not block; never called when the job was withdrawn
	waited bool        // someone waits for done: no reason to delay
	yields bool        // lets those pass that came later, but not those that came before: a receipt, which nobody looks at a clock for
	grows  bool        // makes records where none were
	number uint64      // in the order of their coming
	taken  atomic.Bool // by the committer or by the caller who withdraws it, whoever is first
}

// A queue keeps jobs in order for the one committer. It is bounded and may be closed for good.
type queue struct {
	room   chan struct{} // one token for each job in jobs
	urgent chan struct{} // holds a signal after a waited job came that does not yield
	polite chan struct{} // holds a signal after one came that yields
	lazy   chan struct{} // holds a signal after any other came

	mu     sync.Mutex // guards the fields below
	jobs   []*job     // that do not yield
	yields []*job
	last   uint64 // number of the job that came last
	waited int    // of jobs, those that are waited for
	closed error  // why nothing more is taken
}

func newQueue() *queue {
	return &queue{
		room:   make(chan struct{}, queueLength),
		urgent: make(chan struct{}, 1),
		polite: make(chan struct{}, 1),
		lazy:   make(chan struct{}, 1),
	}
}

// put adds j at the end. While the queue is full it waits, until ctx ends or the queue is closed.
func (q *queue) put(ctx context.Context, j *job) error {
	select {
	case q.room <- struct{}{}:
	default:
		select {
		case q.room <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%w: queue is full: %w", ErrUnavailable, ctx.Err())
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		<-q.room
		return q.closed
	}
	q.last++
	j.number = q.last
	switch {
	case j.yields:
		q.yields = append(q.yields, j)
		signal(q.polite)
		return nil
	case j.waited:
		q.waited++
		signal(q.urgent)
	default:
		signal(q.lazy)
	}
	q.jobs = append(q.jobs, j)
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // holds one already
	}
}

// A turn is what has to be in the queue for a batch to be taken.
type turn int

const (
	urgentTurn turn = iota // a job that is waited for and does not yield
	politeTurn             // or one that yields
	anyTurn                // or any
)

// take gives the next jobs, if there is what t asks for. Jobs that it leaves are signalled again. Those that yield come last, and none of
// them before a job that came earlier.
func (q *queue) take(t turn) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	ready := q.waited > 0 || t >= politeTurn && len(q.yields) > 0 || t == anyTurn && len(q.jobs) > 0
	if !ready {
		if len(q.yields) > 0 {
			signal(q.polite)
		}
		if len(q.jobs) > 0 {
			signal(q.lazy)
		}
		return nil
	}
	batch := make([]*job, 0, min(len(q.jobs)+len(q.yields), batchLength))
	batch, q.jobs = shift(batch, q.jobs, min(len(q.jobs), batchLength))
	n := min(len(q.yields), batchLength-len(batch))
	if len(batch) > 0 || t == politeTurn { // a small commit, for who comes meanwhile waits for its end; as many as others, so that they keep up
		n = min(n, max(batchYields, len(batch)))
	}
	if len(q.jobs) > 0 { // what is left of the others bars what came after it
		older, _ := slices.BinarySearchFunc(q.yields, q.jobs[0].number, func(j *job, number uint64) int { return cmp.Compare(j.number, number) })
		n = min(older, batchYields)
	}
	batch, q.yields = shift(batch, q.yields, n)
	for _, j := range batch {
		if j.waited && !j.yields {
			q.waited--
		}
		<-q.room
	}
	return batch
}

// shift moves the first n jobs from one list to another.
func shift(to, from []*job, n int) (filled, left []*job) {
	to = append(to, from[:n]...)
	rest := copy(from, from[n:])
	clear(from[rest:])
	return to, from[:rest]
}

// close refuses all later jobs with reason. Those in the queue stay.
func (q *queue) close(reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil {
		q.closed = reason
	}
}

// err is why the queue takes nothing more, or nil.
func (q *queue) err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
