package tokens_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi/tokens"

	"github.com/go-jose/go-jose/v4"
)

func certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTokensBoundToCertificates is RFC 8705 §3.
func TestTokensBoundToCertificates(t *testing.T) {
	p := newProvider(t)
	b := newBench(t, true, config(p, nil))
	own, other := certificate(t), certificate(t)
	hash := sha256.Sum256(own.Raw)
	token := sign(object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, p.claims(object{
		"cnf": object{"x5t#S256": base64.RawURLEncoding.EncodeToString(hash[:])}}), "RS256", keyPairs()["rsa"])
	for _, c := range []struct {
		name       string
		connection *tls.ConnectionState
		good       bool
	}{
		{"its certificate", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own, other}}, true},
		{"another", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{other}}, false},
		{"its certificate behind another", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{other, own}}, false},
		{"none", &tls.ConnectionState{}, false},
		{"no TLS", nil, false},
		{"its certificate again", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // the second time from the cache
				r := request("Bearer", token)
				r.TLS = c.connection
				principal, err := b.Set().Authenticate(t.Context(), r)
				if !c.good {
					wantRefusal(t, principal, err, "bound")
				} else if err != nil || principal.Client != "acme" {
					t.Errorf("%+v %v", principal, err)
				}
			}
		})
	}
}

// thumbprint is that of a public key by another library.
func thumbprint(t testing.TB, public any) string {
	t.Helper()
	key := jose.JSONWebKey{Key: public}
	sum, err := key.Thumbprint(5) // crypto.SHA256
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

const sendPath = "/one-time-password-sms/v1/send-code"

// TestProofs is RFC 9449 §4.3 and §7.1.
func TestProofs(t *testing.T) {
	p := newProvider(t)
	pairs := keyPairs()
	b := newBench(t, true, config(p, func(c *tokens.Config) { c.DPoP, c.PublicURL = true, audience }))
	bound := func(key string) string {
		return sign(object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, p.claims(object{"jti": rand.Text(),
			"cnf": object{"jkt": thumbprint(t, pairs[key].Public())}}), "RS256", pairs["rsa"])
	}
	token, unbound := bound("p256"), p.grant(t, scope)
	now := time.Now().Unix()
	public := jose.JSONWebKey{Key: pairs["p256"].Public()}
	private := jose.JSONWebKey{Key: pairs["p256"]}
	type proof struct {
		head, claims object
		alg, key     string
		token        string
	}
	make := func(x proof) string {
		if x.alg == "" {
			x.alg, x.key = "ES256", "p256"
		}
		if x.token == "" {
			x.token = token
		}
		hash := sha256.Sum256([]byte(x.token))
		head := object{"typ": "dpop+jwt", "alg": x.alg, "jwk": jose.JSONWebKey{Key: pairs[x.key].Public()}}
		claims := object{"jti": rand.Text(), "htm": "POST", "htu": audience + sendPath, "iat": now, "ath": base64.RawURLEncoding.EncodeToString(hash[:])}
		maps.Copy(head, x.head)
		maps.Copy(claims, x.claims)
		maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
		maps.DeleteFunc(head, func(_ string, v any) bool { return v == nil })
		return sign(head, claims, x.alg, pairs[x.key])
	}
	once := make(proof{})
	for _, c := range []struct {
		name, scheme, token string
		proofs              []string
		reason              string
	}{
		{"good", "DPoP", token, []string{once}, ""},
		{"the same again", "DPoP", token, []string{once}, "proof"},
		{"scheme in lower case", "dpop", token, []string{make(proof{})}, ""},
		{"by RSA", "DPoP", bound("rsa2"), nil, ""},
		{"by Ed25519", "DPoP", bound("ed"), nil, ""},
		{"five minutes old", "DPoP", token, []string{make(proof{claims: object{"iat": now - 290}})}, ""},
		{"a query in htu", "DPoP", token, []string{make(proof{claims: object{"htu": audience + sendPath + "?a=b#c"}})}, ""},
		{"htu with the port", "DPoP", token, []string{make(proof{claims: object{"htu": "https://OTP.example.com:443" + sendPath}})}, ""},
		{"no proof", "DPoP", token, []string{}, "proof"},
		{"two proofs", "DPoP", token, []string{make(proof{}), make(proof{})}, "proof"},
		{"as Bearer", "Bearer", token, []string{make(proof{})}, "bound"},
		{"token that is not bound", "DPoP", unbound, []string{make(proof{token: unbound})}, "bound"},
		{"another method", "DPoP", token, []string{make(proof{claims: object{"htm": "GET"}})}, "proof"},
		{"method in lower case", "DPoP", token, []string{make(proof{claims: object{"htm": "post"}})}, "proof"},
		{"another path", "DPoP", token, []string{make(proof{claims: object{"htu": audience + "/x"}})}, "proof"},
		{"another host", "DPoP", token, []string{make(proof{claims: object{"htu": "https://evil.example.com" + sendPath}})}, "proof"},
		{"the address that the request came to", "DPoP", token, []string{make(proof{claims: object{"htu": "http://10.0.0.1" + sendPath}})}, "proof"},
		{"another scheme", "DPoP", token, []string{make(proof{claims: object{"htu": "http://otp.example.com" + sendPath}})}, "proof"},
		{"too old", "DPoP", token, []string{make(proof{claims: object{"iat": now - 330}})}, "proof"},
		{"from the future", "DPoP", token, []string{make(proof{claims: object{"iat": now + 90}})}, "proof"},
		{"no iat", "DPoP", token, []string{make(proof{claims: object{"iat": nil}})}, "proof"},
		{"no jti", "DPoP", token, []string{make(proof{claims: object{"jti": nil}})}, "proof"},
		{"long jti", "DPoP", token, []string{make(proof{claims: object{"jti": strings.Repeat("x", 300)}})}, "proof"},
		{"ath of another token", "DPoP", token, []string{make(proof{token: unbound})}, "proof"},
		{"no ath", "DPoP", token, []string{make(proof{claims: object{"ath": nil}})}, "proof"},
		{"another key", "DPoP", token, []string{make(proof{alg: "PS256", key: "rsa2"})}, "proof"},
		{"key of another in the header", "DPoP", token, []string{make(proof{alg: "PS256", key: "rsa2", head: object{"jwk": public}})}, "proof"},
		{"private key in the header", "DPoP", token, []string{make(proof{head: object{"jwk": private}})}, "proof"},
		{"no key in the header", "DPoP", token, []string{make(proof{head: object{"jwk": nil}})}, "proof"},
		{"a shared secret in the header", "DPoP", token, []string{make(proof{head: object{"jwk": object{"kty": "oct", "k": "AAAA"}}})}, "proof"},
		{"another typ", "DPoP", token, []string{make(proof{head: object{"typ": "JWT"}})}, "proof"},
		{"alg none", "DPoP", token, []string{make(proof{head: object{"alg": "none"}})}, "proof"},
		{"alg that is not configured", "DPoP", token, []string{make(proof{head: object{"alg": "ES384"}, alg: "ES384", key: "p384"})}, "proof"},
		{"crit", "DPoP", token, []string{make(proof{head: object{"crit": []string{"x"}}})}, "proof"},
		{"no JWT", "DPoP", token, []string{"x"}, "proof"},
		{"9 KiB", "DPoP", token, []string{strings.Repeat("x", 9000)}, "proof"},
		{"good at last", "DPoP", token, []string{make(proof{})}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(c.scheme, c.token)
			r.Header["Dpop"] = c.proofs
			switch c.name {
			case "by RSA":
				r.Header["Dpop"] = []string{make(proof{alg: "RS256", key: "rsa2", token: c.token})}
			case "by Ed25519":
				r.Header["Dpop"] = []string{make(proof{alg: "EdDSA", key: "ed", token: c.token})}
			}
			principal, err := b.Set().Authenticate(t.Context(), r)
			if c.reason == "" {
				if err != nil || principal.Client != "acme" {
					t.Errorf("%+v %v (%s)", principal, err, detail(err))
				}
				return
			}
			wantRefusal(t, principal, err, c.reason)
			challenges := tokens.Challenges(err, "r", true)
			want := []string{`Bearer realm="r"`, `DPoP realm="r", error="invalid_token", algs="ES256 EdDSA PS256 RS256"`}
			switch {
			case c.reason == "proof":
				want[1] = strings.Replace(want[1], "invalid_token", "invalid_dpop_proof", 1)
			case c.scheme == "Bearer":
				want = []string{`Bearer realm="r", error="invalid_token"`, `DPoP realm="r", algs="ES256 EdDSA PS256 RS256"`}
			}
			if !slices.Equal(challenges, want) {
				t.Errorf("WWW-Authenticate: %q, want %q", challenges, want)
			}
		})
	}
}

