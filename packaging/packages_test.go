package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"otpgw/smpp/counterpart"
)

// patience is how long a test waits for what should take less than a second.
const patience = 30 * time.Second

// built is what packaging/build makes, by the ends of the files' names.
type built map[string]string

// build makes the packages of a version, as somebody with another umask, time zone and language would.
func build(t *testing.T, version, umask, zone string) built {
	t.Helper()
	counterpart.Need(t, "dpkg rpm tar gzip", "dpkg-deb", "rpm", "tar", "gzip")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // nfpm is fetched and built, once
	defer cancel()
	cmd := counterpart.Command(ctx, "sh", "-c", `umask $1 && exec ./build "$(go env GOARCH)" "$2"`, "sh", umask, dir)
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1790000000", "GOFLAGS=-buildvcs=false", "TZ="+zone, "LANG="+zone)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := built{}
	for _, end := range []string{".deb", ".rpm", ".tar.gz", ".cdx.json", ".licences.txt"} {
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), end) {
				files[end] = filepath.Join(dir, e.Name())
			}
		}
		if files[end] == "" {
			t.Fatalf("no %s in %v", end, entries)
		}
	}
	if len(entries) != len(files) {
		t.Errorf("more than was asked for: %v", entries)
	}
	return files
}

// succeed runs a program to its end and gives what it said.
func succeed(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, code := try(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := counterpart.Command(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestSameSourceSameOctets(t *testing.T) {
	first, second := build(t, "v1.2.3", "022", "UTC"), build(t, "v1.2.3", "077", "Asia/Tokyo")
	for end, path := range first {
		if filepath.Base(path) != filepath.Base(second[end]) || read(t, path) != read(t, second[end]) {
			t.Errorf("%s and %s differ", path, second[end])
		}
	}
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	succeed(t, "tar", "-C", tree, "--strip-components=1", "-xzf", first[".tar.gz"])
	if strings.Contains(read(t, tree+"/otpgw"), here+"/") {
		t.Errorf("the program holds the path of its source")
	}
	if out := succeed(t, tree+"/otpgw", "version"); !strings.HasPrefix(out, "otpgw v1.2.3 (") {
		t.Errorf("the program is %s", out)
	}
	t.Run("deb", func(t *testing.T) { debHolds(t, first[".deb"]) })
	t.Run("rpm", func(t *testing.T) { rpmHolds(t, first[".rpm"]) })
	t.Run("bill", func(t *testing.T) { billHolds(t, tree+"/otpgw", first[".cdx.json"], first[".licences.txt"]) })
	t.Run("installed", func(t *testing.T) { installed(t, first[".deb"]) })
	t.Run("installed by rpm", func(t *testing.T) { rpmInstalled(t, first[".rpm"]) })
}

// What both packages hold, with the modes.
var held = map[string]string{
	"/usr/bin/otpgw":                                    "-rwxr-xr-x",
	"/etc/otpgw/otpgw.toml":                             "-rw-r-----",
	"/etc/logrotate.d/otpgw":                            "-rw-r--r--",
	"/usr/lib/systemd/system/otpgw.service":             "-rw-r--r--",
	"/usr/lib/systemd/system/otpgw.socket":              "-rw-r--r--",
	"/usr/lib/sysusers.d/otpgw.conf":                    "-rw-r--r--",
	"/usr/lib/tmpfiles.d/otpgw.conf":                    "-rw-r--r--",
	"/usr/share/man/man1/otpgw.1.gz":                    "-rw-r--r--",
	"/usr/share/man/man1/otpgw-check-config.1.gz":       "-rw-r--r--",
	"/usr/share/bash-completion/completions/otpgw":      "-rw-r--r--",
	"/usr/share/zsh/site-functions/_otpgw":              "-rw-r--r--",
	"/usr/share/fish/vendor_completions.d/otpgw.fish":   "-rw-r--r--",
	"/usr/share/doc/otpgw/operations.md":                "-rw-r--r--",
	"/usr/share/doc/otpgw/prometheus/otpgw.rules.yml":   "-rw-r--r--",
	"/usr/share/doc/otpgw/grafana/otpgw.json":           "-rw-r--r--",
	"/usr/share/doc/otpgw/examples/tokens.toml":         "-rw-r--r--",
	"/usr/share/doc/otpgw/examples/service-limits.conf": "-rw-r--r--",
	"/usr/share/doc/otpgw/otpgw.cdx.json":               "-rw-r--r--",
	"/usr/share/doc/otpgw/licences.txt":                 "-rw-r--r--",
}

func debHolds(t *testing.T, deb string) {
	list := succeed(t, "dpkg-deb", "-c", deb)
	for path, mode := range held {
		if !regexp.MustCompile(`(?m)^` + mode + ` root/root .* \.` + regexp.QuoteMeta(path) + `$`).MatchString(list) {
			t.Errorf("no %s of mode %s", path, mode)
		}
	}
	if modes := regexp.MustCompile(`(?m)^d(?:[^r]|r[^w]|rw[^x]|rwx[^r]).*$`).FindString(list); modes != "" {
		t.Errorf("a directory that not everybody may enter: %s", modes)
	}
	if got := succeed(t, "dpkg-deb", "-f", deb, "Package", "Version", "Architecture", "Depends"); got != "Package: otpgw\nVersion: 1.2.3-1\nArchitecture: "+runtime.GOARCH+"\nDepends: systemd (>= 252)\n" {
		t.Errorf("control: %q", got)
	}
	dir := t.TempDir()
	succeed(t, "dpkg-deb", "-e", deb, dir)
	if got := read(t, dir+"/conffiles"); got != "/etc/logrotate.d/otpgw\n/etc/otpgw/otpgw.toml\n" && got != "/etc/otpgw/otpgw.toml\n/etc/logrotate.d/otpgw\n" {
		t.Errorf("conffiles: %q", got)
	}
}

func rpmHolds(t *testing.T, rpm string) {
	list := succeed(t, "rpm", "-qp", "--qf", `[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEFLAGS:fflags}\n]`, rpm)
	for path, mode := range held {
		want := path + " " + mode + " root "
		if path == "/etc/otpgw/otpgw.toml" || path == "/etc/logrotate.d/otpgw" {
			want += "cn" // configuration, not replaced
		}
		if !slices.Contains(strings.Split(list, "\n"), want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	if got := succeed(t, "rpm", "-qp", "--qf", "%{NAME} %{VERSION}-%{RELEASE} %{BUILDHOST}", rpm); got != "otpgw 1.2.3-1 localhost" {
		t.Errorf("%q", got)
	}
	if scripts := succeed(t, "rpm", "-qp", "--scripts", rpm); !strings.Contains(scripts, "systemd-sysusers") || !strings.Contains(scripts, "disable --now") {
		t.Errorf("scripts: %s", scripts)
	}
}

// rpmInstalled installs the package into an empty tree, without scripts: those need a system around them.
func rpmInstalled(t *testing.T, file string) {
	if os.Geteuid() != 0 {
		counterpart.Missing(t, "root, to install a package into a tree")
	}
	root := t.TempDir()
	verify := func(wantCode int, want string) {
		t.Helper()
		out, code := try(t, "rpm", "--root", root, "-V", "--nodeps", "otpgw")
		if code != wantCode || !strings.Contains(out, want) || want == "" && strings.Contains(out, "/") {
			t.Errorf("rpm -V: exit %d\n%s\nwant exit %d and %q", code, out, wantCode, want)
		}
	}
	succeed(t, "rpm", "--root", root, "-i", "--nodeps", "--noscripts", file)
	if out := succeed(t, "rpm", "--root", root, "-q", "otpgw"); !strings.Contains(out, "otpgw-1.2.3-1.") {
		t.Errorf("installed is %s", out)
	}
	verify(0, "")
	if out := succeed(t, "chroot", root, "/usr/bin/otpgw", "version"); !strings.HasPrefix(out, "otpgw v1.2.3 (") {
		t.Errorf("the program is %s", out)
	}
	if out, code := try(t, "chroot", root, "/usr/bin/otpgw", "check-config"); code != 2 || !strings.Contains(out, "/etc/otpgw/tokens.toml") || !strings.Contains(out, "/etc/otpgw/smpp.password") {
		t.Errorf("as it comes: exit %d\n%s", code, out)
	}
	edited := read(t, root+"/etc/otpgw/otpgw.toml") + "# edited\n"
	write(t, root+"/etc/otpgw/otpgw.toml", edited, 0o640)
	verify(1, "  c /etc/otpgw/otpgw.toml\n")
	succeed(t, "rpm", "--root", root, "-U", "--force", "--nodeps", "--noscripts", file)
	if read(t, root+"/etc/otpgw/otpgw.toml") != edited {
		t.Error("an upgrade changed the edited configuration")
	}
	succeed(t, "rpm", "--root", root, "-e", "--noscripts", "otpgw")
	if kept := read(t, root+"/etc/otpgw/otpgw.toml.rpmsave"); kept != edited {
		t.Error("a removal loses the edited configuration")
	}
	for _, path := range []string{"/usr/bin/otpgw", "/usr/share/doc/otpgw", "/usr/lib/systemd/system/otpgw.service", "/etc/logrotate.d/otpgw"} {
		if _, err := os.Lstat(root + path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a removal leaves %s: %v", path, err)
		}
	}
}

// The licences that whoever gives the program away can meet by the texts beside it.
var acceptable = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

func billHolds(t *testing.T, program, path, licences string) {
	var b bill
	if err := json.Unmarshal([]byte(read(t, path)), &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || b.Spec != "1.6" || b.Metadata.Component.Name != "otpgw" || b.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("%+v", b.Metadata)
	}
	listed, texts := map[string]bool{}, read(t, licences)
	for _, c := range b.Components {
		listed[c.Name+" "+c.Version] = true
		if len(c.Licences) != 1 || !slices.Contains(acceptable, c.Licences[0].Licence.ID) {
			t.Errorf("%s: licence %v: may it be given away as it is?", c.Name, c.Licences)
		}
		if !strings.Contains(texts, "\n"+c.Name+" LICEN") && !strings.Contains(texts, "\n"+c.Name+" COPYING") {
			t.Errorf("%s: no text of its licence", c.Name)
		}
		if !slices.Contains(b.Dependencies[0].DependsOn, c.Ref) {
			t.Errorf("%s: nothing depends on it", c.Ref)
		}
	}
	linked := regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(succeed(t, "go", "version", "-m", program), -1)
	if len(linked) < 20 || len(b.Components) != len(linked)+1 {
		t.Errorf("%d components, %d modules are linked", len(b.Components), len(linked))
	}
	for _, m := range linked {
		if !listed[m[1]+" "+m[2]] {
			t.Errorf("%s %s is linked and not in the bill", m[1], m[2])
		}
	}
}

func TestLicenceHasToBeKnown(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/LICENSE", "Ask me first.", 0o644)
	if _, err := newModule("example.com/m", "v1.0.0", "", dir); err == nil {
		t.Error("a licence of its own is taken for a known one")
	}
}

// A debian is a tree to install into. Where there is none the package is only unpacked, and its scripts are not run.
type debian struct {
	t    *testing.T
	root string
	real bool
}

// newDebian unpacks the tree of testdata/debian/make-tree.
func newDebian(t *testing.T, deb string) debian {
	t.Helper()
	if os.Geteuid() != 0 {
		counterpart.Missing(t, "root, to install a package into a tree")
	}
	d := debian{t: t, root: t.TempDir()}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tree := cache + "/otpgw-test/debian-12.tar"
	_, err = os.Stat(tree)
	if err == nil {
		err = exec.CommandContext(t.Context(), "unshare", "--mount", "true").Run()
	}
	if err != nil {
		t.Logf("NO DEBIAN TREE (sh testdata/debian/make-tree): the package is only unpacked, its scripts are NOT TESTED: %v", err)
		succeed(t, "dpkg-deb", "-x", deb, d.root)
		return d
	}
	d.real = true
	succeed(t, "tar", "-C", d.root, "-xf", tree)
	if err := os.Chmod(d.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/dev", "/proc"} {
		if err := os.MkdirAll(d.root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, d.root+"/dev/null", "", 0o666) // a file that swallows nothing, but enough for scripts
	return d
}

// superuser is root, as user and group.
const superuser = "0:0"

// try runs a program in the tree, as root or as the user that the package made.
func (d debian) try(user, name string, args ...string) (string, int) {
	d.t.Helper()
	if !d.real {
		return try(d.t, "chroot", append([]string{"--userspec=" + user, d.root, name}, args...)...)
	}
	const enter = `root=$1 user=$2; shift 2; mount -t proc proc "$root/proc" && exec chroot --userspec="$user" "$root" "$@"`
	return try(d.t, "unshare", append([]string{"--mount", "sh", "-c", enter, "sh", d.root, user, name}, args...)...)
}

func (d debian) do(want string, name string, args ...string) string {
	d.t.Helper()
	out, code := d.try(superuser, name, args...)
	if code != 0 || !strings.Contains(out, want) {
		d.t.Fatalf("%s %s: exit %d\n%s\nwanted %q", name, strings.Join(args, " "), code, out, want)
	}
	return out
}

func (d debian) stat(path string) (mode os.FileMode, owner, group uint32) {
	d.t.Helper()
	info, err := os.Stat(d.root + path)
	if err != nil {
		d.t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm(), s.Uid, s.Gid
}

func (d debian) exists(path string) bool {
	_, err := os.Lstat(d.root + path)
	return !errors.Is(err, os.ErrNotExist)
}

// installed installs the package, fills the configuration in as an operator has to, runs the daemon, upgrades, and removes it again.
func installed(t *testing.T, deb string) {
	d := newDebian(t, deb)
	user := superuser
	if d.real {
		succeed(t, "cp", deb, d.root+"/otpgw.deb")
		d.do("Setting up otpgw", "dpkg", "-i", "/otpgw.deb")
		users := regexp.MustCompile(`(?m)^otpgw:[^:]*:([0-9]+):([0-9]+):.*:/var/lib/otpgw:/usr/sbin/nologin$`).FindStringSubmatch(read(t, d.root+"/etc/passwd"))
		if users == nil {
			t.Fatalf("no user: %s", read(t, d.root+"/etc/passwd"))
		}
		user = users[1] + ":" + users[2]
		for path, want := range map[string]os.FileMode{"/etc/otpgw": 0o750, "/etc/otpgw/otpgw.toml": 0o640, "/etc/otpgw/credentials": 0o700} {
			mode, owner, group := d.stat(path)
			if mode != want || owner != 0 || path != "/etc/otpgw/credentials" && fmt.Sprint(group) != users[2] {
				t.Errorf("%s has mode %v, owner %d, group %d", path, mode, owner, group)
			}
		}
		if d.exists("/etc/systemd/system/multi-user.target.wants/otpgw.service") || d.exists("/etc/systemd/system/sockets.target.wants/otpgw.socket") {
			t.Error("it would be started before it is configured")
		}
	}

	// As it comes it names what is missing; filled in it is valid, for the user of the daemon.
	if out, code := d.try(user, "/usr/bin/otpgw", "check-config"); code != 2 || !strings.Contains(out, "/etc/otpgw/tokens.toml") || !strings.Contains(out, "/etc/otpgw/smpp.password") || strings.Count(out, "\n") != 4 {
		t.Errorf("as it comes: exit %d\n%s", code, out)
	}
	stanza := d.do("[[token]]", "/usr/bin/otpgw", "token", "new", "--client", "acme")
	d.give("/etc/otpgw/tokens.toml", stanza, 0o640)
	d.give("/etc/otpgw/smpp.password", "secret1\n", 0o640)
	edited := strings.Replace(read(t, d.root+"/etc/otpgw/otpgw.toml"), "10.0.0.10:2775", "127.0.0.1:1", 1)
	write(t, d.root+"/etc/otpgw/otpgw.toml", edited, 0o640)
	if out, code := d.try(user, "/usr/bin/otpgw", "check-config"); code != 0 {
		t.Fatalf("filled in: exit %d\n%s", code, out)
	}
	d.serves(user)
	if !d.real {
		return
	}
	d.do("", "bash", "-n", "/usr/share/bash-completion/completions/otpgw")

	// The daemon is restarted by an upgrade where it runs and would start again; the file stays as it was edited.
	d.do("", "mkdir", "-p", "/run/systemd/system", "/usr/local/bin")
	write(t, d.root+"/usr/local/bin/systemctl", "#!/bin/sh\necho \"$*\" >>/systemctl\n", 0o755)
	d.upgrade(deb, "1.2.4-1")
	if got := read(t, d.root+"/systemctl"); got != "daemon-reload\nis-active --quiet otpgw.service\ntry-restart otpgw.service\ndaemon-reload\n" && got != "daemon-reload\ndaemon-reload\nis-active --quiet otpgw.service\ntry-restart otpgw.service\n" {
		t.Errorf("an upgrade asked systemctl for %q", got)
	}
	if got := read(t, d.root+"/etc/otpgw/otpgw.toml"); got != edited {
		t.Error("an upgrade changed the edited configuration")
	}
	if mode, _, group := d.stat("/etc/otpgw/otpgw.toml"); mode != 0o640 || group == 0 {
		t.Errorf("after an upgrade the configuration has mode %v and group %d", mode, group)
	}
	d.do("otpgw v1.2.3", "/usr/bin/otpgw", "version")

	write(t, d.root+"/etc/otpgw/otpgw.toml", edited+"surplus = 1\n", 0o640)
	write(t, d.root+"/systemctl", "", 0o644)
	if out := d.upgrade(deb, "1.2.5-1"); !strings.Contains(out, "The version before runs on") {
		t.Errorf("an upgrade to a version that refuses the configuration says %s", out)
	}
	if got := read(t, d.root+"/systemctl"); strings.Contains(got, "restart") {
		t.Errorf("an upgrade to a version that refuses the configuration asked systemctl for %q", got)
	}

	d.do("Removing otpgw", "dpkg", "-r", "otpgw")
	if got := read(t, d.root+"/systemctl"); !strings.Contains(got, "disable --now otpgw.service otpgw.socket\n") {
		t.Errorf("a removal asked systemctl for %q", got)
	}
	if d.exists("/usr/bin/otpgw") || !d.exists("/var/lib/otpgw/otpgw.key") || read(t, d.root+"/etc/otpgw/otpgw.toml") != edited+"surplus = 1\n" {
		t.Error("a removal takes the program, and leaves configuration and store")
	}
	d.do("Purging", "dpkg", "-P", "otpgw")
	if d.exists("/var/lib/otpgw") || d.exists("/etc/otpgw/otpgw.toml") || d.exists("/etc/otpgw/credentials") || !d.exists("/etc/otpgw/smpp.password") {
		t.Error("a purge takes configuration and store, and leaves what others put there")
	}
}

// give writes a file that belongs to root and to the group of the configuration.
func (d debian) give(path, content string, mode os.FileMode) {
	d.t.Helper()
	write(d.t, d.root+path, content, mode)
	_, _, group := d.stat("/etc/otpgw/otpgw.toml")
	if err := os.Chown(d.root+path, 0, int(group)); err != nil {
		d.t.Fatal(err)
	}
}

// serves runs the daemon in the tree as systemd would, with its directories, and asks for its health.
func (d debian) serves(user string) {
	d.t.Helper()
	var uid, gid int
	if _, err := fmt.Sscanf(user, "%d:%d", &uid, &gid); err != nil {
		d.t.Fatal(err)
	}
	for _, dir := range []string{"/run/otpgw", "/var/lib/otpgw"} {
		if err := errors.Join(os.MkdirAll(d.root+dir, 0o750), os.Chown(d.root+dir, uid, gid)); err != nil {
			d.t.Fatal(err)
		}
	}
	api, admin := freePort(d.t), freePort(d.t)
	cmd := exec.Command("chroot", "--userspec="+user, d.root, "/usr/bin/otpgw", "serve")
	cmd.Env = []string{"PATH=/usr/bin", "OTPGW_HTTP_LISTEN=" + api, "OTPGW_ADMIN_LISTEN=" + admin}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // ended long ago, but where the test fails
		_ = cmd.Wait()
	}()
	client := http.Client{Timeout: time.Second}
	deadline, poll := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer poll.Stop()
	for {
		if resp, err := client.Get("http://" + admin + "/healthz"); err == nil {
			body, _ := io.ReadAll(resp.Body) // for the message only
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				d.t.Errorf("/healthz: %d %s", resp.StatusCode, body)
			}
			break
		}
		select {
		case <-deadline:
			d.t.Fatal("/healthz does not answer")
		case <-poll.C:
		}
	}
	if out, code := d.try(superuser, "/usr/bin/otpgw", "status"); code != 1 || !strings.Contains(out, "NOT READY") { // no SMSC is there
		d.t.Errorf("status: exit %d\n%s", code, out)
	}
	d.do("nothing changed", "/usr/bin/otpgw", "reload")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		d.t.Errorf("%v\n%s", err, log.String())
	}
}

// upgrade installs the same package as another version with another configuration file in it.
func (d debian) upgrade(deb, version string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	succeed(d.t, "dpkg-deb", "-R", deb, dir)
	control := read(d.t, dir+"/DEBIAN/control")
	write(d.t, dir+"/DEBIAN/control", regexp.MustCompile(`(?m)^Version: .*$`).ReplaceAllString(control, "Version: "+version), 0o644)
	write(d.t, dir+"/etc/otpgw/otpgw.toml", read(d.t, dir+"/etc/otpgw/otpgw.toml")+"# "+version+"\n", 0o640)
	succeed(d.t, "dpkg-deb", "-Znone", "-b", dir, d.root+"/otpgw-"+version+".deb")
	return d.do("Setting up otpgw ("+version+")", "dpkg", "--force-confdef", "--force-confold", "-i", "/otpgw-"+version+".deb")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
