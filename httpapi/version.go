package httpapi

import (
	"strings"
	"unicode/utf8"
)

// A version is one version of the API as a row of data: where it is served and in what its rules differ.
type version struct {
	name       string            // its place below /one-time-password-sms/
	number     func(string) bool // form of phoneNumber
	correlator func(string) bool // form of x-correlator
	foreign    *problem          // send-code to a number that is not served
}

// versions are served side by side. v1 satisfies 1.0.0, 1.1.0 and 1.1.1, which share their path.
func versions() []version {
	return []version{
		{name: "v1", number: e164, correlator: correlator, foreign: numberNotOwn},
	}
}

// e164 is ^\+[1-9][0-9]{4,14}$ (CAMARA OTP 1.1.1, PhoneNumber).
func e164(s string) bool {
	if len(s) < 6 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// correlator is ^[a-zA-Z0-9-_:;.\/<>{}]{0,256}$ (CAMARA OTP 1.1.1, XCorrelator).
func correlator(s string) bool {
	if len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-_:;./<>{}", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Lengths of strings in code points; all are at least 1.
const (
	maxMessage = 160 // of the template, as it comes
	maxID      = 36
	maxCode    = 10
)

// placeholder is where the code goes in a message; every one is replaced.
const placeholder = "{{code}}"

// between says whether valid UTF-8 s has low to high code points: JSON Schema counts those, not octets.
func between(s string, low, high int) bool {
	n := utf8.RuneCountInString(s)
	return low <= n && n <= high
}
