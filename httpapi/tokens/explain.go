package tokens

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// A Step is one check of Explain. The detail may hold claims of the token, never the token.
type Step struct {
	Name   string
	OK     bool
	Detail string // what was seen, or why it is not good
}

// A story is told in steps.
type story struct {
	say func(Step)
	bad bool
}

func (s *story) ok(name, format string, args ...any) {
	s.say(Step{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

// fails tells of err, if it is one.
func (s *story) fails(name string, err error) bool {
	if err == nil {
		return false
	}
	detail := err.Error()
	if refusal, is := errors.AsType[*Refusal](err); is {
		detail = refusal.detail
	}
	s.bad = true
	s.say(Step{Name: name, Detail: detail})
	return true
}

func (s *story) checks(list []check, i *issuer, parsed *signed, c *claims, now time.Time) {
	for _, check := range list {
		if saw, err := check.run(i, parsed, c, now); !s.fails(check.name, err) {
			s.ok(check.name, "%s", saw)
		}
	}
}

// Explain looks at a token as Authenticate does and says of each check how it went, those after a failure included where they mean
// something. It fetches the keys that it needs. To what a token is bound it cannot see. The Principal is good where all was.
func (s *Set) Explain(ctx context.Context, token string, say func(Step)) (Principal, bool) {
	told := &story{say: say}
	now := time.Now()
	if len(token) == 0 || len(token) > maxToken || !printable(token) {
		told.fails("form", refuse(reasonMalformed, "must be 1 to %d printable characters without spaces", maxToken))
		return Principal{}, false
	}
	if v, known, err := s.file.judge(hashOf(token), now); known {
		told.ok("kind", "a token of the file")
		if !told.fails("expiry", err) {
			told.ok("expiry", "%s", clock(v.until))
		}
		return v.Principal, !told.bad
	}
	p := s.explain(ctx, told, token, now)
	return p, !told.bad
}

// Probe asks the issuer of that name, which must be one of the set, for its keys or about a token that nobody has. It takes a few seconds
// at the most.
func (s *Set) Probe(ctx context.Context, name string) Step {
	var last Step
	told := &story{say: func(s Step) { last = s }}
	i := s.named(name)
	if i.keys != nil {
		i.fetched(ctx, told)
		return last
	}
	token := rand.Text()
	_, err := i.asks.ask(ctx, i, token, hashOf(token))
	switch {
	case err == nil:
		told.fails("introspection", errors.New("the issuer says of a token that nobody has that it is active"))
	case errors.Is(err, ErrUnauthenticated):
		told.ok("introspection", "answers")
	default:
		told.fails("introspection", err)
	}
	return last
}

// fetched tells whether the keys are there, and fetches them where they are not.
func (i *issuer) fetched(ctx context.Context, told *story) bool {
	if i.keys.usable(time.Now()) == nil && told.fails("keys", i.keys.refresh(ctx)) {
		return false
	}
	told.ok("keys", "%d fetched", len(i.keys.now.Load().keys))
	return true
}

// explain is Explain for a token that is not of the file.
func (s *Set) explain(ctx context.Context, told *story, token string, now time.Time) Principal {
	var asked []*issuer
	for _, i := range s.issuers {
		if i.opaque() {
			asked = append(asked, i)
		}
	}
	if looksSigned(token) {
		own, parsed, c, err := s.issuerOf(token)
		switch {
		case err != nil && (own != nil && own.keys != nil || len(asked) == 0):
			told.ok("kind", "a JWT")
			told.fails("form", err)
			return Principal{}
		case own != nil && own.keys != nil:
			told.ok("kind", "a JWT")
			return own.explain(ctx, told, parsed, c, now)
		case own != nil:
			asked = []*issuer{own}
		case err == nil && len(asked) == 0:
			told.ok("kind", "a JWT")
			told.fails("issuer", refuse(reasonUnknown, "is %.200q, and there is no [[issuer]] of that", c.issuer))
			return Principal{}
		}
	}
	told.ok("kind", "not in the file, and no JWT of a known issuer")
	if len(asked) == 0 {
		told.fails("issuer", refuse(reasonUnknown, "there is no [[issuer]] with kind = %q to ask about it", kindOpaque))
		return Principal{}
	}
	var unknown []Step
	for _, i := range asked {
		c, err := i.asks.ask(ctx, i, token, hashOf(token))
		if err != nil {
			own := &story{say: func(step Step) { unknown = append(unknown, step) }}
			own.fails("issuer "+i.Name, err)
			continue
		}
		told.ok("issuer "+i.Name, "says that it is active")
		if i.Issuer != "" && c.issuer != "" && c.issuer != i.Issuer {
			told.fails("issuer", refuse(reasonClaims, "is %.200q, not %q", c.issuer, i.Issuer))
		}
		told.checks(claimChecks, i, nil, c, now)
		told.bound(i, c)
		return Principal{Client: c.client(i.ClientClaims), Scopes: c.scopes()}
	}
	told.bad = true
	for _, step := range unknown {
		told.say(step)
	}
	return Principal{}
}

// explain is Explain for a JWT that says it is of this issuer.
func (i *issuer) explain(ctx context.Context, told *story, s *signed, c *claims, now time.Time) Principal {
	told.ok("issuer", "%q, which is [[issuer]] %s", c.issuer, i.Name)
	told.checks(headerChecks, i, s, c, now)
	if !i.fetched(ctx, told) {
		told.checks(claimChecks, i, s, c, now)
		return Principal{}
	}
	if keys := i.keys.now.Load().keys[s.header.kid]; keys == nil {
		told.fails("signature", refuse(reasonKey, "no key of the issuer has this kid"))
	} else if !told.fails("signature", signedBy(s, keys)) {
		told.ok("signature", "is of the issuer")
	}
	told.checks(claimChecks, i, s, c, now)
	told.bound(i, c)
	return Principal{Client: c.client(i.ClientClaims), Scopes: c.scopes()}
}

// bound says what a request would have to show.
func (s *story) bound(i *issuer, c *claims) {
	switch {
	case c.bound == nil:
		s.ok("bound", "to nothing")
	case c.bound.key != "" && !i.DPoP:
		s.fails("bound", refuse(reasonBound, "to a key (DPoP), and dpop = false for this issuer"))
	case c.bound.key != "":
		s.ok("bound", "to a key: each request must bring a proof (DPoP)")
	default:
		s.ok("bound", "to a certificate: the connection must show it")
	}
}
