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
