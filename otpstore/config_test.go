package otpstore_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"otpgw/otpstore"
)

func TestPolicyRanges(t *testing.T) {
	if err := otpstore.DefaultPolicy().Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	for key, spoil := range map[string][]func(*otpstore.Policy){
		"length":         {func(p *otpstore.Policy) { p.Length = 5 }, func(p *otpstore.Policy) { p.Length = 11 }},
		"ttl":            {func(p *otpstore.Policy) { p.TTL = 0 }, func(p *otpstore.Policy) { p.TTL = 10*time.Minute + 1 }},
		"max_attempts":   {func(p *otpstore.Policy) { p.MaxAttempts = 1 }, func(p *otpstore.Policy) { p.MaxAttempts = 11 }},
		"send_limit":     {func(p *otpstore.Policy) { p.SendLimit = 0 }, func(p *otpstore.Policy) { p.SendLimit = 101 }},
		"send_window":    {func(p *otpstore.Policy) { p.SendWindow = p.TTL - 1 }, func(p *otpstore.Policy) { p.SendWindow = 169 * time.Hour }},
		"resend_after":   {func(p *otpstore.Policy) { p.ResendAfter = -1 }, func(p *otpstore.Policy) { p.ResendAfter = p.SendWindow + 1 }},
		"max_failures":   {func(p *otpstore.Policy) { p.MaxFailures = 0 }, func(p *otpstore.Policy) { p.MaxFailures = 101 }},
		"failure_window": {func(p *otpstore.Policy) { p.FailureWindow = 0 }, func(p *otpstore.Policy) { p.FailureWindow = 721 * time.Hour }},
		"alphabet":       {func(p *otpstore.Policy) { p.Alphabet = "" }, func(p *otpstore.Policy) { p.Alphabet = "emoji" }},
		"day_limit":      {func(p *otpstore.Policy) { p.DayLimit = -1 }, func(p *otpstore.Policy) { p.DayLimit = 101 }},
		"number_limit":   {func(p *otpstore.Policy) { p.NumberLimit = 0 }, func(p *otpstore.Policy) { p.NumberLimit = 101 }},
		"retention":      {func(p *otpstore.Policy) { p.Retention = 0 }, func(p *otpstore.Policy) { p.Retention = 721 * time.Hour }},
	} {
		for _, f := range spoil {
			p := otpstore.DefaultPolicy()
			f(&p)
			if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), key+" = ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %v", key, err)
			}
		}
	}
	if err := (otpstore.Policy{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 6 {
		t.Errorf("not all problems at once: %v", err)
	}
}

// A code has 20 bits, or it is said aloud that it has not.
func TestShortCodes(t *testing.T) {
	for _, row := range []struct {
		alphabet string
		length   int
		short    bool
		ok       bool
	}{
		{"digits", 5, false, false}, {"digits", 6, false, true}, {"digits", 4, true, true}, {"digits", 3, true, false},
		{"letters", 4, false, false}, {"letters", 5, false, true}, {"alphanumeric", 4, false, false}, {"alphanumeric", 5, false, true},
	} {
		terms := otpstore.DefaultPolicy().Terms()
		terms.Name, terms.Alphabet, terms.Length, terms.AllowShort = "x", row.alphabet, row.length, row.short
		if err := terms.Validate(); (err == nil) != row.ok {
			t.Errorf("%+v: %v", row, err)
		}
	}
	if err := otpstore.DefaultPolicy().Terms().Validate(); err == nil || !strings.HasPrefix(err.Error(), "name = ") {
		t.Errorf("terms without a name: %v", err)
	}
}

func TestConfigRanges(t *testing.T) {
	if err := otpstore.DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	if err := (otpstore.Config{}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "dir = ") {
		t.Errorf("no directory: %v", err)
	}
	if err := (otpstore.Config{Dir: "x", Key: make(otpstore.Key, 16)}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "key: ") {
		t.Errorf("short key: %v", err)
	}
}

func TestKeyForms(t *testing.T) {
	raw := []byte("\x00\x01\xfe\xff0123456789abcdefghijklmnopq\n")
	for what, text := range map[string]string{
		"raw":    string(raw),
		"hex":    hex.EncodeToString(raw) + "\n",
		"base64": " " + base64.StdEncoding.EncodeToString(raw) + "\r\n",
		"url":    base64.RawURLEncoding.EncodeToString(raw),
	} {
		var k otpstore.Key
		if err := k.UnmarshalSecret([]byte(text)); err != nil || string(k) != string(raw) {
			t.Errorf("%s: got %x, %v", what, []byte(k), err)
		}
	}
	for _, text := range []string{"", "short", strings.Repeat("a", 63), strings.Repeat("g", 64), strings.Repeat("\x00", 33)} {
		var k otpstore.Key
		if err := k.UnmarshalSecret([]byte(text)); err == nil || (text != "" && strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSecretsPrintAsStars(t *testing.T) {
	k := otpstore.Key("0123456789abcdefghijklmnopqrstuv")
	i := otpstore.Issued{ID: "the-id", Code: "123456"}
	text, err := k.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("test", "key", k, "issued", i, "config", otpstore.Config{Key: k})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("test", "key", k, "issued", i, "config", otpstore.Config{Key: k})
	printed := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %v", k, k, k, text, i, i, i, otpstore.Config{Key: k}) + log.String()
	for _, secret := range []string{"0123456789", "303132", "123456", "[48 49"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%q is in %s", secret, printed)
		}
	}
	if otpstore.Key(nil).String() != "" {
		t.Error("no key prints as one")
	}
}
