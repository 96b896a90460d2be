package httpapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"otpgw/httpapi"
)

// An authority signs certificates of clients.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	path        string // of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{path: filepath.Join(t.TempDir(), "ca.pem")}
	var der []byte
	a.key, der = sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.certificate = certificate
	if err := os.WriteFile(a.path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate of template, signed by its own key where there is no authority.
func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// client is the TLS of a client with that name, or with none where both are empty.
func (a *authority) client(t *testing.T, dns, uri string) *tls.Config {
	cfg := &tls.Config{InsecureSkipVerify: true} // the server's certificate is another test's
	if dns == "" && uri == "" {
		return cfg
	}
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if dns != "" {
		template.DNSNames = []string{dns}
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	key, der := sign(t, template, a)
	cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return cfg
}

func TestCertificatesOfClients(t *testing.T) {
	ours, stranger := newAuthority(t), newAuthority(t)
	var nobody *authority // signs for itself
	const refused = -1    // at the handshake
	for _, row := range []struct {
		name, auth string
		names      []string
		client     *tls.Config
		want       int
	}{
		{"none asked, none shown", "none", nil, nobody.client(t, "", ""), 200},
		{"none asked, one needed", "none", []string{"a"}, ours.client(t, "a", ""), 403},
		{"asked, none shown", "ask", nil, ours.client(t, "", ""), 200},
		{"asked, none shown, one needed", "ask", []string{"a"}, ours.client(t, "", ""), 403},
		{"asked, the right one", "ask", []string{"x", "a.example"}, ours.client(t, "a.example", ""), 200},
		{"asked, the right URI", "ask", []string{"spiffe://x/bank"}, ours.client(t, "", "spiffe://x/bank"), 200},
		{"asked, another name", "ask", []string{"a.example"}, ours.client(t, "b.example", ""), 403},
		{"asked, another authority", "ask", []string{"a.example"}, stranger.client(t, "a.example", ""), refused},
		{"asked, its own authority", "ask", []string{"a.example"}, nobody.client(t, "a.example", ""), refused},
		{"required, none shown", "require", nil, ours.client(t, "", ""), refused},
		{"required, the right one", "require", []string{"a.example"}, ours.client(t, "a.example", ""), 200},
		{"required, another authority", "require", nil, stranger.client(t, "a.example", ""), refused},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlant(t, func(p *plant) {
				p.cfg.TLSCert, p.cfg.TLSKey = writePair(t, 1, -time.Hour, time.Hour)
				p.cfg.TLSClientAuth, p.live.Clients[0].CertificateNames = row.auth, row.names
				if row.auth != "none" {
					p.cfg.TLSClientCA = ours.path
				}
			})
			l := loopback(t)
			p.run(l)
			resp, err := newClient(t, row.client).Do(over(t, "https://"+l.Addr().String(), sendPath, sendBody))
			switch {
			case err != nil && row.want != refused:
				t.Error(err)
			case err == nil:
				if a := check(t, resp); a.status != row.want {
					t.Errorf("%d %s, want %d", a.status, a.body, row.want)
				}
			}
		})
	}
}

// A token that is bound to a certificate needs one to be shown, whoever made it.
func TestAskWithoutAnAuthority(t *testing.T) {
	var nobody *authority
	p := newPlant(t, func(p *plant) {
		p.cfg.TLSCert, p.cfg.TLSKey = writePair(t, 1, -time.Hour, time.Hour)
		p.cfg.TLSClientAuth = "ask"
	})
	l := loopback(t)
	p.run(l)
	resp, err := newClient(t, nobody.client(t, "a.example", "")).Do(over(t, "https://"+l.Addr().String(), sendPath, sendBody))
	if err != nil {
		t.Fatal(err)
	}
	if a := check(t, resp); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	// It proves nothing about whose it is.
	p.live.Clients[0].CertificateNames = []string{"a.example"}
	p.SetLive(p.live)
	resp, err = newClient(t, nobody.client(t, "a.example", "")).Do(over(t, "https://"+l.Addr().String(), sendPath, sendBody))
	if err != nil {
		t.Fatal(err)
	}
	if a := check(t, resp); a.status != 403 {
		t.Errorf("a certificate that nobody vouches for: %d", a.status)
	}
}

func TestClientAuthConfig(t *testing.T) {
	cfg := httpapi.DefaultConfig()
	cfg.TLSClientAuth = "require"
	expect(t, cfg.Validate(), "tls_client_ca", "tls_client_auth")
	cfg.TLSClientAuth = "maybe"
	expect(t, cfg.Validate(), "tls_client_auth", "tls_client_auth")
}
