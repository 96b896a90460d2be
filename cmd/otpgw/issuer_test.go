package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// An idp is an issuer at a fixed address that comes and goes.
type idp struct {
	t       *testing.T
	address string
	key     *rsa.PrivateKey
	server  *http.Server
	served  chan error
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &idp{t: t, address: freePort(t), key: key}
	t.Cleanup(i.leave)
	return i
}

func (i *idp) url() string { return "http://" + i.address }

// come makes the issuer reachable.
func (i *idp) come() {
	i.t.Helper()
	l, err := net.Listen("tcp", i.address)
	if err != nil {
		i.t.Fatal(err)
	}
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux := http.NewServeMux()
	mux.Handle("/.well-known/openid-configuration", answer(map[string]string{"issuer": i.url(), "jwks_uri": i.url() + "/jwks"}))
	mux.Handle("/jwks", answer(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256",
		"n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes()),
	}}}))
	i.server, i.served = &http.Server{Handler: mux}, make(chan error, 1)
	go func() { i.served <- i.server.Serve(l) }()
}

// leave makes it unreachable, if it is not.
func (i *idp) leave() {
	if i.server != nil {
		_ = i.server.Close()
		<-i.served
		i.server = nil
	}
}

// token is a good access token but for the claims in change.
func (i *idp) token(change jwt.MapClaims) string {
	i.t.Helper()
	now := time.Now().Unix()
	claims := jwt.MapClaims{"iss": i.url(), "aud": "https://otp.example.com", "client_id": "acme", "scope": scopeSendValidate,
		"iat": now, "exp": now + 300, "jti": rand.Text()}
	maps.Copy(claims, change)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"], token.Header["typ"] = "k1", "at+jwt"
	text, err := token.SignedString(i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// verifyToken runs otpgw token verify with token on its standard input.
func (p *plant) verifyToken(token string) (code int, said string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "token", "verify", "--config", p.config)
	cmd.Stdin = strings.NewReader("Bearer " + token + "\n")
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	if strings.Contains(string(text), token) || strings.Contains(string(text), token[strings.LastIndex(token, ".")+1:]) {
		p.t.Errorf("it prints the token: %s", text)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// TestAccessTokensOfAnIssuer is the life of a daemon whose issuer is away at the start, comes, and leaves again.
func TestAccessTokensOfAnIssuer(t *testing.T) {
	p, i := newPlant(t), newIDP(t)
	p.kill()
	byHand := p.token
	p.replace(fmt.Sprintf("file = %q", filepath.Join(p.dir, "tokens.toml")), "")
	p.replace("[[client]]", fmt.Sprintf("[[issuer]]\nname = \"idp\"\nissuer = %q\naudience = [\"https://otp.example.com\"]\n[[client]]", i.url()))
	send := func(n int, token string) answer {
		t.Helper()
		return p.post("/send-code", sendBody(number(n)), http.Header{"Authorization": {"Bearer " + token}})
	}
	want := func(a answer, status int, code string) {
		t.Helper()
		if a.status != status || a.code != code {
			t.Errorf("%d %s, want %d %s", a.status, a.body, status, code)
		}
	}

	p.launch()
	p.await("the API", func() bool { _, err := p.call(http.MethodPost, "/send-code", "", nil); return err == nil })
	a := send(1, i.token(nil))
	want(a, http.StatusServiceUnavailable, "UNAVAILABLE")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	want(send(1, "no-token-of-anybody"), http.StatusUnauthorized, "UNAUTHENTICATED")
	if got := p.probe("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d without the issuer", got)
	}
	p.expectOutput(1, "trouble: tokens: issuer ", "status")
	p.expectOutput(1, "\nissuer idp  away for 0s: ", "status", "auth")
	if code, said := p.verifyToken(i.token(nil)); code != exitFailure || !strings.Contains(said, "FAILED  keys") {
		t.Errorf("token verify without the issuer: exit %d: %s", code, said)
	}

	i.come()
	p.await("ready", func() bool { return p.probe("/readyz") == http.StatusOK })
	p.expectOutput(0, "\nissuer idp  keys: 1, fetched ", "status", "auth")
	p.expectOutput(0, "\nissuer idp  keys: 1, fetched ", "status")
	p.expectOutput(0, `"issuers":[{"name":"idp","kind":"jwt","usable":true,"keys":1,"fetched":"20`, "status", "--json")
	good := i.token(nil)
	want(send(2, good), http.StatusOK, "")
	forged := good[:len(good)-8] + "AAAAAAAA"
	a = send(2, forged)
	want(a, http.StatusUnauthorized, "UNAUTHENTICATED")
	if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="one-time-password-sms", error="invalid_token"` {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	want(send(2, byHand), http.StatusUnauthorized, "UNAUTHENTICATED")
	want(send(2, i.token(jwt.MapClaims{"scope": "openid"})), http.StatusForbidden, "PERMISSION_DENIED")
	want(send(2, i.token(jwt.MapClaims{"client_id": "nobody"})), http.StatusForbidden, "PERMISSION_DENIED")
	if code, out, said := otpgw(t, "check-config", "--online", p.config); code != exitOK || !strings.Contains(out, "issuer idp\n") || !strings.Contains(out, "1 fetched") {
		t.Errorf("check-config --online: exit %d: %s%s", code, out, said)
	}
	if code, said := p.verifyToken(good); code != exitOK || strings.Contains(said, "FAILED") {
		t.Errorf("token verify: exit %d: %s", code, said)
	}
	for _, bad := range []string{forged, i.token(jwt.MapClaims{"scope": "openid"}), i.token(jwt.MapClaims{"client_id": "nobody"}), byHand} {
		if code, said := p.verifyToken(bad); code != exitFailure || !strings.Contains(said, "FAILED") {
			t.Errorf("token verify: exit %d: %s", code, said)
		}
	}

	i.leave()
	if code, out, said := otpgw(t, "check-config", "--online", p.config); code != exitFailure || !strings.Contains(said, "issuer idp") {
		t.Errorf("check-config --online without the issuer: exit %d: %s%s", code, out, said)
	}
	p.signal(syscall.SIGHUP)
	p.await("reload in the log", func() bool { return strings.Contains(p.logged(), "configuration reloaded") })
	want(send(3, i.token(nil)), http.StatusOK, "") // with the keys that the reload left
	if got := metric(t, p.metrics(), `otpgw_token_key_refreshes_total{issuer="idp",result="ok"}`); got != 1 {
		t.Errorf("the keys were fetched %v times", got)
	}
	if log := p.logged(); strings.Contains(log, good) || strings.Contains(log, forged) {
		t.Error("a token is in the log")
	}
}
