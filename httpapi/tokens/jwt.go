package tokens

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// A signed is a JWS in compact form (RFC 7515 §3.1) whose signature has not been looked at.
type signed struct {
	header    header
	payload   []byte
	text      string // that is signed
	signature []byte
}

type header struct {
	alg, typ, kid string
	jwk           jsontext.Value // used in proofs only
}

// maxKeyID bounds kid.
const maxKeyID = 256

// segments decodes what base64url without padding it is, and nothing that only resembles it.
var segments = base64.RawURLEncoding.Strict()

// looksSigned says that token has the form of a JWS.
func looksSigned(token string) bool { return strings.Count(token, ".") == 2 }

// printable says that every octet of token may stand in one (RFC 6750 §2.1). The decoder of base64 would pass over ends of lines.
func printable(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// parseSigned takes a token apart. Its header is strict: crit, b64, zip, enc and cty ask for what is not done here; jku, x5u, x5c and
// jwk would have the token bring its own key, and are not looked at.
func parseSigned(token string) (*signed, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || !printable(token) {
		return nil, errors.New("is not a signed JWT of three parts")
	}
	head, err := segments.DecodeString(parts[0])
	if err != nil {
		return nil, errors.New("header: is not base64url")
	}
	s := &signed{text: token[:len(parts[0])+1+len(parts[1])]}
	if s.payload, err = segments.DecodeString(parts[1]); err != nil {
		return nil, errors.New("claims: are not base64url")
	}
	if s.signature, err = segments.DecodeString(parts[2]); err != nil {
		return nil, errors.New("signature: is not base64url")
	}
	err = members(head, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "alg":
			s.header.alg, err = textOf(v)
		case "typ":
			s.header.typ, err = textOf(v)
		case "kid":
			s.header.kid, err = textOf(v)
		case "jwk":
			s.header.jwk = slices.Clone(v)
		case "crit", "b64", "zip", "enc", "cty":
			err = errors.New("is not supported")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return s, nil
}

// verify says whether key made the signature, by the header's algorithm, which must be the key's.
func (s *signed) verify(k key) bool {
	return k.takes(s.header.alg) && jwt.GetSigningMethod(s.header.alg).Verify(s.text, s.signature, k.public) == nil
}

// fits says whether a public key is of the kind that an algorithm works with.
func fits(public any, alg string) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) && slices.Contains(algorithms, alg)
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return alg == "ES256"
		case 384:
			return alg == "ES384"
		case 521:
			return alg == "ES512"
		}
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// claims are what a token, or an issuer that was asked about one, says.
type claims struct {
	active    bool
	issuer    string
	audience  []string
	expires   time.Time // the zero times stand for none
	notBefore time.Time
	issuedAt  time.Time
	scope     []string
	scp       []string
	names     map[string]string // of claims that may name the client
	bound     *bound
	other     string   // why it is no access token
	fault     *Refusal // what an issuer that was asked said cannot be made out
}

// ruled are the claims that parseClaims knows.
var ruled = []string{"active", "iss", "aud", "exp", "nbf", "iat", "scope", "scp", "cnf", "typ", "token_use", "sub"}

// parseClaims reads the claims in text, of which those in naming may name the client.
func parseClaims(text []byte, naming []string) (*claims, error) {
	c := &claims{names: map[string]string{}}
	err := members(text, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "active":
			if c.active = v.Kind() == 't'; !c.active && v.Kind() != 'f' {
				err = errors.New("must be true or false")
			}
		case "iss":
			c.issuer, err = textOf(v)
		case "aud":
			c.audience, err = textsOf(v)
		case "exp":
			c.expires, err = dateOf(v)
		case "nbf":
			c.notBefore, err = dateOf(v)
		case "iat":
			c.issuedAt, err = dateOf(v)
		case "scope":
			c.scope, err = scopesOf(v)
		case "scp":
			c.scp, err = scopesOf(v)
		case "cnf":
			c.bound, err = parseBound(v)
		case "typ": // Keycloak says there what a token is
			if kind, _ := textOf(v); strings.EqualFold(kind, "ID") || strings.EqualFold(kind, "Refresh") || strings.EqualFold(kind, "Logout") {
				c.other = fmt.Sprintf("typ is %q", kind)
			}
		case "token_use": // Cognito does
			if kind, _ := textOf(v); kind != "access" {
				c.other = fmt.Sprintf("token_use is %.40q", kind)
			}
		case "nonce", "at_hash", "c_hash", "s_hash": // OpenID Connect Core 1.0 §2, §3.3.2.11: of ID tokens
			c.other = "has " + name + ", as ID tokens do"
		case "events": // RFC 8417 §2.2, and logout tokens
			c.other = "has events"
		}
		if err == nil && slices.Contains(naming, name) {
			c.names[name], _ = textOf(v) // one that is no string names nobody, and hides those behind it
		}
		return err
	})
	return c, err
}

