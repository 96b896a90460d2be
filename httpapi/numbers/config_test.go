package numbers_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"otpgw/config/secret"
	"otpgw/httpapi/numbers"
)

func TestTheDefaultsAreValid(t *testing.T) {
	if err := numbers.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesTheKey(t *testing.T) {
	for _, test := range []struct {
		key    string
		change func(*numbers.Config)
	}{
		{"own: entry 2", func(c *numbers.Config) { c.Own = []string{"+34", "34"} }},
		{"not_allowed: entry 1", func(c *numbers.Config) { c.NotAllowed = []string{""} }},
		{"landline: entry 1", func(c *numbers.Config) { c.Landline = []string{"+0"} }},
		{"blocked: entry 1", func(c *numbers.Config) { c.Blocked = []string{"+1234567890123456"} }},
		{"blocked: entry 1", func(c *numbers.Config) { c.Blocked = []string{"+346*"} }},
		{"own: entry 2: is in own too", func(c *numbers.Config) { c.Own = []string{"+34600123456", "+34600123456"} }},
		{"own: entry 1: is in blocked too", func(c *numbers.Config) { c.Own, c.Blocked = []string{"+34"}, []string{"+34"} }},
		{"own_file", func(c *numbers.Config) { c.OwnFile = "own" }},
		{"not_allowed_file", func(c *numbers.Config) { c.NotAllowedFile = "./x" }},
		{"landline_file", func(c *numbers.Config) { c.LandlineFile = "x" }},
		{"blocked_file", func(c *numbers.Config) { c.BlockedFile = "../x" }},
		{"ported_out_file", func(c *numbers.Config) { c.PortedOutFile = "x" }},
		{"ported_in_file", func(c *numbers.Config) { c.PortedInFile = "x" }},
		{"lookup_ca", func(c *numbers.Config) { c.LookupCA = "x" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "http://example.com/" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "http://10.0.0.1/" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "http://localhost.example.com/" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "https://" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "https:///x" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "https://u:p@example.com/" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "https://example.com/#x" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "ftp://example.com/" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "example.com" }},
		{"lookup_url", func(c *numbers.Config) { c.LookupURL = "https://example.com/\n" }},
		{"lookup_token", func(c *numbers.Config) { c.LookupToken = "a\r\nX: y" }},
		{"lookup_token", func(c *numbers.Config) { c.LookupToken = "=" }},
		{"lookup_token", func(c *numbers.Config) { c.LookupToken = secret.Text(strings.Repeat("a", 4097)) }},
		{"lookup_timeout", func(c *numbers.Config) { c.LookupTimeout = 49 * time.Millisecond }},
		{"lookup_timeout", func(c *numbers.Config) { c.LookupTimeout = 11 * time.Second }},
		{"lookup_concurrency", func(c *numbers.Config) { c.LookupConcurrency = 0 }},
		{"lookup_concurrency", func(c *numbers.Config) { c.LookupConcurrency = 1001 }},
		{"lookup_fail", func(c *numbers.Config) { c.LookupFail = "" }},
		{"lookup_cache", func(c *numbers.Config) { c.LookupCache = -1 }},
		{"lookup_negative_cache", func(c *numbers.Config) { c.LookupNegativeCache = 25 * time.Hour }},
		{"lookup_cache_size", func(c *numbers.Config) { c.LookupCacheSize = 0 }},
		{"refused_cache", func(c *numbers.Config) { c.RefusedCache = 25 * time.Hour }},
		{"refused_cache_size", func(c *numbers.Config) { c.RefusedCacheSize = 10_000_001 }},
	} {
		cfg := config(test.change)
		errs := each(cfg.Validate())
		if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), test.key) {
			t.Errorf("%v, want one error that begins with %s", errs, test.key)
		} else if strings.Contains(errs[0].Error(), "600123456") {
			t.Errorf("the error holds a number: %v", errs[0])
		}
		if _, err := numbers.Load(cfg, nil); err == nil {
			t.Errorf("%s: loaded all the same", test.key)
		}
	}
}

func TestWhatIsValid(t *testing.T) {
	for _, url := range []string{"https://example.com", "https://example.com:8443/a?b=c", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/x"} {
		cfg := config(func(c *numbers.Config) {
			c.LookupURL, c.LookupToken, c.LookupCA, c.LookupFail = url, "abc-._~+/==", "/etc/ca.pem", "open"
			c.Own, c.Blocked = []string{"+1", "+123456789012345"}, []string{"+12"}
			c.LookupCache, c.LookupNegativeCache, c.RefusedCache = 0, 24*time.Hour, 0
		})
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestEveryKeyIsHotAndExplained(t *testing.T) {
	config := reflect.TypeFor[numbers.Config]()
	for i := range config.NumField() {
		tag := config.Field(i).Tag
		if tag.Get("toml") == "" || !strings.HasSuffix(tag.Get("comment"), ".") || tag.Get("reload") != "hot" {
			t.Errorf("%s: %s", config.Field(i).Name, tag)
		}
	}
}

func TestTheTokenHidesItself(t *testing.T) {
	var cfg numbers.Config
	if err := cfg.LookupToken.UnmarshalSecret([]byte("s3cret")); err != nil || cfg.LookupToken != "s3cret" {
		t.Fatal("the token is not what was read")
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", cfg.LookupToken, "config", cfg)
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v %#v %q %s", cfg, cfg, cfg.LookupToken, cfg.LookupToken), log.String(), string(encoded)} {
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "***") {
			t.Errorf("shown: %s", text)
		}
	}
}
