package tokens

import (
	"errors"
	"fmt"
	"strings"
)

// A Principal is on whose behalf a request comes, as its token says.
type Principal struct {
	Client string   // id of the client
	Scopes []string // each one element of the token's scope
}

var (
	ErrUnauthenticated = errors.New("not authenticated")
	ErrAuthUnavailable = errors.New("authentication is not available")
)

// A Refusal says why credentials were not taken. It is ErrUnauthenticated. The detail may hold claims of the token: it is for Explain
// and not in Error.
type Refusal struct {
	Reason string // one of a fixed few words
	detail string
	proved bool     // came with the scheme DPoP
	algs   []string // of proofs, where an issuer takes them
}

// The words of Refusal.Reason.
const (
	reasonMalformed = "malformed"
	reasonUnknown   = "unknown" // a token of nobody
	reasonAlgorithm = "algorithm"
	reasonType      = "type"
	reasonKey       = "key"
	reasonSignature = "signature"
	reasonAudience  = "audience"
	reasonExpired   = "expired"
	reasonEarly     = "early"
	reasonClaims    = "claims"
	reasonInactive  = "inactive"
	reasonBound     = "bound"
	reasonProof     = "proof"
)

func (r *Refusal) Error() string { return "token refused: " + r.Reason }

// Is makes it ErrUnauthenticated.
func (r *Refusal) Is(target error) bool { return target == ErrUnauthenticated }

func refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, detail: fmt.Sprintf(format, args...)}
}

// Challenges are the values of WWW-Authenticate for err, which is ErrUnauthenticated. There is no error code where the request came
// without credentials (RFC 6750 §3.1); DPoP is offered where an issuer takes it (RFC 9449 §7.1).
func Challenges(err error, realm string, presented bool) []string {
	refusal, _ := errors.AsType[*Refusal](err)
	if refusal == nil {
		refusal = new(Refusal)
	}
	bearer, dpop := fmt.Sprintf("Bearer realm=%q", realm), fmt.Sprintf("DPoP realm=%q", realm)
	switch {
	case refusal.proved && refusal.Reason == reasonProof:
		dpop += `, error="invalid_dpop_proof"`
	case refusal.proved:
		dpop += `, error="invalid_token"`
	case presented:
		bearer += `, error="invalid_token"`
	}
	if len(refusal.algs) == 0 {
		if refusal.proved {
			bearer += `, error="invalid_token"`
		}
		return []string{bearer}
	}
	return []string{bearer, dpop + fmt.Sprintf(", algs=%q", strings.Join(refusal.algs, " "))}
}
