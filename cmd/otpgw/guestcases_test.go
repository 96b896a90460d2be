package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The package under systemd, its service as it is: what an operator does with it, in the order of its life.
func TestGuestPackage(t *testing.T) {
	g := newGuest(t)
	const phone = 9_000_000 // and those behind it: the load takes the first ones
	id, code := g.send(number(phone))
	g.step("starts", func(t *testing.T) {
		g.until(`[ "$(systemctl show -P StatusText otpgw)" = "running, 2 of 2 binds bound" ]`)
		g.do(`Status: "running, 2 of 2 binds bound"`, "systemctl status otpgw")
		g.do("Type=notify\nUser=otpgw\nNRestarts=0\nActiveState=active\nSubState=running\n", "for p in Type User NRestarts ActiveState SubState; do systemctl show -p $p otpgw; done")
		g.do("running\n", "systemctl is-system-running")
		g.do("0 loaded units listed", "systemctl list-units --failed")
	})
	g.step("serves", func(t *testing.T) {
		if a := g.validate(id, wrongFor(code)); a.code != prefixAPI+"INVALID_OTP" {
			t.Errorf("a wrong code: %d %s", a.status, a.body)
		}
		g.do("DELIVRD", "otpgw send --to "+number(phone+1))
		g.do("running, ready", "otpgw status")
		g.do("records 2,", "otpgw store stats")
		g.do(" 2        seals and reads", "otpgw keys list")
		g.do("whole, 2 records", "otpgw store backup /root/backup.db && stat -c %a /root/backup.db | grep -x 600")
	})
	g.step("tells the journal", func(t *testing.T) {
		var entry struct{ Message, Priority, Smsc string }
		said := g.do("", "journalctl -o json _SYSTEMD_UNIT=otpgw.service COMPONENT=smpp MSG=bound BIND=1")
		if err := json.Unmarshal([]byte(said), &entry); err != nil || entry.Message != "bound component=smpp smsc=smsc-a bind=1" || entry.Priority != "6" || entry.Smsc != "smsc-a" {
			t.Errorf("%v\n%s", err, said)
		}
		for _, secret := range []string{g.token, "secret1", number(phone), number(phone + 1)} {
			if out, _ := g.run("journalctl -o export | grep -aF -e '" + secret + "'"); out != "" {
				t.Errorf("%q is in the journal: %s", secret, out)
			}
		}
	})
	g.step("is confined", func(t *testing.T) {
		t.Log(g.do("OK", "systemd-analyze security --threshold="+exposureLimit+" otpgw | tail -1"))
		g.do("otpgw v1.2.3", "nsenter -m -t $(systemctl show -P MainPID otpgw) /usr/bin/otpgw version")
		if out, code := g.run("nsenter -m -t $(systemctl show -P MainPID otpgw) /usr/bin/true"); code != 126 || !strings.Contains(out, "Permission denied") {
			t.Errorf("another program runs there: exit %d\n%s", code, out)
		}
		g.do("", "! grep -aqF -e secret1 -e "+g.token+" /proc/$(systemctl show -P MainPID otpgw)/environ /proc/$(systemctl show -P MainPID otpgw)/cmdline")
	})
	g.step("reloads", func(t *testing.T) {
		change := func(from, to string) (string, int) {
			return g.run(fmt.Sprintf(`sed -i 's/sender = "%s"/sender = "%s"/' /etc/otpgw/otpgw.toml && systemctl reload otpgw`, from, to))
		}
		from := func(n int, want string) {
			t.Helper()
			g.send(number(phone + n))
			if got := g.smsc.Messages(number(phone + n))[0].From; got != want {
				t.Errorf("a message comes from %q, want %q", got, want)
			}
		}
		if out, code := change("ACME", "NEW"); code != 0 {
			t.Errorf("exit %d\n%s", code, out)
		}
		from(3, "NEW")
		if out, code := change("NEW", "longer than eleven"); code == 0 {
			t.Errorf("a wrong file is reloaded\n%s", out)
		}
		g.do("the last reload was refused", "systemctl is-active otpgw && otpgw status")
		from(4, "NEW")
		if out, code := change("longer than eleven", "ACME"); code != 0 {
			t.Errorf("exit %d\n%s", code, out)
		}
		from(5, "ACME")
	})
	g.step("restarts under load", func(t *testing.T) { g.refusesNothing("systemctl restart otpgw && systemctl restart otpgw") })
	g.step("has its store checked by another process", func(t *testing.T) { g.do("", "! journalctl -u otpgw | grep 'checked by the daemon itself'") })
	g.step("is upgraded under load", func(t *testing.T) {
		before := g.do("", "systemctl show -P MainPID otpgw")
		g.refusesNothing("dpkg -i /otpgw.deb")
		if g.do("", "systemctl show -P MainPID otpgw") == before {
			t.Error("the new version is not what runs")
		}
	})
	g.step("is watched", func(t *testing.T) {
		g.do("", "kill -STOP $(systemctl show -P MainPID otpgw)")
		g.until(`[ "$(systemctl show -P NRestarts otpgw)" = 1 ]`)
		g.do("Watchdog timeout", "journalctl -u otpgw")
		g.ready()
	})
	g.step("is compacted", func(t *testing.T) {
		g.do("compacted", "systemctl stop otpgw otpgw.socket && otpgw store check && otpgw store compact")
		g.do("", "systemctl start otpgw")
		g.ready()
	})
	if a := g.validate(id, code); a.status != http.StatusNoContent {
		t.Errorf("after all that the first code: %d %s", a.status, a.body)
	}
	g.step("goes", func(t *testing.T) {
		g.do("Removing otpgw", "dpkg -r otpgw")
		if out, _ := g.run("systemctl is-active otpgw.service otpgw.socket; systemctl is-enabled otpgw.service otpgw.socket"); strings.Contains(out, "\nactive") || strings.Contains(out, "\nenabled") {
			t.Errorf("it is left\n%s", out)
		}
		g.do("Purging", "dpkg -P otpgw && ! test -e /var/lib/otpgw")
		g.do("running\n", "systemctl is-system-running")
	})
}

