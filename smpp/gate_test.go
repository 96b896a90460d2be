package smpp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseIsNotStretchedByTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Name, cfg.FailoverAfter = "x", time.Minute
		g := newGate(cfg, newMetrics(nil, "x"))
		g.start()
		s := &session{transmits: true, metrics: newMetrics(nil, "x").of("1"), wake: make(chan struct{}, 1)}
		g.suspect(s)
		g.add(s)
		g.proven(s, time.Now())
		g.mu.Lock()
		g.pace.paused = time.Now().Add(time.Second)
		g.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := g.acquire(ctx, 1, nil, false); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("waited %v for a pause of 1s", d)
		}
	})
}
