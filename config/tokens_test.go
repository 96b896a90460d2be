package config_test

import (
	"slices"
	"strings"
	"testing"
)

const (
	someSum  = "8f14e45fceea167a5a36dedd4bea2543c6a3b2d5d2f3a6d8a9bb7bfb5a1e0f11"
	otherSum = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func TestTokenFile(t *testing.T) {
	dir := folder(t)
	write(t, dir, "tokens.toml", `
[[token]]
sha256 = "`+someSum+`"
client = "acme"
scopes = ["a", "b"]
expires = 2999-01-01T01:00:00+01:00
[[token]]
sha256 = "`+otherSum+`"
client = "acme"
scopes = ["a"]
expires = "2999-01-01T00:00:00Z"
`, 0o640)
	cfg := valid(t, dir, whole)
	if len(cfg.TokenList) != 2 {
		t.Fatalf("got %v", cfg.TokenList)
	}
	a, b := cfg.TokenList[0], cfg.TokenList[1]
	if a.SHA256[31] != 0x11 || b.SHA256[0] != 0xaa || a.Client != "acme" || !slices.Equal(a.Scopes, []string{"a", "b"}) || !a.Expires.Equal(b.Expires) {
		t.Errorf("got %v", cfg.TokenList)
	}
}

func TestBadTokenFiles(t *testing.T) {
	entry := func(sum, client, scopes, expires string) string {
		return "[[token]]\nsha256 = " + sum + "\nclient = " + client + "\nscopes = " + scopes + "\nexpires = " + expires + "\n"
	}
	const some, acme, scopes, later = `"` + someSum + `"`, `"acme"`, `["a"]`, "2999-01-01T00:00:00Z"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"not TOML", "token\n", []string{`FILE:1:6: expected character =`}},
		{"unknown keys", entry(some, acme, scopes, later) + "scope = \"a\"\n[tokens]\nx = 1\n", []string{
			`FILE:6:1: unknown key "token[0].scope" (did you mean "token[0].scopes"?)`,
			`FILE:7:1: unknown key "tokens" (did you mean "token"?)`,
		}},
		{"one table", "[token]\n", []string{`FILE:1:1: token: must be a list of tables, each headed [[token]]`}},
		{"types", entry("1", "2", `"a"`, "2999-01-01"), []string{
			`FILE:2:1: token[0].sha256 = 1: must be a string`,
			`FILE:3:1: token[0].client = 2: must be a string`,
			`FILE:4:1: token[0].scopes = "a": must be a list of strings such as ["a", "b"]`,
			`FILE:5:1: token[0].expires = 2999-01-01: must be a time such as 2027-01-01T00:00:00Z`,
		}},
		{"nothing in it", "[[token]]\n", []string{
			`FILE:1:1: token[0].sha256: must be the SHA-256 of the token in 64 hexadecimal digits`,
			`FILE:1:1: token[0].client = "": must be the id of a [[client]]`,
			`FILE:1:1: token[0].scopes = []: must name a scope, or the token is good for nothing`,
			`FILE:1:1: token[0].expires: must be a time such as 2027-01-01T00:00:00Z`,
		}},
		{"too short", entry(`"`+someSum[1:]+`"`, acme, scopes, later), []string{
			`FILE:2:1: token[0].sha256: must be the SHA-256 of the token in 64 hexadecimal digits`,
		}},
		{"too long", entry(`"`+someSum+`00"`, acme, scopes, later), []string{
			`FILE:2:1: token[0].sha256: must be the SHA-256 of the token in 64 hexadecimal digits`,
		}},
		{"twice", entry(some, acme, scopes, later) + entry(`"`+strings.ToUpper(someSum)+`"`, acme, scopes, later), []string{
			`FILE:7:1: token[1].sha256: is that of token[0] too`,
		}},
		{"whose", entry(some, `"amce"`, scopes, later), []string{
			`FILE:3:1: token[0].client = "amce": no [[client]] has that id (did you mean "acme"?)`,
		}},
		{"scopes", entry(some, acme, `["a b", ""]`, later), []string{
			`FILE:4:1: token[0].scopes: "a b": must be a scope of printable ASCII without spaces`,
			`FILE:4:1: token[0].scopes: "": must be a scope of printable ASCII without spaces`,
		}},
		{"local time", entry(some, acme, scopes, "2999-01-01T00:00:00"), []string{
			`FILE:5:1: token[0].expires = 2999-01-01T00:00:00: must be a time such as 2027-01-01T00:00:00Z`,
		}},
		{"past", entry(some, acme, scopes, "2001-01-01T00:00:00Z"), []string{
			`warning: FILE:5:1: token[0].expires = 2001-01-01T00:00:00Z: is past, the token is refused`,
		}},
		{"empty", "# none yet\n", []string{`warning: FILE: has no [[token]]: nobody is let in`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t)
			write(t, dir, "tokens.toml", c.text, 0o600)
			_, got := check(t, dir, whole)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "DIR/tokens.toml", "FILE")
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
