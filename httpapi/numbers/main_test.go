package numbers_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otpgw/httpapi/numbers"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file writes a file of these lines and returns its path.
func file(t testing.TB, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	write(t, path, strings.Join(lines, "\n")+"\n")
	return path
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func config(change func(*numbers.Config)) numbers.Config {
	cfg := numbers.DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func load(t testing.TB, cfg numbers.Config, previous *numbers.Plan) *numbers.Plan {
	t.Helper()
	plan, err := numbers.Load(cfg, previous)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return plan
}

// each is the errors that were joined.
func each(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
