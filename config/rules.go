package config

import (
	"fmt"
	"math"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"otpgw/httpapi"
	"otpgw/httpapi/callbacks"
	"otpgw/httpapi/tokens"
	"otpgw/otpstore"
)

// A finding is a problem that has no place yet.
type finding struct {
	key     string // whose place is the problem's
	message string // begins with the key
	warning bool
}

// Validate says what speaks against using c: *Problems without places, or nil. Load has called it already.
func (c Config) Validate() error {
	var problems Problems
	for _, f := range c.findings() {
		if !f.warning {
			problems = append(problems, Problem{Key: f.key, Message: f.message})
		}
	}
	if problems == nil {
		return nil
	}
	return &problems
}

// findings are what the components and the rules between them have to say.
func (c Config) findings() []finding {
	return slices.Concat(c.componentFindings(), c.listFindings(), c.pathFindings(), c.relationFindings(), c.warnings())
}

// componentFindings asks every component that has a say.
func (c Config) componentFindings() []finding {
	var all []finding
	whole := reflect.ValueOf(c)
	for _, sec := range configSchema() {
		tables := []reflect.Value{whole.Field(sec.index)}
		if sec.list {
			tables = tables[:0]
			for i := range whole.Field(sec.index).Len() {
				tables = append(tables, whole.Field(sec.index).Index(i))
			}
		}
		for n, table := range tables {
			if v, can := table.Interface().(interface{ Validate() error }); can {
				for _, text := range flatten(v.Validate()) {
					all = append(all, sec.finding(n, text))
				}
			}
		}
	}
	return all
}

// finding is the error of a component, which begins with the key that it speaks of.
func (s section) finding(n int, text string) finding {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	if k, known := s.key(text[:end]); known {
		return finding{key: s.at(n) + "." + k.name, message: s.at(n) + "." + text}
	}
	return finding{key: s.at(n), message: s.at(n) + ": " + text}
}

// flatten is the text of every error that errors.Join has put together.
func flatten(err error) []string {
	if err == nil {
		return nil
	}
	joined, is := err.(interface{ Unwrap() []error })
	if !is {
		return []string{plain(err.Error())}
	}
	var texts []string
	for _, e := range joined.Unwrap() {
		texts = append(texts, flatten(e)...)
	}
	return texts
}

// listFindings holds how many tables there are in lists and that their names are unique.
func (c Config) listFindings() []finding {
	var all []finding
	if len(c.SMSC) == 0 {
		all = append(all, finding{key: "smsc", message: "smsc: there must be one [[smsc]] at least"})
	}
	names := map[string]int{}
	for i, smsc := range c.SMSC {
		earlier, twice := names[smsc.Name]
		if twice && smsc.Name != "" {
			key := fmt.Sprintf("smsc[%d].name", i)
			all = append(all, finding{key: key, message: fmt.Sprintf("%s = %q: is that of smsc[%d] too", key, smsc.Name, earlier)})
		} else {
			names[smsc.Name] = i
		}
	}
	return slices.Concat(all,
		unique("client", "id", c.Clients, func(client httpapi.Client) string { return client.ID }),
		unique("issuer", "name", c.Issuers, func(i tokens.Config) string { return i.Name }),
		unique("issuer", "issuer", c.Issuers, func(i tokens.Config) string { return i.Issuer }),
		unique("policy", "name", c.Policies, func(p otpstore.Terms) string { return p.Name }),
		unique("sink", "name", c.Sinks, func(s callbacks.Config) string { return s.Name }),
		c.sinkFindings(),
		unique("budget", "name", c.Budgets, func(b httpapi.Budget) string { return b.Name }),
		c.referenceFindings())
}

// unique wants every table of a list to have a name of its own. Of one without a name its own Validate speaks.
func unique[T any](list, key string, tables []T, name func(T) string) []finding {
	var all []finding
	first := map[string]int{}
	for i, table := range tables {
		own := name(table)
		earlier, twice := first[own]
		switch {
		case own == "":
		case twice:
			at := fmt.Sprintf("%s[%d].%s", list, i, key)
			all = append(all, finding{key: at, message: fmt.Sprintf("%s = %q: is that of %s[%d] too", at, own, list, earlier)})
		default:
			first[own] = i
		}
	}
	return all
}

// sinkFindings wants every client to have one sink at most.
func (c Config) sinkFindings() []finding {
	var all []finding
	first := map[string]int{}
	for i, sink := range c.Sinks {
		for _, client := range sink.Clients {
			if earlier, twice := first[client]; twice {
				key := fmt.Sprintf("sink[%d].clients", i)
				all = append(all, finding{key: key, message: fmt.Sprintf("%s: %q has sink[%d] already", key, client, earlier)})
				continue
			}
			first[client] = i
		}
	}
	return all
}

