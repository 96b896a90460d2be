package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"otpgw/smpp/counterpart"
)

// exposureLimit is the most that systemd-analyze may find open in the unit, in tenths. What is left is network, and a root of its own.
const exposureLimit = "11"

func TestUnitIsHardened(t *testing.T) {
	counterpart.Need(t, "systemd", "systemd-analyze")
	const unit = "../../packaging/otpgw.service"
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold="+exposureLimit, "--no-pager", unit).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text := read(t, unit)
	weaker := filepath.Join(t.TempDir(), "otpgw.service")
	writeFile(t, weaker, strings.Replace(text, "NoNewPrivileges=yes\n", "", 1))
	if err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold="+exposureLimit, "--no-pager", weaker).Run(); err == nil {
		t.Error("a unit without NoNewPrivileges passes too: the limit is too high")
	}
}

func TestUnitsAreUnderstood(t *testing.T) {
	counterpart.Need(t, "systemd", "systemd-analyze")
	dir := t.TempDir()
	verify := func(spoil string) string {
		t.Helper()
		var units []string
		for _, name := range []string{"otpgw.service", "otpgw.socket"} {
			unit := filepath.Join(dir, name)
			text := strings.ReplaceAll(read(t, "../../packaging/"+name), "/usr/bin/otpgw", program)
			writeFile(t, unit, strings.Replace(text, "NoDelay=yes\n", "NoDelay=yes\n"+spoil, 1))
			units = append(units, unit)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
		if err != nil {
			return err.Error() + "\n" + string(out)
		}
		return string(out)
	}
	if complaint := verify(""); complaint != "" {
		t.Error(complaint)
	}
	if complaint := verify("Nonsense=yes\n"); !strings.Contains(complaint, "Nonsense") {
		t.Errorf("a setting that does not exist is not found: %q", complaint)
	}
	for name, want := range map[string][]string{
		"otpgw.service": {
			"ExecStart=" + program + " serve --config " + defaultConfigFile + "\n", "ExecStartPre=" + program + " check-config " + defaultConfigFile + "\n",
			"ExecReload=" + program + " reload\n", "Type=notify\n", "WatchdogSec=", "StateDirectoryMode=0700\n", "OOMPolicy=continue\n", "LoadCredential=otpgw:/etc/otpgw/credentials\n",
		},
		"otpgw.socket": {"FileDescriptorName=" + httpSocket + "\n", "Backlog=4096\n", "ListenStream=127.0.0.1:8080\n"},
	} {
		text := read(t, filepath.Join(dir, name))
		for _, line := range want {
			if !strings.Contains(text, "\n"+line) {
				t.Errorf("%s has no %q", name, line)
			}
		}
	}
	// It listens where the configuration of the package says.
	address := regexp.MustCompile(`(?m)^ListenStream=(.*)$`).FindStringSubmatch(read(t, "../../packaging/otpgw.socket"))[1]
	if !strings.Contains(read(t, "../../packaging/otpgw.toml"), "#listen = \""+address+"\"\n") {
		t.Errorf("otpgw.socket listens on %s, http.listen says otherwise", address)
	}
}

func TestUserAndDirectoriesOfThePackageAreMade(t *testing.T) {
	counterpart.Need(t, "systemd", "systemd-sysusers", "systemd-tmpfiles")
	root := t.TempDir()
	if os.Geteuid() != 0 {
		counterpart.Missing(t, "root, to give files away")
	}
	for _, dir := range []string{"etc/otpgw", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(root, "etc/otpgw/otpgw.toml"), "")
	for _, c := range []struct{ program, file string }{{"systemd-sysusers", "otpgw.sysusers"}, {"systemd-tmpfiles", "otpgw.tmpfiles"}} {
		file, err := filepath.Abs("../../packaging/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"--root=" + root, file}
		if c.program == "systemd-tmpfiles" {
			args = append([]string{"--create"}, args...)
		}
		if out, err := exec.CommandContext(t.Context(), c.program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c.program, err, out)
		}
	}
	for path, want := range map[string]os.FileMode{"": 0o750, "credentials": 0o700, "otpgw.toml": 0o640} {
		info, err := os.Stat(filepath.Join(root, "etc/otpgw", path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("/etc/otpgw/%s: %v, %v, want %v", path, info, err, want)
		}
	}
	if users := read(t, filepath.Join(root, "etc/passwd")); !strings.Contains(users, "otpgw:") || !strings.Contains(users, "nologin") {
		t.Errorf("passwd: %s", users)
	}
}

func TestHandedOverSocketIsTheConfiguredOne(t *testing.T) {
	for _, row := range []struct {
		at      string
		address string
		same    bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "localhost:8080", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", false},
		{"0.0.0.0:8080", "127.0.0.1:8080", false},
		{"[::]:8080", "127.0.0.1:8080", false},
		{"127.0.0.1:8080", ":8080", false},
		{"[::]:443", ":443", true},
		{"0.0.0.0:443", "[::]:443", true},
		{"[::1]:443", "[::1]:443", true},
		{"[::1]:443", "127.0.0.1:443", false},
		{"[::1]:443", "[::1]:no-such-port", false},
	} {
		at, err := net.ResolveTCPAddr("tcp", row.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := sameAddress(at, row.address); got != row.same {
			t.Errorf("%s for %q: %v", row.at, row.address, got)
		}
	}
	if !sameAddress(&net.UnixAddr{Name: "/run/otpgw/http.sock", Net: "unix"}, "127.0.0.1:8080") {
		t.Error("a unix socket is reached from this host only")
	}
}

// A socket unit that was opened to the world serves nothing that the configuration was not checked for.
func TestSocketElsewhereIsRefused(t *testing.T) {
	p := newPlant(t)
	p.kill()
	socket, at := holdSocket(t, "127.0.0.1:0")
	p.startBySocket(socket)
	if err := <-p.exit; err == nil || !strings.Contains(p.logged(), "http.listen") || !strings.Contains(p.logged(), at.String()) {
		t.Errorf("%v\n%s", err, tail(p.logged()))
	}
	p.exit <- nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
