package httpapi

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"golang.org/x/time/rate"
)

// A Client is a consumer of the API that was provisioned: [[client]].
type Client struct {
	ID      string  `toml:"id" comment:"Name of the client, as its tokens carry it: 1 to 64 letters, digits and any of . _ - : @ /" reload:"hot"`
	Enabled bool    `toml:"enabled" comment:"false refuses every request of the client with 403." reload:"hot"`
	Sender  string  `toml:"sender" comment:"From whom its messages come: up to 11 letters, digits, spaces and any of !\"#%&'()*+,-./:;<=>?_ with a letter among them, or a short code of up to 8 digits, or a number as +E.164." reload:"hot"`
	Replace bool    `toml:"replace" comment:"A new message to a number overwrites the client's older one on the phone or in the SMSC, where the smsc has replace_type or replace_if_present." reload:"hot"`
	Rate    float64 `toml:"rate" comment:"Requests a second, both operations together, 0..100000; 0 sets no limit. What exceeds it is answered 429." reload:"hot"`
	Burst   int     `toml:"burst" comment:"Requests that may come at once before rate holds, 1..100000." reload:"hot"`
}

// DefaultClient is enabled and has no limit of its own rate: the limits per number and on requests in flight hold.
func DefaultClient() Client { return Client{Enabled: true, Burst: 100} }

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
	return errors.Join(errs...)
}

// A meteredClient is a client with the bucket of its rate.
type meteredClient struct {
	Client
	bucket *rate.Limiter
}

// meter gives every client its bucket: the one that it had before if its rate and burst are what they were.
func meter(clients []Client, before map[string]*meteredClient) map[string]*meteredClient {
	metered := make(map[string]*meteredClient, len(clients))
	for _, c := range clients {
		limit := rate.Limit(c.Rate)
		if c.Rate == 0 {
			limit = rate.Inf
		}
		m := &meteredClient{Client: c, bucket: rate.NewLimiter(limit, c.Burst)}
		if b := before[c.ID]; b != nil && b.Rate == c.Rate && b.Burst == c.Burst {
			m.bucket = b.bucket
		}
		metered[c.ID] = m
	}
	return metered
}

// take takes one request out of the bucket, or says how long it will be empty.
func (c *meteredClient) take() error {
	if c.bucket.Allow() {
		return nil
	}
	missing := 1 - c.bucket.Tokens() // not by a reservation given back: nothing of it comes back once another followed it
	wait := time.Duration(missing / c.Rate * float64(time.Second))
	return &waitError{tooManyRequests, max(wait, time.Second)}
}
