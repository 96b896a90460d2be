package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otpgw/config"
)

// The ends of a file that is valid and of which nothing has to be warned.
const (
	wholeSMSC = `
[[smsc]]
name = "smsc-a"
endpoints = ["127.0.0.1:2775"]
system_id = "otpgw"
password = "file:DIR/smpp.password"
`
	wholeClient = `
[[client]]
id = "acme"
sender = "ACME"
`
	wholeSink = `
[[sink]]
name = "main"
url = "https://acme.example.com/events"
clients = ["acme"]
namespace = "com.example.otp"
secret = "env:WEBHOOK_SECRET"
`
	wholeNumbers = `
[numbers]
own = ["+346"]
`
	wholeTokens = `
[tokens]
file = "DIR/tokens.toml"
`
	whole = wholeNumbers + wholeTokens + wholeSMSC + wholeClient

	password = "h7Kq-w0X" // of the SMSC in every test
	token    = `
[[token]]
sha256 = "8f14e45fceea167a5a36dedd4bea2543c6a3b2d5d2f3a6d8a9bb7bfb5a1e0f11"
client = "acme"
scopes = ["one-time-password-sms:send-validate"]
expires = 2999-01-01T00:00:00Z
`
)

// TestMain takes what the machine has set for otpgw out of the way of the tests.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTPGW_") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

// folder is a folder with what whole refers to.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "smpp.password", password+"\n", 0o600)
	write(t, dir, "tokens.toml", token, 0o600)
	write(t, dir, "public", "", 0o644)
	return dir
}

// write makes a file in dir and returns its path. DIR in text stands for dir.
func write(t testing.TB, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// check writes text as a configuration in dir and returns what Check says of it, with dir as DIR.
func check(t testing.TB, dir, text string) (config.Config, []string) {
	t.Helper()
	cfg, problems := config.Check(write(t, dir, "otpgw.toml", text, 0o600))
	var lines []string
	for _, p := range problems {
		lines = append(lines, strings.ReplaceAll(p.String(), dir, "DIR"))
	}
	return cfg, lines
}

// valid is check for text against which there is nothing to say.
func valid(t testing.TB, dir, text string) config.Config {
	t.Helper()
	cfg, lines := check(t, dir, text)
	if len(lines) > 0 {
		t.Fatalf("a valid configuration is refused:\n%s", strings.Join(lines, "\n"))
	}
	return cfg
}
