package tokens

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Token is an opaque bearer token that was given out by hand; the token itself is kept nowhere.
type Token struct {
	SHA256  [32]byte // of the token's octets
	Client  string
	Scopes  []string
	Expires time.Time // from then on the token is refused; the zero time is long past
}

// A file is a list of tokens. The look-up is by hash, so that its timing says nothing about a token.
type file map[[32]byte]Token

func newFile(list []Token) file {
	f := make(file, len(list))
	for _, t := range list {
		t.Scopes = slices.Clone(t.Scopes)
		f[t.SHA256] = t
	}
	return f
}

// File authenticates by a list of tokens alone.
func File(list []Token) func(context.Context, *http.Request) (Principal, error) {
	return (&Set{file: newFile(list)}).Authenticate
}

// judge is the verdict on the token with that hash, if it is one of the file.
func (f file) judge(hash [32]byte, now time.Time) (verdict, bool, error) {
	t, known := f[hash]
	if !known {
		return verdict{}, false, nil
	}
	if !now.Before(t.Expires) {
		return verdict{}, true, refuse(reasonExpired, "expired at %s", t.Expires.UTC().Format(time.RFC3339))
	}
	return verdict{Principal: Principal{Client: t.Client, Scopes: t.Scopes}, until: t.Expires}, true, nil
}

// maxToken bounds the credentials that are looked at.
const maxToken = 8 << 10

// credentials are what the one Authorization header has. A token in the query or in a form is none (RFC 6750 §2.1).
type credentials struct {
	token  string
	proved bool // the scheme is DPoP
}

func credentialsOf(h http.Header) (credentials, error) {
	values := h["Authorization"]
	if len(values) != 1 {
		return credentials{}, refuse(reasonMalformed, "there must be one Authorization header")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	c := credentials{token: strings.TrimLeft(token, " "), proved: strings.EqualFold(scheme, "DPoP")}
	switch {
	case !c.proved && !strings.EqualFold(scheme, "Bearer"):
		return c, refuse(reasonMalformed, "the scheme must be Bearer or DPoP")
	case c.token == "":
		return c, refuse(reasonMalformed, "there is no token")
	case len(c.token) > maxToken:
		return c, refuse(reasonMalformed, "is longer than %d octets", maxToken)
	}
	return c, nil
}

func hashOf(token string) [32]byte { return sha256.Sum256([]byte(token)) }
