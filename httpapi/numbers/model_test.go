package numbers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"otpgw/httpapi/numbers"

	"pgregory.net/rapid"
)

// A model is the rules of the package said once more, slowly, over the text of the entries.
type model struct {
	exact    map[string][]string // by list: numbers and ranges as they stand in the file
	prefixes map[string][]string // by list, without *
	everyone bool
}

func (m model) in(list, number string) bool {
	for _, entry := range m.exact[list] {
		from, to, isRange := strings.Cut(entry, "-")
		if !isRange {
			to = from
		}
		if len(number) == len(from) && from <= number && number <= to {
			return true
		}
	}
	return false
}

func (m model) judge(number string) numbers.Verdict {
	verdicts := map[string]numbers.Verdict{"blocked": numbers.Blocked, "not_allowed": numbers.NotAllowed, "landline": numbers.Landline,
		"ported_out": numbers.Foreign, "ported_in": numbers.Served, "own": numbers.Served}
	for _, list := range []string{"blocked", "not_allowed", "landline", "ported_out"} {
		if m.in(list, number) {
			return verdicts[list]
		}
	}
	longest, which := "", ""
	for _, list := range []string{"blocked", "not_allowed", "landline", "ported_out", "own", "ported_in"} {
		for _, prefix := range m.prefixes[list] {
			if strings.HasPrefix(number, prefix) && len(prefix) > len(longest) {
				longest, which = prefix, list
			}
		}
	}
	switch {
	case which == "blocked" || which == "not_allowed" || which == "landline":
		return verdicts[which]
	case m.in("own", number) || m.in("ported_in", number):
		return numbers.Served
	case which != "":
		return verdicts[which]
	case m.everyone:
		return numbers.Served
	}
	return numbers.Foreign
}

func TestThePlanAgreesWithTheModel(t *testing.T) {
	dir := t.TempDir()
	// Few digits, so that entries and numbers meet; some far apart, so that more than one 2^32 of them is in use.
	number := rapid.StringMatching(`\+[12](0000000000|000)?[012]{4}`)
	prefix := rapid.OneOf(rapid.StringMatching(`\+[12][012]{0,4}`), rapid.StringMatching(`\+[12]0000000000[012]{1,2}`))
	rapid.Check(t, func(t *rapid.T) {
		m := model{exact: map[string][]string{}, prefixes: map[string][]string{}, everyone: true}
		cfg := numbers.DefaultConfig()
		paths := map[string]*string{"own": &cfg.OwnFile, "not_allowed": &cfg.NotAllowedFile, "landline": &cfg.LandlineFile,
			"blocked": &cfg.BlockedFile, "ported_out": &cfg.PortedOutFile, "ported_in": &cfg.PortedInFile}
		inline := map[string]*[]string{"own": &cfg.Own, "not_allowed": &cfg.NotAllowed, "landline": &cfg.Landline, "blocked": &cfg.Blocked}

		for i, p := range rapid.SliceOfNDistinct(prefix, 0, 6, rapid.ID).Draw(t, "configured prefixes") {
			list := []string{"own", "not_allowed", "landline", "blocked"}[rapid.IntRange(0, 3).Draw(t, fmt.Sprint("list of ", i))]
			*inline[list] = append(*inline[list], p)
			m.prefixes[list] = append(m.prefixes[list], p)
		}
		for _, list := range []string{"own", "not_allowed", "landline", "blocked", "ported_out", "ported_in"} {
			if !rapid.Bool().Draw(t, list+" has a file") {
				continue
			}
			lines := rapid.SliceOfN(number, 1, 20).Draw(t, list)
			for _, from := range rapid.SliceOfN(number, 0, 4).Draw(t, list+" ranges") {
				to := rapid.StringMatching(fmt.Sprintf(`\+[12][012]{%d}`, len(from)-2)).Draw(t, "to")
				lines = append(lines, min(from, to)+"-"+max(from, to))
			}
			m.exact[list] = lines
			for _, p := range rapid.SliceOfN(prefix, 0, 4).Draw(t, list+" prefixes") {
				m.prefixes[list] = append(m.prefixes[list], p)
				lines = append(lines, p+"*")
			}
			path := filepath.Join(dir, list)
			if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			*paths[list] = path
		}
		m.everyone = cfg.OwnFile == "" && len(cfg.Own) == 0

		plan, err := numbers.Load(cfg, nil)
		if err != nil {
			t.Fatalf("load: %v", err)
		}
		for _, n := range rapid.SliceOfN(number, 1, 50).Draw(t, "numbers") {
			if got, want := plan.Judge(n), m.judge(n); got != want {
				t.Fatalf("Judge(%s) = %v, want %v", n, got, want)
			}
		}
	})
}

// A text is refused, or every line of it that is not blank is an entry that the plan then knows.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"+34600000001\n+3461*\r\n\n# x\n+34620000000-+34620000001 # y", "+1*", "\xef\xbb\xbf+34600\n", "+34600000001-+34600000000",
		"+99999999999999999999\n", "*\n-\n+\n", "+999999999999999\n+4294967295\n+4294967296\n+4294967297-+8589934592", "\r\n \t#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plan, err := numbers.PlanOf(text)
		if err != nil {
			if n := len(each(err)); n > 5 {
				t.Fatalf("%d errors", n)
			}
			return
		}
		m := model{exact: map[string][]string{}, prefixes: map[string][]string{}}
		var ask []string
		for line := range strings.SplitSeq(strings.TrimPrefix(text, "\xef\xbb\xbf"), "\n") {
			line, _, _ = strings.Cut(line, "#")
			line = strings.Trim(line, " \t\r")
			prefix, isPrefix := strings.CutSuffix(line, "*")
			switch from, to, isRange := strings.Cut(line, "-"); {
			case line == "":
				continue
			case isPrefix:
				m.prefixes["own"] = append(m.prefixes["own"], prefix)
				ask = append(ask, prefix, (prefix + "00000")[:min(len(prefix)+5, 16)])
			case isRange:
				m.exact["own"] = append(m.exact["own"], line)
				ask = append(ask, from, to)
			default:
				m.exact["own"] = append(m.exact["own"], line)
				ask = append(ask, line)
			}
		}
		if len(ask) > 200 {
			t.Skip("the model is slow")
		}
		for _, number := range ask {
			if got := plan.Judge(number); got != numbers.Served {
				t.Fatalf("Judge(%q) = %v, and an entry holds it", number, got)
			}
			for _, near := range []string{number[:len(number)-1] + "0", number[:len(number)-1] + "9"} {
				if len(near) > 2 {
					if got, want := plan.Judge(near), m.judge(near); got != want {
						t.Fatalf("Judge(%q) = %v, want %v", near, got, want)
					}
				}
			}
		}
	})
}