// refusesNothing runs a script under load, after which the daemon is ready and no request has failed.
func (g *guest) refusesNothing(script string) {
	g.t.Helper()
	stop := g.load(2)
	g.do("", script)
	g.ready()
	answered, failures := stop()
	if len(failures) > 0 || answered == 0 {
		g.t.Errorf("%d requests, %d failed: %q", answered, len(failures), failures[:min(5, len(failures))])
	}
	g.t.Logf("%d requests", answered)
}

// The power goes under load, again and again: what was answered holds, as after a kill.
func TestGuestPowerCuts(t *testing.T) {
	g := newGuest(t, "max_attempts = "+fmt.Sprint(killTries), "send_limit = "+fmt.Sprint(killSends), `ttl = "10m"`)
	g.do("", "printf old >/root/unsynced && sync")
	g.losesNothing(t, *cuts, 3*time.Hour, func() {
		g.do("", "printf new | dd of=/root/unsynced conv=notrunc")
		g.kill()
	}, func() {
		g.boot()
		g.ready()
		g.do("old", "cat /root/unsynced") // else nothing is lost that is not synced, and this test is none
	})
	g.do("whole", "systemctl stop otpgw otpgw.socket && otpgw store check")
}

// The machine's clock jumps while the daemon runs. No life is extended by it, no limit reopens, and the operator is told.
func TestGuestClock(t *testing.T) {
	g := newGuest(t, "max_attempts = 10", "max_failures = 100", "send_limit = 2", `ttl = "15s"`)
	limited := func(t *testing.T) {
		t.Helper()
		if a := g.post("/send-code", sendBody(number(1)), nil); a.code != prefixAPI+"MAX_OTP_CODES_EXCEEDED" {
			t.Errorf("the limit is open: %d %s", a.status, a.body)
		}
	}
	use := func(t *testing.T, n int) {
		t.Helper()
		id, code := g.send(number(n))
		if a := g.validate(id, code); a.status != http.StatusNoContent {
			t.Errorf("a new code: %d %s", a.status, a.body)
		}
	}
	set := func(to time.Time) { g.do("", fmt.Sprintf("date -s @%d", to.Unix())) }
	told := func(t *testing.T, skew time.Duration) { // within a minute
		t.Helper()
		line := regexp.MustCompile(`trouble: store: the clock is off: the system's is (\S+) from the store's`).FindStringSubmatch(g.do("ready", "otpgw status"))
		if line == nil {
			t.Fatal("status says nothing of the clock")
		}
		if got, err := time.ParseDuration(line[1]); err != nil || (got-skew).Abs() > time.Minute {
			t.Errorf("status says that the system's clock is %s from the store's, want %v", line[1], skew)
		}
	}
	const leap = 11 * time.Minute // so much of a jump ahead is taken
	use(t, 1)
	use(t, 1)
	limited(t)
	g.step("an hour back", func(t *testing.T) {
		id, code := g.send(number(2))
		set(time.Now().Add(-time.Hour))
		told(t, -time.Hour)
		limited(t)
		use(t, 3)
		g.elapses(id, code)
		g.do("", "systemctl restart otpgw")
		g.ready()
		limited(t)
		use(t, 4)
		told(t, -time.Hour)
	})
	for n, row := range []struct {
		name string
		by   time.Duration
	}{{"an hour ahead", time.Hour}, {"ten years ahead", 10 * 365 * 24 * time.Hour}} {
		g.step(row.name, func(t *testing.T) {
			id, code := g.send(number(10 + n))
			set(time.Now().Add(row.by))
			if a := g.validate(id, code); a.code != prefixAPI+"VERIFICATION_EXPIRED" {
				t.Errorf("a code of before: %d %s", a.status, a.body)
			}
			told(t, row.by-time.Duration(n+1)*leap)
			limited(t)
			use(t, 20+n)
		})
	}
	g.step("right again", func(t *testing.T) {
		set(time.Now())
		told(t, -2*leap)
		limited(t)
		id, code := g.send(number(30))
		use(t, 31)
		g.elapses(id, code)
		g.do("NRestarts=0", "systemctl show -p NRestarts otpgw")
	})
}

