// Package remote says where the daemon may send what is not for everybody.
package remote

import (
	"net/netip"
	"net/url"
)

const maxURL = 2048 // octets

// Must says what is wrong with a URL that is not usable, to follow its key.
const Must = "must be an https URL of at most 2048 characters, or http to a loopback address, without user and fragment"

// Usable reports whether tokens, keys and phone numbers may go to a URL: https, or http to this very host, without user and fragment.
func Usable(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme == "http" {
		ip, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	}
	return u.Scheme == "https"
}
