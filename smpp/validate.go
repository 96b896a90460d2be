package smpp

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"otpgw/config/secret"
)

// nameForm is what a name must look like: it stands in metrics and in keys of records.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// prefixForm is what a beginning of numbers must look like.
var prefixForm = regexp.MustCompile(`^\+[0-9]{1,15}$`)

// Validate reports all that is wrong with c, each error beginning with its key. It looks at no file and at no network.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	number := func(key string, n, least, most int) {
		if n < least || n > most {
			fail("%s = %d: must be %d..%d", key, n, least, most)
		}
	}
	duration := func(key string, d, least, most time.Duration) {
		if d < least || d > most {
			fail("%s = %q: must be %v..%v", key, d.String(), least, most)
		}
	}
	text := func(key, s string, most int) {
		if len(s) > most || !printable(s) {
			fail("%s = %q: must be at most %d ASCII characters", key, s, most)
		}
	}
	choice := func(key, s string, allowed ...string) {
		if !slices.Contains(allowed, s) {
			fail("%s = %q: must be one of %s", key, s, strings.TrimSuffix(strings.Join(allowed, ", "), ", "))
		}
	}

	if !nameForm.MatchString(c.Name) {
		fail("name = %q: must be 1 to 32 of a-z, 0-9, - and _, a letter or digit first", c.Name)
	}
	number("tier", c.Tier, 1, 9)
	number("weight", c.Weight, 1, 100)
	duration("failover_after", c.FailoverAfter, 0, time.Minute)
	for _, prefix := range c.Prefixes {
		if !prefixForm.MatchString(prefix) {
			fail("prefixes = [%q]: must be + and 1 to 15 digits", prefix)
		}
	}
	errs = append(errs, c.checkEndpoints(), c.checkTLS())
	if c.SystemID == "" {
		fail(`system_id = "": must be 1 to 15 ASCII characters`)
	}
	text("system_id", c.SystemID, 15)
	password := func(key string, p secret.Text) {
		if len(p) > 8 || !printable(string(p)) {
			fail("%s: must be at most 8 ASCII characters", key) // SMPP 3.4 §5.2.2
		}
	}
	password("password", c.Password)
	password("outbind_password", c.OutbindPassword)
	text("system_type", c.SystemType, 12)
	switch c.InterfaceVersion {
	case interface33, interface34, interface50:
	default:
		fail("interface_version = %d: must be %d, %d or %d", c.InterfaceVersion, interface33, interface34, interface50)
	}
	number("bind_ton", c.BindTON, 0, 255)
	number("bind_npi", c.BindNPI, 0, 255)
	text("address_range", c.AddressRange, 40)

	number("binds", c.Binds, 0, 16)
	number("transmitters", c.Transmitters, 0, 16)
	number("receivers", c.Receivers, 0, 16)
	if c.Binds >= 0 && c.Transmitters >= 0 && c.transmits() == 0 {
		fail("binds = 0: there must be binds or transmitters to send over")
	}
	errs = append(errs, c.checkOutbind())
	number("window", c.Window, 1, 1000)
	if c.Rate != 0 && !(c.Rate >= 0.01 && c.Rate <= 100_000) { // also refuses NaN
		fail("rate = %v: must be 0 or 0.01..100000", c.Rate)
	}
	duration("connect_timeout", c.ConnectTimeout, 100*time.Millisecond, time.Minute)
	duration("bind_timeout", c.BindTimeout, 100*time.Millisecond, 2*time.Minute)
	duration("pdu_read_timeout", c.PDUReadTimeout, 100*time.Millisecond, time.Minute)
	duration("response_timeout", c.ResponseTimeout, 100*time.Millisecond, 2*time.Minute)
	duration("enquire_link_interval", c.EnquireLinkInterval, time.Second, 10*time.Minute)
	duration("write_timeout", c.WriteTimeout, 100*time.Millisecond, time.Minute)
	duration("drain_timeout", c.DrainTimeout, 0, time.Minute)
	duration("reconnect_min", c.ReconnectMin, 10*time.Millisecond, time.Minute)
	duration("reconnect_max", c.ReconnectMax, min(c.ReconnectMin, 10*time.Minute), 10*time.Minute)

	choice("on_unknown", c.OnUnknown, unknownHold, unknownResendOnce)
	if _, err := newClasses(c.StatusOverrides); err != nil {
		errs = append(errs, err)
	}
	choice("message_id_format", c.MessageIDFormat, idAuto, idAsIs, idHexAnswer, idDecAnswer)
	number("registered_delivery", c.RegisteredDelivery, 0, 31)
	if _, err := c.receiptPattern(); err != nil {
		errs = append(errs, err)
	}
	duration("receipt_grace", c.ReceiptGrace, time.Second, 24*time.Hour)
	number("receipt_queue", c.ReceiptQueue, 1, 100_000)

	choice("default_alphabet", c.DefaultAlphabet, slices.Sorted(maps.Keys(alphabets))...)
	number("gsm7_data_coding", c.GSM7DataCoding, 0, 255)
	choice("national_language", c.NationalLanguage, slices.Sorted(maps.Keys(languages))...)
	choice("concatenation", c.Concatenation, slices.Sorted(maps.Keys(concatenations))...)
	if c.InterfaceVersion == interface33 && (c.Concatenation == "sar" || c.Concatenation == "payload") {
		fail("concatenation = %q: needs interface_version = %d or more", c.Concatenation, interface34)
	}
	number("max_segments", c.MaxSegments, 1, 10)
	number("source_ton", c.SourceTON, -1, 255)
	number("source_npi", c.SourceNPI, -1, 255)
	number("destination_ton", c.DestinationTON, 0, 255)
	number("destination_npi", c.DestinationNPI, 0, 255)
	text("service_type", c.ServiceType, 5)
	number("esm_class", c.ESMClass, 0, 3)
	number("priority", c.Priority, 0, 3)
	choice("validity_period", c.ValidityPeriod, validityRelative, validityAbsolute, validityNone)
	number("replace_type", c.ReplaceType, 0, 7)
	return errors.Join(errs...)
}