// elapses sees that a code lives, and that it lives no longer than it may.
func (g *guest) elapses(id, code string) {
	g.t.Helper()
	within, poll := time.After(20*time.Second), time.NewTicker(3*time.Second)
	defer poll.Stop()
	for tries := 0; ; tries++ {
		switch a := g.validate(id, wrongFor(code)); {
		case a.code == prefixAPI+"VERIFICATION_EXPIRED" && tries > 0:
			return
		case a.code != prefixAPI+"INVALID_OTP":
			g.t.Fatalf("try %d: %d %s", tries, a.status, a.body)
		}
		select {
		case <-poll.C:
		case <-within:
			g.t.Fatal("the code lives longer than it may")
		}
	}
}

// The store on a disk of its own, which is full, and which fails.
func TestGuestDisk(t *testing.T) {
	g := newGuest(t, "max_attempts = 10", "max_failures = 100")
	id, code := g.send(number(1))
	guessed, other := g.send(number(2))
	g.do("", `systemctl stop otpgw otpgw.socket
dmsetup create store --table "0 $(blockdev --getsz /dev/vdb) linear /dev/vdb 0"
mount /dev/dm-0 /mnt
cp -a /var/lib/otpgw/. /mnt
umount /mnt
mount -o errors=remount-ro /dev/dm-0 /var/lib/otpgw
fallocate -l $(($(stat -f -c '%a * %S' /var/lib/otpgw) - 4 * 1024 * 1024)) /var/lib/otpgw/ballast
systemctl start otpgw`)
	g.ready()
	g.step("full", func(t *testing.T) {
		g.servesFull(id, code, guessed, wrongFor(other))
		g.do("trouble: store: no space left: no new codes", "otpgw status")
		pid := g.do("", "systemctl show -P MainPID otpgw")
		g.do("", "rm /var/lib/otpgw/ballast")
		g.await("a code", func() bool { return g.post("/send-code", sendBody(number(3)), nil).status == 200 })
		g.do(pid, "systemctl show -P MainPID otpgw")
	})
	g.step("read-only", func(t *testing.T) {
		id, code := g.send(number(4))
		pid := g.do("", "systemctl show -P MainPID otpgw")
		g.do("", "echo u >/proc/sysrq-trigger") // by force, although files are open for writing
		g.await("not ready", func() bool { return g.probe("/readyz") == http.StatusServiceUnavailable })
		for path, body := range map[string]string{"/send-code": sendBody(number(5)), "/validate-code": validateBody(id, code)} {
			if a := g.post(path, body, nil); a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d, Retry-After %q", path, a.status, a.header.Get("Retry-After"))
			}
		}
		g.do("trouble: store: read-only file system", "! otpgw status")
		g.do("", "mount -o remount,rw / && mount -o remount,rw /var/lib/otpgw")
		g.ready()
		if a := g.validate(id, code); a.status != 204 {
			t.Errorf("afterwards: %d %s", a.status, a.body)
		}
		g.do(pid, "systemctl show -P MainPID otpgw")
	})
	g.step("fails", func(t *testing.T) {
		id, code := g.send(number(6))
		turn := func(into string) {
			g.do("", `dmsetup suspend --noflush --nolockfs store
dmsetup load store --table "0 $(blockdev --getsz /dev/vdb) `+into+`"
dmsetup resume store`)
		}
		turn("flakey /dev/vdb 0 0 3600 1 error_writes")
		if a, err := g.call(http.MethodPost, "/send-code", sendBody(number(7)), nil); err == nil && a.status != 503 {
			t.Errorf("a code is sent: %d %s", a.status, a.body)
		}
		g.until(`[ "$(systemctl show -P NRestarts otpgw)" -gt 0 ]`)
		g.do("status=1/FAILURE", "journalctl -u otpgw")
		g.await("the daemon to wait", func() bool {
			g.call(http.MethodPost, "/send-code", sendBody(number(7)), nil)
			out, _ := g.run("otpgw status")
			return strings.Contains(out, "trouble: store: read-only file system")
		})
		before := g.do("", "systemctl show -P NRestarts otpgw")
		for path, body := range map[string]string{"/send-code": sendBody(number(7)), "/validate-code": validateBody(id, code)} {
			if a := g.post(path, body, nil); a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d, Retry-After %q", path, a.status, a.header.Get("Retry-After"))
			}
		}
		g.do(before, "sleep 5; systemctl show -P NRestarts otpgw")
		turn("linear /dev/vdb 0")
		g.do("", `systemctl stop otpgw otpgw.socket
umount /var/lib/otpgw
e2fsck -p /dev/dm-0 || [ $? = 1 ]
mount /dev/dm-0 /var/lib/otpgw
systemctl start otpgw`)
		g.ready()
		if a := g.validate(id, code); a.status != 204 {
			t.Errorf("afterwards: %d %s", a.status, a.body)
		}
	})
}