// scopes are those of scope or, where there is none, of scp.
func (c *claims) scopes() []string {
	if c.scope != nil {
		return c.scope
	}
	return c.scp
}

// client is the first of these claims that is there.
func (c *claims) client(naming []string) string {
	for _, name := range naming {
		if id, there := c.names[name]; there {
			return id
		}
	}
	return ""
}

// A check is one thing that a token must be. It returns what it saw.
type check struct {
	name string
	run  func(i *issuer, s *signed, c *claims, now time.Time) (saw string, err error)
}

// headerChecks come before a key is looked for.
var headerChecks = []check{
	{"algorithm", func(i *issuer, s *signed, _ *claims, _ time.Time) (string, error) {
		if !slices.Contains(i.Algorithms, s.header.alg) {
			return "", refuse(reasonAlgorithm, "is %.40q, which algorithms does not have", s.header.alg)
		}
		return s.header.alg, nil
	}},
	{"type", func(i *issuer, s *signed, _ *claims, _ time.Time) (string, error) {
		if !slices.ContainsFunc(i.Types, func(typ string) bool { return sameType(typ, s.header.typ) }) {
			return "", refuse(reasonType, "is %.40q, which typ does not have", s.header.typ)
		}
		return fmt.Sprintf("%q", s.header.typ), nil
	}},
	{"key id", func(_ *issuer, s *signed, _ *claims, _ time.Time) (string, error) {
		if kid := s.header.kid; kid == "" || len(kid) > maxKeyID || strings.ContainsFunc(kid, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", refuse(reasonKey, "the header must have a kid of 1 to %d octets without control characters", maxKeyID)
		}
		return fmt.Sprintf("%q", s.header.kid), nil
	}},
}

// sameType compares media types as a header has them: application/ may be left out (RFC 7515 §4.1.9).
func sameType(a, b string) bool {
	short := func(t string) string { return strings.TrimPrefix(strings.ToLower(t), "application/") }
	return short(a) == short(b)
}

// claimChecks come after the signature.
var claimChecks = []check{
	{"kind of token", func(_ *issuer, _ *signed, c *claims, _ time.Time) (string, error) {
		if c.other != "" {
			return "", refuse(reasonType, "is no access token: %s", c.other)
		}
		return "an access token", nil
	}},
	{"audience", func(i *issuer, _ *signed, c *claims, _ time.Time) (string, error) {
		if len(i.Audience) > 0 && !slices.ContainsFunc(c.audience, func(a string) bool { return slices.Contains(i.Audience, a) }) {
			return "", refuse(reasonAudience, "is %.200q, of which audience = %q has none", c.audience, i.Audience)
		}
		return fmt.Sprintf("%.200q", c.audience), nil
	}},
	{"expiry", func(i *issuer, s *signed, c *claims, now time.Time) (string, error) {
		switch {
		case c.expires.IsZero() && s == nil: // RFC 7662 §2.2: an issuer that was asked need not say
			return "none", nil
		case c.expires.IsZero():
			return "", refuse(reasonExpired, "there is no exp")
		case !now.Before(c.expires.Add(i.Leeway)):
			return "", refuse(reasonExpired, "expired at %s, %v ago", clock(c.expires), now.Sub(c.expires).Round(time.Second))
		}
		return clock(c.expires), nil
	}},
	{"not before", func(i *issuer, _ *signed, c *claims, now time.Time) (string, error) {
		at := c.notBefore
		if c.issuedAt.After(at) {
			at = c.issuedAt
		}
		if now.Add(i.Leeway).Before(at) {
			return "", refuse(reasonEarly, "nbf or iat is %s, in %v", clock(at), at.Sub(now).Round(time.Second))
		}
		if at.IsZero() {
			return "neither nbf nor iat", nil
		}
		return clock(at), nil
	}},
	{"client", func(i *issuer, _ *signed, c *claims, _ time.Time) (string, error) {
		id := c.client(i.ClientClaims)
		if id == "" {
			return "", refuse(reasonClaims, "is named by none of %q", i.ClientClaims)
		}
		return fmt.Sprintf("%.100q", id), nil
	}},
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
