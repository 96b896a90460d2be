package smpp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otpgw/smpp"
)

// certificate makes a certificate for 127.0.0.1 that signs itself, and a file that holds it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smsc"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// overTLS runs a pool of that configuration against a simulator behind TLS for as long as f takes.
func overTLS(t *testing.T, server *tls.Config, change func(c *smpp.Config), f func(pool *smpp.Pool)) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{accepted: make(chan net.Conn)}
	s := newSimulator(l)
	s.quiet = true
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.accepted <- conn
		}
	}()
	cfg := testConfig()
	cfg.Endpoints, cfg.TLS = []string{listener.Addr().String()}, true
	change(&cfg)
	pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: ignore}, nil, discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	f(pool)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	listener.Close()
	<-accepting
	s.wait()
}

func TestTLS(t *testing.T) {
	cert, path := certificate(t)
	overTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(c *smpp.Config) { c.TLSCA = path }, func(pool *smpp.Pool) {
		for range 100 {
			if _, err := pool.Send(t.Context(), hello); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTLSRefusesAnotherCertificate(t *testing.T) {
	cert, _ := certificate(t)
	_, other := certificate(t)
	for name, change := range map[string]func(c *smpp.Config){
		"another authority": func(c *smpp.Config) { c.TLSCA = other },
		"system's":          func(*smpp.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, change, func(pool *smpp.Pool) {
				_, err := pool.Send(t.Context(), hello)
				isUnavailable(t, err)
				if err := pool.Ready(); err == nil || !strings.Contains(err.Error(), "certificate") {
					t.Errorf("Ready = %v", err)
				}
			})
		})
	}
}

func TestTLSClientCertificate(t *testing.T) {
	cert, path := certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyPath := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	server := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	overTLS(t, server, func(c *smpp.Config) { c.TLSCA, c.TLSCert, c.TLSKey = path, path, keyPath }, func(pool *smpp.Pool) {
		if _, err := pool.Send(t.Context(), hello); err != nil {
			t.Error(err)
		}
	})
	overTLS(t, server, func(c *smpp.Config) { c.TLSCA = path }, func(pool *smpp.Pool) {
		_, err := pool.Send(t.Context(), hello)
		isUnavailable(t, err)
	})
}

func TestTLSNeedsAReadableAuthority(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing.pem"), empty} {
		cfg := testConfig()
		cfg.TLS, cfg.TLSCA = true, path
		_, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{Deliver: ignore}, nil, discard())
		if err == nil || !strings.HasPrefix(err.Error(), "smsc main: tls_ca") {
			t.Errorf("NewPool = %v", err)
		}
	}
}
