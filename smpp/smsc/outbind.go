package smsc

import (
	"context"
	"net"
	"time"
)

// outbindRetry is how long the SMSC waits before it calls a client again.
const outbindRetry = time.Second

// callOut calls the client of Config.Outbind while nobody is bound and asks it to bind (SMPP 3.4 §2.2.1, §4.1.7), until
// ctx ends.
func (s *Server) callOut(ctx context.Context) {
	var dialer net.Dialer
	for ctx.Err() == nil {
		address := s.config().Outbind
		if address == "" {
			select {
			case <-s.configured:
			case <-ctx.Done():
			}
			continue
		}
		if s.Stats().Sessions == 0 {
			patience, cancel := context.WithTimeout(ctx, writeTimeout)
			conn, err := dialer.DialContext(patience, "tcp", address)
			cancel()
			if err != nil {
				s.log.Info("client not reached", "peer", address, "error", err)
			} else if session := s.admit(conn); session != nil {
				session.outbound = true
				s.serve(ctx, session)
			}
		}
		select {
		case <-time.After(outbindRetry):
		case <-ctx.Done():
		}
	}
}
