package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingSecretIsLeftBehind looks for every code, number, token and password of a busy run in everything that the
// daemon wrote: its log at debug level, its metrics, and its files, free pages included.
func TestNothingSecretIsLeftBehind(t *testing.T) {
	p := newPlant(t)
	audit := filepath.Join(p.dir, "audit.log")
	p.replace("[log]\n", "[log]\naudit = \""+audit+"\"\n")
	p.expectOutput(0, "in force: log.audit", "reload")
	secrets := map[string]string{p.token: "token", "secret1": "SMPP password"}
	for n := range 200 {
		to := number(n)
		id, code := p.send(to)
		secrets[to], secrets[to[1:]], secrets[code] = "number", "number", "code"
		switch n % 3 {
		case 0:
			p.validate(id, code)
		case 1:
			p.validate(id, wrongFor(code))
		}
	}
	var said strings.Builder // what the operator sees
	for _, args := range [][]string{
		{"send", "--to", number(1000)}, {"trace", number(1)}, {"trace", "--phone", number(1000)}, {"status", "--json"}, {"config", "show", "--running"},
	} {
		out, code := p.operate(args...)
		if code != 0 {
			t.Errorf("%q: exit %d\n%s", args, code, out)
		}
		said.WriteString(out)
	}
	secrets[number(1000)], secrets[p.read(number(1000), 1)] = "number", "code"
	p.expectOutput(0, "to "+number(1)+" ", "trace", number(1), "--reveal") // shown, and not written down
	for range 4 {                                                          // what the limits refuse is
		id, code := p.send(number(2000))
		for range 3 {
			p.validate(id, wrongFor(code))
		}
	}
	var metrics strings.Builder // names and labels: a value may look like a code by chance
	for line := range strings.Lines(p.metrics()) {
		metrics.WriteString(line[:max(0, strings.LastIndexByte(strings.TrimSpace(line), ' '))] + "\n")
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	found := map[string][]byte{"log": []byte(p.logged()), "metrics": []byte(metrics.String()), "commands": []byte(said.String())}
	content, err := os.ReadFile(audit)
	if err != nil || !bytes.Contains(content, []byte(`"action":"reveal"`)) || !bytes.Contains(content, []byte(`"msg":"refused"`)) {
		t.Errorf("audited: %v\n%s", err, content)
	}
	found["audit"] = content
	err = filepath.WalkDir(filepath.Join(p.dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found[e.Name()] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 4 {
		t.Fatalf("only %d places were searched: the store or its key was not found", len(found))
	}
	for place, content := range found {
		if len(content) == 0 {
			t.Errorf("%s is empty: nothing was searched", place)
		}
		for secret, kind := range secrets {
			if at := bytes.Index(content, []byte(secret)); at >= 0 && !partOfLongerNumber(content, at, len(secret), kind) {
				t.Errorf("%s holds a %s: …%s…", place, kind, surroundings(content, at))
			}
		}
	}
}

// partOfLongerNumber says that the six digits of a code stand inside of a longer run of letters and digits, as they do
// by chance in times, ids and counters: a code that leaked would stand alone.
func partOfLongerNumber(content []byte, at, length int, kind string) bool {
	alnum := func(i int) bool {
		return i >= 0 && i < len(content) && (content[i] == '.' || content[i] == '+' ||
			content[i] >= '0' && content[i] <= '9' || content[i] >= 'a' && content[i] <= 'z' || content[i] >= 'A' && content[i] <= 'Z')
	}
	return kind == "code" && (alnum(at-1) || alnum(at+length))
}

func surroundings(content []byte, at int) string {
	from, to := max(0, at-60), min(len(content), at+60)
	return strings.ToValidUTF8(string(content[from:to]), ".")
}
