package main

import (
	"context"
	"errors"
	"fmt"
)

// A layer is one long-lived part of the daemon. run blocks until ctx ends, drains within a deadline of its own, and
// returns after everything that it started has ended.
type layer struct {
	name string
	run  func(ctx context.Context) error
}

// runLayers starts the layers in order and blocks. When ctx ends, or a layer ends by itself, it stops them from the
// last to the first, each one wholly before the one that it stands on, so that no layer loses what it needs to drain.
// It returns the errors of all layers, joined; a layer that ended by itself without an error is an error too.
func runLayers(ctx context.Context, layers []layer) error {
	type running struct {
		stop context.CancelFunc
		done chan error
	}
	ended := make(chan struct{}, len(layers))
	started := make([]running, 0, len(layers))
	for _, l := range layers {
		// Not ctx itself: its end must reach the layers one after the other.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{stop: stop, done: make(chan error, 1)}
		go func() { // ends when its layer returns; awaited below
			err := l.run(own)
			if err == nil && own.Err() == nil {
				err = errors.New("ended by itself")
			}
			r.done <- err
			ended <- struct{}{}
		}()
		started = append(started, r)
	}

	select {
	case <-ctx.Done():
	case <-ended:
	}

	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		started[i].stop()
		if err := <-started[i].done; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", layers[i].name, err))
		}
	}
	return errors.Join(errs...)
}
