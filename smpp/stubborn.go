package smpp

import (
	"sync"
	"time"
)

const (
	maxStubborn  = 10_000
	stubbornLife = 24 * time.Hour
)

// stubborn are numbers whose phones did not take a message that was to overwrite another one. They are left alone for a
// day.
type stubborn struct {
	mu      sync.Mutex // guards the rest
	numbers map[string]time.Time
}

func newStubborn() *stubborn { return &stubborn{numbers: make(map[string]time.Time)} }

func (s *stubborn) add(number string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.numbers) >= maxStubborn {
		for n, until := range s.numbers {
			if len(s.numbers) < maxStubborn || !now.Before(until) {
				break
			}
			delete(s.numbers, n)
		}
		for n := range s.numbers { // any one: all are as new
			if len(s.numbers) < maxStubborn {
				break
			}
			delete(s.numbers, n)
		}
	}
	s.numbers[number] = now.Add(stubbornLife)
}

func (s *stubborn) has(number string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.numbers[number])
}
