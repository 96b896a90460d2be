package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"otpgw/smpp/counterpart"
	"otpgw/smpp/smsc"
)

// The package in a machine of its own: a Debian with systemd on an ext4, in QEMU. The SMSC, the clients and the books of what was answered are out here.

var (
	guests = flag.Bool("guest", false, "run the tests that boot a machine, TestGuest…")
	cuts   = flag.Int("cuts", 3, "how many times TestGuestPowerCuts cuts the power")
)

// bootWithin is how long a machine, which is emulated, may take until its shell answers.
const bootWithin = 2 * time.Minute

// A guest is a machine. Its plant's process is the emulator, and its log the machine's console: to kill it is to cut the power.
type guest struct {
	*plant
	shell  string // host:port of a shell
	kernel string // directory of the kernel
	disks  []string
}

// guestPackage makes the .deb that all guests get.
var guestPackage = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(program), "packages")
	cmd := exec.Command("../../packaging/build", runtime.GOARCH, dir)
	cmd.Env = append(os.Environ(), "VERSION=v1.2.3", "SOURCE_DATE_EPOCH=1790000000", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("packaging/build: %w\n%s", err, out)
	}
	made, err := filepath.Glob(dir + "/*.deb")
	if err != nil || len(made) != 1 {
		return "", fmt.Errorf("packages: %q, %v", made, err)
	}
	return made[0], nil
})

// newGuest boots a machine, installs the package and configures it as docs/install.md says, and waits until it is ready. Everything ends with the test.
func newGuest(t *testing.T, otp ...string) *guest {
	t.Helper()
	if !*guests {
		t.Skip("boots a machine: only with -guest")
	}
	for program, packages := range map[string]string{"qemu-system-x86_64": "qemu-system-x86", "mkfs.ext4": "e2fsprogs", "debootstrap": "debootstrap", "apt-get": "apt"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install --no-install-recommends %s", program, packages)
		}
	}
	if os.Geteuid() != 0 || runtime.GOARCH != "amd64" {
		t.Fatal("only root can make a Debian, and the machine is an amd64")
	}
	deb, err := guestPackage()
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t, dir: t.TempDir(), base: apiPath, token: rand.Text(), http: freePort(t), admin: freePort(t)}
	p.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	g := &guest{plant: p, shell: freePort(t)}
	g.kernel = strings.TrimSpace(g.outside("sh", "../../testdata/debian/make-kernel"))
	g.disks = []string{filepath.Join(p.dir, "system"), filepath.Join(p.dir, "store")}
	g.outside("sh", "../../testdata/debian/make-disk", deb, g.disks[0])
	g.outside("mkfs.ext4", "-q", g.disks[1], "48M")
	p.startSMSC(smsc.Config{SystemID: "otpgw", Password: "secret1", ReceiptDelay: time.Millisecond, KeepMessages: 1 << 20})
	g.boot()
	t.Cleanup(func() {
		if t.Failed() {
			out, _, err := g.ask("journalctl | grep -ve component=audit -e component=httpapi | tail -n 100", patience)
			t.Logf("%v\n%s", err, out)
		}
		p.kill()
	})
	_, port, err := net.SplitHostPort(p.smpp)
	if err != nil {
		t.Fatal(err)
	}
	g.do("Setting up otpgw (1.2.3-1)", "dpkg -i /otpgw.deb")
	g.do("", fmt.Sprintf(`
umask 077
cat >/etc/otpgw/otpgw.toml <<'END'
[store]
key = "cred:otpgw_store.key"
[http]
listen = "10.0.2.15:8080"
allow_plain_http = true
[admin]
listen = "10.0.2.15:9464"
[otp]
resend_after = "0s"
number_limit = 100
day_limit = 0
number_day_limit = 0
%s
[tokens]
file = "/etc/otpgw/tokens.toml"
[[smsc]]
name = "smsc-a"
endpoints = ["10.0.2.2:%s"]
system_id = "otpgw"
password = "cred:otpgw_smpp.password"
rate = 0.0
reconnect_min = "50ms"
[[client]]
id = "acme"
sender = "ACME"
END
echo secret1 >/etc/otpgw/credentials/smpp.password
head -c 32 /dev/urandom | base64 >/etc/otpgw/credentials/store.key
cat >/etc/otpgw/tokens.toml <<'END'
%s
END
chgrp otpgw /etc/otpgw/tokens.toml
chmod 640 /etc/otpgw/tokens.toml
umask 022
mkdir /etc/systemd/system/otpgw.socket.d
printf '[Socket]\nListenStream=\nListenStream=10.0.2.15:8080\n' >/etc/systemd/system/otpgw.socket.d/address.conf
systemctl daemon-reload
systemctl enable --now otpgw`, strings.Join(otp, "\n"), port, tokenStanza(p.token, "acme", time.Now().AddDate(50, 0, 0))))
	g.ready()
	return g
}

