package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"otpgw/httpapi/openapi"
)

// A contract is what an OpenAPI document says, as others' code reads it.
type contract struct {
	name string
	own  bool // one of ours: it has to know every status
	doc  *openapi3.T
}

// published is the document that CAMARA published for a release, from beside the repository: it is not ours to keep. Without it the
// test fails in CI and is skipped loudly elsewhere, by a subtest, so that the rest goes on.
func published(t *testing.T, release string) []contract {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "camara", release, "one-time-password-sms.yaml")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the published document of %s is missing: %s", release, path)
		}
		t.Run("published document", func(t *testing.T) {
			t.Skipf("SKIPPED, NOT TESTED: answers are not held against the published document of %s, which is missing: %s", release, path)
		})
		return nil
	}
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return []contract{{"CAMARA " + release, false, doc}}
}

// described is our own document of that name.
func described(t *testing.T, name string) contract {
	t.Helper()
	d, err := openapi.New(name, "http://127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(d.YAML)
	if err != nil {
		t.Fatal(err)
	}
	return contract{"otpgw " + name, true, doc}
}

// unexamined are the answers that are given before anybody looks at what the request asks for.
var unexamined = map[string]bool{
	"UNAUTHENTICATED": true, "PERMISSION_DENIED": true, "METHOD_NOT_ALLOWED": true, "NOT_ACCEPTABLE": true, "UNSUPPORTED_MEDIA_TYPE": true, "TOO_MANY_REQUESTS": true,
}

// check holds an exchange against the contract. What was examined and not refused for its shape has to be a request of the contract, and
// what was refused for it none of ours. An answer whose status a published document does not list is left to ours.
func (c contract) check(r *http.Request, path, body string, a answer) error {
	item := c.doc.Paths.Find(path)
	if item == nil {
		return fmt.Errorf("%s has no path %s", c.name, path)
	}
	op := item.Post // both operations
	request := r.Clone(context.Background())
	request.Body, request.Method = http.NoBody, http.MethodPost
	if body != "" {
		request.Body = readCloser{strings.NewReader(body)}
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request,
		Route:   &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: http.MethodPost, Operation: op},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if !unexamined[a.code] {
		err := openapi3filter.ValidateRequest(context.Background(), input)
		switch refused := a.code == "INVALID_ARGUMENT"; {
		case refused && err == nil && c.own:
			return fmt.Errorf("%s: a request that was refused is one of its: %s", c.name, body)
		case !refused && err != nil:
			return fmt.Errorf("%s: a request that was answered with %d %s: %w", c.name, a.status, a.code, err)
		}
	}
	if !c.own && op.Responses.Status(a.status) == nil {
		return nil
	}
	answered := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	answered.SetBodyBytes([]byte(a.body))
	if err := openapi3filter.ValidateResponse(context.Background(), answered); err != nil {
		return fmt.Errorf("%s: %d %s: %w", c.name, a.status, a.body, err)
	}
	return nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// A judge that finds nothing wrong is no judge.
func TestContractsAreHeld(t *testing.T) {
	c := described(t, "v2")
	header := http.Header{"Content-Type": {"application/json"}, "X-Correlator": {"x"}}
	request := &http.Request{Header: http.Header{"Content-Type": {"application/json"}, "X-Correlator": {"x"}}}
	const id = `{"authenticationId":"019a7c2e-1111-7222-8333-444455556666"}`
	send := sendBody(number(1))
	for name, bad := range map[string]struct {
		body string
		a    answer
	}{
		"an unknown status":     {send, answer{status: 418, header: header, body: id}},
		"an unknown code":       {send, answer{status: 404, header: header, body: `{"status":404,"code":"NOT_FOUND","message":"m"}`, code: "NOT_FOUND"}},
		"an id too long":        {send, answer{status: 200, header: header, body: strings.Replace(id, "019a", "019aa", 1)}},
		"no x-correlator":       {send, answer{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: id}},
		"no body":               {send, answer{status: 200, header: header}},
		"an undeclared member":  {strings.Replace(send, "{", `{"x":1,`, 1), answer{status: 200, header: header, body: id}},
		"a sound one refused":   {send, answer{status: 400, header: header, body: `{"status":400,"code":"INVALID_ARGUMENT","message":"m"}`, code: "INVALID_ARGUMENT"}},
		"another status inside": {"", answer{status: 400, header: header, body: `{"status":401,"code":"INVALID_ARGUMENT","message":"m"}`, code: "INVALID_ARGUMENT"}},
	} {
		if err := c.check(request, "/send-code", bad.body, bad.a); err == nil {
			t.Errorf("%s: nothing is found", name)
		}
	}
	if err := c.check(request, "/send-code", send, answer{status: 200, header: header, body: id}); err != nil {
		t.Error(err)
	}
}
