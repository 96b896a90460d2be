package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"otpgw/config"
)

func TestFileOverDefaults(t *testing.T) {
	cfg := valid(t, folder(t), `
[otp]
ttl = "90s"
[log]
level = "debug"
[numbers]
own = ["+346", "+347"]
blocked = []
[tokens]
file = "DIR/tokens.toml"
[[smsc]]
name = "smsc-a"
endpoints = ["127.0.0.1:2775"]
system_id = "otpgw"
password = "file:DIR/smpp.password"
rate = 50
window = 1_00
[[client]]
id = "AcmeBank"
sender = "ACME"
enabled = false
[[client]]
id = "acme"
sender = "+34600000001"
rate = 2.5
`)
	want := config.Default()
	want.OTP.TTL = 90 * time.Second
	if cfg.OTP != want.OTP {
		t.Errorf("otp is %+v, want %+v", cfg.OTP, want.OTP)
	}
	if !reflect.DeepEqual(cfg.HTTP, want.HTTP) || !reflect.DeepEqual(cfg.Admin, want.Admin) {
		t.Errorf("absent tables are %+v %+v, want the defaults", cfg.HTTP, cfg.Admin)
	}
	if cfg.Log.Level != "debug" || cfg.Log.Format != want.Log.Format {
		t.Errorf("log is %+v", cfg.Log)
	}
	smsc := config.DefaultSMSC()
	smsc.Name, smsc.Endpoints, smsc.SystemID, smsc.Password = "smsc-a", []string{"127.0.0.1:2775"}, "otpgw", password
	smsc.Rate, smsc.Window = 50, 100
	if len(cfg.SMSC) != 1 || !reflect.DeepEqual(cfg.SMSC[0], smsc) {
		t.Errorf("smsc is %+v, want %+v", cfg.SMSC, smsc)
	}
	if len(cfg.Clients) != 2 || cfg.Clients[0].ID != "AcmeBank" || cfg.Clients[0].Enabled || !cfg.Clients[1].Enabled ||
		cfg.Clients[1].Rate != 2.5 || cfg.Clients[1].Burst == 0 {
		t.Errorf("clients are %+v", cfg.Clients)
	}
	if len(cfg.TokenList) != 1 || cfg.TokenList[0].Client != "acme" || cfg.TokenList[0].SHA256[0] != 0x8f || cfg.TokenList[0].Expires.Year() != 2999 {
		t.Errorf("tokens are %+v", cfg.TokenList)
	}
	if err := cfg.Validate(); err != nil {
		t.Errorf("Validate says otherwise than Load: %v", err)
	}
}

func TestOtherWaysToWriteTOML(t *testing.T) {
	dir := folder(t)
	want := valid(t, dir, "[otp]\nttl = \"90s\"\n"+whole)
	for _, text := range []string{
		"\ufeff[otp]\r\nttl = \"90s\"\r\n" + strings.ReplaceAll(whole, "\n", "\r\n"),
		"otp.ttl = '90s'\n" + whole,
		"otp = {ttl = \"\"\"90s\"\"\"}\n" + whole,
		"[ \"otp\" ]\n'ttl' = \"1m30s\" # so\n" + whole,
		"smsc = [ { name = \"smsc-a\", endpoints = [\"127.0.0.1:2775\"], system_id = \"otpgw\", password = \"file:DIR/smpp.password\" } ]\n" +
			"otp.ttl = \"90s\"\n" + wholeNumbers + wholeTokens + wholeClient,
	} {
		got := valid(t, dir, text)
		if hot, restart := config.Diff(want, got); len(hot)+len(restart) > 0 {
			t.Errorf("%s\ndiffers in %v %v", text, hot, restart)
		}
	}
}

func TestDefaultLacksOnlyWhatMustBeGiven(t *testing.T) {
	err := config.Default().Validate()
	if err == nil || err.Error() != "smsc: there must be one [[smsc]] at least" {
		t.Errorf("got %v", err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := folder(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "huge.toml", strings.Repeat("#", 1<<20+1), 0o600)
	write(t, dir, "writable.toml", whole, 0o602)
	for name, want := range map[string]string{
		"none.toml":       "no such file or directory",
		"":                "is a directory, must be a file",
		"pipe":            "is not a regular file",
		"huge.toml":       "is larger than 1024 KiB",
		"writable.toml":   "has mode 0602: must not be writable by others",
		"smpp.password/x": "not a directory",
	} {
		path := filepath.Join(dir, name)
		_, _, err := config.Load(path)
		if err == nil || err.Error() != path+": "+want {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
	}
	if _, _, err := config.Load(""); err == nil || err.Error() != "configuration file: no such file or directory" {
		t.Errorf("no path: got %v", err)
	}
	if os.Geteuid() != 0 { // root may read everything
		path := write(t, dir, "mine.toml", whole, 0o000)
		if _, _, err := config.Load(path); err == nil || err.Error() != path+": permission denied" {
			t.Errorf("unreadable: got %v", err)
		}
	}
	write(t, dir, "big.toml", whole+strings.Repeat("#", 1<<20-len(whole)-200), 0o600)
	if _, _, err := config.Load(filepath.Join(dir, "big.toml")); err != nil {
		t.Errorf("a file just below the limit: %v", err)
	}
}

func TestManyClients(t *testing.T) {
	var text strings.Builder
	text.WriteString(whole)
	for range 2000 {
		text.WriteString("[[client]]\nid = \"twice\"\nsender = \"X\"\n")
	}
	_, lines := check(t, folder(t), text.String())
	if len(lines) != 1999 || lines[1998] != `DIR/otpgw.toml:6015:1: client[2000].id = "twice": is that of client[1] too` {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

func TestLoadConcurrently(t *testing.T) {
	dir := folder(t)
	path := write(t, dir, "otpgw.toml", whole, 0o600)
	want := valid(t, dir, whole)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				got, _, err := config.Load(path)
				if err != nil {
					t.Error(err)
					return
				}
				if hot, restart := config.Diff(want, got); len(hot)+len(restart) > 0 {
					t.Errorf("differs in %v %v", hot, restart)
				}
				got.SMSC[0].Window++ // nobody else's
				got.Numbers.Own[0] = "+1"
			}
		})
	}
	wg.Wait()
}