func TestProofsAreRememberedAsLongAsTheyLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := tokens.NewProofs(3)
		for n := range byte(3) {
			if err := tokens.First(seen, [32]byte{n}, time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if err := tokens.First(seen, [32]byte{9}, time.Now()); !errors.Is(err, tokens.ErrAuthUnavailable) {
			t.Errorf("%v: one too many must not push out another", err)
		}
		time.Sleep(5 * time.Minute)
		for n := range byte(3) {
			if err := tokens.First(seen, [32]byte{n}, time.Now()); !errors.Is(err, tokens.ErrUnauthenticated) {
				t.Errorf("proof %d: %v", n, err)
			}
		}
		time.Sleep(time.Minute)
		for n := range byte(3) {
			if err := tokens.First(seen, [32]byte{n + 10}, time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestChallenges(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, `Bearer realm="r"`},
		{[]string{"Bearer x"}, `Bearer realm="r", error="invalid_token"`},
		{[]string{"DPoP x"}, `Bearer realm="r", error="invalid_token"`},
		{[]string{"Basic x"}, `Bearer realm="r", error="invalid_token"`},
	} {
		r := &http.Request{Header: http.Header{"Authorization": c.header}}
		_, err := tokens.File(nil)(context.Background(), r)
		if got := tokens.Challenges(err, "r", len(c.header) > 0); len(got) != 1 || got[0] != c.want {
			t.Errorf("%q: %q, want %q", c.header, got, c.want)
		}
	}
	if got := tokens.Challenges(tokens.ErrUnauthenticated, "r", true); got[0] != `Bearer realm="r", error="invalid_token"` {
		t.Errorf("%q", got)
	}
}
