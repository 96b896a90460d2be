package remote_test

import (
	"strings"
	"testing"

	"otpgw/httpapi/remote"
)

func TestUsable(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://idp.example.com":                        true,
		"https://idp.example.com:8443/keys?a=b":          true,
		"HTTPS://idp.example.com":                        true,
		"http://localhost:8080/":                         true,
		"http://127.0.0.1/x":                             true,
		"http://127.9.9.9/x":                             true,
		"http://[::1]:80":                                true,
		"":                                               false,
		"idp.example.com":                                false,
		"https:///keys":                                  false,
		"https://:443/":                                  false,
		"http://idp.example.com":                         false,
		"http://127.0.0.1.example.com":                   false,
		"http://localhost.example.com":                   false,
		"http://192.168.0.1/":                            false,
		"https://user@idp.example.com":                   false,
		"https://user:pass@idp.example.com":              false,
		"https://idp.example.com/#part":                  false,
		"ftp://idp.example.com":                          false,
		"file:///etc/passwd":                             false,
		"https://idp.example.com/\n":                     false,
		"https://idp.example.com/%zz":                    false,
		"https://a.example/" + strings.Repeat("a", 2030): true,
		"https://a.example/" + strings.Repeat("a", 2031): false,
	} {
		if got := remote.Usable(raw); got != want {
			t.Errorf("%q: %v, want %v", raw[:min(len(raw), 60)], got, want)
		}
	}
}
