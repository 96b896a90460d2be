package config_test

import (
	"slices"
	"strings"
	"testing"

	"otpgw/config"
)

const twoIssuers = whole + `
[[issuer]]
name = "idp"
issuer = "https://idp.example.com"
audience = ["https://otp.example.com"]
[[issuer]]
name = "old"
kind = "opaque"
audience = ["otp"]
introspection_url = "https://old.example.com/introspect"
client_id = "otpgw"
client_secret = "file:DIR/smpp.password"
`

func TestIssuers(t *testing.T) {
	dir := folder(t)
	cfg, problems := check(t, dir, strings.ReplaceAll(twoIssuers, `file = "DIR/tokens.toml"`, ""))
	for _, p := range problems {
		if !strings.Contains(p, "warning") || strings.Contains(p, "nobody is let in") {
			t.Error(p)
		}
	}
	if len(cfg.Issuers) != 2 || cfg.Issuers[0].Kind != "jwt" || string(cfg.Issuers[1].ClientSecret) != password {
		t.Fatalf("%+v", cfg.Issuers)
	}
	for _, c := range []struct{ old, new, want string }{
		{`name = "old"`, `name = "idp"`, `issuer[1].name = "idp": is that of issuer[0] too`},
		{`kind = "opaque"`, "kind = \"opaque\"\nissuer = \"https://idp.example.com\"", `issuer[1].issuer = "https://idp.example.com": is that of issuer[0] too`},
		{`audience = ["https://otp.example.com"]`, "", `issuer[0].audience = []: must name this API`},
		{`"https://idp.example.com"`, `"http://idp.example.com"`, `issuer[0].issuer = "http://idp.example.com": its keys can be found by an https URL only`},
		{`client_secret = "file:DIR/smpp.password"`, `client_secret = "s3cret"`, `issuer[1].client_secret: must be "file:/path"`},
		{`kind = "opaque"`, "kind = \"opaque\"\nca = \"DIR/none.pem\"", `issuer[1].ca = "DIR/none.pem": no such file`},
		{`kind = "opaque"`, "kind = \"opaque\"\nca = \"DIR/smpp.password\"", `issuer[1].ca = "DIR/smpp.password": holds no certificate in PEM`},
		{`kind = "opaque"`, "kind = \"opaque\"\nactive_for = \"0s\"", `issuer[1].active_for = "0s": the issuer is asked about every request`},
		{`audience = ["otp"]`, "", `issuer[1].audience = []: tokens for any other API`},
		{`name = "idp"`, "name = \"idp\"\nclient_claims = [\"sub\", \"azp\"]", `sub comes first`},
	} {
		_, problems := check(t, dir, strings.Replace(twoIssuers, c.old, c.new, 1))
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, c.want) }) {
			t.Errorf("%q: %q, want %q", c.new, problems, c.want)
		}
		for _, p := range problems {
			if strings.Contains(p, "s3cret") {
				t.Errorf("a problem has the secret: %s", p)
			}
		}
	}
	changed := valid(t, dir, strings.Replace(twoIssuers, `["https://otp.example.com"]`, `["x"]`, 1))
	if hot, restart := config.Diff(valid(t, dir, twoIssuers), changed); !slices.Equal(hot, []string{"issuer[0].audience"}) || len(restart) > 0 {
		t.Errorf("changed %q, and %q needs a restart", hot, restart)
	}
}
