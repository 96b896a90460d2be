package tokens_test

import (
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/tokens"
)

// TestExplainTellsEveryCheck holds that a token with several faults is told all of them, and that the token itself is not.
func TestExplainTellsEveryCheck(t *testing.T) {
	p, opaque := newProvider(t), newProvider(t)
	opaque.opaque.Store(true)
	issuers := []tokens.Config{config(p, nil), asking(opaque, nil)}
	list := []tokens.Token{{SHA256: sum("by-hand"), Client: "acme", Expires: time.Now().Add(time.Hour)}, {SHA256: sum("of-old"), Client: "acme"}}
	b := newBench(t, false)
	set, err := b.Prepare(list, issuers)
	if err != nil {
		t.Fatal(err)
	}
	b.Apply(set)
	faulty := sign(object{"alg": "RS256", "kid": "k9", "typ": "x"}, p.claims(object{"exp": 1000, "aud": "other", "client_id": nil}), "RS256", keyPairs()["rsa"])
	for _, c := range []struct {
		name, token string
		good        bool
		want        []string
	}{
		{"JWT", p.grant(t, scope), true, []string{"true kind: a JWT", "true issuer:", "true algorithm: RS256", "true signature:", "true audience:", "true expiry:", "true client: \"acme\"", "true bound: to nothing"}},
		{"faulty", faulty, false, []string{"false type:", "false signature: no key", "false audience:", "false expiry: expired at 1970", "false client:"}},
		{"opaque", opaque.grant(t, scope), true, []string{"true issuer asked: says that it is active", "true client: \"acme\""}},
		{"inactive", "nobody-s-token", false, []string{"false issuer asked: the issuer says that it is not active"}},
		{"by hand", "by-hand", true, []string{"true kind: a token of the file", "true expiry:"}},
		{"expired", "of-old", false, []string{"false expiry: expired"}},
		{"spaces", "to ken", false, []string{"false form:"}},
		{"unknown issuer", sign(object{"alg": "RS256"}, p.claims(object{"iss": "https://x.example.com"}), "RS256", keyPairs()["rsa"]), false, []string{"false issuer asked"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, good := explained(t, b.Verifier, c.token)
			if good != c.good {
				t.Errorf("good %v: %s", good, told)
			}
			for _, want := range c.want {
				if !strings.Contains(told, want) {
					t.Errorf("%q is not in %s", want, told)
				}
			}
			if strings.Contains(told, c.token) {
				t.Error("it tells the token")
			}
		})
	}
	p.meddle(onlyKeys)
	gone := newBench(t, false)
	if set, err = gone.Prepare(nil, []tokens.Config{config(p, func(c *tokens.Config) { c.Name = "new" })}); err != nil {
		t.Fatal(err)
	}
	token := p.grant(t, scope)
	told := ""
	if _, good := set.Explain(t.Context(), token, func(s tokens.Step) { told += s.Name + ": " + s.Detail + "\n" }); good || !strings.Contains(told, "keys: status 500") {
		t.Errorf("without the provider: %v %s", good, told)
	}
}
