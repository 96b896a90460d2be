package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otpgw/config"
)

func TestCertificatesAreLookedAt(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	year, yearKey := newPair(t, 1, now.Add(365*24*time.Hour))
	week, _ := newPair(t, 2, now.Add(7*24*time.Hour))
	over, _ := newPair(t, 3, now.Add(-time.Minute))
	good, key := write("good.pem", year), write("good.key", yearKey)
	for _, c := range []struct {
		name, file string
		now        time.Time
		ok         bool
		says       string
	}{
		{"good", good, now, true, "valid until "},
		{"soon", write("week.pem", week), now, false, "it expires in 7.0 days"},
		{"over", write("over.pem", over), now, false, "it has expired"},
		{"one of the chain", write("chain.pem", year+week), now, false, "it expires in 7.0 days"},
		{"not yet", good, now.Add(-2 * time.Hour), false, "is not valid before"},
		{"none", key, now, false, "holds no certificate in PEM"},
		{"missing", filepath.Join(dir, "nowhere"), now, false, "no such file"},
	} {
		got := checkCertificates("http.tls_cert", c.file, c.now)
		if got.OK != c.ok || !strings.Contains(got.Detail+got.Advice, c.says) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := checkKey("http.tls_key", good, key); !got.OK {
		t.Errorf("the right key: %+v", got)
	}
	_, other := newPair(t, 4, now.Add(time.Hour))
	if got := checkKey("http.tls_key", good, write("other.key", other)); got.OK || !strings.Contains(got.Detail, "other.key") {
		t.Errorf("another's key: %+v", got)
	}
}

func TestStoreIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := storeStatus(dir)
	rich := float64(full.Free) >= leastFree*float64(full.Disk)
	for path, want := range map[string]struct {
		ok   bool
		says string
	}{
		dir:          {rich, "disk left "},
		dir + "/a/b": {rich, "will be made"},
		file:         {false, "not a directory"},
		file + "/x":  {false, "not a directory"},
	} {
		if got := checkStore(path); got.OK != want.ok || !strings.Contains(got.Detail, want.says) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if _, err := os.Stat(dir + "/a"); err == nil {
		t.Error("a look made a directory")
	}
	if got := checkFile("numbers.own_file", file, time.Now()); !got.OK || !strings.Contains(got.Detail, "0 B, of ") {
		t.Errorf("%+v", got)
	}
}

func TestAuditLogIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	if got := checkAudit(config.Log{Audit: path}); !got.OK {
		t.Errorf("a new one: %+v", got)
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if got := checkAudit(config.Log{Audit: path}); !got.OK {
		t.Errorf("one that is there: %+v", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, dir, dir + "/nowhere/audit.log", path + "/audit.log"} {
		if got := checkAudit(config.Log{Audit: path}); got.OK || !strings.Contains(got.Detail, dir) {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestWatchDrawsOverItself(t *testing.T) {
	for _, c := range []struct {
		first, overwrite bool
		want             string
	}{
		{true, true, "\x1b[2J\x1b[Ha\nb\n"}, {false, true, "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"},
		{true, false, "a\nb\n"}, {false, false, "\na\nb\n"},
	} {
		if got := redraw("a\nb\n", c.first, c.overwrite); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
