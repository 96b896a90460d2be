package callbacks

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"otpgw/config/secret"
	"otpgw/httpapi/remote"
)

// Config is one receiver of callbacks: [[sink]].
type Config struct {
	Name        string        `toml:"name" comment:"Name of the sink in logs and metrics: 1 to 32 letters, digits, _ and -." reload:"hot"`
	URL         string        `toml:"url" comment:"Where events are posted to: https, or http to a loopback address. Redirects are not followed." reload:"hot"`
	Clients     []string      `toml:"clients" comment:"Ids of the clients whose verifications are told of. A client has one sink at most." reload:"hot"`
	Events      []string      `toml:"events" comment:"What is told: delivery (the last receipt), outcome (how a verification ended)." reload:"hot"`
	Namespace   string        `toml:"namespace" comment:"Reverse domain name of yours that the types of events begin with, such as \"com.example.otp\"." reload:"hot"`
	Source      string        `toml:"source" comment:"Attribute source of the events: a URI reference that names this otpgw." reload:"hot"`
	Secret      Secret        `toml:"secret" comment:"Key of the signatures as file:PATH, cred:NAME or env:NAME: whsec_ and 24 to 64 octets in base64." reload:"hot"`
	OldSecret   Secret        `toml:"old_secret" comment:"A second key that signs as well, while the receiver changes over. Empty: none." reload:"hot"`
	CA          string        `toml:"ca" comment:"Absolute path of the PEM certificates that the receiver's certificate must come from. Empty: the system's." reload:"hot"`
	Timeout     time.Duration `toml:"timeout" comment:"How long one call may take, 100ms..30s." reload:"hot"`
	RetryFor    time.Duration `toml:"retry_for" comment:"How long after an event it is still told, 1m..24h. Later it is given up." reload:"hot"`
	MaxInFlight int           `toml:"max_in_flight" comment:"Calls at once, 1..64." reload:"hot"`
}

// The events of a sink.
const (
	delivery = "delivery"
	outcome  = "outcome"
)

// DefaultConfig tells everything, for a day.
func DefaultConfig() Config {
	return Config{Events: []string{delivery, outcome}, Source: "/otpgw", Timeout: 5 * time.Second, RetryFor: 24 * time.Hour, MaxInFlight: 8}
}

var (
	sinkName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	namespace = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)
)

// Validate joins one error for every key that cannot be served; each begins with the key. It opens no file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !sinkName.MatchString(c.Name) {
		bad("name = %q: must be 1 to 32 letters, digits, _ and -", c.Name)
	}
	if !remote.Usable(c.URL) {
		bad("url: %s", remote.Must)
	}
	if len(c.Events) == 0 {
		bad("events = []: must name delivery, outcome or both")
	}
	for _, e := range c.Events {
		if e != delivery && e != outcome {
			bad("events = %q: must be delivery or outcome", e)
		}
	}
	if len(c.Namespace) > 128 || !namespace.MatchString(c.Namespace) {
		bad("namespace = %q: must be a reverse domain name of yours, such as com.example.otp", c.Namespace)
	}
	if u, err := url.Parse(c.Source); err != nil || c.Source == "" || len(c.Source) > 256 || u.User != nil {
		bad("source = %q: must be a URI reference of 1 to 256 characters", c.Source)
	}
	if c.Secret.Text == "" {
		bad("secret: must be set: callbacks are always signed")
	}
	for _, s := range []struct {
		key    string
		secret Secret
	}{{"secret", c.Secret}, {"old_secret", c.OldSecret}} {
		if octets := len(s.secret.Text); octets != 0 && (octets < 24 || octets > 64) {
			bad("%s: must be whsec_ and 24 to 64 octets in base64", s.key)
		}
	}
	if c.CA != "" && !filepath.IsAbs(c.CA) {
		bad("ca = %q: must be an absolute path", c.CA)
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > 30*time.Second {
		bad("timeout = %q: must be 100ms..30s", c.Timeout)
	}
	if c.RetryFor < time.Minute || c.RetryFor > 24*time.Hour {
		bad("retry_for = %q: must be 1m..24h", c.RetryFor)
	}
	if c.MaxInFlight < 1 || c.MaxInFlight > 64 {
		bad("max_in_flight = %d: must be 1..64", c.MaxInFlight)
	}
	return errors.Join(errs...)
}

// Tells says of which facts the sink is told.
func (c Config) Tells() (deliveries, outcomes bool) {
	return slices.Contains(c.Events, delivery), slices.Contains(c.Events, outcome)
}

// A Secret is the octets of a key.
type Secret struct{ secret.Text }

// secretPrefix begins a secret as it is handed around (Standard Webhooks, Signature scheme).
const secretPrefix = "whsec_"

// UnmarshalSecret takes the secret as it stands in a file or variable: whsec_ and base64.
func (s *Secret) UnmarshalSecret(text []byte) error {
	encoded, ok := strings.CutPrefix(string(text), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		return errors.New("must be whsec_ and 24 to 64 octets in base64")
	}
	s.Text = secret.Text(key)
	return nil
}
