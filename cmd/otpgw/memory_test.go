package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestGarbageStaysOfOneSize(t *testing.T) {
	for _, c := range []struct {
		used, wanted uint64
		want         int
	}{
		{0, 0, 100}, {1 << 20, 0, 100}, {8 << 20, 0, 100}, {48 << 20, 0, 100}, {192 << 20, 0, 25}, {64 << 30, 0, 1},
		{0, 1 << 40, 3200}, {8 << 20, 40 << 20, 500}, {20 << 20, 100 << 20, 500}, {128 << 20, 1 << 40, 100}, {1280 << 20, 1 << 40, 10},
	} {
		if got := garbagePercent(c.used, c.wanted); got != c.want {
			t.Errorf("%d in use, %d wanted: GOGC %d, want %d", c.used, c.wanted, got, c.want)
		}
	}
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC()
	var hold []byte
	percent := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- runMemory(ctx) }()
		for range 4 {
			hold = make([]byte, 16<<20)
			time.Sleep(memoryEvery / 4)
		}
		synctest.Wait()
		if p := percent(); p <= 100 {
			t.Errorf("GOGC is %d while much is allocated", p)
		}
		large := make([]byte, 96<<20)
		runtime.GC()
		time.Sleep(3 * memoryEvery)
		if p := percent(); p > 50 {
			t.Errorf("GOGC is %d beside %d octets", p, len(large))
		}
		runtime.KeepAlive(large)
		runtime.KeepAlive(hold)
		stop()
		if err := <-done; err != nil || percent() != 100 {
			t.Errorf("%v, GOGC is %d", err, percent())
		}
	})
	t.Setenv("GOGC", "150")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- runMemory(ctx) }()
		time.Sleep(3 * memoryEvery)
		if p := percent(); p != 100 {
			t.Errorf("GOGC was set by hand and is %d", p)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
