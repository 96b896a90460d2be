package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newPair is a certificate for 127.0.0.1 with that serial number, and its key.
func newPair(t *testing.T, serial int64, expires time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// certify gives the configuration a certificate.
func (p *plant) certify(t *testing.T) {
	t.Helper()
	cert, key := newPair(t, 1, time.Now().Add(time.Hour))
	p.write("cert.pem", cert, 0o600)
	p.write("key.pem", key, 0o600)
	p.replace("[http]\n", fmt.Sprintf("[http]\ntls_cert = %q\ntls_key = %q\n", filepath.Join(p.dir, "cert.pem"), filepath.Join(p.dir, "key.pem")))
}

// serial is that of the certificate that the API shows, over a connection of its own.
func (p *plant) serial(least uint16) (int64, error) {
	conn, err := tls.Dial("tcp", p.http, &tls.Config{InsecureSkipVerify: true, MaxVersion: least}) //nolint:gosec // it is looked at, not trusted
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestCertificateIsRenewedWithoutARestart(t *testing.T) {
	p := newPlant(t)
	p.kill()
	p.certify(t)
	p.start()
	shows := func(want int64) bool { n, err := p.serial(0); return err == nil && n == want }
	p.await("the first certificate", func() bool { return shows(1) })
	if _, err := p.serial(tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 was accepted")
	}

	cert, key := newPair(t, 2, time.Now().Add(time.Hour))
	p.write("cert.pem", cert, 0o600)
	p.write("key.pem", key, 0o600)
	p.signal(syscall.SIGHUP)
	p.await("the renewed certificate", func() bool { return shows(2) })
	if !strings.Contains(p.logged(), `"msg":"certificate in force","component":"httpapi","serial":"2"`) {
		t.Error("the renewed certificate is not in the log")
	}

	// One that is over, and one whose key is another's, change nothing.
	expired, expiredKey := newPair(t, 3, time.Now().Add(-time.Minute))
	for _, pair := range [][2]string{{expired, expiredKey}, {expired, key}} {
		refused := strings.Count(p.logged(), "reload refused")
		p.write("cert.pem", pair[0], 0o600)
		p.write("key.pem", pair[1], 0o600)
		p.signal(syscall.SIGHUP)
		p.await("refusal", func() bool { return strings.Count(p.logged(), "reload refused") > refused })
		if !shows(2) {
			t.Error("the certificate in force was given up")
		}
	}
}
