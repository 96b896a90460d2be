package numbers

import (
	"context"
	"sync"
)

// flights makes one look-up of all that are wanted for the same number at the same time, and waits for all of them at the end.
type flights struct {
	running sync.WaitGroup

	mu   sync.Mutex // guards what follows
	open map[flightKey]*flight
	over bool
}

type flightKey struct {
	from *lookup
	n    uint64
}

type flight struct {
	landed  chan struct{} // closed once the rest is set
	verdict Verdict
	err     error
}

// join waits for the look-up of number n that runs, or starts one. When ctx ends it leaves, and the look-up goes on.
func (f *flights) join(ctx context.Context, from *lookup, n uint64, ask func() (Verdict, error)) (Verdict, error) {
	own, err := f.board(flightKey{from, n}, ask)
	if err != nil {
		return Refused, err
	}
	select {
	case <-own.landed:
		return own.verdict, own.err
	case <-ctx.Done():
		return Refused, ctx.Err()
	}
}

func (f *flights) board(key flightKey, ask func() (Verdict, error)) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.open[key]; other != nil {
		return other, nil
	}
	switch {
	case f.over:
		return nil, errStopped
	case len(f.open) >= (1+maxWaiting)*key.from.concurrency:
		return nil, errTurnedAway
	}
	own := &flight{landed: make(chan struct{})}
	f.open[key] = own
	f.running.Go(func() { // ends by the timeout of the look-up
		own.verdict, own.err = ask()
		f.mu.Lock()
		delete(f.open, key)
		f.mu.Unlock()
		close(own.landed)
	})
	return own, nil
}

// end starts no more look-ups and waits for those that run.
func (f *flights) end() {
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	f.running.Wait()
}