// outside runs a program here.
func (g *guest) outside(name string, args ...string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // a Debian is fetched, once
	defer cancel()
	cmd := counterpart.Command(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return string(out)
}

// boot gives the machine power and waits for its shell. What its kernel has not written to a disk is lost when it is killed.
func (g *guest) boot() {
	g.t.Helper()
	g.client.CloseIdleConnections() // the emulator lets one connection wait: the client may think that others stand, and nobody tells it that they do not
	args := []string{"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "512", "-accel", "tcg", "-cpu", "max",
		"-kernel", g.kernel + "/vmlinuz", "-initrd", g.kernel + "/initramfs", "-serial", "stdio", "-device", "virtio-rng-pci", "-device", "virtio-net-pci,netdev=n",
		"-append", "console=ttyS0 panic=-1 systemd.mask=getty.target systemd.getty_auto=no",
		"-netdev", "user,id=n,hostfwd=tcp:" + g.shell + "-10.0.2.15:22,hostfwd=tcp:" + g.http + "-10.0.2.15:8080,hostfwd=tcp:" + g.admin + "-10.0.2.15:9464"}
	for _, disk := range g.disks {
		args = append(args, "-drive", "if=virtio,format=raw,cache=writeback,file="+disk)
	}
	cmd := counterpart.Command(context.Background(), "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = g, g
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()
	g.mu.Lock()
	g.proc, g.exit = cmd, exit
	g.mu.Unlock()
	deadline, poll := time.After(bootWithin), time.NewTicker(time.Second/4)
	defer poll.Stop()
	for {
		if _, code, err := g.ask("true", 2*time.Second); err == nil && code == 0 {
			return
		}
		select {
		case err := <-exit:
			exit <- err
			g.t.Fatalf("the machine ended: %v\n%s", err, tail(g.logged()))
		case <-deadline:
			g.t.Fatalf("no shell within %v\n%s", bootWithin, tail(g.logged()))
		case <-poll.C:
		}
	}
}

// ready waits for the daemon.
func (g *guest) ready() {
	g.t.Helper()
	g.await("ready", func() bool { return g.probe("/readyz") == http.StatusOK })
}

// ask has a shell of the machine run a script, and gives what it said and its exit code.
func (g *guest) ask(script string, within time.Duration) (out string, code int, err error) {
	conn, err := net.DialTimeout("tcp", g.shell, within)
	if err != nil {
		return "", 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(within)) // fails on a closed connection only
	if _, err := fmt.Fprintf(conn, "(\n%s\n) </dev/null 2>&1\necho \"code $?\"\nexit\n", script); err != nil {
		return "", 0, err
	}
	text, err := io.ReadAll(conn)
	at := bytes.LastIndex(text, []byte("code "))
	if err != nil || at < 0 {
		return string(text), 0, errors.Join(err, errors.New("the shell did not come to its end"))
	}
	_, err = fmt.Sscanf(string(text[at:]), "code %d\n", &code)
	return string(text[:at]), code, err
}

// run gives what a script says and its exit code.
func (g *guest) run(script string) (string, int) {
	g.t.Helper()
	out, code, err := g.ask(script, 2*patience)
	if err != nil {
		g.t.Fatalf("%s: %v\n%s\n%s", script, err, out, tail(g.logged()))
	}
	return out, code
}

// do runs a script that succeeds and says want.
func (g *guest) do(want, script string) string {
	g.t.Helper()
	out, code := g.run("set -e\n" + script)
	if code != 0 || !strings.Contains(out, want) {
		g.t.Fatalf("%s: exit %d\n%s\nwanted %q", script, code, out, want)
	}
	return out
}

// until waits until a script succeeds.
func (g *guest) until(script string) {
	g.t.Helper()
	g.do("", "until "+script+"\ndo sleep 0.2; done")
}

// step is a part of a test.
func (g *guest) step(name string, do func(*testing.T)) {
	outer := g.t
	defer func() { g.t = outer }()
	outer.(*testing.T).Run(name, func(t *testing.T) {
		g.t = t
		do(t)
	})
}
