package admin_test

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
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/admin"
)

// certificate writes one that signs itself, and its key.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	octets, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(ending, kind string, content []byte) string {
		path := filepath.Join(dir, name+ending)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(".crt", "CERTIFICATE", der), write(".key", "PRIVATE KEY", octets)
}

func TestListenerWantsACertificateOfThoseWhoCome(t *testing.T) {
	dir := t.TempDir()
	cfg := admin.DefaultConfig()
	if c, err := cfg.TLS(); c != nil || err != nil {
		t.Errorf("by default: %v, %v", c, err)
	}
	cfg.TLSCert, cfg.TLSKey = certificate(t, dir, "server")
	clientCert, clientKey := certificate(t, dir, "client")
	strangerCert, strangerKey := certificate(t, dir, "stranger")
	cfg.TLSClientCA = clientCert
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	encryption, err := cfg.TLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", encryption)
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := newPage(&verbs{}, "")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Run(ctx, l) }()
	get := func(cert, key string) (int, error) {
		roots := x509.NewCertPool()
		text, err := os.ReadFile(cfg.TLSCert)
		if err != nil {
			t.Fatal(err)
		}
		roots.AppendCertsFromPEM(text)
		c := &tls.Config{RootCAs: roots}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + l.Addr().String() + "/healthz")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	if status, err := get(clientCert, clientKey); status != 200 {
		t.Errorf("with the right certificate: %d, %v", status, err)
	}
	if status, err := get("", ""); err == nil {
		t.Errorf("without one: %d", status)
	}
	if status, err := get(strangerCert, strangerKey); err == nil {
		t.Errorf("with a stranger's: %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTLSThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	_, other := certificate(t, dir, "other")
	for _, c := range []struct{ cert, key, ca, want string }{
		{cert, "", "", "tls_key"},
		{"", "", cert, "tls_client_ca"},
	} {
		cfg := admin.Config{Listen: "127.0.0.1:1", TLSCert: c.cert, TLSKey: c.key, TLSClientCA: c.ca}
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []struct{ cert, key, ca, want string }{
		{cert, other, "", "tls_cert = "},
		{dir + "/none", key, "", "tls_cert = "},
		{cert, key, key, "tls_client_ca = "},
		{cert, key, dir + "/none", "tls_client_ca = "},
	} {
		cfg := admin.Config{TLSCert: c.cert, TLSKey: c.key, TLSClientCA: c.ca}
		if _, err := cfg.TLS(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
