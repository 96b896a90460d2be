package httpapi

import "sync/atomic"

// The kinds of requests that do not take places from one another.
const (
	sending    = iota // send-code
	validating        // validate-code outlives a flood of send-code
	looking           // the side API
	kinds
)

// newSlots shares out what the server bears: a quarter is kept for validate-code, the rest is send-code's, and a sixteenth on top
// is the side API's.
func newSlots(maxInFlight int) [kinds]*slots {
	kept := max(1, maxInFlight/4)
	return [kinds]*slots{
		sending:    {limit: int64(maxInFlight - kept)},
		validating: {limit: int64(kept)},
		looking:    {limit: int64(max(2, maxInFlight/16))},
	}
}

// slots bound the requests of one kind that are in work at once.
type slots struct {
	limit int64
	taken atomic.Int64
}

// take says whether there was a free slot; if so it must be given back.
func (s *slots) take() bool {
	if s.taken.Add(1) > s.limit {
		s.giveBack()
		return false
	}
	return true
}

func (s *slots) giveBack() { s.taken.Add(-1) }
