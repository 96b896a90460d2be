package tokens_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"otpgw/httpapi/tokens"
)

// FuzzToken holds that no token makes the verifier panic, and that none is taken that the provider did not sign for whoever brings it.
func FuzzToken(f *testing.F) {
	p := newHandler(f, "https://idp.example.com")
	good := sign(object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, p.claims(object{"aud": "another", "scp": []string{scope}, "cnf": object{"jkt": "x"}}), "RS256", keyPairs()["rsa"])
	f.Add(good)
	f.Add("..")
	f.Add(encode(`{"alg":"none"}`) + "." + encode(`{"exp":1e400,"aud":[[]],"iss":null}`) + ".")
	f.Add(encode(`{"alg":"RS256","kid":"k1","typ":"at+jwt","jwk":{"kty":"EC"}}`) + "." + encode(`{"iss":"https://idp.example.com"}`) + ".AAAA")
	cfg := config(p, nil)
	get := func(_ context.Context, from string) ([]byte, error) {
		w := httptest.NewRecorder()
		p.answer(w, httptest.NewRequest("GET", from, nil))
		return w.Body.Bytes(), nil
	}
	v, err := tokens.NewFetching(nil, []tokens.Config{cfg}, get, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	run(f, v)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Set().Authenticate(t.Context(), request("Bearer", token)); err == nil {
			t.Fatalf("%q is taken", token)
		}
		if _, good := v.Set().Explain(t.Context(), token, func(tokens.Step) {}); good {
			t.Fatalf("%q is explained to be good", token)
		}
	})
}

// FuzzKeys holds that no answer makes the parser panic, and that it gives keys or an error.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kid":"k1","kty":"RSA","use":"sig","alg":"RS256","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kid":"k1","kty":"EC","crv":"P-256","x":"AQ","y":"AQ"},{"kid":"k2","kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := tokens.ParseKeys(text)
		if (err == nil) == (len(keys) == 0) {
			t.Fatalf("%d keys and %v", len(keys), err)
		}
	})
}

// FuzzClaims holds that claims are read without panic, as they came from an issuer that was asked.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"active":true,"exp":1,"aud":["a"],"scope":"a b","cnf":{"x5t#S256":"x"},"client_id":"c"}`))
	f.Add([]byte(`{"active":false}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, errFirst := tokens.ParseClaims(text, []string{"client_id"})
		second, errSecond := tokens.ParseClaims(text, []string{"client_id"})
		if (errFirst == nil) != (errSecond == nil) || first == nil || second == nil {
			t.Fatalf("%v and %v", errFirst, errSecond)
		}
	})
}
