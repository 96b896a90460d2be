package tokens

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A memory holds what is known of tokens by their SHA-256, each until a time of its own, no more than its size of them; those that
// were not asked for longest leave first. Any number of goroutines may use it.
type memory[V any] struct {
	mu      sync.Mutex // guards entries
	entries *simplelru.LRU[[32]byte, entry[V]]
}

type entry[V any] struct {
	value V
	until time.Time
}

func newMemory[V any](size int) *memory[V] {
	entries, err := simplelru.NewLRU[[32]byte, entry[V]](size, nil)
	if err != nil {
		panic(err) // size < 1
	}
	return &memory[V]{entries: entries}
}

func (m *memory[V]) recall(hash [32]byte, now time.Time) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries.Get(hash)
	if ok && !now.Before(e.until) {
		m.entries.Remove(hash)
		ok = false
	}
	if !ok {
		e = entry[V]{}
	}
	return e.value, ok
}

func (m *memory[V]) note(hash [32]byte, v V, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Add(hash, entry[V]{v, until})
}

func (m *memory[V]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Purge()
}

func (m *memory[V]) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries.Len()
}
