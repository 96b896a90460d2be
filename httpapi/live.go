package httpapi

import (
	"context"
	"net/http"

	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
)

// Authenticate finds out whose request r is. It looks at headers and the connection only and never at the body, and is called
// concurrently. Whatever is wrong with the credentials is tokens.ErrUnauthenticated; tokens.ErrAuthUnavailable means that it cannot be
// known now.
type Authenticate func(ctx context.Context, r *http.Request) (tokens.Principal, error)

// Live is what may change while the server runs, all of it valid. Authenticate must not be nil; ids and names must differ.
type Live struct {
	Clients      []Client
	Policies     []otpstore.Terms
	Default      otpstore.Terms // of clients that name no policy
	Budgets      []Budget
	Authenticate Authenticate
	TestNumbers  []TestNumber // in force with Sandbox only
	Sandbox      bool
	Logged       string                    // of which requests a line is written at level info: LoggedAll, LoggedFailures; else of faults only
	Tell         map[string]otpstore.Facts // what each client is to be told later
}

// Values of Live.Logged.
const (
	LoggedAll      = "all"
	LoggedFailures = "failures"
)

// terms are those of the policy of that name.
func (l Live) terms(name string) otpstore.Terms {
	for _, p := range l.Policies {
		if name != "" && p.Name == name {
			return p
		}
	}
	return l.Default
}

// liveTables are a Live made ready for requests. They do not change, but for what is counted of the callers.
type liveTables struct {
	callers      map[string]*caller
	budgets      []Budget
	authenticate Authenticate
	sandbox      sandbox
	logged       string
}

// SetLive puts live in force for all requests from now on, in one step. What was counted of a client stays, but for the bucket of
// one whose rate or burst changes.
func (s *Server) SetLive(live Live) {
	s.swap.Lock()
	defer s.swap.Unlock()
	var before map[string]*caller
	if old := s.live.Load(); old != nil {
		before = old.callers
	}
	s.live.Store(&liveTables{
		callers:      callers(live, s.slots, before),
		budgets:      live.Budgets,
		authenticate: live.Authenticate,
		sandbox:      newSandbox(live),
		logged:       live.Logged,
	})
	for id := range before {
		if s.live.Load().callers[id] == nil {
			s.metrics.forget(id)
		}
	}
}
