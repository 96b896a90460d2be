package numbers

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A memory holds verdicts on numbers for a while, no more than its size of them; the oldest leave first. Hearing of a number again
// does not make it younger, so the order of the LRU is that of time. Any number of goroutines may use it.
type memory struct {
	start time.Time // what the notes' times count from

	mu    sync.Mutex
	held  time.Duration // how long a note holds; 0: nothing is noted
	notes *simplelru.LRU[uint64, note]
}

type note struct {
	verdict Verdict
	at      time.Duration
}

func newMemory(held time.Duration, size int) *memory {
	notes, err := simplelru.NewLRU[uint64, note](size, nil)
	if err != nil {
		panic(err) // size < 1, which Validate lets nobody have
	}
	return &memory{start: time.Now(), held: held, notes: notes}
}

func (m *memory) note(n uint64, v Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held > 0 {
		m.notes.Add(n, note{v, m.forget()})
	}
}

func (m *memory) recall(n uint64) (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	found, ok := m.notes.Peek(n)
	return found.verdict, ok
}

// set changes how long notes hold, those that there are included, and how many.
func (m *memory) set(held time.Duration, size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = held
	m.notes.Resize(size)
	m.forget()
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	return m.notes.Len()
}

// forget drops what has been held long enough and returns the time. The caller holds mu.
func (m *memory) forget() (now time.Duration) {
	now = time.Since(m.start)
	for {
		_, oldest, ok := m.notes.GetOldest()
		if !ok || now-oldest.at < m.held {
			return now
		}
		m.notes.RemoveOldest()
	}
}
