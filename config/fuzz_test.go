package config_test

import (
	"strings"
	"testing"
	"unicode"

	"otpgw/config"
)

// FuzzLoad holds that no file makes Check panic, that every problem is one printable line with a place in the file, and
// that a configuration of which nothing is said is one that Validate takes.
func FuzzLoad(f *testing.F) {
	for _, c := range bad {
		if len(c.text) < 4096 {
			f.Add([]byte(c.text))
		}
	}
	f.Add([]byte(config.Reference()))
	f.Add([]byte("smsc = [{}, {a.b.c.d = 1}]\nclient = [[{}], 1]\n[[smsc.x]]\n[\"\".\"\"]\n\"\" = '''\r\n'''\n"))
	f.Add([]byte("[[smsc]]\n[smsc.name]\n[[smsc]]\n[[smsc.name.x]]\nrate = -inf\nwindow = 0x7fffffffffffffff\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := write(t, t.TempDir(), "f", string(text), 0o600)
		cfg, problems := config.Check(path)
		faults := 0
		for _, p := range problems {
			if !p.Warning {
				faults++
			}
			if p.Line < 0 || p.Line > 1+strings.Count(string(text), "\n") || (p.Line == 0) != (p.Column == 0) {
				t.Errorf("no such place: %d:%d", p.Line, p.Column)
			}
			if strings.Contains(p.Message, "decoding failed") {
				t.Errorf("what is wrong was found too late: %v", p)
			}
			if p.Message == "" || strings.ContainsFunc(p.Message, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("message %q", p.Message)
			}
		}
		if err := cfg.Validate(); err != nil && faults == 0 {
			t.Errorf("nothing was said of what Validate refuses: %v", err)
		}
		if _, _, err := config.Load(path); (err != nil) != (faults > 0) {
			t.Errorf("Load says %v, Check says %v", err, problems)
		}
	})
}