// referenceFindings wants what is named elsewhere to be there.
func (c Config) referenceFindings() []finding {
	var all []finding
	for i, client := range c.Clients {
		if len(client.CertificateNames) > 0 && c.HTTP.TLSClientCA == "" {
			key := fmt.Sprintf("client[%d].certificate_names", i)
			all = append(all, finding{key: key, message: fmt.Sprintf("%s = %q: needs http.tls_client_ca and tls_client_auth", key, client.CertificateNames)})
		}
		known := slices.ContainsFunc(c.Policies, func(p otpstore.Terms) bool { return p.Name == client.Policy })
		if client.Policy != "" && !known {
			key := fmt.Sprintf("client[%d].policy", i)
			all = append(all, finding{key: key, message: fmt.Sprintf("%s = %q: there is no [[policy]] of that name", key, client.Policy)})
		}
		for _, place := range client.Versions {
			if !slices.Contains(c.HTTP.Versions, place) {
				key := fmt.Sprintf("client[%d].versions", i)
				all = append(all, finding{key: key, message: fmt.Sprintf("%s = %q: is not among http.versions", key, place)})
			}
		}
	}
	return all
}

// pathFindings wants absolute paths: what a relative one would be relative to depends on who starts otpgw.
func (c Config) pathFindings() []finding {
	paths := []struct{ key, path string }{
		{"store.dir", c.Store.Dir},
		{"http.tls_cert", c.HTTP.TLSCert},
		{"http.tls_key", c.HTTP.TLSKey},
		{"http.tls_client_ca", c.HTTP.TLSClientCA},
		{"tokens.file", c.Tokens.File},
		{"admin.control", c.Admin.Control},
		{"admin.tls_cert", c.Admin.TLSCert},
		{"admin.tls_key", c.Admin.TLSKey},
		{"admin.tls_client_ca", c.Admin.TLSClientCA},
		{"log.audit", c.Log.Audit},
	}
	for i, smsc := range c.SMSC {
		at := fmt.Sprintf("smsc[%d].", i)
		paths = append(paths, []struct{ key, path string }{
			{at + "tls_ca", smsc.TLSCA}, {at + "tls_cert", smsc.TLSCert}, {at + "tls_key", smsc.TLSKey},
		}...)
	}
	var all []finding
	for _, p := range paths {
		if p.path != "" && !filepath.IsAbs(p.path) {
			all = append(all, finding{key: p.key, message: fmt.Sprintf("%s = %q: must be an absolute path", p.key, p.path)})
		}
	}
	return all
}

// relationFindings are about settings that do not go together.
func (c Config) relationFindings() []finding {
	var all []finding
	for i, smsc := range c.SMSC {
		if c.HTTP.RequestTimeout <= smsc.ResponseTimeout {
			all = append(all, finding{key: "http.request_timeout", message: fmt.Sprintf(
				"http.request_timeout = %q: must be more than smsc[%d].response_timeout = %q, or the SMSC's answer comes too late",
				short(c.HTTP.RequestTimeout), i, short(smsc.ResponseTimeout))})
		}
	}
	if sameListener(c.HTTP.Listen, c.Admin.Listen) {
		all = append(all, finding{key: "admin.listen", message: fmt.Sprintf(
			"admin.listen = %q: must be another address than http.listen = %q", c.Admin.Listen, c.HTTP.Listen)})
	}
	return all
}

// sameListener says that two listeners cannot be had both. Port 0 is a different one each time.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	every := func(host string) bool { ip := net.ParseIP(host); return host == "" || ip != nil && ip.IsUnspecified() }
	return hostA == hostB || every(hostA) || every(hostB)
}

// The odds of a guess that are still good, one in oddsWanted, and the answer time of an SMSC that windows are measured by.
const (
	oddsWanted    = 100_000
	usualResponse = 100 * time.Millisecond
)

