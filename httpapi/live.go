package httpapi

import "strings"

// Live is what may change while the server runs. Authenticate must not be nil, client ids must differ.
type Live struct {
	Clients      []Client
	Numbers      NumberPlan
	Authenticate Authenticate
	CodeLength   int // characters of a code, 1..10, by which a message is judged before there is one; else 10 is assumed
}

// liveTables are a Live made ready for requests. They do not change, but for the fill of the clients' buckets.
type liveTables struct {
	clients      map[string]*meteredClient
	numbers      numberTable
	authenticate Authenticate
	anyCode      string // as long as a code
}

// SetLive puts live in force for all requests from now on, in one step. The bucket of a client whose rate and burst
// stay keeps its fill.
func (s *Server) SetLive(live Live) {
	length := live.CodeLength
	if length < 1 || length > maxCode {
		length = maxCode
	}
	s.swap.Lock()
	defer s.swap.Unlock()
	var before map[string]*meteredClient
	if old := s.live.Load(); old != nil {
		before = old.clients
	}
	s.live.Store(&liveTables{
		clients:      meter(live.Clients, before),
		numbers:      newNumberTable(live.Numbers),
		authenticate: live.Authenticate,
		anyCode:      strings.Repeat("0", length),
	})
}
