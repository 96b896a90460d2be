package smpp

import (
	"context"
	"net"
)

// SetDialer makes p connect through dial. It must be called before Run.
func SetDialer(p *Pool, dial func(context.Context) (net.Conn, error)) { p.dial = dial }
