package tokens

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"otpgw/config/secret"
	"otpgw/httpapi/remote"
)

// Kinds of issuers: Config.Kind.
const (
	kindJWT    = "jwt"
	kindOpaque = "opaque"
)

// Config is an issuer whose access tokens are taken: [[issuer]]. All of it may change while running; an issuer of which nothing
// changed keeps its keys and what it knows of tokens.
type Config struct {
	Name         string        `toml:"name" comment:"Name of the issuer in metrics and logs: 1 to 32 letters, digits and - _ ." reload:"hot"`
	Kind         string        `toml:"kind" comment:"jwt: its tokens are JWTs that its keys verify. opaque: it is asked about each token (introspection, RFC 7662)." reload:"hot"`
	Issuer       string        `toml:"issuer" comment:"The issuer exactly as its tokens have it in iss, such as https://idp.example.com. With kind opaque it may be empty: then iss is not compared." reload:"hot"`
	Audience     []string      `toml:"audience" comment:"Names of this API, of which aud of a token must hold one. Only kind opaque can do without." reload:"hot"`
	JWKSURL      string        `toml:"jwks_url" comment:"URL of the issuer's keys: https, or http to a loopback address. Empty: found by its /.well-known/openid-configuration." reload:"hot"`
	CA           string        `toml:"ca" comment:"Absolute path of the PEM certificates that the issuer's TLS certificate must come from. Empty: the system's." reload:"hot"`
	Algorithms   []string      `toml:"algorithms" comment:"Algorithms of signatures that are taken: any of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA." reload:"hot"`
	Types        []string      `toml:"typ" comment:"Values of typ in a token's header that are taken, in whatever case; an empty one is for tokens without. at+jwt alone where the issuer follows RFC 9068." reload:"hot"`
	Leeway       time.Duration `toml:"leeway" comment:"How far the issuer's clock may be off, 0s..30s." reload:"hot"`
	ClientClaims []string      `toml:"client_claims" comment:"Claims of which the first that a token has names the client. Add sub only where the issuer gives no tokens to people." reload:"hot"`
	MaxStale     time.Duration `toml:"max_stale" comment:"How long keys are used while the issuer cannot be reached, 10m..168h; then its tokens are answered 503." reload:"hot"`

	IntrospectionURL string        `toml:"introspection_url" comment:"URL at which tokens are asked about, with kind opaque: https, or http to a loopback address." reload:"hot"`
	ClientID         string        `toml:"client_id" comment:"By whom the issuer knows this daemon when it asks." reload:"hot"`
	ClientSecret     secret.Text   `toml:"client_secret" comment:"The secret of client_id as file:PATH, cred:NAME or env:NAME, sent as Basic." reload:"hot"`
	ActiveFor        time.Duration `toml:"active_for" comment:"How long an answer that a token is active holds, 0s..60s and never longer than the token; 0 asks each time." reload:"hot"`

	DPoP      bool   `toml:"dpop" comment:"Take tokens that are bound to a key of the client, each request with a proof of it (RFC 9449). false refuses them." reload:"hot"`
	PublicURL string `toml:"public_url" comment:"With dpop: scheme and host of this API as clients see it, such as https://otp.example.com, whatever proxies are between." reload:"hot"`
}

// DefaultConfig takes JWTs by the algorithms that are in use, and refuses DPoP.
func DefaultConfig() Config {
	return Config{
		Kind:         kindJWT,
		Algorithms:   []string{"RS256", "PS256", "ES256", "EdDSA"},
		Types:        []string{"at+jwt", "JWT"},
		Leeway:       30 * time.Second,
		ClientClaims: []string{"client_id", "azp"},
		MaxStale:     24 * time.Hour,
		ActiveFor:    time.Minute,
	}
}

// algorithms are all that can be asked for: none that signs by a shared secret, and not none.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

