package httpapi

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"otpgw/otpstore"
)

// A Client is a consumer of the API that was provisioned: [[client]].
type Client struct {
	ID               string   `toml:"id" comment:"Name of the client, as its tokens carry it: 1 to 64 letters, digits and any of . _ - : @ /" reload:"hot"`
	Enabled          bool     `toml:"enabled" comment:"false refuses every request of the client with 403." reload:"hot"`
	Versions         []string `toml:"versions" comment:"Versions of the API that the client may use, as in [http]. Empty: all that are served." reload:"hot"`
	CertificateNames []string `toml:"certificate_names" comment:"DNS names and URIs of which its TLS certificate, verified by http.tls_client_ca, must carry one. Empty: it needs none." reload:"hot"`
	Policy           string   `toml:"policy" comment:"Name of the [[policy]] that its codes are issued under. Empty: the figures of [otp]." reload:"hot"`

	Sender       string   `toml:"sender" comment:"From whom its messages come: up to 11 letters, digits, spaces and any of !\"#%&'()*+,-./:;<=>?_ with a letter among them, or a short code of up to 8 digits, or a number as +E.164." reload:"hot"`
	Replace      bool     `toml:"replace" comment:"A new message to a number overwrites the client's older one on the phone or in the SMSC, where the smsc has replace_type or replace_if_present." reload:"hot"`
	Text         string   `toml:"text" comment:"What it may write: free (anything but control characters), strict ({{code}} once, no link, no other long number, nothing hidden) or templates." reload:"hot"`
	Templates    []string `toml:"templates" comment:"The texts it may send, with text = \"templates\": each with {{code}} once, and blanks {{text:N}} of 1 to N characters or {{digits:N}} of 1 to N digits." reload:"hot"`
	WebOTPDomain string   `toml:"webotp_domain" comment:"Domain of the client's site: \"@domain #code\" is put under every message, so that browsers fill the code in there only. It counts towards the length." reload:"hot"`

	Rate         float64 `toml:"rate" comment:"Requests a second, all operations together, 0..100000; 0 sets no limit. What exceeds it is answered 429." reload:"hot"`
	Burst        int     `toml:"burst" comment:"Requests that may come at once before rate holds, 1..100000." reload:"hot"`
	DayLimit     int     `toml:"day_limit" comment:"Codes sent within 24 hours, to all numbers together, 0..1000000000; 0 sets no limit. What exceeds it is answered 429 QUOTA_EXCEEDED." reload:"hot"`
	FailureShare float64 `toml:"failure_share" comment:"Share of wrong codes among the client's checks of the last 10 minutes from which on it is slowed down, 0..1, counted from 200 checks on. 0 sets no limit; 0.5 finds one who guesses and spares those who mistype." reload:"hot"`
	Idempotency  bool    `toml:"idempotency" comment:"The header Idempotency-Key makes a repeated send-code give the same answer and send nothing." reload:"hot"`
}

// DefaultClient is enabled, writes what it wants and has no limit of its own rate: the limits per number and on requests in flight
// hold.
func DefaultClient() Client {
	return Client{Enabled: true, Text: textFree, Burst: 100}
}

var (
	clientIDForm = regexp.MustCompile(`^[A-Za-z0-9._:@/-]{1,64}$`)
	senderName   = regexp.MustCompile(`^[ -#%-?A-Z_a-z]{0,10}[A-Za-z][ -#%-?A-Z_a-z]{0,10}$`) // what is the same in ASCII and in GSM 03.38
	senderNumber = regexp.MustCompile(`^([0-9]{1,8}|\+[1-9][0-9]{4,14})$`)
)

// Validate joins one error for every key that cannot be served; each begins with the key.
func (c Client) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !clientIDForm.MatchString(c.ID) {
		bad("id = %q: must be 1 to 64 letters, digits and . _ - : @ /", c.ID)
	}
	if !senderNumber.MatchString(c.Sender) && (len(c.Sender) > 11 || !senderName.MatchString(c.Sender)) {
		bad("sender = %q: must be a name of 1 to 11 characters that every alphabet has, with a letter among them, a short code of 1 to 8 digits, or a number as +E.164", c.Sender)
	}
	if !(c.Rate >= 0 && c.Rate <= 100_000) {
		bad("rate = %v: must be 0..100000", c.Rate)
	}
	if c.Burst < 1 || c.Burst > 100_000 {
		bad("burst = %d: must be 1..100000", c.Burst)
	}
	if len(c.Versions) > 0 {
		if _, err := servedVersions(c.Versions); err != nil {
			errs = append(errs, err)
		}
	}
	if c.DayLimit < 0 || c.DayLimit > 1_000_000_000 {
		bad("day_limit = %d: must be 0..1000000000", c.DayLimit)
	}
	if !(c.FailureShare >= 0 && c.FailureShare <= 1) {
		bad("failure_share = %v: must be 0..1", c.FailureShare)
	}
	return errors.Join(append(errs, c.validateText())...)
}

// A caller is a client made ready for requests, with what is counted of it. The Client in it does not change.
type caller struct {
	Client
	terms    otpstore.Terms
	tell     otpstore.Facts
	anyCode  string // as long as a code of terms
	text     textRule
	bucket   *rate.Limiter
	reading  [kinds]*slots // requests whose body is not there yet
	failures *failures
}

// callers makes the clients ready. Each keeps what was counted of it before, but a bucket whose rate or burst changed.
func callers(live Live, limits [kinds]*slots, before map[string]*caller) map[string]*caller {
	ready := make(map[string]*caller, len(live.Clients))
	for _, c := range live.Clients {
		limited := rate.Limit(c.Rate)
		if c.Rate == 0 {
			limited = rate.Inf
		}
		text, _ := newTextRule(c) // a valid client's rule can be made
		next := &caller{
			Client: c, terms: live.terms(c.Policy), tell: live.Tell[c.ID], text: text,
			bucket: rate.NewLimiter(limited, c.Burst), failures: new(failures),
		}
		for kind, all := range limits { // half of all: no client with slow bodies holds the places of every other
			next.reading[kind] = &slots{limit: max(1, all.limit/2)}
		}
		next.anyCode = strings.Repeat("0", codeLength(next.terms))
		if old := before[c.ID]; old != nil {
			next.reading, next.failures = old.reading, old.failures
			if old.Rate == c.Rate && old.Burst == c.Burst {
				next.bucket = old.bucket
			}
		}
		ready[c.ID] = next
	}
	return ready
}

// codeLength is how long a code of these terms is at most.
func codeLength(t otpstore.Terms) int {
	if t.Length < 1 || t.Length > maxCode {
		return maxCode
	}
	return t.Length
}

// may says whether the client was given the version of the API at this place.
func (c *caller) may(place string) bool {
	return len(c.Versions) == 0 || slices.Contains(c.Versions, place)
}

// take takes one request out of the bucket, or says how long it will be empty.
func (c *caller) take() error {
	if c.bucket.Allow() {
		return nil
	}
	missing := 1 - c.bucket.Tokens() // not by a reservation given back: nothing of it comes back once another followed it
	wait := time.Duration(missing / c.Rate * float64(time.Second))
	return &waitError{tooManyRequests, max(wait, time.Second)}
}
