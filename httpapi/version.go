package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A version is one version of the API as a row of data: where it is served and in what its rules differ. What an id means is
// the same in all: one that a version gave out validates in another.
type version struct {
	name       string                              // its place below /one-time-password-sms/
	number     func(string) (e164 string, ok bool) // reads phoneNumber
	id         func(string) bool                   // form of authenticationId
	closed     bool                                // a body has no members but the declared ones
	correlates bool                                // an x-correlator against the pattern is refused, not only replaced
	foreign    *problem                            // send-code to a number that is not served
	quota      *problem                            // a business quota is used up
	wording    map[string]string                   // messages of its own, by the code of the error
}

// The rows. v1 satisfies 1.0.0, 1.1.0 and 1.1.1, which share their path.
var (
	v0 = version{
		name: "v0", number: loose, id: anyID,
		foreign: numberNotOwn, quota: quotaAsRate,
		wording: map[string]string{
			unauthenticated.code: "Request not authenticated due to missing, invalid, or expired credentials",
			noScope.code:         "Client does not have sufficient permissions to perform this action",
			unknownID.code:       "A specified resource is not found",
			tooManyRequests.code: "Either out of resource quota or reaching rate limiting",
			internal.code:        "Server error",
			overloaded.code:      "Service unavailable",
			timeout.code:         "Request timeout exceeded. Try later.",
		},
	}
	v1 = version{
		name: "v1", number: strict, id: anyID, correlates: true,
		foreign: numberNotOwn, quota: quotaExceeded,
	}
	v2 = version{
		name: "v2", number: strict, id: plainID, correlates: true, closed: true,
		foreign: identifierNotOwn, quota: quotaExceeded,
		wording: map[string]string{
			unauthenticated.code: "Request not authenticated due to missing, invalid, or expired credentials. A new authentication is required.",
		},
	}
)

// at is the same version at another place.
func (v version) at(name string) version {
	v.name = name
	return v
}

// versions are all that can be served side by side, by their place: the public ones, the older way to name 0.5, and the release
// candidate of which v2 is the public form.
func versions() []version {
	return []version{v0, v0.at("v0.5"), v1, v2, v2.at("v2rc2")}
}

// servedVersions are the rows of these places.
func servedVersions(places []string) ([]version, error) {
	if len(places) == 0 {
		return nil, errors.New("versions = []: must name one at least")
	}
	var served []version
	for i, place := range places {
		n := slices.IndexFunc(versions(), func(v version) bool { return v.name == place })
		switch {
		case n < 0:
			return nil, fmt.Errorf("versions = %q: must be v0, v0.5, v1, v2 or v2rc2", place)
		case slices.Contains(places[:i], place):
			return nil, fmt.Errorf("versions = %q: stands there twice", place)
		}
		served = append(served, versions()[n])
	}
	return served, nil
}

// problem is the row for err, and how long the client should wait, as problemOf says; what the version has a row of its own for is
// that.
func (v version) problem(err error) (*problem, time.Duration) {
	p, wait := problemOf(err)
	if p == quotaExceeded {
		p = v.quota
	}
	return p, wait
}

// says is the text of p in the words of the version.
func (v version) says(p *problem) string {
	if own, ok := v.wording[p.code]; ok {
		return own
	}
	return p.message
}

// strict reads ^\+[1-9][0-9]{4,14}$ (CAMARA OTP 1.1.1, PhoneNumber).
func strict(s string) (string, bool) {
	if len(s) < 6 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return "", false
	}
	return s, digits(s[1:])
}

// loose reads ^\+?[0-9]{5,15}$ (CAMARA OTP 0.5.0, PhoneNumber). What begins with 0 is well formed and nobody's number.
func loose(s string) (string, bool) {
	s = strings.TrimPrefix(s, "+")
	if len(s) < 5 || len(s) > 15 || !digits(s) {
		return "", false
	}
	return "+" + s, true
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// anyID is a string of 1 to 36 characters (CAMARA OTP 1.1.1, AuthenticationId).
func anyID(s string) bool { return between(s, 1, maxID) }

// plainID is ^[a-zA-Z0-9-]{1,36}$ (CAMARA OTP 2.0.0, AuthenticationId).
func plainID(s string) bool {
	if len(s) < 1 || len(s) > maxID {
		return false
	}
	for _, c := range []byte(s) {
		if !alphanumeric(c) && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// correlator is ^[a-zA-Z0-9-_:;.\/<>{}]{0,256}$ (CAMARA OTP 1.1.1, XCorrelator).
func correlator(s string) bool {
	if len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if !alphanumeric(c) && strings.IndexByte("-_:;./<>{}", c) < 0 {
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
