package tokens_test

import (
	"strings"
	"testing"
	"time"

	"otpgw/httpapi/tokens"
)

func TestValidateNamesTheKey(t *testing.T) {
	jwt := tokens.DefaultConfig()
	jwt.Name, jwt.Issuer, jwt.Audience = "idp", "https://idp.example.com", []string{"x"}
	opaque := tokens.DefaultConfig()
	opaque.Name, opaque.Kind, opaque.IntrospectionURL, opaque.ClientID, opaque.ClientSecret = "idp", "opaque", "https://idp.example.com/i", "otpgw", "s"
	for _, cfg := range []tokens.Config{jwt, opaque} {
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		key    string
		cfg    tokens.Config
		change func(*tokens.Config)
	}{
		{"name", jwt, func(c *tokens.Config) { c.Name = "" }},
		{"name", jwt, func(c *tokens.Config) { c.Name = "a b" }},
		{"kind", jwt, func(c *tokens.Config) { c.Kind = "saml" }},
		{"issuer", jwt, func(c *tokens.Config) { c.Issuer = "" }},
		{"issuer", jwt, func(c *tokens.Config) { c.Issuer = "idp" }},
		{"issuer", jwt, func(c *tokens.Config) { c.Issuer = "http://idp.example.com" }},
		{"issuer", opaque, func(c *tokens.Config) { c.Issuer = strings.Repeat("x", 600) }},
		{"audience", jwt, func(c *tokens.Config) { c.Audience = nil }},
		{"audience", opaque, func(c *tokens.Config) { c.Audience = []string{""} }},
		{"jwks_url", jwt, func(c *tokens.Config) { c.JWKSURL = "http://192.0.2.1/keys" }},
		{"jwks_url", jwt, func(c *tokens.Config) { c.JWKSURL = "file:///etc/passwd" }},
		{"jwks_url", jwt, func(c *tokens.Config) { c.JWKSURL = "https://u:p@idp.example.com/keys" }},
		{"jwks_url", opaque, func(c *tokens.Config) { c.JWKSURL = "https://idp.example.com/keys" }},
		{"ca", jwt, func(c *tokens.Config) { c.CA = "ca.pem" }},
		{"algorithms", jwt, func(c *tokens.Config) { c.Algorithms = nil }},
		{"algorithms", jwt, func(c *tokens.Config) { c.Algorithms = []string{"RS256", "HS256"} }},
		{"algorithms", jwt, func(c *tokens.Config) { c.Algorithms = []string{"none"} }},
		{"typ", jwt, func(c *tokens.Config) { c.Types = nil }},
		{"leeway", jwt, func(c *tokens.Config) { c.Leeway = 31 * time.Second }},
		{"leeway", jwt, func(c *tokens.Config) { c.Leeway = -1 }},
		{"client_claims", jwt, func(c *tokens.Config) { c.ClientClaims = nil }},
		{"client_claims", jwt, func(c *tokens.Config) { c.ClientClaims = []string{"iss"} }},
		{"client_claims", jwt, func(c *tokens.Config) { c.ClientClaims = []string{"a b"} }},
		{"max_stale", jwt, func(c *tokens.Config) { c.MaxStale = time.Minute }},
		{"introspection_url", jwt, func(c *tokens.Config) { c.IntrospectionURL = "https://idp.example.com/i" }},
		{"introspection_url", opaque, func(c *tokens.Config) { c.IntrospectionURL = "" }},
		{"introspection_url", opaque, func(c *tokens.Config) { c.IntrospectionURL = "http://idp.example.com/i" }},
		{"client_id", opaque, func(c *tokens.Config) { c.ClientID = "" }},
		{"client_secret", opaque, func(c *tokens.Config) { c.ClientSecret = "" }},
		{"active_for", opaque, func(c *tokens.Config) { c.ActiveFor = 2 * time.Minute }},
		{"public_url", jwt, func(c *tokens.Config) { c.DPoP = true }},
		{"public_url", jwt, func(c *tokens.Config) { c.DPoP, c.PublicURL = true, "otp.example.com" }},
		{"public_url", jwt, func(c *tokens.Config) { c.DPoP, c.PublicURL = true, "https://otp.example.com/api" }},
	} {
		cfg := c.cfg
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.key+":") && !strings.HasPrefix(err.Error(), c.key+" =") {
			t.Errorf("%v, want an error of %s", err, c.key)
		}
	}
}
