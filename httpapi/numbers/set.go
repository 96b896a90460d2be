package numbers

import (
	"cmp"
	"maps"
	"slices"
)

// A set is many numbers in little memory: 4 bytes each, and some 60 for each 2^32 values of n that has any. It does not change.
type set struct {
	high []uint32 // n>>32, ascending
	low  []sorted // the rest of the numbers of high at the same place
}

func (s *set) has(n uint64) bool {
	i, found := slices.BinarySearch(s.high, uint32(n>>32))
	return found && s.low[i].has(uint32(n))
}

func (s *set) len() int {
	total := 0
	for _, low := range s.low {
		total += len(low.all)
	}
	return total
}

// sorted is ascending values. A search in many begins in the fence, which the processor's cache holds: of ten million, 625 kB.
type sorted struct {
	all   []uint32
	fence []uint32 // every 64th of all, from the first on; nil when there are few
}

const fenced = 64

func newSorted(all []uint32) sorted {
	s := sorted{all: all}
	if len(all) < fenced*fenced {
		return s
	}
	s.fence = make([]uint32, 0, len(all)/fenced+1)
	for i := 0; i < len(all); i += fenced {
		s.fence = append(s.fence, all[i])
	}
	return s
}

func (s *sorted) has(n uint32) bool {
	field := s.all
	if s.fence != nil {
		i, found := slices.BinarySearch(s.fence, n)
		if found || i == 0 {
			return found
		}
		field = s.all[(i-1)*fenced : min(i*fenced, len(s.all))]
	}
	_, found := slices.BinarySearch(field, n)
	return found
}

// A setBuilder takes the numbers of a set in any order. What it holds beyond them is bounded: no slice is ever
// grown by copying it.
type setBuilder struct {
	groups  map[uint32]*group
	high    uint32
	current *group // of high
}

// A group is the lower halves of the numbers of one high.
type group struct{ chunks [][]uint32 }

const (
	firstChunk = 16
	doublings  = 12 // to 65536
)

func (b *setBuilder) add(n uint64) {
	if high := uint32(n >> 32); b.current == nil || high != b.high {
		if b.groups == nil {
			b.groups = map[uint32]*group{}
		}
		if b.groups[high] == nil {
			b.groups[high] = &group{}
		}
		b.high, b.current = high, b.groups[high]
	}
	g := b.current
	last := len(g.chunks) - 1
	if last < 0 || len(g.chunks[last]) == cap(g.chunks[last]) {
		g.chunks = append(g.chunks, make([]uint32, 0, firstChunk<<min(last+1, doublings)))
		last++
	}
	g.chunks[last] = append(g.chunks[last], uint32(n))
}

// set empties the builder.
func (b *setBuilder) set() set {
	var s set
	for _, high := range slices.Sorted(maps.Keys(b.groups)) {
		low := slices.Concat(b.groups[high].chunks...)
		delete(b.groups, high)
		slices.Sort(low)
		if once := slices.Compact(low); len(once) < len(low) {
			low = slices.Clone(once) // so that what stood twice takes no memory
		}
		s.high = append(s.high, high)
		s.low = append(s.low, newSorted(low))
	}
	*b = setBuilder{}
	return s
}

// A span is the numbers from..to, both included.
type span struct{ from, to uint64 }

// merge sorts spans and makes one of those that overlap or touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:0]
	for _, s := range spans {
		if last := len(merged) - 1; last >= 0 && s.from <= merged[last].to+1 {
			merged[last].to = max(merged[last].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return slices.Clip(merged)
}

// within says that n lies in one of the merged spans.
func within(spans []span, n uint64) bool {
	i, _ := slices.BinarySearchFunc(spans, n, func(s span, n uint64) int { return cmp.Compare(s.to, n) })
	return i < len(spans) && spans[i].from <= n
}
