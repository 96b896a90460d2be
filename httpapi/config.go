package httpapi

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Config is how the API listens and what it bears: [http]. Everything in it but Sandbox takes a restart.
type Config struct {
	Listen         string        `toml:"listen" comment:"host:port of the API. Without tls_cert only a loopback address is accepted." reload:"restart"`
	TLSCert        string        `toml:"tls_cert" comment:"Path of the PEM certificate chain. Empty means plain HTTP. The files are read again at a reload." reload:"restart"`
	TLSKey         string        `toml:"tls_key" comment:"Path of the PEM private key of tls_cert." reload:"restart"`
	TLSClientCA    string        `toml:"tls_client_ca" comment:"Path of the PEM certificates that vouch for those of clients." reload:"restart"`
	TLSClientAuth  string        `toml:"tls_client_auth" comment:"Certificates of clients: none, ask (verified by tls_client_ca where it is set; else good only for tokens that are bound to them), or require." reload:"restart"`
	AllowPlainHTTP bool          `toml:"allow_plain_http" comment:"Accept plain HTTP on an address that is not loopback: only behind a proxy that ends TLS on the same host or a private link." reload:"restart"`
	Versions       []string      `toml:"versions" comment:"Versions of the API that are served: any of v0, v0.5 (another path of v0), v1, v2 and v2rc2 (another path of v2). Others are answered 404." reload:"restart"`
	PublicURL      string        `toml:"public_url" comment:"Where clients reach the API, as https://host or https://host:port: it stands in the OpenAPI documents. Empty: as listen says." reload:"restart"`
	Origins        []string      `toml:"origins" comment:"Origins, as https://host:port, of pages from which browsers may call the API (CORS); that of the admin listener is needed to try the API from its /openapi/. Empty: none." reload:"restart"`
	Sandbox        bool          `toml:"sandbox" comment:"Answer every [[test_number]] with its fixed outcome and send nothing to it. Not for production." reload:"hot"`
	RequestTimeout time.Duration `toml:"request_timeout" comment:"How long a request may take in all, the wait for the SMSC's answer included: 1s..60s." reload:"restart"`
	MaxInFlight    int           `toml:"max_in_flight" comment:"Requests in work at once, 4..65536; what exceeds it is answered 503. A quarter is kept for validate-code, the rest is send-code's." reload:"restart"`
	MaxConnections int           `toml:"max_connections" comment:"Open connections, 1..1000000; more wait until one is closed. Keep it below the limit of open files." reload:"restart"`
}

// DefaultConfig listens on loopback without TLS.
func DefaultConfig() Config {
	return Config{
		Listen:         "127.0.0.1:8080",
		TLSClientAuth:  clientAuthNone,
		Versions:       []string{"v0", "v1", "v2"},
		RequestTimeout: 15 * time.Second,
		MaxInFlight:    2048,
		MaxConnections: 4096,
	}
}

// Validate joins one error for every key that cannot be served; each begins with the key.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	host, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch {
	case err != nil:
		bad("listen = %q: must be host:port", c.Listen)
	case c.TLSCert == "" && !c.AllowPlainHTTP && !loopback(host):
		bad("listen = %q: plain HTTP is served on a loopback address only: set tls_cert and tls_key, or allow_plain_http", c.Listen)
	}
	if c.TLSCert == "" && c.TLSKey != "" {
		bad("tls_cert = \"\": must be set, as tls_key is")
	}
	if c.TLSCert != "" && c.TLSKey == "" {
		bad("tls_key = \"\": must be set, as tls_cert is")
	}
	switch c.TLSClientAuth {
	case clientAuthNone, clientAuthAsk:
	case clientAuthRequire:
		if c.TLSClientCA == "" {
			bad("tls_client_ca = \"\": must be set, as tls_client_auth = %q", clientAuthRequire)
		}
	default:
		bad("tls_client_auth = %q: must be none, ask or require", c.TLSClientAuth)
	}
	if c.TLSClientAuth != clientAuthNone && c.TLSCert == "" {
		bad("tls_client_auth = %q: needs tls_cert and tls_key", c.TLSClientAuth)
	}
	if _, err := servedVersions(c.Versions); err != nil {
		errs = append(errs, err)
	}
	if c.PublicURL != "" && !isOrigin(c.PublicURL) {
		bad("public_url = %q: must be https://host or https://host:port (or http://), in lower case and without a path", c.PublicURL)
	}
	for _, o := range c.Origins {
		if !isOrigin(o) {
			bad("origins = %q: must be https://host or https://host:port (or http://), in lower case and without a path", o)
		}
	}
	if c.RequestTimeout < time.Second || c.RequestTimeout > time.Minute {
		bad("request_timeout = %q: must be 1s..60s", c.RequestTimeout)
	}
	if c.MaxInFlight < 4 || c.MaxInFlight > 1<<16 {
		bad("max_in_flight = %d: must be 4..65536", c.MaxInFlight)
	}
	if c.MaxConnections < 1 || c.MaxConnections > 1_000_000 {
		bad("max_connections = %d: must be 1..1000000", c.MaxConnections)
	}
	return errors.Join(errs...)
}

// Root is where clients reach the API: scheme, host and port.
func (c Config) Root() string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	host, port, _ := net.SplitHostPort(c.Listen) // of a valid Config
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // of all its addresses the one that is surely reached from here
	}
	if number, err := net.LookupPort("tcp", port); err == nil { // a port may be named
		port = strconv.Itoa(number)
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

var hostAndPort = regexp.MustCompile(`^([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// isOrigin says whether s is an origin as browsers write it (RFC 6454 §6.2).
func isOrigin(s string) bool {
	host, secure := strings.CutPrefix(s, "https://")
	if !secure {
		var plain bool
		if host, plain = strings.CutPrefix(s, "http://"); !plain {
			return false
		}
	}
	return hostAndPort.MatchString(host)
}

// loopback says whether a listener on host can be reached from this host only. A name other than localhost is not trusted.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
