package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	garbage      = 48 << 20 // octets that may pile up before they are collected
	mostGarbage  = 300      // percent of what is in use, however little that is
	leastGarbage = 1        // percent, however much: with 0 one collection would follow the other
	memoryEvery  = time.Second
)

// runMemory keeps the garbage that piles up between two collections at one size until ctx ends. The runtime's own rule, as much as is
// in use, is too little beside a small heap, where every collection is felt in the answers, and too much beside the index of a million
// numbers, which has no pointers and costs a collection nothing. The variable GOGC of the runtime goes before; GOMEMLIMIT stays in force.
func runMemory(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	percent := 0
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		if p := garbagePercent(inUse()); p != percent { // it stops all goroutines for a moment
			percent = p
			debug.SetGCPercent(p)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// inUse is what the last collection found in use, in octets.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// garbagePercent is what GOGC has to be for the garbage to be of that size.
func garbagePercent(used uint64) int {
	return int(min(mostGarbage, max(leastGarbage, garbage*100/max(used, 1))))
}
