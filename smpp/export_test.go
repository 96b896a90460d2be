package smpp

import (
	"context"
	"net"
)

// SetDialer makes the binds of all accounts of p connect through dial, which is told the account and the number of the
// endpoint. It must be called before Run.
func SetDialer(p *Pool, dial func(ctx context.Context, smsc string, endpoint int) (net.Conn, error)) {
	p.dialer = func(cfg Config) (dialer, error) {
		if _, err := newDialer(cfg); err != nil {
			return nil, err
		}
		return func(ctx context.Context, endpoint int) (dialed, error) {
			ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
			defer cancel()
			conn, err := dial(ctx, cfg.Name, endpoint)
			return dialed{conn, "scripted"}, err
		}, nil
	}
	for _, a := range p.list() {
		for _, b := range a.binds {
			if b.name != "outbind" {
				b.dial, _ = p.dialer(a.config)
			}
		}
	}
}
