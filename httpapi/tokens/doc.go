// Package tokens finds out on whose behalf a request comes: by a token of the operator's file, by a JWT of an issuer whose keys are
// known, or by asking an issuer (RFC 7662). It is strict where the libraries under it are not: what an access token must not have is
// refused, and what cannot be known now is ErrAuthUnavailable and never a refusal.
//
// What a token must be stands in jwt.go as two lists of checks, by which Explain tells its story too. keys.go keeps an issuer's keys,
// introspect.go asks, bound.go and dpop.go hold that a token comes from whom it was given to. Start reading at Set.Authenticate.
package tokens
