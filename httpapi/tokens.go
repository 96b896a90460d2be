package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Principal is on whose behalf a request comes, as its token says.
type Principal struct {
	Client string   // Client.ID
	Scopes []string // each one element of the token's scope
}

// Authenticate finds out whose request r is. It looks at headers only and never at the body, and is called concurrently.
// Whatever is wrong with the credentials is ErrUnauthenticated; ErrAuthUnavailable means that it cannot be known now.
type Authenticate func(ctx context.Context, r *http.Request) (Principal, error)

var (
	ErrUnauthenticated = errors.New("not authenticated")
	ErrAuthUnavailable = errors.New("authentication is not available")
)

// A Token is an opaque bearer token that was given out by hand; the token itself is kept nowhere.
type Token struct {
	SHA256  [32]byte // of the token's octets
	Client  string
	Scopes  []string
	Expires time.Time // from then on the token is refused; the zero time is long past
}

// maxToken bounds the credentials that are looked at.
const maxToken = 8 << 10

// Tokens authenticates by a list of tokens. The look-up is by hash, so that its timing says nothing about a token.
func Tokens(list []Token) Authenticate {
	tokens := make(map[[32]byte]Token, len(list))
	for _, t := range list {
		t.Scopes = slices.Clone(t.Scopes)
		tokens[t.SHA256] = t
	}
	return func(_ context.Context, r *http.Request) (Principal, error) {
		secret, ok := bearer(r.Header)
		if !ok {
			return Principal{}, ErrUnauthenticated
		}
		t, known := tokens[sha256.Sum256([]byte(secret))]
		if !known || !time.Now().Before(t.Expires) {
			return Principal{}, ErrUnauthenticated
		}
		return Principal{Client: t.Client, Scopes: t.Scopes}, nil
	}
}

// bearer is the token of the one Authorization header. A token in the query or in a form is none (RFC 6750 §2.1).
func bearer(h http.Header) (string, bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxToken
}
