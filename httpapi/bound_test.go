package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"otpgw/httpapi/tokens"

	"github.com/golang-jwt/jwt/v5"
)

// bytesOf is b in base64url.
func bytesOf(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// newIssuer serves the public key over TLS and returns the configuration that trusts it.
func newIssuer(t *testing.T, key *ecdsa.PrivateKey) tokens.Config {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{"kid": "k", "kty": "EC", "crv": "P-256", "x": bytesOf(point[1:33]), "y": bytesOf(point[33:])}}})
	}))
	t.Cleanup(server.Close)
	cfg := tokens.DefaultConfig()
	cfg.Name, cfg.Issuer, cfg.JWKSURL, cfg.Audience = "idp", "idp", server.URL+"/keys", []string{"otp"}
	cfg.CA = filepath.Join(t.TempDir(), "idp.pem")
	if err := os.WriteFile(cfg.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// newVerifier runs a verifier of one issuer until the test ends.
func newVerifier(t *testing.T, cfg tokens.Config) *tokens.Verifier {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	v, err := tokens.New(nil, []tokens.Config{cfg}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- v.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	return v
}

// A token that is bound to a certificate is good over a connection that shows it, whoever made it, and over no other (RFC 8705 §3).
func TestTokensBoundToCertificatesOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := newIssuer(t, key)
	var nobody *authority
	own, other := nobody.client(t, "a.example", ""), nobody.client(t, "a.example", "")
	hash := sha256.Sum256(own.Certificates[0].Certificate[0])
	claims := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "idp", "aud": "otp", "client_id": "acme", "scope": scope,
		"exp": time.Now().Add(time.Minute).Unix(), "cnf": map[string]string{"x5t#S256": bytesOf(hash[:])}})
	claims.Header["kid"], claims.Header["typ"] = "k", "at+jwt"
	token, err := claims.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}

	p := newPlant(t, func(p *plant) {
		p.cfg.TLSCert, p.cfg.TLSKey = writePair(t, 1, -time.Hour, time.Hour)
		p.cfg.TLSClientAuth = "ask"
		p.live.Authenticate = newVerifier(t, issuer).Set().Authenticate
	})
	l := loopback(t)
	p.run(l)
	for _, row := range []struct {
		name   string
		client *tls.Config
		want   int
	}{
		{"its certificate", own, 200},
		{"another", other, 401},
		{"none", nobody.client(t, "", ""), 401},
		{"its certificate again", own, 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := over(t, "https://"+l.Addr().String(), sendPath, sendBody)
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := newClient(t, row.client).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if a := check(t, resp); a.status != row.want {
				t.Errorf("%d %s, want %d", a.status, a.body, row.want)
			}
		})
	}
	t.Run("an issuer whose certificate is another's", func(t *testing.T) {
		stranger := issuer
		stranger.CA = newAuthority(t).path
		step := newVerifier(t, stranger).Set().Probe(t.Context(), "idp")
		if step.OK {
			t.Error("its keys were taken")
		}
	})
}
