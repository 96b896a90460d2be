package smpp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// A dialer makes connections to the SMSC.
type dialer func(ctx context.Context) (net.Conn, error)

// newDialer reads what it needs once, so that a connection can only fail for reasons of the network.
func newDialer(cfg Config) (dialer, error) {
	network := net.Dialer{
		// A silent connection that has died is noticed after 25 s.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         userTimeout(cfg.WriteTimeout),
	}
	if !cfg.TLS {
		return func(ctx context.Context) (net.Conn, error) { return network.DialContext(ctx, "tcp", cfg.Address) }, nil
	}
	secure := tls.Dialer{NetDialer: &network, Config: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.TLSServerName}}
	if cfg.TLSCA != "" {
		pem, err := os.ReadFile(cfg.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		secure.Config.RootCAs = x509.NewCertPool()
		if !secure.Config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca = %q: %w", cfg.TLSCA, errors.New("holds no certificate"))
		}
	}
	return func(ctx context.Context) (net.Conn, error) { return secure.DialContext(ctx, "tcp", cfg.Address) }, nil
}
