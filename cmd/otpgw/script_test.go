package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// TestScripts runs testdata/script: what the commands print and how they end, with the real binary. Beside what testscript has there are
//
//	code N otpgw …   the command ends with exit code N
//	daemon           a daemon and its SMSC run: $CONFIG, $SOCKET, $API and $ADMIN lead to it, $TOKEN lets in, $DATA is its store
//	edit OLD NEW     its configuration file is changed; \n is a new line
//	receiver         $RECEIVER takes what is posted to /taken, and nothing else
//	stopped          it is ended
//	frozen           its SMSC answers nothing any more
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			var p *plant
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
					env.Setenv("TZ", "Europe/Madrid") // not UTC, so that nothing counts on it
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"code": runForCode,
					"daemon": func(ts *testscript.TestScript, _ bool, _ []string) {
						p = newPlant(t)
						for name, value := range map[string]string{"CONFIG": p.config, "SOCKET": p.socket, "API": p.http, "ADMIN": p.admin, "TOKEN": p.token, "DATA": filepath.Join(p.dir, "data")} {
							ts.Setenv(name, value)
						}
					},
					"edit": func(_ *testscript.TestScript, _ bool, args []string) {
						p.replace(args[0], strings.ReplaceAll(args[1], `\n`, "\n"))
					},
					"receiver": func(ts *testscript.TestScript, _ bool, _ []string) {
						server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if r.URL.Path == "/taken" {
								w.WriteHeader(http.StatusNoContent)
							} else {
								w.WriteHeader(http.StatusTeapot)
							}
						}))
						ts.Defer(server.Close)
						ts.Setenv("RECEIVER", server.URL)
					},
					"stopped": func(*testscript.TestScript, bool, []string) { p.stop() },
					"frozen":  func(*testscript.TestScript, bool, []string) { p.smsc.Freeze(true) },
				},
			})
		})
	}
}

// runForCode runs a command that is to end with an exit code.
func runForCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// A command that no script runs to its end, right and wrong, has not been looked at by anybody.
func TestEveryCommandHasAScript(t *testing.T) {
	var all strings.Builder
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if len(cmd.Commands()) == 0 {
			for _, code := range []string{"0", "[12]"} {
				if !regexp.MustCompile(`(?m)^code ` + code + ` ` + regexp.QuoteMeta(cmd.CommandPath()) + `( |$)`).MatchString(all.String()) {
					t.Errorf("no script has %s end with exit code %s", cmd.CommandPath(), code)
				}
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" { // cobra's own
				walk(sub)
			}
		}
	}
	walk(newRootCommand(nil))
}
