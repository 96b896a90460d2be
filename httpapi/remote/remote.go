// Package remote says where the daemon may send what is not for everybody.
package remote

import (
	"net/netip"
	"net/url"
)

const maxURL = 2048 // octets

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
