package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	proofLife   = 300 * time.Second // how old a proof may be
	proofAhead  = 30 * time.Second  // how far a client's clock may be ahead
	proofsKept  = 1 << 18           // proofs that are remembered, so that none comes twice
	maxProofID  = 256
	typeOfProof = "dpop+jwt"
)

// A proof is what a DPoP proof claims (RFC 9449 §4.2).
type proof struct {
	id, method, uri, token string
	issuedAt               time.Time
	thumbprint             string // of the key that it brings
}

// parseProof reads a proof and verifies that the key in it made it, by one of algs.
func parseProof(text string, algs []string) (proof, error) {
	var p proof
	if len(text) > maxToken {
		return p, refuse(reasonProof, "the proof is longer than %d octets", maxToken)
	}
	s, err := parseSigned(text)
	if err != nil {
		return p, refuse(reasonProof, "the proof: %v", err)
	}
	if !sameType(typeOfProof, s.header.typ) {
		return p, refuse(reasonProof, "the typ of the proof is not %s", typeOfProof)
	}
	if !slices.Contains(algs, s.header.alg) {
		return p, refuse(reasonProof, "the proof's algorithm is not taken")
	}
	k, err := parseKey(s.header.jwk)
	if err != nil {
		return p, refuse(reasonProof, "the proof's jwk: %v", err)
	}
	if !s.verify(k) {
		return p, refuse(reasonProof, "the proof was not made by the key in it")
	}
	if p.thumbprint, err = thumbprint(k); err != nil {
		return p, refuse(reasonProof, "the proof's jwk: %v", err)
	}
	err = members(s.payload, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "jti":
			p.id, err = textOf(v)
		case "htm":
			p.method, err = textOf(v)
		case "htu":
			p.uri, err = textOf(v)
		case "ath":
			p.token, err = textOf(v)
		case "iat":
			p.issuedAt, err = dateOf(v)
		}
		return err
	})
	if err != nil {
		return p, refuse(reasonProof, "the proof's claims: %v", err)
	}
	return p, nil
}

// proven is an error unless r carries one proof that the key of b made for this request and this token, and that never came before.
func (i *issuer) proven(r *http.Request, b *bound, token string, now time.Time) error {
	values := r.Header["Dpop"]
	if len(values) != 1 {
		return refuse(reasonProof, "there must be one DPoP header")
	}
	p, err := parseProof(values[0], i.Algorithms)
	if err != nil {
		return err
	}
	sum := hashOf(token)
	switch {
	case p.id == "" || len(p.id) > maxProofID:
		return refuse(reasonProof, "jti must have 1 to %d octets", maxProofID)
	case p.method != r.Method:
		return refuse(reasonProof, "htm is not the request's method")
	case !sameURI(p.uri, i.PublicURL, r.URL.EscapedPath()):
		return refuse(reasonProof, "htu is not the request's URI under public_url")
	case p.issuedAt.IsZero() || now.Sub(p.issuedAt) > proofLife || p.issuedAt.Sub(now) > proofAhead:
		return refuse(reasonProof, "iat is not of the last %v", proofLife)
	case !same(p.token, base64.RawURLEncoding.EncodeToString(sum[:])):
		return refuse(reasonProof, "ath is not of this token")
	case !same(p.thumbprint, b.key):
		return refuse(reasonProof, "the token is bound to another key than the proof's")
	}
	return i.proofs.first(sha256.Sum256([]byte(p.thumbprint+"\x00"+p.id)), now)
}

// sameURI compares htu with the URI of a request, without query and fragment (RFC 9449 §4.3).
func sameURI(claimed, base, path string) bool {
	a, errA := url.Parse(claimed)
	b, errB := url.Parse(base)
	return errA == nil && errB == nil && a.User == nil && strings.EqualFold(a.Scheme, b.Scheme) &&
		authority(a) == authority(b) && a.EscapedPath() == path
}

// authority is host and port of u, as one wherever the port is the scheme's own.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

// thumbprint is that of a public key (RFC 7638 §3).
func thumbprint(k key) (string, error) {
	jwk, err := jwkset.NewJWKFromKey(k.public, jwkset.JWKOptions{})
	if err != nil {
		return "", err
	}
	var text string
	switch m := jwk.Marshal(); m.KTY {
	case jwkset.KtyEC:
		text = fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, m.CRV, m.X, m.Y)
	case jwkset.KtyOKP:
		text = fmt.Sprintf(`{"crv":"%s","kty":"OKP","x":"%s"}`, m.CRV, m.X)
	default:
		text = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, m.E, m.N)
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// proofs remember who was there, as long as a proof may live. Any number of goroutines may use them.
type proofs struct {
	mu   sync.Mutex // guards seen
	seen *simplelru.LRU[[32]byte, time.Time]
	size int
}

func newProofs(size int) *proofs {
	seen, err := simplelru.NewLRU[[32]byte, time.Time](size, nil)
	if err != nil {
		panic(err) // size < 1
	}
	return &proofs{seen: seen, size: size}
}

// first is an error when the proof was here before, or when so many are remembered that one would have to be forgotten while it could
// come again.
func (p *proofs) first(id [32]byte, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		_, oldest, ok := p.seen.GetOldest()
		if !ok || now.Sub(oldest) <= proofLife+proofAhead {
			break
		}
		p.seen.RemoveOldest()
	}
	switch {
	case p.seen.Contains(id):
		return refuse(reasonProof, "the proof came before")
	case p.seen.Len() >= p.size:
		return fmt.Errorf("%w: too many proofs are remembered", ErrAuthUnavailable)
	}
	p.seen.Add(id, now)
	return nil
}
