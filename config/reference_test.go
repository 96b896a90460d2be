package config_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"otpgw/config"
)

var update = flag.Bool("update", false, "write packaging/otpgw.toml")

const packaged = "../packaging/otpgw.toml"

func TestPackagedFileIsTheReference(t *testing.T) {
	if *update {
		if err := os.WriteFile(packaged, []byte(config.Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(packaged)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != config.Reference() {
		t.Errorf("%s is out of date: go test ./config -update", packaged)
	}
}

const webhookSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// TestReferenceLoads makes the two files that the head of the reference speaks of, and loads it: as it is, and with every
// default taken out of its comment.
func TestReferenceLoads(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "smpp.password", password+"\n", 0o600)
	write(t, dir, "tokens.toml", token, 0o600)
	write(t, dir, "acme.webhook-secret", webhookSecret, 0o600) // of a table that may be left out
	reference := strings.ReplaceAll(config.Reference(), "/etc/otpgw/", "DIR/")
	commented := regexp.MustCompile(`(?m)^#([a-z])`)
	reference, optional, _ := strings.Cut(reference, "\n#[[")
	optional = "#[[" + optional
	if n := len(commented.FindAllString(reference, -1)); n < 40 {
		t.Fatalf("the reference has %d defaults", n)
	}

	path := write(t, dir, "otpgw.toml", reference, 0o600)
	asIs, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "otpgw.toml", commented.ReplaceAllString(reference, "$1"), 0o600)
	spelledOut, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if hot, restart := config.Diff(asIs, spelledOut); len(hot)+len(restart) > 0 {
		t.Errorf("what the reference says are defaults are none: %v %v", hot, restart)
	}
	write(t, dir, "otpgw.toml", reference+"\n"+regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(optional, "$1"), 0o600)
	if _, _, err := config.Load(path); err != nil {
		t.Errorf("with the tables that may be left out: %v", err)
	}
	asIs.SMSC, asIs.Clients, asIs.Tokens, asIs.TokenList = nil, nil, config.Tokens{}, nil
	if hot, restart := config.Diff(config.Default(), asIs); len(hot)+len(restart) > 0 {
		t.Errorf("the reference changes defaults: %v %v", hot, restart)
	}
}

func TestReferenceIsReadable(t *testing.T) {
	if first, second := config.Reference(), config.Reference(); first != second {
		t.Error("it is not the same each time")
	}
	for i, line := range strings.Split(config.Reference(), "\n") {
		if len(line) > 125 || strings.TrimRight(line, " \t") != line {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
	for _, want := range []string{"\n[otp]\n", "\n[[smsc]]\n", "\n#ttl = \"5m\"\n", "OTPGW_OTP_TTL", "\n#own = []\n", "\n#rate = 100.0\n"} {
		if !strings.Contains(config.Reference(), want) {
			t.Errorf("it has no %q", want)
		}
	}
	if strings.Contains(config.Reference(), "OTPGW_SMSC") {
		t.Error("it promises environment variables for tables in lists")
	}
}