// warnings are about what works and is probably not meant.
func (c Config) warnings() []finding {
	var all []finding
	warn := func(key, format string, args ...any) {
		all = append(all, finding{key: key, message: key + fmt.Sprintf(format, args...), warning: true})
	}
	if tries := c.OTP.MaxFailures; tries > 0 {
		if odds := math.Pow10(c.OTP.Length) / float64(tries); odds < oddsWanted {
			warn("otp.length", " = %d with max_failures = %d: 1 in %.0f succeeds who guesses at a number until it is locked (recommended: 1 in %d)",
				c.OTP.Length, tries, math.Max(odds, 1), oddsWanted)
		}
	}
	if c.OTP.NumberLimit < c.OTP.SendLimit {
		warn("otp.number_limit", " = %d: holds before send_limit = %d, which is of one client", c.OTP.NumberLimit, c.OTP.SendLimit)
	}
	if most := c.OTP.NumberDayLimit; most > 0 && (most < c.OTP.DayLimit || c.OTP.DayLimit == 0) {
		warn("otp.number_day_limit", " = %d: holds before day_limit = %d, which is of one client", most, c.OTP.DayLimit)
	}
	for i, smsc := range c.SMSC {
		binds := smsc.Binds + smsc.Transmitters
		can := float64(binds*smsc.Window) / usualResponse.Seconds()
		if smsc.Rate > can && can > 0 {
			warn(fmt.Sprintf("smsc[%d].window", i), " = %d on %d binds: carries %.0f messages a second if the SMSC takes %v to answer, less than rate = %v",
				smsc.Window, binds, can, usualResponse, smsc.Rate)
		}
		if smsc.Rate > 0 && float64(smsc.Window) > 3*smsc.Rate {
			warn(fmt.Sprintf("smsc[%d].window", i), " = %d: is more than three seconds' worth of rate = %v: an SMSC that stops answering gets that many messages in vain",
				smsc.Window, smsc.Rate)
		}
		if smsc.RegisteredDelivery&3 != 0 && smsc.Transmitters > 0 && smsc.Binds+smsc.Receivers == 0 && smsc.OutbindListen == "" {
			warn(fmt.Sprintf("smsc[%d].receivers", i), " = 0 with transmitters = %d: receipts have no bind to come over", smsc.Transmitters)
		}
		c.strangers(fmt.Sprintf("smsc[%d].clients", i), smsc.Clients, warn)
	}
	for i, b := range c.Budgets {
		c.strangers(fmt.Sprintf("budget[%d].clients", i), b.Clients, warn)
	}
	for i, s := range c.Sinks {
		c.strangers(fmt.Sprintf("sink[%d].clients", i), s.Clients, warn)
	}
	for i, n := range c.TestNumbers {
		c.strangers(fmt.Sprintf("test_number[%d].clients", i), n.Clients, warn)
	}
	switch {
	case c.HTTP.Sandbox:
		warn("http.sandbox", " = true: test numbers are answered without a message; not for production")
	case len(c.TestNumbers) > 0:
		warn("test_number", ": has no effect, as http.sandbox is false")
	}
	if host, _, err := net.SplitHostPort(c.Admin.Listen); err == nil && c.Admin.TLSClientCA == "" {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			warn("admin.listen", " = %q: metrics and readiness are for all who reach it: only on a management network", c.Admin.Listen)
			if len(c.Admin.Password.Text)+len(c.Admin.ViewPassword.Text) == 0 {
				warn("admin.view_password", " = \"\": the status page is shown on this host only, although admin.listen = %q", c.Admin.Listen)
			}
		}
	}
	if len(c.Numbers.Own) == 0 && c.Numbers.OwnFile == "" {
		warn("numbers.own", " = []: codes are sent to every number in the world")
	}
	for i, issuer := range c.Issuers {
		if issuer.ActiveFor == 0 && issuer.Kind == "opaque" {
			warn(fmt.Sprintf("issuer[%d].active_for", i), " = \"0s\": the issuer is asked about every request")
		}
		if len(issuer.Audience) == 0 && issuer.Kind == "opaque" {
			warn(fmt.Sprintf("issuer[%d].audience", i), " = []: tokens for any other API of the issuer are taken too")
		}
		if len(issuer.ClientClaims) > 0 && issuer.ClientClaims[0] == "sub" {
			warn(fmt.Sprintf("issuer[%d].client_claims", i), " = %q: sub comes first: it names the person where a token is of one", issuer.ClientClaims)
		}
	}
	if len(c.Clients) == 0 {
		warn("client", ": there is no [[client]]: nobody can use the API")
	}
	if c.Tokens.File == "" && len(c.TokenList) == 0 && len(c.Issuers) == 0 {
		warn("tokens.file", ` = "": nobody is let in`)
	}
	return all
}

// strangers warns of ids that are no client's.
func (c Config) strangers(key string, ids []string, warn func(key, format string, args ...any)) {
	for _, id := range ids {
		if !slices.ContainsFunc(c.Clients, func(client httpapi.Client) bool { return client.ID == id }) {
			warn(key, ": there is no [[client]] with id = %q", id)
		}
	}
}

// oneOf is an error unless value is one of allowed.
func oneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	last := len(allowed) - 1
	return fmt.Errorf("%s = %q: must be %s or %s", key, value, strings.Join(allowed[:last], ", "), allowed[last])
}
