package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	restTime     = 2 * time.Second // between two collections, as far as that can be had
	leastGarbage = 48 << 20        // octets that may pile up before they are collected, or as much as is in use, if that is less
	mostGarbage  = 128 << 20
	leastUse     = 4 << 20 // the runtime never collects below that much, times GOGC
	memoryEvery  = time.Second
)

// runMemory sees to it until ctx ends that garbage is collected neither often nor late. By the runtime's own rule as much piles up as is in
// use. That is too little in a flood, when each collection is felt in the answers, and too much beside the index of a million numbers, which has
// no pointers and costs a collection nothing. The variable GOGC of the runtime goes before; GOMEMLIMIT stays in force.
func runMemory(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	percent := 100
	_, before := heap()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		used, made := heap()
		p := garbagePercent(used, (made-before)*uint64(restTime/memoryEvery))
		before = made
		if 10*p < 9*percent || 9*p > 10*percent {
			percent = p
			debug.SetGCPercent(p)
		}
	}
}

// heap gives what the last collection found in use, and all that was ever allocated, in octets.
func heap() (used, made uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// garbagePercent is what GOGC has to be where so many octets pile up until the next collection is wanted; 1 at least, for with 0 one would follow
// the other.
func garbagePercent(used, wanted uint64) int {
	used = max(used, leastUse)
	garbage := min(max(wanted, min(used, leastGarbage)), mostGarbage)
	return int(max(1, garbage*100/used))
}
