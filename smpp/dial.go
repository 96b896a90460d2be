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

// A dialed is a connection and where it goes.
type dialed struct {
	conn net.Conn
	peer string
}

// A dialer makes a connection to the endpoint of that number, counted round.
type dialer func(ctx context.Context, endpoint int) (dialed, error)

// newDialer reads what it needs once, so that a connection can only fail for reasons of the network.
func newDialer(cfg Config) (dialer, error) {
	network := net.Dialer{
		// A silent connection that has died is noticed after 25 s.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         userTimeout(cfg.WriteTimeout),
	}
	dial := network.DialContext
	if cfg.TLS {
		secure, err := tlsConfig(cfg)
		if err != nil {
			return nil, err
		}
		dial = (&tls.Dialer{NetDialer: &network, Config: secure}).DialContext
	}
	return func(ctx context.Context, endpoint int) (dialed, error) {
		ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
		defer cancel()
		peer := cfg.Endpoints[endpoint%len(cfg.Endpoints)]
		conn, err := dial(ctx, "tcp", peer)
		return dialed{conn, peer}, err
	}, nil
}

func tlsConfig(cfg Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.TLSServerName}
	if cfg.TLSCA != "" {
		pem, err := os.ReadFile(cfg.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca = %q: %w", cfg.TLSCA, errors.New("holds no certificate"))
		}
	}
	if cfg.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("tls_cert = %q with tls_key = %q: %w", cfg.TLSCert, cfg.TLSKey, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
