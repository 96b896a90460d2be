package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// arrivals are the connections on which no request was read yet. net/http closes the one that brings its request while the server is
// shutting down, so the end has to wait for them.
type arrivals struct{ conns sync.Map }

// note is a ConnState of http.Server.
func (a *arrivals) note(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		a.conns.Store(c, nil)
	case http.StateActive, http.StateClosed, http.StateHijacked:
		a.conns.LoadAndDelete(c)
	}
}

func (a *arrivals) none() bool {
	none := true
	a.conns.Range(func(any, any) bool { none = false; return false })
	return none
}

// settled is how long a server goes on after the last arrival, for requests that are on their way on connections that were idle:
// their answers say that the connection ends.
const settled = 100 * time.Millisecond

// drain ends server without losing a request that was sent: it accepts nothing more, waits until every connection that was accepted
// has brought its request, and for the answers.
func (s *Server) drain(ctx context.Context, server *http.Server, l net.Listener, a *arrivals) error {
	s.closing.Store(true)
	_ = l.Close() // Serve returns; what was accepted before goes on
	limit := time.NewTimer(readHeaderTimeout)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for quiet := time.Duration(0); quiet < settled; {
		select {
		case <-look.C:
			if quiet += 5 * time.Millisecond; !a.none() {
				quiet = 0
			}
		case <-limit.C:
			quiet = settled
		case <-ctx.Done():
			quiet = settled
		}
	}
	return server.Shutdown(ctx)
}
