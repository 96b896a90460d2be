package numbers_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"otpgw/httpapi/numbers"
)

func own(path string) numbers.Config {
	return config(func(c *numbers.Config) { c.OwnFile = path })
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatAFileMayLookLike(t *testing.T) {
	const entries = "# of today\r\n\r\n  +34600000001\t\r\n+34600000002 # a comment\n\n+3461*\n+34620000000-+34620000001\n+34600000003"
	for name, text := range map[string][]byte{
		"plain":        []byte(entries),
		"packed.gz":    zipped(t, entries),
		"twice.gz":     append(zipped(t, "+34600000001\n+34600000002\n"), zipped(t, "+3461*\n+34620000000-+34620000001\n+34600000003")...),
		"mark":         []byte("\xef\xbb\xbf+34600000001\n" + entries),
		"long":         []byte("#" + strings.Repeat("x", 60_000) + "\n" + entries),
		"name with # ": []byte(entries),
	} {
		path := filepath.Join(t.TempDir(), name)
		write(t, path, string(text))
		plan := load(t, own(path), nil)
		for number, want := range map[string]numbers.Verdict{
			"+34600000001": numbers.Served, "+34600000002": numbers.Served, "+34600000003": numbers.Served, "+34610000000": numbers.Served,
			"+34620000001": numbers.Served, "+34600000004": numbers.Foreign, "+34620000002": numbers.Foreign,
		} {
			if got := plan.Judge(number); got != want {
				t.Errorf("%s: Judge(%s) = %v, want %v", name, number, got, want)
			}
		}
	}
}

func TestBadLinesAreNamedByPlace(t *testing.T) {
	const form, unequal, backwards = "must be a number", "as many digits", "must not come before"
	for line, want := range map[string]string{
		"34600000001":                     form,
		"+0600000001":                     form,
		"+3460":                           form,
		"+3460000000000000":               form,
		"+3460000000a":                    form,
		"+34 600 000 001":                 form,
		"+34600000001,":                   form,
		"+34600000001\x00":                form,
		"\"+34600000001\"":                form,
		"+34600000001 +34600000002":       form,
		"*":                               form,
		"+*":                              form,
		"+34**":                           form,
		"+0*":                             form,
		"+3*4":                            form,
		"+3460000000000000*":              form,
		"+34600000001-":                   form,
		"-+34600000001":                   form,
		"-":                               form,
		"+34600000001-34600000002":        form,
		"+34600000001 - +34600000002":     form,
		"+34600000001-+34600000002-+346":  form,
		"+3460-+3469":                     form,
		"+34600000001-+346000000020":      unequal,
		"+34600000002-+34600000001":       backwards,
		"+34600000001-+34600000002*":      form,
		"\xff\xfe+\x003\x004\x00":         form,
		"\xef\xbb\xbf+34600000001":        form, // a mark that is not at the beginning
		strings.Repeat("+", 70_000):       "is longer than",
		"#" + strings.Repeat("x", 70_000): "is longer than",
	} {
		path := file(t, "own", "+34600000001", "# fine", line, "+34600000002")
		_, err := numbers.Load(own(path), nil)
		errs := each(err)
		if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "own_file: "+path+":3: ") || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%.40q: %v, want one error at line 3 with %q", line, err, want)
		}
	}
}

func TestErrorsAreFewAndHoldNoNumber(t *testing.T) {
	path := file(t, "own", strings.Repeat("34600123456\n+34600123456-+34600123455\n", 1000))
	other := file(t, "blocked", "+34600123456x")
	_, err := numbers.Load(config(func(c *numbers.Config) { c.OwnFile, c.BlockedFile = path, other }), nil)
	errs := each(err)
	if len(errs) != 6 {
		t.Fatalf("%d errors, want 5 of own_file and 1 of blocked_file: %v", len(errs), err)
	}
	for _, err := range errs {
		if !strings.HasPrefix(err.Error(), "own_file: "+path+":") && !strings.HasPrefix(err.Error(), "blocked_file: "+other+":1: ") {
			t.Errorf("%q does not say where", err)
		}
	}
	if regexp.MustCompile(`3460012`).MatchString(err.Error()) {
		t.Errorf("an error holds a number: %v", err)
	}
}