// checkEndpoints also keeps passwords and texts from travelling in clear over a network that is not ours.
func (c Config) checkEndpoints() error {
	if n := len(c.Endpoints); n < 1 || n > 16 {
		return fmt.Errorf("endpoints: there are %d, must be 1..16", n)
	}
	var errs []error
	for _, endpoint := range c.Endpoints {
		host, err := splitEndpoint(endpoint)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("endpoints = [%q]: %w", endpoint, err))
		case !c.TLS && !c.AllowPlaintext && !private(host):
			errs = append(errs, fmt.Errorf("endpoints = [%q]: is not known to be private: needs tls = true or allow_plaintext = true", endpoint))
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkTLS() error {
	var errs []error
	for _, setting := range []struct{ key, value string }{
		{"tls_ca", c.TLSCA}, {"tls_server_name", c.TLSServerName}, {"tls_cert", c.TLSCert}, {"tls_key", c.TLSKey},
	} {
		if !c.TLS && setting.value != "" {
			errs = append(errs, fmt.Errorf("%s = %q: needs tls = true", setting.key, setting.value))
		}
	}
	if c.TLS && (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, fmt.Errorf("tls_cert = %q: must be given together with tls_key = %q", c.TLSCert, c.TLSKey))
	}
	return errors.Join(errs...)
}

// checkOutbind keeps our password from whoever can connect.
func (c Config) checkOutbind() error {
	if c.OutbindListen == "" {
		if c.OutbindPassword != "" {
			return errors.New("outbind_password: needs outbind_listen")
		}
		return nil
	}
	host, err := splitEndpoint(c.OutbindListen)
	switch {
	case err != nil:
		return fmt.Errorf("outbind_listen = %q: %w", c.OutbindListen, err)
	case c.OutbindPassword == "":
		return errors.New("outbind_password: must be given with outbind_listen")
	case !c.AllowPlaintext && !private(host):
		return fmt.Errorf("outbind_listen = %q: is not known to be private, and outbind has no TLS: needs allow_plaintext = true", c.OutbindListen)
	}
	return nil
}

// splitEndpoint is the host of host:port.
func splitEndpoint(endpoint string) (string, error) {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || host == "" {
		return "", errors.New("must be host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", errors.New("port must be 1..65535")
	}
	return host, nil
}

// receiptPattern is nil where there is none.
func (c Config) receiptPattern() (*regexp.Regexp, error) {
	if c.ReceiptPattern == "" {
		return nil, nil
	}
	pattern, err := regexp.Compile(c.ReceiptPattern)
	if err != nil {
		return nil, fmt.Errorf("receipt_pattern = %q: %w", c.ReceiptPattern, err)
	}
	if pattern.SubexpIndex("id") < 0 || pattern.SubexpIndex("stat") < 0 {
		return nil, fmt.Errorf("receipt_pattern = %q: must have the groups (?P<id>...) and (?P<stat>...)", c.ReceiptPattern)
	}
	return pattern, nil
}

// private says that host is this machine or stands in a network that is not routed over the internet.
func private(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, "localhost")
	}
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
