package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// otpgw runs the real binary to its end.
func otpgw(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &out, &err
	if failure := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(failure)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

func TestWrongUsageIsExitCode2(t *testing.T) {
	for _, args := range [][]string{
		{"frobnicate"}, {"serve", "--frobnicate"}, {"serve", "surplus"}, {"version", "surplus"}, {"config", "frobnicate"},
		{"check-config", "a", "b"}, {"token", "new"}, {"token", "new", "--client", "x", "--expires-in", "-1h"}, {"token", "new", "--client", ""},
		{"token", "new", "--client", "a b"},
	} {
		code, _, said := otpgw(t, args...)
		if code != exitInvalid || !strings.HasPrefix(said, "otpgw: ") || strings.Count(said, "\n") != 1 {
			t.Errorf("%q: exit %d: %q", args, code, said)
		}
	}
}

func TestVersion(t *testing.T) {
	code, said, _ := otpgw(t, "version")
	if code != exitOK || !regexp.MustCompile(`^otpgw test \(go1\.\S+, \S+/\S+\)\n$`).MatchString(said) {
		t.Errorf("exit %d: %q", code, said)
	}
}

func TestReferenceIsThePackagedFile(t *testing.T) {
	packaged, err := os.ReadFile("../../packaging/otpgw.toml")
	if err != nil {
		t.Fatal(err)
	}
	if code, said, _ := otpgw(t, "config", "reference"); code != exitOK || said != string(packaged) {
		t.Errorf("exit %d, and what is printed is not packaging/otpgw.toml", code)
	}
}

// TestOutputThatCannotBeWrittenIsAFailure: who redirects the reference to a full disk must not take half of it for all.
func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"config", "reference"}, {"version"}, {"token", "new", "--client", "acme"}} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdout = full
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitFailure {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestMissingConfiguration(t *testing.T) {
	for _, args := range [][]string{{"check-config", "/nonexistent.toml"}, {"serve", "--config", "/nonexistent.toml"}} {
		code, out, said := otpgw(t, args...)
		if code != exitInvalid || !strings.Contains(out+said, "/nonexistent.toml") {
			t.Errorf("%q: exit %d: %s%s", args, code, out, said)
		}
	}
}

// TestNewTokenIsAdmitted has a token made as an operator would, adds its stanza, and uses it.
func TestNewTokenIsAdmitted(t *testing.T) {
	code, stanza, _ := otpgw(t, "token", "new", "--client", "acme", "--expires-in", "1h")
	form := regexp.MustCompile(`^# token: (\S{40,})\n\[\[token\]\]\nsha256 = "([0-9a-f]{64})"\n`).FindStringSubmatch(stanza)
	if code != exitOK || form == nil {
		t.Fatalf("exit %d: %q", code, stanza)
	}
	if sum := sha256.Sum256([]byte(form[1])); form[2] != hex.EncodeToString(sum[:]) {
		t.Error("the stanza is not of that token")
	}
	p := newPlant(t, func(c *plantConfig) { c.tokens = stanza })
	p.token = form[1]
	if a := p.post("/send-code", sendBody(number(1)), nil); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestHelpOnWhatDoesNotExist(t *testing.T) {
	if code, _, said := otpgw(t, "help", "frobnicate"); code != exitInvalid || !strings.Contains(said, "frobnicate") {
		t.Errorf("exit %d: %q", code, said)
	}
	if code, out, _ := otpgw(t, "help", "smpp", "probe"); code != exitOK || !strings.Contains(out, "probe NAME") {
		t.Errorf("exit %d: %q", code, out)
	}
}

func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	if code, _, said := otpgw(t, "man", dir); code != exitOK {
		t.Fatalf("exit %d: %s", code, said)
	}
	for _, name := range []string{"otpgw.1", "otpgw-serve.1", "otpgw-bind-stop.1", "otpgw-smpp-probe.1"} {
		if text, err := os.ReadFile(dir + "/" + name); err != nil || !strings.Contains(string(text), ".SH NAME") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if code, out, _ := otpgw(t, "completion", "bash"); code != exitOK || !strings.Contains(out, "otpgw") {
		t.Errorf("completion: exit %d", code)
	}
}

func TestCheckConfigForms(t *testing.T) {
	p := newPlant(t)
	if code, out, _ := otpgw(t, "check-config", p.config); code != exitOK || !strings.Contains(out, "valid (0 errors, 1 warning)") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, said := otpgw(t, "check-config", "--strict", p.config); code != exitFailure || !strings.Contains(said, "1 warning") {
		t.Errorf("--strict: exit %d: %s", code, said)
	}
	if code, out, _ := otpgw(t, "check-config", "--format", "json", p.config); code != exitOK || !strings.HasPrefix(out, `{"file":`) || !strings.Contains(out, `"valid":true,"errors":0,"warnings":1,"problems":[{`) {
		t.Errorf("--format json: exit %d: %s", code, out)
	}
	if code, out, _ := otpgw(t, "check-config", "--online", p.config); code != exitOK || !strings.Contains(out, "smsc smsc-a\n") || !strings.Contains(out, "enquire_link") {
		t.Errorf("--online: exit %d: %s", code, out)
	}
	p.smsc.Freeze(true)
	p.replace("reconnect_min", "bind_timeout = \"1s\"\nconnect_timeout = \"1s\"\nreconnect_min")
	if code, out, said := otpgw(t, "check-config", "--online", p.config); code != exitFailure || !strings.Contains(said, "smsc-a") {
		t.Errorf("--online with a silent smsc: exit %d: %s%s", code, out, said)
	}
	if code, _, _ := otpgw(t, "check-config", "--format", "xml", p.config); code != exitInvalid {
		t.Errorf("--format xml: exit %d", code)
	}
}

func TestConfigShow(t *testing.T) {
	p := newPlant(t)
	t.Setenv("OTPGW_OTP_TTL", "2m")
	code, out, said := otpgw(t, "config", "show", p.config)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, said)
	}
	for _, want := range []string{
		`(?m)^ttl = "2m" +# environment OTPGW_OTP_TTL$`, `(?m)^send_limit = 100 +# line [0-9]+$`, `(?m)^max_attempts = 3 +# default$`,
		`(?m)^password = "file:/.*smpp.password" +# line [0-9]+$`, `(?m)^\[\[client\]\]$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if strings.Contains(out, "secret1") {
		t.Error("the password is shown")
	}
	os.Unsetenv("OTPGW_OTP_TTL")
	_, out, _ = otpgw(t, "config", "show", "--changed", p.config)
	if strings.Contains(out, "# default") || !strings.Contains(out, "send_limit") {
		t.Errorf("--changed: %s", out)
	}
	// What is shown can be loaded.
	p.write("shown.toml", out, 0o600)
	if code, out, said := otpgw(t, "check-config", p.dir+"/shown.toml"); code != exitOK {
		t.Errorf("the shown file: exit %d: %s%s", code, out, said)
	}
	if code, _, said := otpgw(t, "config", "show", "/nonexistent.toml"); code != exitInvalid || !strings.Contains(said, "/nonexistent.toml") {
		t.Errorf("exit %d: %s", code, said)
	}
}
