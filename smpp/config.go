package smpp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Config is one account on one SMSC. All but Rate is read once, at the start.
type Config struct {
	Name           string   `toml:"name" comment:"Name of this account in logs, metrics and records: 1 to 32 of a-z, 0-9, - and _, a letter or digit first. Changing it orphans the receipts still expected." reload:"restart"`
	Address        string   `toml:"address" comment:"Host and port of the SMSC, host:port." reload:"restart"`
	SystemID       string   `toml:"system_id" comment:"system_id of the bind, at most 15 ASCII characters." reload:"restart"`
	Password       Password `toml:"password" comment:"Password of the bind as file:PATH, cred:NAME or env:NAME, at most 8 ASCII characters." reload:"restart"`
	SystemType     string   `toml:"system_type" comment:"system_type of the bind, at most 12 ASCII characters. Most SMSCs want none." reload:"restart"`
	TLS            bool     `toml:"tls" comment:"Connect with TLS 1.2 or later." reload:"restart"`
	TLSCA          string   `toml:"tls_ca" comment:"PEM file of the certificate authorities that may sign the SMSC's certificate. Empty: those of the system." reload:"restart"`
	TLSServerName  string   `toml:"tls_server_name" comment:"Name that the SMSC's certificate must have. Empty: the host of address." reload:"restart"`
	AllowPlaintext bool     `toml:"allow_plaintext" comment:"Send password and texts in clear to an address that is not known to be private. Only for a link that is protected by other means." reload:"restart"`

	Binds  int     `toml:"binds" comment:"Transceiver binds kept up at once, 1 to 16. The SMSC must allow as many for the account." reload:"restart"`
	Window int     `toml:"window" comment:"Messages that may wait for their answer on one bind, 1 to 1000 (Kannel: max-pending-submits)." reload:"restart"`
	Rate   float64 `toml:"rate" comment:"Short messages a second for the account, all binds together, 0 to 100000. 0: no limit (Kannel: throughput)." reload:"hot"`

	ConnectTimeout      time.Duration `toml:"connect_timeout" comment:"Longest wait for a connection, TLS included, 100ms to 1m." reload:"restart"`
	BindTimeout         time.Duration `toml:"bind_timeout" comment:"Longest wait for the answer to a bind, 100ms to 2m." reload:"restart"`
	ResponseTimeout     time.Duration `toml:"response_timeout" comment:"Longest wait for the answer to a message or an enquire_link, 100ms to 2m (Kannel: wait-ack). After it a message's outcome is unknown." reload:"restart"`
	EnquireLinkInterval time.Duration `toml:"enquire_link_interval" comment:"Silence of the SMSC after which it is asked for a sign of life, 1s to 10m. Two questions without an answer end the bind." reload:"restart"`
	WriteTimeout        time.Duration `toml:"write_timeout" comment:"Longest time that the SMSC may take to read what is sent, 100ms to 1m." reload:"restart"`
	DrainTimeout        time.Duration `toml:"drain_timeout" comment:"Longest wait at the end for answers to messages in flight and for receipts in work, 0s to 1m." reload:"restart"`
	ReconnectMin        time.Duration `toml:"reconnect_min" comment:"Upper end of the first random wait before a bind is tried again, 10ms to 1m. It doubles with each failure." reload:"restart"`
	ReconnectMax        time.Duration `toml:"reconnect_max" comment:"Upper end of the longest random wait before a bind is tried again, reconnect_min to 10m." reload:"restart"`

	MaxSegments    int    `toml:"max_segments" comment:"Short messages that one text may take, 1 to 10. A longer text is refused before anything is sent." reload:"restart"`
	SourceTON      int    `toml:"source_ton" comment:"Type of number of the sender, 0 to 255. -1: by its form: 5 for a name, 3 for a short code, 1 for a number with +." reload:"restart"`
	SourceNPI      int    `toml:"source_npi" comment:"Numbering plan of the sender, 0 to 255. -1: by its form: 1 for a number with +, else 0." reload:"restart"`
	DestinationTON int    `toml:"destination_ton" comment:"Type of number of the recipient, 0 to 255. 1: international." reload:"restart"`
	DestinationNPI int    `toml:"destination_npi" comment:"Numbering plan of the recipient, 0 to 255. 1: E.164." reload:"restart"`
	ServiceType    string `toml:"service_type" comment:"service_type of messages, at most 5 ASCII characters. Most SMSCs want none." reload:"restart"`
	Priority       int    `toml:"priority" comment:"priority_flag of messages, 0 to 3. Some SMSCs bill more for a higher one." reload:"restart"`
	ValidityPeriod bool   `toml:"validity_period" comment:"Tell the SMSC how long a message is worth delivering, in relative form." reload:"restart"`

	ReceiptQueue int `toml:"receipt_queue" comment:"Receipts that may wait on one bind until they are recorded, 1 to 100000. Beyond it the SMSC is asked to send them later." reload:"restart"`
}

