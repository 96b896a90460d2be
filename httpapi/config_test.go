package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"otpgw/httpapi"
)

// complaints is what Validate says, a line for each key.
func complaints(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func expect(t *testing.T, err error, keys ...string) {
	t.Helper()
	lines := complaints(err)
	if len(lines) != len(keys) {
		t.Errorf("%q, want complaints about %q", lines, keys)
		return
	}
	for i, key := range keys {
		if !strings.HasPrefix(lines[i], key+" = ") {
			t.Errorf("%q, want one about %s", lines[i], key)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	c := httpapi.DefaultClient()
	c.ID, c.Sender = "acme", "ACME"
	expect(t, c.Validate())
	expect(t, httpapi.DefaultConfig().Validate())
}

func TestPlainHTTPOnlyOnLoopback(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "localhost:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "otp.example.com:80": false,
	} {
		c := httpapi.DefaultConfig()
		c.Listen = listen
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
		c.AllowPlainHTTP = true
		if err := c.Validate(); err != nil {
			t.Errorf("%s, allowed: %v", listen, err)
		}
		c.AllowPlainHTTP = false
		c.TLSCert, c.TLSKey = "cert.pem", "key.pem"
		if err := c.Validate(); err != nil {
			t.Errorf("%s with TLS: %v", listen, err)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	valid := httpapi.DefaultConfig
	c := valid()
	c.Listen, c.RequestTimeout, c.MaxInFlight, c.MaxConnections = "nowhere", 0, 0, 0
	expect(t, c.Validate(), "listen", "request_timeout", "max_in_flight", "max_connections")
	c = valid()
	c.RequestTimeout, c.MaxInFlight, c.MaxConnections = time.Hour, 1<<20, 1<<30
	expect(t, c.Validate(), "request_timeout", "max_in_flight", "max_connections")
	c = valid()
	c.TLSCert = "cert.pem"
	expect(t, c.Validate(), "tls_key")
	c = valid()
	c.TLSKey = "key.pem"
	expect(t, c.Validate(), "tls_cert")
	if _, err := httpapi.New(httpapi.Config{}, httpapi.Live{}, httpapi.Parts{}, nil, nil); err == nil {
		t.Error("a server of no configuration")
	}
}

func TestOriginsAndPublicURL(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://otp.example.com": true, "https://otp.example.com:8443": true, "http://127.0.0.1:9464": true, "http://[::1]:9464": true, "http://localhost": true,
		"https://otp.example.com/": false, "https://otp.example.com/api": false, "otp.example.com": false, "//otp.example.com": false, "https://": false, "*": false, "null": false,
		"https://*.example.com": false, "ftp://otp.example.com": false, "https://Otp.example.com": false, "https://u@otp.example.com": false, "https://otp.example.com:": false,
		"https://a b": false, "https://a;script-src": false, "https://otp.example.com\n": false, "https://a?b": false, "https://a#b": false,
	} {
		c := httpapi.DefaultConfig()
		c.Origins = []string{origin}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("origins %q: %v", origin, err)
		}
		c = httpapi.DefaultConfig()
		c.PublicURL = origin
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("public_url %q: %v", origin, err)
		}
	}
	for _, c := range []struct{ listen, cert, public, want string }{
		{"127.0.0.1:8080", "", "", "http://127.0.0.1:8080"},
		{"[::1]:8443", "cert.pem", "", "https://[::1]:8443"},
		{":8443", "cert.pem", "", "https://localhost:8443"},
		{"0.0.0.0:https", "cert.pem", "", "https://localhost:443"},
		{"127.0.0.1:8080", "", "https://otp.example.com", "https://otp.example.com"},
	} {
		cfg := httpapi.Config{Listen: c.listen, TLSCert: c.cert, PublicURL: c.public}
		if got := cfg.Root(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestClientRefused(t *testing.T) {
	expect(t, httpapi.Client{Rate: -1}.Validate(), "id", "sender", "rate", "burst", "text")
	for sender, ok := range map[string]bool{
		"ACME": true, "Demo Shop": true, "A1": true, "1-800-FLOWE": true, "12345": true, "+34600000001": true, "A&B": true, "Joe's": true, "a_b?": true,
		"": false, "34600000001": false, "+1234": false, "+0600000001": false, "TwelveLetter": false, "1234567890123456": false, "A@B": false, "A$": false, "A[B": false, "A~B": false, "É": false, " ": false, "1-2": false, "A\n": false, "+": false, "A{B": false,
	} {
		c := httpapi.Client{ID: "acme", Sender: sender, Text: "free", Burst: 1}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("sender %q: %v", sender, err)
		}
	}
	for id, ok := range map[string]bool{
		"acme": true, "AcmeBank.prod-1_x@y:z/1": true, "": false, "a b": false, "é": false, strings.Repeat("a", 65): false, "a\n": false,
	} {
		c := httpapi.Client{ID: id, Sender: "ACME", Text: "free", Burst: 1}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("id %q: %v", id, err)
		}
	}
}