func TestFilesThatAreNoLists(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	whole := zipped(t, strings.Repeat("+34600000001\n", 5000))
	cut, broken := filepath.Join(dir, "cut.gz"), filepath.Join(dir, "broken.gz")
	write(t, cut, string(whole[:len(whole)-4]))
	whole[len(whole)-6] ^= 1
	write(t, broken, string(whole))
	for name, test := range map[string]struct{ path, want string }{
		"missing":              {filepath.Join(dir, "none"), "no such file"},
		"a directory":          {dir, "is no regular file"},
		"a pipe":               {pipe, "is no regular file"},
		"not packed":           {file(t, "plain.gz", "+34600000001"), "gzip"},
		"cut off":              {cut, "unexpected EOF"},
		"wrong sum":            {broken, "checksum"},
		"own without an entry": {file(t, "own", "# nobody"), "holds no entry"},
	} {
		_, err := numbers.Load(own(test.path), nil)
		if len(each(err)) != 1 || !strings.HasPrefix(err.Error(), "own_file: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want one error with %q", name, err, test.want)
		}
	}
	if plan := load(t, config(func(c *numbers.Config) { c.BlockedFile = file(t, "blocked", "# nobody") }), nil); plan.Judge("+34600000001") != numbers.Served {
		t.Error("blocked_file without an entry blocks")
	}
}

func TestRangesAndPrefixesAreBounded(t *testing.T) {
	for want, line := range map[string]func(int) string{
		fmt.Sprintf(":%d: too many entries: at most %d prefixes", numbers.MaxPrefixes+1, numbers.MaxPrefixes): func(i int) string { return fmt.Sprintf("+34%06d*\n", i) },
		fmt.Sprintf(":%d: too many entries: at most %d ranges", numbers.MaxRanges+1, numbers.MaxRanges):       func(i int) string { return fmt.Sprintf("+34%07d0-+34%07d5\n", i, i) },
	} {
		most := numbers.MaxPrefixes
		if strings.Contains(want, "ranges") {
			most = numbers.MaxRanges
		}
		var text strings.Builder
		for i := range most {
			text.WriteString(line(i))
		}
		path := file(t, "own")
		write(t, path, text.String())
		plan := load(t, own(path), nil)
		if got := plan.Entries()["own"]; got != most {
			t.Errorf("%d entries of %d", got, most)
		}
		write(t, path, text.String()+line(most)+"and more\n")
		if _, err := numbers.Load(own(path), nil); len(each(err)) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Whether a file was read again shows when other bytes stand in it and nothing else about it changed.
func TestAFileThatDidNotChangeIsNotReadAgain(t *testing.T) {
	path := file(t, "own", "+34600000001")
	old := time.Now().Add(-time.Hour)
	put := func(number string, modified time.Time) {
		t.Helper()
		write(t, path, number+"\n")
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(plan *numbers.Plan, number string) {
		t.Helper()
		for _, n := range []string{"+34600000001", "+34600000002"} {
			if got := plan.Judge(n) == numbers.Served; got != (n == number) {
				t.Errorf("Judge(%s): served is %t where %s is in force", n, got, number)
			}
		}
	}

	put("+34600000001", old)
	first := load(t, own(path), nil)
	put("+34600000002", old)
	holds(load(t, own(path), first), "+34600000001") // the same inode, size and time: not read
	holds(load(t, own(path), nil), "+34600000002")

	put("+34600000002", old.Add(time.Second))
	holds(load(t, own(path), first), "+34600000002") // another time

	now := time.Now()
	put("+34600000001", now)
	fresh := load(t, own(path), nil)
	put("+34600000002", now)
	holds(load(t, own(path), fresh), "+34600000002") // changed within the granularity of its time

	put("+34600000001", old)
	first = load(t, own(path), nil)
	next := path + ".next"
	write(t, next, "+34600000002\n")
	if err := os.Chtimes(next, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	holds(load(t, own(path), first), "+34600000002") // another inode

	put("+34600000001", old)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	first = load(t, own(path), nil)
	put("+34600000002", old)
	holds(load(t, own(link), first), "+34600000002") // another path
}

func TestAFileThatChangesWhileItIsReadIsRefused(t *testing.T) {
	path, _ := subscribers(t, 200_000, true)
	stop, touched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(touched)
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				then := time.Unix(1_700_000_000+i, 0)
				if err := os.Chtimes(path, then, then); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	defer func() { close(stop); <-touched }()
	for range 1000 { // one is enough, unless the other goroutine is kept from running
		if _, err := numbers.Load(own(path), nil); err != nil {
			if !strings.Contains(err.Error(), "it changed meanwhile") {
				t.Errorf("%v", err)
			}
			return
		}
	}
	t.Error("never refused")
}
