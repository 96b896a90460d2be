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
	for used, want := range map[uint64]int{0: 300, 1 << 20: 300, 16 << 20: 300, 24 << 20: 200, 48 << 20: 100, 192 << 20: 25, 4800 << 20: 1, 4801 << 20: 1, 1 << 40: 1} {
		if got := garbagePercent(used); got != want {
			t.Errorf("%d in use: GOGC %d, want %d", used, got, want)
		}
	}
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	percent := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- runMemory(ctx) }()
		time.Sleep(time.Second)
		if p := percent(); p == 100 || p < 1 || p > mostGarbage {
			t.Errorf("GOGC is %d", p)
		}
		large := make([]byte, 96<<20)
		runtime.GC()
		time.Sleep(2 * memoryEvery)
		if p := percent(); p > 50 {
			t.Errorf("GOGC is %d beside %d octets", p, len(large))
		}
		runtime.KeepAlive(large)
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
