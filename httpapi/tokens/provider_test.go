package tokens_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	audience = "https://otp.example.com"
	scope    = "one-time-password-sms:send-validate"
)

// keyPairs are made once: RSA takes its time.
var keyPairs = sync.OnceValue(func() map[string]crypto.Signer {
	first, _ := rsa.GenerateKey(rand.Reader, 2048)
	second, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"rsa": first, "rsa2": second, "weak": weak, "p256": p256, "p384": p384, "ed": ed}
})

// A signingKey is one key of a provider.
type signingKey struct {
	id, alg, use string
	private      crypto.Signer
}

func (k signingKey) ID() string                         { return k.id }
func (k signingKey) Use() string                        { return k.use }
func (k signingKey) Algorithm() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(k.alg) }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm {
	return jose.SignatureAlgorithm(k.alg)
}
func (k signingKey) Key() any { return k.private }

// A publicKey is what a provider shows of it.
type publicKey struct{ signingKey }

func (k publicKey) Key() any { return k.private.Public() }

// A provider is an OpenID provider on loopback that shares no code with ours. It knows one client, acme, and one who asks about
// tokens, otpgw. What is not overridden panics in it.
type provider struct {
	op.Storage
	issuer  string
	opaque  atomic.Bool // tokens are opaque, not JWTs
	meddles atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	fetched atomic.Int64 // times that the keys were asked for
	asked   atomic.Int64 // questions about tokens
	server  *http.Server
	handler http.Handler

	mu      sync.Mutex
	keys    []signingKey // the first signs
	granted map[string]grant
}

type grant struct {
	client  string
	scopes  []string
	expires time.Time
	revoked bool
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newHandler(t, "http://"+l.Addr().String())
	p.serve(t, l)
	return p
}

// newHandler is a provider that nobody serves.
func newHandler(t testing.TB, issuer string) *provider {
	t.Helper()
	p := &provider{issuer: issuer, granted: map[string]grant{}}
	p.rotate(signingKey{"k1", "RS256", "sig", keyPairs()["rsa"]})
	provider, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}}, p, op.StaticIssuer(p.issuer), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	p.handler = provider
	return p
}

func (p *provider) serve(t testing.TB, l net.Listener) {
	p.server = &http.Server{Handler: http.HandlerFunc(p.answer), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	served := make(chan struct{})
	go func() { defer close(served); p.server.Serve(l) }()
	t.Cleanup(func() { p.server.Close(); <-served })
}

func (p *provider) answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/keys":
		p.fetched.Add(1)
	case "/oauth/introspect":
		p.asked.Add(1)
	}
	if meddle := p.meddles.Load(); meddle != nil && (*meddle)(w, r) {
		return
	}
	p.handler.ServeHTTP(w, r)
}

// meddle answers in the provider's place what f says it has answered.
func (p *provider) meddle(f func(http.ResponseWriter, *http.Request) bool) { p.meddles.Store(&f) }
func (p *provider) honest()                                                { p.meddles.Store(nil) }

// rotate shows these keys and signs with the first.
func (p *provider) rotate(keys ...signingKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[0], nil
}

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shown := []op.Key{}
	for _, k := range p.keys {
		shown = append(shown, publicKey{k})
	}
	return shown, nil
}

func (p *provider) Health(context.Context) error { return nil }

func (p *provider) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id == "acme" && secret == "acme-secret" || id == "otpgw:1" && secret == "s3cr%t +/" {
		return nil
	}
	return errors.New("wrong secret")
}

func (p *provider) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	return client{id: id, opaque: p.opaque.Load()}, nil
}

func (p *provider) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := p.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return p.GetClientByClientID(ctx, id)
}

func (p *provider) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return tokenRequest{id, scopes}, nil
}

func (p *provider) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, expires := rand.Text(), time.Now().Add(5*time.Minute)
	p.granted[id] = grant{client: r.GetSubject(), scopes: r.GetScopes(), expires: expires}
	return id, expires, nil
}

func (p *provider) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	return map[string]any{"scope": strings.Join(scopes, " ")}, nil
}

func (p *provider) SetIntrospectionFromToken(_ context.Context, r *oidc.IntrospectionResponse, id, _, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, known := p.granted[id]
	if !known || g.revoked || time.Now().After(g.expires) {
		return errors.New("not active")
	}
	r.ClientID, r.Scope, r.Expiration = g.client, g.scopes, oidc.FromTime(g.expires)
	r.Issuer, r.Audience, r.TokenType = p.issuer, []string{audience}, "Bearer"
	return nil
}

// revoke makes every token that was granted inactive.
func (p *provider) revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, g := range p.granted {
		g.revoked = true
		p.granted[id] = g
	}
}

type tokenRequest struct {
	client string
	scopes []string
}

func (r tokenRequest) GetSubject() string { return r.client }
func (r tokenRequest) GetAudience() []string {
	return []string{"https://another.example.com", audience}
}
func (r tokenRequest) GetScopes() []string { return r.scopes }

type client struct {
	op.Client
	id     string
	opaque bool
}

func (c client) GetID() string               { return c.id }
func (c client) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodBasic }
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeClientCredentials}
}
func (c client) ClockSkew() time.Duration   { return 0 }
func (c client) IsScopeAllowed(string) bool { return true }
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

func (c client) AccessTokenType() op.AccessTokenType {
	if c.opaque {
		return op.AccessTokenTypeBearer
	}
	return op.AccessTokenTypeJWT
}

// grant asks the provider for a token, as a client does.
func (p *provider) grant(t testing.TB, scopes string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scopes}}
	req, err := http.NewRequestWithContext(t.Context(), "POST", p.issuer+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("acme", "acme-secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Token == "" {
		t.Fatalf("the provider answers %d %s", resp.StatusCode, text)
	}
	http.DefaultClient.CloseIdleConnections()
	return answer.Token
}

type object map[string]any

// claims are those of a good token of this provider, changed.
func (p *provider) claims(change object) object {
	now := time.Now().Unix()
	c := object{"iss": p.issuer, "aud": audience, "exp": now + 300, "iat": now, "nbf": now, "client_id": "acme", "scope": scope}
	maps.Copy(c, change)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// encode is v in JSON, or as it stands when it is a string, in base64url.
func encode(v any) string {
	text, is := v.(string)
	if !is {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		text = string(b)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// sign is a JWT of this header and these claims, signed with key by alg, whatever the header says.
func sign(head, claims any, alg string, key any) string {
	text := encode(head) + "." + encode(claims)
	signature, err := jwt.GetSigningMethod(alg).Sign(text, key)
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
