package smpp_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"otpgw/smpp"
	"otpgw/smpp/smsc"
)

// quirks are the rows of the table in docs/interop.md, by their numbers.
func quirks(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/interop.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if number := regexp.MustCompile(`^[0-9]+$`); len(cells) == 5 && number.MatchString(cells[0]) {
			if rows[cells[0]] != nil {
				t.Errorf("quirk %s stands there twice", cells[0])
			}
			rows[cells[0]] = cells
		}
	}
	return rows
}

// TestQuirksAreThoseOfTheDocument: each of the 41 has one row and one test, and the row names the test.
func TestQuirksAreThoseOfTheDocument(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^func (TestQuirk([0-9]{2})\w+)\(`)
	tests := make(map[string]string)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range function.FindAllStringSubmatch(string(source), -1) {
			number := strings.TrimPrefix(match[2], "0")
			if tests[number] != "" {
				t.Errorf("%s and %s have one number", match[1], tests[number])
			}
			tests[number] = match[1]
		}
	}
	rows := quirks(t)
	if len(rows) != 41 || len(tests) != 41 {
		t.Errorf("%d rows and %d tests, want 41", len(rows), len(tests))
	}
	for number, row := range rows {
		if row[4] != tests[number] {
			t.Errorf("quirk %s: the document names %q, the test is %q", number, row[4], tests[number])
		}
	}
	for number, test := range tests {
		if rows[number] == nil {
			t.Errorf("%s stands in no row", test)
		}
	}
}

// TestQuirksCanBeRehearsed: the simulator knows what the document says of it.
func TestQuirksCanBeRehearsed(t *testing.T) {
	var known []string
	for _, profile := range smsc.Profiles() {
		known = append(known, profile.Name)
	}
	for _, behaviour := range smsc.Behaviours() {
		known = append(known, behaviour.Suffix)
	}
	for number, row := range quirks(t) {
		words := regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[3], -1)
		for _, word := range words {
			if !slices.Contains(known, word[1]) {
				t.Errorf("quirk %s: the simulator has no %s", number, word[1])
			}
		}
		if len(words) == 0 && row[3] != "(sim)" {
			t.Errorf("quirk %s: %q is no way to rehearse it", number, row[3])
		}
	}
}

// TestInteropNamesKeysThatExist: every key that the tables of the document name is one of [[smsc]].
func TestInteropNamesKeysThatExist(t *testing.T) {
	page, err := os.ReadFile("../docs/interop.md")
	if err != nil {
		t.Fatal(err)
	}
	config := reflect.TypeFor[smpp.Config]()
	var keys []string
	for i := range config.NumField() {
		keys = append(keys, config.Field(i).Tag.Get("toml"))
	}
	others := []string{"hold", "resend_once", "otp.ttl"} // a value, or another section
	var named int
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		column := len(cells) - 1 // of the two later tables
		switch {
		case !strings.HasPrefix(line, "|"):
			continue
		case len(cells) == 5: // of the first one
			column = 2
		}
		for _, word := range regexp.MustCompile("`([a-z0-9_.]+)[^`]*`").FindAllStringSubmatch(cells[column], -1) {
			named++
			if !slices.Contains(keys, word[1]) && !slices.Contains(others, word[1]) {
				t.Errorf("%s is no key of [[smsc]]: %s", word[1], strings.TrimSpace(line))
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d keys found: the tables have another form", named)
	}
}
