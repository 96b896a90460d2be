package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// serveFails starts a daemon with that configuration and returns what it said when it refused to run.
func serveFails(t *testing.T, config string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "serve", "--config", config)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("otpgw served: %s", out)
	}
	if ctx.Err() != nil {
		t.Fatalf("otpgw served for %v: %s", patience, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// lastLine is the line with which a program that ended explains itself.
func lastLine(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return lines[len(lines)-1]
}

func TestStartRefusedInOneLine(t *testing.T) {
	p := newPlant(t)
	p.send(number(1))

	t.Run("store of a running daemon", func(t *testing.T) {
		text, err := os.ReadFile(p.config)
		if err != nil {
			t.Fatal(err)
		}
		moved := strings.NewReplacer(p.http, freePort(t), p.admin, freePort(t)).Replace(string(text))
		p.write("other.toml", moved, 0o600)
		code, said := serveFails(t, filepath.Join(p.dir, "other.toml"))
		if code != 1 || !strings.Contains(lastLine(said), "another process") {
			t.Errorf("exit %d: %s", code, said)
		}
	})
	t.Run("port in use", func(t *testing.T) {
		code, said := serveFails(t, p.config)
		if line := lastLine(said); code != 1 || !strings.Contains(line, "http.listen") || !strings.Contains(line, "address already in use") {
			t.Errorf("exit %d: %s", code, said)
		}
	})

	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	t.Run("admin port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", p.admin)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		code, said := serveFails(t, p.config)
		if line := lastLine(said); code != 1 || !strings.Contains(line, "admin.listen") {
			t.Errorf("exit %d: %s", code, said)
		}
	})
	t.Run("key of another store", func(t *testing.T) {
		key := filepath.Join(p.dir, "data", "otpgw.key")
		right, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		p.write("data/otpgw.key", strings.Repeat("ab", 32)+"\n", 0o600)
		defer p.write("data/otpgw.key", string(right), 0o600)
		code, said := serveFails(t, p.config)
		if line := lastLine(said); code != 1 || !strings.Contains(line, "key") {
			t.Errorf("exit %d: %s", code, said)
		}
	})
	t.Run("store that is none is no reason", func(t *testing.T) {
		stores, err := filepath.Glob(filepath.Join(p.dir, "data", "*.db"))
		if err != nil || len(stores) != 1 {
			t.Fatalf("stores: %v, %v", stores, err)
		}
		if err := os.WriteFile(stores[0], []byte(strings.Repeat("not a store\n", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
		p.start() // it is set aside, and one line says so
		if said := p.logged(); !strings.Contains(said, filepath.Base(stores[0])+".corrupt-") || strings.Contains(said, "goroutine ") {
			t.Errorf("%s", said)
		}
	})
}

func TestInvalidConfigurationNamesEveryPlace(t *testing.T) {
	p := newPlant(t)
	p.replace("[otp]\n", "[otp]\ntll = \"5m\"\n")
	p.replace("window = 50", "window = 0")

	check := exec.Command(program, "check-config", p.config)
	out, err := check.Output()
	if code := check.ProcessState.ExitCode(); code != 2 {
		t.Errorf("check-config: exit %d (%v)", code, err)
	}
	for _, want := range []string{
		p.config + `:` + lineOf(t, p.config, "tll") + `:1: unknown key "otp.tll" (did you mean "otp.ttl"?)`,
		p.config + `:` + lineOf(t, p.config, "window = 0") + `:1: smsc[0].window = 0: must be 1..1000`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("check-config does not say %q:\n%s", want, out)
		}
	}

	p.kill()
	code, said := serveFails(t, p.config)
	if code != 2 || !strings.Contains(said, "otp.tll") || !strings.Contains(said, "smsc[0].window") || strings.Contains(said, "starting") {
		t.Errorf("serve: exit %d: %s", code, said)
	}
}

// lineOf is the number of the first line of the file that begins with text.
func lineOf(t *testing.T, path, text string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(content), "\n") {
		if strings.HasPrefix(line, text) {
			return strconv.Itoa(i + 1)
		}
	}
	t.Fatalf("%s has no line %q", path, text)
	return ""
}
