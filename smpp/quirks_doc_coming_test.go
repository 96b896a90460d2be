package smpp_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"otpgw/smpp"
	"otpgw/smpp/smsc"
)

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
