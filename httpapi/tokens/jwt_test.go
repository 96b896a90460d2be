package tokens_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/tokens"
)

func TestTokensOfARealProviderAreTaken(t *testing.T) {
	p := newProvider(t)
	b := newBench(t, true, config(p, nil))
	token := p.grant(t, scope+" openid")
	b.good(t, token)
	b.good(t, token)
	if n := b.metric(t, "otpgw_token_cache_hits_total", "idp"); n != 1 {
		t.Errorf("%v hits of the cache, want 1", n)
	}
	if n := b.metric(t, "otpgw_token_checks_total", "idp", "ok"); n != 2 {
		t.Errorf("%v checks went well, want 2", n)
	}
	if got := p.fetched.Load(); got != 1 {
		t.Errorf("the keys were fetched %d times", got)
	}
}

func TestGoodTokens(t *testing.T) {
	p := newProvider(t)
	pairs := keyPairs()
	p.rotate(signingKey{"k1", "RS256", "sig", pairs["rsa"]}, signingKey{"ps", "PS256", "sig", pairs["rsa2"]},
		signingKey{"es", "ES256", "sig", pairs["p256"]}, signingKey{"ed", "EdDSA", "sig", pairs["ed"]})
	b := newBench(t, true, config(p, nil))
	head := func(change object) object {
		h := object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
		maps.Copy(h, change)
		return h
	}
	now := time.Now().Unix()
	for _, c := range []struct {
		name   string
		head   object
		claims object
		key    string
	}{
		{"RS256", nil, nil, "rsa"},
		{"PS256", object{"alg": "PS256", "kid": "ps"}, nil, "rsa2"},
		{"ES256", object{"alg": "ES256", "kid": "es"}, nil, "p256"},
		{"EdDSA", object{"alg": "EdDSA", "kid": "ed"}, nil, "ed"},
		{"typ JWT", object{"typ": "JWT"}, nil, "rsa"},
		{"typ in full and another case", object{"typ": "application/AT+JWT"}, nil, "rsa"},
		{"two audiences", nil, object{"aud": []string{"x", audience}}, "rsa"},
		{"scp as a list", nil, object{"scope": nil, "scp": []string{scope, "x"}}, "rsa"},
		{"scp as a string", nil, object{"scope": nil, "scp": scope + " x"}, "rsa"},
		{"scope as a list", nil, object{"scope": []string{scope}}, "rsa"},
		{"azp", nil, object{"client_id": nil, "azp": "acme"}, "rsa"},
		{"client_id before azp", nil, object{"azp": "other"}, "rsa"},
		{"expired within the leeway", nil, object{"exp": now - 20}, "rsa"},
		{"issued ahead within the leeway", nil, object{"iat": now + 20, "nbf": now + 20}, "rsa"},
		{"no iat and nbf", nil, object{"iat": nil, "nbf": nil}, "rsa"},
		{"jku, x5u, x5c and jwk of nobody", object{"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "jwk": object{"kty": "oct", "k": "AA"}, "x5c": []string{"AA"}, "x5t": "x"}, nil, "rsa"},
		{"members that nobody knows", object{"x": 1}, object{"roles": []any{1, object{"a": nil}}}, "rsa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := head(c.head)
			b.good(t, sign(h, p.claims(c.claims), h["alg"].(string), pairs[c.key]))
		})
	}
}

// TestHostileTokens holds that nothing of this is let in, and why.
func TestHostileTokens(t *testing.T) {
	p := newProvider(t)
	pairs := keyPairs()
	p.rotate(signingKey{"k1", "RS256", "sig", pairs["rsa"]}, signingKey{"es", "ES256", "sig", pairs["p256"]},
		signingKey{"enc", "RS256", "enc", pairs["rsa2"]}, signingKey{"weak", "RS256", "sig", pairs["weak"]},
		signingKey{"es384", "ES384", "sig", pairs["p384"]})
	b := newBench(t, true, config(p, nil))

	now := time.Now().Unix()
	head := object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
	headed := func(change object) string { // a good token but for its header
		h := maps.Clone(head)
		maps.Copy(h, change)
		return sign(h, p.claims(nil), "RS256", pairs["rsa"])
	}
	claiming := func(change object) string { return sign(head, p.claims(change), "RS256", pairs["rsa"]) }
	raw := func(old, new string) string { // a good token whose claims in JSON are changed
		text, _ := json.Marshal(p.claims(object{"exp": now + 300}))
		changed := strings.Replace(string(text), old, new, 1)
		if changed == string(text) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return sign(head, changed, "RS256", pairs["rsa"])
	}
	good := claiming(nil)
	parts := strings.Split(good, ".")
	public := pairs["rsa"].Public().(*rsa.PublicKey)
	der, _ := x509.MarshalPKIXPublicKey(public)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	n := base64.RawURLEncoding.EncodeToString(public.N.Bytes())
	exp := fmt.Sprintf(`"exp":%d`, now+300)
	esHead := object{"alg": "ES256", "kid": "es", "typ": "at+jwt"}
	esText := encode(esHead) + "." + encode(p.claims(nil))
	esDER := func() string {
		token := sign(esHead, p.claims(nil), "ES256", pairs["p256"])
		sig, _ := base64.RawURLEncoding.DecodeString(token[strings.LastIndex(token, ".")+1:])
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return token[:strings.LastIndex(token, ".")+1] + base64.RawURLEncoding.EncodeToString(ecdsaDER(r, s))
	}()

	for _, c := range []struct{ name, token, reason string }{
		{"alg none", encode(object{"alg": "none", "kid": "k1", "typ": "at+jwt"}) + "." + parts[1] + ".", "algorithm"},
		{"alg None", encode(object{"alg": "None", "kid": "k1", "typ": "at+jwt"}) + "." + parts[1] + "." + parts[2], "algorithm"},
		{"alg none and typ JWT", encode(`{"alg":"none"}`) + "." + parts[1] + ".", "algorithm"},
		{"alg of nobody", headed(object{"alg": "RS999"}), "algorithm"},
		{"no alg", headed(object{"alg": ""}), "algorithm"},
		{"alg as a list", headed(object{"alg": []string{"RS256"}}), "malformed"},
		{"HS256 with the public key in PEM", sign(object{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, p.claims(nil), "HS256", asPEM), "algorithm"},
		{"HS256 with the public key in DER", sign(object{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, p.claims(nil), "HS256", der), "algorithm"},
		{"HS256 with the modulus", sign(object{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, p.claims(nil), "HS256", []byte(n)), "algorithm"},
		{"RS512 on a key for RS256", sign(object{"alg": "RS512", "kid": "k1", "typ": "at+jwt"}, p.claims(nil), "RS512", pairs["rsa"]), "algorithm"},
		{"PS256 on a key for RS256", sign(object{"alg": "PS256", "kid": "k1", "typ": "at+jwt"}, p.claims(nil), "PS256", pairs["rsa"]), "signature"},
		{"ES256 on a key of RSA", headed(object{"alg": "ES256"}), "signature"},
		{"RS256 on a key of an elliptic curve", headed(object{"kid": "es"}), "signature"},
		{"EdDSA on a key of RSA", headed(object{"alg": "EdDSA"}), "signature"},
		{"ES256 on a key of P-384", sign(object{"alg": "ES256", "kid": "es384", "typ": "at+jwt"}, p.claims(nil), "ES256", pairs["p256"]), "signature"},
		{"no kid", sign(object{"alg": "RS256", "typ": "at+jwt"}, p.claims(nil), "RS256", pairs["rsa"]), "key"},
		{"empty kid", headed(object{"kid": ""}), "key"},
		{"kid as a number", headed(object{"kid": 1}), "malformed"},
		{"unknown kid", headed(object{"kid": "k2"}), "key"},
		{"kid as a path", headed(object{"kid": "../../../../dev/null"}), "key"},
		{"kid as a URL", headed(object{"kid": p.issuer + "/keys"}), "key"},
		{"kid as SQL", headed(object{"kid": "k1' UNION SELECT 'x"}), "key"},
		{"kid with NUL", headed(object{"kid": "k1\x00"}), "key"},
		{"kid of 4 KiB", headed(object{"kid": strings.Repeat("k", 4096)}), "key"},
		{"kid of 1 MiB", headed(object{"kid": strings.Repeat("k", 1<<20)}), "malformed"},
		{"key that is for encryption", sign(object{"alg": "RS256", "kid": "enc", "typ": "at+jwt"}, p.claims(nil), "RS256", pairs["rsa2"]), "key"},
		{"key of 1024 bits", sign(object{"alg": "RS256", "kid": "weak", "typ": "at+jwt"}, p.claims(nil), "RS256", pairs["weak"]), "key"},
		{"key in the header", sign(object{"alg": "RS256", "kid": "k1", "typ": "at+jwt", "jwk": object{"kty": "RSA", "e": "AQAB", "n": n}}, p.claims(nil), "RS256", pairs["rsa2"]), "signature"},
		{"jku and a kid that is there", sign(object{"alg": "RS256", "kid": "mine", "typ": "at+jwt", "jku": p.issuer + "/keys"}, p.claims(nil), "RS256", pairs["rsa2"]), "key"},
		{"crit that is unknown", headed(object{"crit": []string{"x"}, "x": 1}), "malformed"},
		{"crit that is empty", headed(object{"crit": []string{}}), "malformed"},
		{"b64 false", headed(object{"b64": false, "crit": []string{"b64"}}), "malformed"},
		{"zip", headed(object{"zip": "DEF"}), "malformed"},
		{"nested", headed(object{"cty": "JWT"}), "malformed"},
		{"JWE", encode(object{"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "k1"}) + ".AA.AA.AA.AA", "unknown"},
		{"enc in a JWS", headed(object{"enc": "A256GCM"}), "malformed"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "unknown"},
		{"alg twice", sign(`{"alg":"none","kid":"k1","typ":"at+jwt","alg":"RS256"}`, p.claims(nil), "RS256", pairs["rsa"]), "malformed"},
		{"kid twice", sign(`{"alg":"RS256","kid":"k1","typ":"at+jwt","kid":"k1"}`, p.claims(nil), "RS256", pairs["rsa"]), "malformed"},
		{"header with something behind", sign(`{"alg":"RS256","kid":"k1","typ":"at+jwt"}{}`, p.claims(nil), "RS256", pairs["rsa"]), "malformed"},
		{"header that is a list", sign(`[]`, p.claims(nil), "RS256", pairs["rsa"]), "malformed"},
		{"ALG for alg", sign(`{"ALG":"RS256","kid":"k1","typ":"at+jwt"}`, p.claims(nil), "RS256", pairs["rsa"]), "algorithm"},
		{"another typ", headed(object{"typ": "dpop+jwt"}), "type"},
		{"typ of a logout token", headed(object{"typ": "logout+jwt"}), "type"},
		{"no typ", sign(object{"alg": "RS256", "kid": "k1"}, p.claims(nil), "RS256", pairs["rsa"]), "type"},
		{"signature of another key", sign(head, p.claims(nil), "RS256", pairs["rsa2"]), "signature"},
		{"no signature", parts[0] + "." + parts[1] + ".", "signature"},
		{"two parts", parts[0] + "." + parts[1], "unknown"},
		{"claims of another token", parts[0] + "." + encode(p.claims(object{"client_id": "bank"})) + "." + parts[2], "signature"},
		{"a bit flipped", flip(good), "signature"},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], "malformed"},
		{"base64 of the other alphabet", parts[0] + "." + parts[1] + ".+/" + parts[2][2:], "malformed"},
		{"bits after the end", trailing(good), "malformed"},
		{"a line feed within", parts[0] + "." + parts[1] + "." + parts[2][:10] + "\n" + parts[2][10:], "unknown"},
		{"ES256 with r and s 0", esText + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "signature"},
		{"ES256 in DER", esDER, "signature"},
		{"ES256 cut short", esText + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 63)), "signature"},
		{"another issuer", claiming(object{"iss": "https://evil.example.com"}), "unknown"},
		{"issuer with a slash more", claiming(object{"iss": p.issuer + "/"}), "unknown"},
		{"issuer in capitals", claiming(object{"iss": strings.ToUpper(p.issuer)}), "unknown"},
		{"no issuer", claiming(object{"iss": nil}), "unknown"},
		{"issuer as a list", claiming(object{"iss": []string{p.issuer}}), "malformed"},
		{"another audience", claiming(object{"aud": "https://another.example.com"}), "audience"},
		{"audience that begins like ours", claiming(object{"aud": []string{audience + "/", audience + ".evil"}}), "audience"},
		{"no audience", claiming(object{"aud": nil}), "audience"},
		{"empty list of audiences", claiming(object{"aud": []string{}}), "audience"},
		{"audience as an object", claiming(object{"aud": object{audience: true}}), "malformed"},
		{"audience with a number", claiming(object{"aud": []any{audience, 1}}), "malformed"},
		{"300 audiences", claiming(object{"aud": strings.Split(strings.Repeat("x,", 300)+audience, ",")}), "malformed"},
		{"expired beyond the leeway", claiming(object{"exp": now - 32}), "expired"},
		{"expired long ago", claiming(object{"exp": 1}), "expired"},
		{"no exp", claiming(object{"exp": nil}), "expired"},
		{"exp null", raw(exp, `"exp":null`), "malformed"},
		{"exp as a string", raw(exp, `"exp":"9999999999"`), "malformed"},
		{"exp as a fraction", raw(exp, `"exp":9999999999.5`), "malformed"},
		{"exp 1e400", raw(exp, `"exp":1e400`), "malformed"},
		{"exp 1e10", raw(exp, `"exp":1e10`), "malformed"},
		{"exp beyond 64 bits", raw(exp, `"exp":99999999999999999999`), "malformed"},
		{"exp beyond the year 9999", raw(exp, `"exp":9999999999999`), "malformed"},
		{"exp below 0", raw(exp, `"exp":-1`), "malformed"},
		{"exp twice", raw(exp, `"exp":1,`+exp), "malformed"},
		{"member twice, deep within", raw(exp, exp+`,"x":[{"a":1,"a":2}]`), "malformed"},
		{"Exp for exp", raw(`"exp"`, `"Exp"`), "expired"},
		{"not yet", claiming(object{"nbf": now + 90}), "early"},
		{"issued in the future", claiming(object{"iat": now + 90}), "early"},
		{"nbf as a string", claiming(object{"nbf": "0"}), "malformed"},
		{"claims that are a list", sign(head, "[]", "RS256", pairs["rsa"]), "malformed"},
		{"claims that are no UTF-8", raw(`"acme"`, "\"ac\xffme\""), "malformed"},
		{"claims with something behind", raw(`}`, `}}`), "malformed"},
		{"no client", claiming(object{"client_id": nil}), "claims"},
		{"client as a number", claiming(object{"client_id": 7}), "claims"},
		{"client as a number, and another behind it", claiming(object{"client_id": 7, "azp": "acme"}), "claims"},
		{"client without letters", claiming(object{"client_id": "", "azp": "acme"}), "claims"},
		{"only a subject", claiming(object{"client_id": nil, "sub": "acme"}), "claims"},
		{"ID token with nonce", claiming(object{"nonce": "x"}), "type"},
		{"ID token with at_hash", claiming(object{"at_hash": "x"}), "type"},
		{"ID token of Keycloak", claiming(object{"typ": "ID"}), "type"},
		{"refresh token of Keycloak", claiming(object{"typ": "Refresh"}), "type"},
		{"ID token of Cognito", claiming(object{"token_use": "id"}), "type"},
		{"logout token", claiming(object{"events": object{}}), "type"},
		{"bound to a certificate", claiming(object{"cnf": object{"x5t#S256": "x"}}), "bound"},
		{"bound to a key, as Bearer", claiming(object{"cnf": object{"jkt": "x"}}), "bound"},
		{"bound to what nobody knows", claiming(object{"cnf": object{"kid": "x"}}), "malformed"},
		{"bound to nothing", claiming(object{"cnf": object{}}), "malformed"},
		{"bound to a key and to what nobody knows", claiming(object{"cnf": object{"kid": "x", "jkt": "x"}}), "bound"},
		{"bound to an empty key", claiming(object{"cnf": object{"jkt": ""}}), "malformed"},
		{"cnf as a string", claiming(object{"cnf": "x"}), "malformed"},
		{"9 KiB", claiming(object{"x": strings.Repeat("x", 9000)}), "malformed"},
		{"deep nesting", claiming(object{"x": json.RawMessage(strings.Repeat("[", 1500) + strings.Repeat("]", 1500))}), "scope"},
		{"dots", "..", "malformed"},
		{"dots and letters", "a.b.c", "malformed"},
		{"opaque", "opaque-token", "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.reason == "scope" { // it is what it says it is, and costs no more than its length
				b.good(t, c.token)
				return
			}
			b.refused(t, c.token, c.reason)
			if told, ok := explained(t, b.Verifier, c.token); ok && c.name != "bound to a certificate" { // it cannot see the connection
				t.Errorf("Explain takes it: %s", told)
			}
		})
	}
	if n := p.fetched.Load(); n > 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	b.good(t, good)
	if strings.Contains(b.log.String(), parts[2]) || strings.Contains(b.log.String(), parts[1]) {
		t.Error("the log holds a token")
	}
}

func ecdsaDER(r, s *big.Int) []byte {
	integer := func(n *big.Int) []byte {
		b := append([]byte{0}, n.Bytes()...)
		return append([]byte{2, byte(len(b))}, b...)
	}
	body := append(integer(r), integer(s)...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

// flip changes one bit of the signature.
func flip(token string) string {
	at := strings.LastIndex(token, ".") + 1
	sig, _ := base64.RawURLEncoding.DecodeString(token[at:])
	sig[7] ^= 1
	return token[:at] + base64.RawURLEncoding.EncodeToString(sig)
}

// trailing is token with bits set behind the last octet of its signature, which a lax decoder drops.
func trailing(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

// explained is what Explain says of token, one line a step.
func explained(t testing.TB, v *tokens.Verifier, token string) (string, bool) {
	t.Helper()
	var told strings.Builder
	_, ok := v.Set().Explain(t.Context(), token, func(s tokens.Step) { fmt.Fprintf(&told, "%v %s: %s\n", s.OK, s.Name, s.Detail) })
	return told.String(), ok
}
