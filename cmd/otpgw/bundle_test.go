package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBundleHasEverythingAndNoSecrets(t *testing.T) {
	p := newPlant(t)
	_, code := p.send(number(1))
	name := filepath.Join(p.dir, "bundle.tar.gz")
	p.expectOutput(0, name, "debug", "bundle", "-o", name)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
	for file, want := range map[string]string{
		"otpgw/version.txt": "otpgw test", "otpgw/status.json": `"state": "running"`, "otpgw/metrics.txt": "otpgw_codes_total{outcome=\"sent\"} 1",
		"otpgw/goroutines.txt": "goroutine profile", "otpgw/heap.pprof": "", "otpgw/config.txt": "[[smsc]]",
	} {
		content, found := files[file]
		if !found || len(content) == 0 || !strings.Contains(content, want) {
			t.Errorf("%s: %.200q, want %q", file, content, want)
		}
		for _, secret := range []string{"secret1", p.token, number(1), code + " "} {
			if file != "otpgw/heap.pprof" && strings.Contains(content, secret) {
				t.Errorf("%s has a secret", file)
			}
		}
	}
	if out, exit := p.operate("debug", "bundle", "-o", name); exit != exitFailure || !strings.Contains(out, "exists") {
		t.Errorf("over a file that is there: exit %d: %s", exit, out)
	}
}