var (
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)
	claimForm = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,128}$`)
)

// Validate joins one error for every key that cannot be served; each begins with the key. It opens no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameForm.MatchString(c.Name) {
		bad("name = %q: must be 1 to 32 letters, digits and - _ .", c.Name)
	}
	switch c.Kind {
	case kindJWT:
		c.validateJWT(bad)
	case kindOpaque:
		c.validateOpaque(bad)
	default:
		bad("kind = %q: must be jwt or opaque", c.Kind)
	}
	if len(c.Issuer) > 512 {
		bad("issuer: must have at most 512 octets")
	}
	if slices.Contains(c.Audience, "") {
		bad("audience = %q: an audience must not be empty", c.Audience)
	}
	if c.CA != "" && !filepath.IsAbs(c.CA) {
		bad("ca = %q: must be an absolute path", c.CA)
	}
	if c.Leeway < 0 || c.Leeway > 30*time.Second {
		bad("leeway = %q: must be 0s..30s", c.Leeway)
	}
	if len(c.ClientClaims) == 0 || len(c.ClientClaims) > 8 {
		bad("client_claims = %q: must be 1 to 8 names of claims", c.ClientClaims)
	}
	for _, name := range c.ClientClaims {
		if !claimForm.MatchString(name) || slices.Contains(ruled, name) && name != "sub" {
			bad("client_claims = %q: %q names no client", c.ClientClaims, name)
		}
	}
	switch base, err := url.Parse(c.PublicURL); {
	case !c.DPoP:
	case c.PublicURL == "":
		bad("public_url = \"\": must be set, as dpop is")
	case err != nil || !remote.Usable(c.PublicURL) || base.RawQuery != "" || base.Path != "" && base.Path != "/":
		bad("public_url = %q: must be the scheme and host of this API, such as https://otp.example.com", c.PublicURL)
	}
	return errors.Join(errs...)
}

func (c Config) validateJWT(bad func(format string, args ...any)) {
	if c.Issuer == "" {
		bad("issuer = \"\": must be what the tokens have in iss")
	}
	if len(c.Audience) == 0 {
		bad("audience = []: must name this API: else a token for any other API of the issuer would do")
	}
	switch {
	case c.JWKSURL != "" && !remote.Usable(c.JWKSURL):
		bad("jwks_url: %s", remote.Must)
	case c.JWKSURL == "" && c.Issuer != "" && !remote.Usable(c.Issuer):
		bad("issuer = %q: its keys can be found by an https URL only (or http to a loopback address): set jwks_url", c.Issuer)
	}
	if len(c.Algorithms) == 0 {
		bad("algorithms = []: must name one at least")
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(algorithms, alg) {
			bad("algorithms = %q: %q is none of %s", c.Algorithms, alg, strings.Join(algorithms, ", "))
		}
	}
	if len(c.Types) == 0 {
		bad("typ = []: must name one at least")
	}
	if c.MaxStale < 10*time.Minute || c.MaxStale > 168*time.Hour {
		bad("max_stale = %q: must be 10m..168h", c.MaxStale)
	}
	if c.IntrospectionURL != "" {
		bad("introspection_url: is for kind = %q", kindOpaque)
	}
}

func (c Config) validateOpaque(bad func(format string, args ...any)) {
	switch {
	case c.IntrospectionURL == "":
		bad("introspection_url = \"\": must be set, as kind = %q", kindOpaque)
	case !remote.Usable(c.IntrospectionURL):
		bad("introspection_url: %s", remote.Must)
	}
	if c.JWKSURL != "" {
		bad("jwks_url: is for kind = %q", kindJWT)
	}
	if c.ClientID == "" {
		bad("client_id = \"\": must be set, as kind = %q", kindOpaque)
	}
	if len(c.ClientSecret) == 0 {
		bad("client_secret = \"\": must be set, as kind = %q", kindOpaque)
	}
	if c.ActiveFor < 0 || c.ActiveFor > time.Minute {
		bad("active_for = %q: must be 0s..60s", c.ActiveFor)
	}
}
