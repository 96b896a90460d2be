//go:build linux

package counterpart

import (
	"net"
	"sync"
	"testing"
)

// A Tap relays connections to a server and keeps what both sides say.
type Tap struct {
	Address string // to be called in place of the server's

	mu    sync.Mutex // guards what follows
	calls []*Call
}

// A Call is one connection: what the side that opened it said, and what the other did.
type Call struct{ Caller, Called []byte }

// NewTap relays to a server until the end of the test.
func NewTap(t testing.TB, server string) *Tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap := &Tap{Address: l.Addr().String()}
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			caller, err := l.Accept()
			if err != nil {
				return
			}
			called, err := net.Dial("tcp", server)
			if err != nil {
				caller.Close()
				continue
			}
			call := new(Call)
			tap.mu.Lock()
			tap.calls = append(tap.calls, call)
			tap.mu.Unlock()
			relays.Go(func() { tap.relay(called, caller, &call.Caller) })
			relays.Go(func() { tap.relay(caller, called, &call.Called) })
		}
	})
	t.Cleanup(func() { l.Close(); relays.Wait() })
	return tap
}

// relay ends both directions when from ends: who closes an SMPP connection has nothing more to hear.
func (tap *Tap) relay(to, from net.Conn, kept *[]byte) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		tap.mu.Lock()
		*kept = append(*kept, buffer[:n]...)
		tap.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// Calls are all connections so far, in their order.
func (tap *Tap) Calls() []Call {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	all := make([]Call, len(tap.calls))
	for i, call := range tap.calls {
		all[i] = *call // what is appended later is behind these
	}
	return all
}
