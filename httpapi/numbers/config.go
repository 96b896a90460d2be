package numbers

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"otpgw/config/secret"
	"otpgw/httpapi/remote"
)

// Config is which numbers may be sent to: [numbers]. The rules by which its lists decide together are in doc.go.
type Config struct {
	Own        []string `toml:"own" comment:"Beginnings of the numbers that are served, such as \"+346\". Empty, and no own_file: every number is. Others are answered 404." reload:"hot"`
	NotAllowed []string `toml:"not_allowed" comment:"Beginnings of numbers that may not be sent to for business reasons: 403 PHONE_NUMBER_NOT_ALLOWED." reload:"hot"`
	Landline   []string `toml:"landline" comment:"Beginnings of numbers that take no SMS: 403 PHONE_NUMBER_NOT_ALLOWED." reload:"hot"`
	Blocked    []string `toml:"blocked" comment:"Beginnings of numbers with SMS barred: 403 PHONE_NUMBER_BLOCKED." reload:"hot"`

	OwnFile        string `toml:"own_file" comment:"Absolute path of a file of numbers that are served: one number, range +from-+to or prefix with * a line, gzip when it ends in .gz. Empty: none. The files are read again at a reload where they changed." reload:"hot"`
	NotAllowedFile string `toml:"not_allowed_file" comment:"The same of numbers that may not be sent to for business reasons." reload:"hot"`
	LandlineFile   string `toml:"landline_file" comment:"The same of numbers that take no SMS." reload:"hot"`
	BlockedFile    string `toml:"blocked_file" comment:"The same of numbers with SMS barred." reload:"hot"`
	PortedOutFile  string `toml:"ported_out_file" comment:"The same of numbers that left for another operator: answered 404 whatever own says." reload:"hot"`
	PortedInFile   string `toml:"ported_in_file" comment:"The same of numbers that came from another operator: served although no prefix of own speaks of them." reload:"hot"`

	LookupURL           string        `toml:"lookup_url" comment:"URL of the operator's own service that is asked about each number that the lists serve: https, or http to a loopback address. Empty: none." reload:"hot"`
	LookupToken         secret.Text   `toml:"lookup_token" comment:"Bearer token for lookup_url as file:PATH, cred:NAME or env:NAME. Empty: none is sent." reload:"hot"`
	LookupCA            string        `toml:"lookup_ca" comment:"Absolute path of the PEM certificates that the service's certificate must come from. Empty: the system's." reload:"hot"`
	LookupTimeout       time.Duration `toml:"lookup_timeout" comment:"How long one look-up may take, 50ms..10s; up to half of it may be spent waiting for its turn." reload:"hot"`
	LookupConcurrency   int           `toml:"lookup_concurrency" comment:"Look-ups at once, 1..1000. Up to 16 times as many wait for their turn; more are taken as not answered." reload:"hot"`
	LookupFail          string        `toml:"lookup_fail" comment:"What holds when the service does not answer: closed answers 503, open goes by the lists alone." reload:"hot"`
	LookupCache         time.Duration `toml:"lookup_cache" comment:"How long an answer that a number is served holds, 0..24h; 0 asks each time." reload:"hot"`
	LookupNegativeCache time.Duration `toml:"lookup_negative_cache" comment:"How long any other answer holds, 0..24h; 0 asks each time." reload:"hot"`
	LookupCacheSize     int           `toml:"lookup_cache_size" comment:"Answers of either kind that are held, 1..10000000, about 150 bytes each; the oldest leave first." reload:"hot"`

	RefusedCache     time.Duration `toml:"refused_cache" comment:"How long a number that the SMSC refused as permanent is refused without asking the SMSC again, 0..24h; 0 is off." reload:"hot"`
	RefusedCacheSize int           `toml:"refused_cache_size" comment:"Refused numbers that are held, 1..10000000, about 150 bytes each; the oldest leave first." reload:"hot"`
}

// DefaultConfig serves every number, has no look-up, and fails closed once there is one.
func DefaultConfig() Config {
	return Config{
		LookupTimeout:       time.Second,
		LookupConcurrency:   64,
		LookupFail:          "closed",
		LookupCache:         10 * time.Minute,
		LookupNegativeCache: time.Minute,
		LookupCacheSize:     100_000,
		RefusedCache:        10 * time.Minute,
		RefusedCacheSize:    100_000,
	}
}

// Validate joins one error for every key that cannot be served; each begins with the key. It opens no file, and
// prints no prefix, which may be a whole number.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	seen := map[uint64]string{}
	for _, source := range c.sources() {
		for i, prefix := range source.prefixes {
			n, _, ok := parse(prefix)
			if !ok {
				bad("%s: entry %d: must be + and 1 to 15 digits, the first not 0", source.key, i+1)
				continue
			}
			if other, twice := seen[n]; twice {
				bad("%s: entry %d: is in %s too", source.key, i+1, other)
			}
			seen[n] = source.key
		}
		if source.path != "" && !filepath.IsAbs(source.path) {
			bad("%s_file = %q: must be an absolute path", source.key, source.path)
		}
	}
	if c.LookupCA != "" && !filepath.IsAbs(c.LookupCA) {
		bad("lookup_ca = %q: must be an absolute path", c.LookupCA)
	}
	if c.LookupURL != "" && !remote.Usable(c.LookupURL) {
		bad("lookup_url: %s", remote.Must)
	}
	if len(c.LookupToken) > 4096 || !tokenForm.MatchString(string(c.LookupToken)) {
		bad("lookup_token: must be up to 4096 letters, digits and - . _ ~ + /, with = at the end only")
	}
	if c.LookupTimeout < 50*time.Millisecond || c.LookupTimeout > 10*time.Second {
		bad("lookup_timeout = %q: must be 50ms..10s", c.LookupTimeout)
	}
	if c.LookupConcurrency < 1 || c.LookupConcurrency > 1000 {
		bad("lookup_concurrency = %d: must be 1..1000", c.LookupConcurrency)
	}
	if c.LookupFail != "open" && c.LookupFail != "closed" {
		bad("lookup_fail = %q: must be open or closed", c.LookupFail)
	}
	for _, ttl := range []struct {
		key  string
		held time.Duration
	}{{"lookup_cache", c.LookupCache}, {"lookup_negative_cache", c.LookupNegativeCache}, {"refused_cache", c.RefusedCache}} {
		if ttl.held < 0 || ttl.held > 24*time.Hour {
			bad("%s = %q: must be 0..24h", ttl.key, ttl.held)
		}
	}
	for _, size := range []struct {
		key  string
		most int
	}{{"lookup_cache_size", c.LookupCacheSize}, {"refused_cache_size", c.RefusedCacheSize}} {
		if size.most < 1 || size.most > 10_000_000 {
			bad("%s = %d: must be 1..10000000", size.key, size.most)
		}
	}
	return errors.Join(errs...)
}

var tokenForm = regexp.MustCompile(`^([A-Za-z0-9._~+/-]+=*)?$`) // RFC 6750 §2.1