// DefaultConfig is a careful account that still lacks its name, address, system_id and password.
func DefaultConfig() Config {
	return Config{
		Binds:  2,
		Window: 10,
		Rate:   100,

		ConnectTimeout:      5 * time.Second,
		BindTimeout:         10 * time.Second,
		ResponseTimeout:     10 * time.Second,
		EnquireLinkInterval: 30 * time.Second,
		WriteTimeout:        10 * time.Second,
		DrainTimeout:        10 * time.Second,
		ReconnectMin:        time.Second,
		ReconnectMax:        30 * time.Second,

		MaxSegments:    1,
		SourceTON:      -1,
		SourceNPI:      -1,
		DestinationTON: 1,
		DestinationNPI: 1,
		ValidityPeriod: true,

		ReceiptQueue: 1000,
	}
}

// nameForm is what a name must look like: it stands in metrics and in keys of records.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

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

	if !nameForm.MatchString(c.Name) {
		fail("name = %q: must be 1 to 32 of a-z, 0-9, - and _, a letter or digit first", c.Name)
	}
	if err := c.checkAddress(); err != nil {
		errs = append(errs, err)
	}
	if c.SystemID == "" {
		fail(`system_id = "": must be 1 to 15 ASCII characters`)
	}
	text("system_id", c.SystemID, 15)
	if len(c.Password) > 8 || !printable(string(c.Password)) {
		fail("password: must be at most 8 ASCII characters") // SMPP 3.4 §5.2.2
	}
	text("system_type", c.SystemType, 12)
	if !c.TLS && c.TLSCA != "" {
		fail("tls_ca = %q: needs tls = true", c.TLSCA)
	}
	if !c.TLS && c.TLSServerName != "" {
		fail("tls_server_name = %q: needs tls = true", c.TLSServerName)
	}

	number("binds", c.Binds, 1, 16)
	number("window", c.Window, 1, 1000)
	if !(c.Rate >= 0 && c.Rate <= 100_000) { // also refuses NaN
		fail("rate = %v: must be 0..100000", c.Rate)
	}
	duration("connect_timeout", c.ConnectTimeout, 100*time.Millisecond, time.Minute)
	duration("bind_timeout", c.BindTimeout, 100*time.Millisecond, 2*time.Minute)
	duration("response_timeout", c.ResponseTimeout, 100*time.Millisecond, 2*time.Minute)
	duration("enquire_link_interval", c.EnquireLinkInterval, time.Second, 10*time.Minute)
	duration("write_timeout", c.WriteTimeout, 100*time.Millisecond, time.Minute)
	duration("drain_timeout", c.DrainTimeout, 0, time.Minute)
	duration("reconnect_min", c.ReconnectMin, 10*time.Millisecond, time.Minute)
	duration("reconnect_max", c.ReconnectMax, min(c.ReconnectMin, 10*time.Minute), 10*time.Minute)

	number("max_segments", c.MaxSegments, 1, 10)
	number("source_ton", c.SourceTON, -1, 255)
	number("source_npi", c.SourceNPI, -1, 255)
	number("destination_ton", c.DestinationTON, 0, 255)
	number("destination_npi", c.DestinationNPI, 0, 255)
	text("service_type", c.ServiceType, 5)
	number("priority", c.Priority, 0, 3)
	number("receipt_queue", c.ReceiptQueue, 1, 100_000)
	return errors.Join(errs...)
}

// checkAddress also keeps passwords and texts from travelling in clear over a network that is not ours.
func (c Config) checkAddress() error {
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil || host == "" {
		return fmt.Errorf("address = %q: must be host:port", c.Address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address = %q: port must be 1..65535", c.Address)
	}
	if !c.TLS && !c.AllowPlaintext && !private(host) {
		return fmt.Errorf("address = %q: is not known to be private: needs tls = true or allow_plaintext = true", c.Address)
	}
	return nil
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
