package smsc

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// A boundSession is a bind as the page shows it.
type boundSession struct {
	SystemID, Kind, Peer string
	Since                time.Time
}

// binds are all sessions that are bound, by system_id, the oldest first.
func (s *Server) binds() []boundSession {
	var all []boundSession
	for _, a := range s.allAccounts() {
		for _, c := range a.bound() {
			kind := "transceiver"
			switch {
			case !c.receives:
				kind = "transmitter"
			case !c.transmit:
				kind = "receiver"
			}
			all = append(all, boundSession{a.systemID, kind, c.conn.RemoteAddr().String(), c.since})
		}
	}
	return all
}

// serveControl does what an operator asks for: action is drop (name: a system_id, or all), freeze, thaw or profile (name).
// Nobody else may: the request has to come from this machine, to this machine by one of its own names, which keeps out
// web pages that had theirs changed to our address, and from no page of another origin.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	if !loopback(r.RemoteAddr) || !loopback(r.Host) || http.NewCrossOriginProtection().Check(r) != nil {
		http.Error(w, "only from this machine, and from no other page", http.StatusForbidden)
		return
	}
	query := r.URL.Query()
	name := query.Get("name")
	switch action := query.Get("action"); action {
	case "drop":
		fmt.Fprintf(w, "%d dropped\n", s.Drop(name))
	case "freeze":
		s.Freeze(true)
		fmt.Fprintln(w, "frozen")
	case "thaw":
		s.Freeze(false)
		fmt.Fprintln(w, "thawed")
	case "profile":
		known := false
		s.Configure(func(c *Config) { *c, known = c.WithProfile(name) })
		if !known {
			http.Error(w, fmt.Sprintf("no profile %q", name), http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, "profile %s\n", name)
	default:
		http.Error(w, fmt.Sprintf("action %q: must be drop, freeze, thaw or profile", action), http.StatusBadRequest)
	}
}

// loopback says whether an address, with or without port, is this machine's own.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
