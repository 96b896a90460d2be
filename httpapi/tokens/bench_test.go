package tokens_test

import (
	"crypto/rand"
	"testing"
)

// BenchmarkToken is the cost of one check: cached, and with the whole look at a token.
func BenchmarkToken(b *testing.B) {
	p := newProvider(b)
	pairs := keyPairs()
	p.rotate(signingKey{"k1", "RS256", "sig", pairs["rsa"]}, signingKey{"es", "ES256", "sig", pairs["p256"]})
	v := newBench(b, true, config(p, nil))
	for _, c := range []struct{ alg, kid, key string }{{"RS256", "k1", "rsa"}, {"ES256", "es", "p256"}} {
		head := object{"alg": c.alg, "kid": c.kid, "typ": "at+jwt"}
		b.Run(c.alg+"/cached", func(b *testing.B) {
			token := sign(head, p.claims(nil), c.alg, pairs[c.key])
			r := request("Bearer", token)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Set().Authenticate(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.alg+"/new", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				r := request("Bearer", sign(head, p.claims(object{"jti": rand.Text()}), c.alg, pairs[c.key]))
				b.StartTimer()
				if _, err := v.Set().Authenticate(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
