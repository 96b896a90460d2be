package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnvironmentOverridesTheFile(t *testing.T) {
	dir := folder(t)
	for name, value := range map[string]string{
		"OTPGW_OTP_TTL":               "2m",
		"OTPGW_OTP_MAX_ATTEMPTS":      "4",
		"OTPGW_HTTP_LISTEN":           "127.0.0.1:1",
		"OTPGW_HTTP_ALLOW_PLAIN_HTTP": "true",
		"OTPGW_NUMBERS_OWN":           "+346, +347",
		"OTPGW_LOG_FORMAT":            "",
	} {
		t.Setenv(name, value)
	}
	cfg := valid(t, dir, "[otp]\nttl = \"3m\"\nlength = 8\n[log]\nformat = \"json\"\n"+whole)
	if cfg.OTP.TTL != 2*time.Minute || cfg.OTP.MaxAttempts != 4 || cfg.HTTP.Listen != "127.0.0.1:1" || !cfg.HTTP.AllowPlainHTTP {
		t.Errorf("the environment does not count: %+v %+v", cfg.OTP, cfg.HTTP)
	}
	if want := []string{"+346", "+347"}; !slices.Equal(cfg.Numbers.Own, want) {
		t.Errorf("numbers.own = %q, want %q", cfg.Numbers.Own, want)
	}
	if cfg.OTP.Length != 8 || cfg.Log.Format != "json" {
		t.Errorf("what the environment is silent about is not the file's: %+v %+v", cfg.OTP, cfg.Log)
	}
}

func TestEnvironmentWrong(t *testing.T) {
	for _, c := range []struct {
		name, value, text string
		want              []string
	}{
		{"OTPGW_OTP_TTL", "5", whole, []string{`environment OTPGW_OTP_TTL: otp.ttl = "5": must be a duration such as "30s", "5m" or "1h30m"`}},
		{"OTPGW_OTP_LENGTH", "six", "[otp]\nlength = 7\n" + whole, []string{`environment OTPGW_OTP_LENGTH: otp.length = "six": must be a whole number`}},
		{"OTPGW_HTTP_ALLOW_PLAIN_HTTP", "1", whole, []string{`environment OTPGW_HTTP_ALLOW_PLAIN_HTTP: http.allow_plain_http = "1": must be true or false`}},
		{"OTPGW_HTTP_MAX_IN_FLIGHT", "1", "[http]\nmax_in_flight = 5\n" + whole, []string{`environment OTPGW_HTTP_MAX_IN_FLIGHT: http.max_in_flight = 1: must be 4..65536`}},
		{"OTPGW_HTTP_LISTEN", "0.0.0.0:9464", "[http]\nallow_plain_http = true\n" + whole, []string{
			`DIR/otpgw.toml: admin.listen = "127.0.0.1:9464": must be another address than http.listen = "0.0.0.0:9464"`,
		}},
		{"OTPGW_TOKENS_FILE", "/does/not/exist", whole, []string{`environment OTPGW_TOKENS_FILE: tokens.file = "/does/not/exist": no such file or directory`}},
		{"OTPGW_STORE_KEY", "cred:a/b", whole, []string{`environment OTPGW_STORE_KEY: store.key: must be "file:/path", "cred:name" or "env:NAME", never the secret itself`}},

		// What the file says does not count when the environment says something else, but it stays wrong.
		{"OTPGW_OTP_TTL", "2m", "[otp]\nttl = 5\n" + whole, []string{`DIR/otpgw.toml:2:1: otp.ttl = 5: must be a duration such as "30s", "5m" or "1h30m"`}},

		{"OTPGW_OTP_TLL", "5m", whole, []string{`warning: environment OTPGW_OTP_TLL: sets no key (did you mean OTPGW_OTP_TTL?)`}},
		{"OTPGW_WHATEVER", "5m", whole, []string{`warning: environment OTPGW_WHATEVER: sets no key`}},
		{"OTPGW_OTP", "x", whole, []string{`warning: environment OTPGW_OTP: sets no key`}},
		{"OTPGW_SMSC", "x", whole, []string{`warning: environment OTPGW_SMSC: sets no key`}},
		{"OTPGW_SMSC_WINDOW", "5", whole, []string{`warning: environment OTPGW_SMSC_WINDOW: sets no key: [[smsc]] is for the file only`}},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			t.Setenv(c.name, c.value)
			if _, got := check(t, folder(t), c.text); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
