package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clients are the programs of docs/examples, ready to be run: with a token, or with what else env has.
func clients(t *testing.T) map[string][]string {
	t.Helper()
	examples := filepath.Join("..", "..", "docs", "examples")
	compiled := filepath.Join(t.TempDir(), "example")
	if out, err := exec.Command("go", "build", "-o", compiled, "./"+filepath.ToSlash(filepath.Join(examples, "go"))).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := map[string][]string{"go": {compiled}}
	if _, err := exec.LookPath("curl"); err == nil {
		all["sh"] = []string{filepath.Join(examples, "verify.sh")}
	} else if os.Getenv("CI") == "true" {
		t.Fatal("curl is missing: apt-get install curl")
	} else {
		t.Run("sh", func(t *testing.T) { t.Skip("SKIPPED, NOT TESTED: curl is missing (apt-get install curl)") })
	}
	return all
}

// A person runs an example and types what type says when the number-th code of this verification is asked for.
func person(t *testing.T, program []string, number string, env []string, types ...func() string) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program[0], append(program[1:], number)...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Stdin = io.MultiReader(typing(types)...)
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return out.String(), err
}

// typing are lines that are made up when they are read.
func typing(types []func() string) []io.Reader {
	var all []io.Reader
	for _, f := range types {
		all = append(all, &lateLine{f: f})
	}
	return all
}

type lateLine struct {
	f    func() string
	line io.Reader
}

func (l *lateLine) Read(b []byte) (int, error) {
	if l.line == nil {
		l.line = strings.NewReader(l.f() + "\n")
	}
	return l.line.Read(b)
}

func TestExamplesVerifyANumber(t *testing.T) {
	p := newPlant(t, otp("max_attempts", "3"), func(c *plantConfig) { c.clients = "idempotency = true" }) // of acme, the table before
	n := 0
	for name, program := range clients(t) {
		t.Run(name, func(t *testing.T) {
			p.t = t
			defer func() { p.t = t }()
			env := []string{"OTPGW_URL=http://" + p.http, "OTPGW_TOKEN=" + p.token}
			n++
			to := number(n)
			right := func() string { return p.read(to, 1) }
			wrong := func() string { return wrongFor(right()) }
			garbage := func() string { return "x x" }
			if said, err := person(t, program, to, env, wrong, garbage, right); err != nil || strings.Count(said, "that is not it") != 2 || !strings.HasSuffix(said, "verified\n") {
				t.Errorf("%v: %s", err, said)
			}
			if sent := len(p.smsc.Messages(to)); sent != 1 {
				t.Errorf("%d messages", sent)
			}
			n++
			to = number(n)
			if said, err := person(t, program, to, env, wrong, wrong, wrong, right); err == nil || !strings.Contains(said, "VERIFICATION_FAILED") {
				t.Errorf("three wrong codes: %v: %s", err, said)
			}
			if said, err := person(t, program, "3301", env); err == nil || !strings.Contains(said, "INVALID_ARGUMENT") {
				t.Errorf("no number: %v: %s", err, said)
			}
			if said, err := person(t, program, to, []string{env[0], "OTPGW_TOKEN=bad"}); err == nil || !strings.Contains(said, "UNAUTHENTICATED") || strings.Contains(said, "bad") {
				t.Errorf("a bad token: %v: %s", err, said)
			}
		})
	}
}

// What is refused for a moment is asked again, with the same key and not before the time that was named.
func TestExamplesHonourRetryAfter(t *testing.T) {
	for name, program := range clients(t) {
		t.Run(name, func(t *testing.T) {
			var (
				keys []string
				at   []time.Time
			)
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/validate-code") {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				keys, at = append(keys, r.Header.Get("Idempotency-Key")), append(at, time.Now())
				if len(keys) == 1 {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusServiceUnavailable)
					fmt.Fprint(w, `{"status":503,"code":"UNAVAILABLE","message":"Service Unavailable."}`)
					return
				}
				fmt.Fprint(w, `{"authenticationId":"an-id"}`)
			}))
			defer api.Close()
			said, err := person(t, program, "+34600000001", []string{"OTPGW_URL=" + api.URL, "OTPGW_TOKEN=x"}, func() string { return "123456" })
			if err != nil || !strings.HasSuffix(said, "verified\n") || len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] || at[1].Sub(at[0]) < 900*time.Millisecond {
				t.Errorf("%v: %s; keys %q at %v", err, said, keys, at)
			}
		})
	}
}

// The example in Go gets its token where it is told to.
func TestExampleGetsAToken(t *testing.T) {
	p := newPlant(t)
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "one-time-password-sms:send-validate" || id != "acme" || secret != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":60}`, p.token)
	}))
	defer issuer.Close()
	program := clients(t)["go"]
	env := []string{"OTPGW_URL=http://" + p.http, "OTPGW_TOKEN_URL=" + issuer.URL, "OTPGW_CLIENT_ID=acme", "OTPGW_CLIENT_SECRET=s3cret"}
	if said, err := person(t, program, number(1), env, func() string { return p.read(number(1), 1) }); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	env[3] = "OTPGW_CLIENT_SECRET=other"
	if said, err := person(t, program, number(2), env); err == nil || !strings.Contains(said, "invalid_client") {
		t.Errorf("%v: %s", err, said)
	}
}
