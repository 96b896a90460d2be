package tokens

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// NewFetching is New whose documents come from get.
func NewFetching(list []Token, issuers []Config, get func(context.Context, string) ([]byte, error), reg prometheus.Registerer, log *slog.Logger) (*Verifier, error) {
	return newVerifier(list, issuers, func(*http.Client) getter { return get }, reg, log)
}

// Fetch fetches the keys of an issuer once, as Run does.
func (v *Verifier) Fetch(ctx context.Context, name string) error {
	return v.now.Load().named(name).keys.refresh(ctx)
}

// Detail is what a Refusal keeps for Explain.
func (r *Refusal) Detail() string { return r.detail }

var (
	ParseClaims = parseClaims
	ParseKeys   = parseKeys
)

// NewProofs remembers size proofs.
func NewProofs(size int) *proofs { return newProofs(size) }

var First = (*proofs).first
