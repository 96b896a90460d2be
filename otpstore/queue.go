package otpstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueLength = 4096 // jobs that may wait; more callers wait for room
	batchLength = 512  // jobs in one commit
)

// A job is one step that waits for the committer.
type job struct {
	apply  func(t *table, now time.Time) (changed bool, err error)
	done   func(error) // called once, must not block; never called when the job was withdrawn
	waited bool        // someone waits for done: no reason to delay
	taken  atomic.Bool // by the committer or by the caller who withdraws it, whoever is first
}

// A queue keeps jobs in order for the one committer. It is bounded and may be closed for good.
type queue struct {
	room   chan struct{} // one token for each job in jobs
	urgent chan struct{} // holds a signal after a waited job came
	lazy   chan struct{} // holds a signal after any other came

	mu     sync.Mutex // guards the fields below
	jobs   []*job
	waited int   // jobs that are waited for
	closed error // why nothing more is taken
}

func newQueue() *queue {
	return &queue{
		room:   make(chan struct{}, queueLength),
		urgent: make(chan struct{}, 1),
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
	q.jobs = append(q.jobs, j)
	if j.waited {
		q.waited++
		signal(q.urgent)
	} else {
		signal(q.lazy)
	}
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // holds one already
	}
}

// take gives the first jobs, if any of all those in the queue is waited for or all is true. Jobs that it leaves are signalled again.
func (q *queue) take(all bool) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.jobs) == 0:
		return nil
	case q.waited == 0 && !all:
		signal(q.lazy)
		return nil
	}
	n := min(len(q.jobs), batchLength)
	batch := make([]*job, n)
	copy(batch, q.jobs)
	rest := copy(q.jobs, q.jobs[n:])
	clear(q.jobs[rest:])
	q.jobs = q.jobs[:rest]
	for _, j := range batch {
		if j.waited {
			q.waited--
		}
		<-q.room
	}
	return batch
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
