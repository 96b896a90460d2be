package smpp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"otpgw/smpp/pdu"
)

// A submission is a message as it goes to the wire: one body, of which the segments differ in four fields.
type submission struct {
	body     pdu.ShortMessage
	encoding pdu.Encoding
	segments []pdu.Segment
	sent     sentMessage
}

// segment is the body of segment i.
func (s *submission) segment(i int) *pdu.ShortMessage {
	segment := &s.segments[i]
	s.body.DataCoding, s.body.Text, s.body.TLVs = segment.DataCoding, segment.Octets, segment.TLVs
	s.body.ESMClass = s.body.ESMClass&esmMode | segment.ESMClass
	return &s.body
}

const esmMode = 0x03 // of esm_class (SMPP 3.4 §5.2.12)

// compose turns m into what is submitted, or says why it cannot be: a *TextError or an *AddressError. The reference
// tells the segments of one message from those of another on the phone.
func (a *account) compose(m Message, now time.Time) (submission, error) {
	c := &a.config
	from, err := c.source(m.From)
	if err != nil {
		return submission{}, err
	}
	to, err := c.destination(m.To)
	if err != nil {
		return submission{}, err
	}
	text, err := a.text.Encode(m.Text, uint16(a.reference.Add(1)))
	if err != nil {
		reason := "cannot be encoded"
		if refused := (*pdu.TextError)(nil); errors.As(err, &refused) {
			reason = refused.Reason
		}
		return submission{}, &TextError{Reason: reason}
	}
	if m.Text == "" {
		return submission{}, &TextError{Reason: "is empty"}
	}
	if text.Parts > c.MaxSegments {
		return submission{}, &TextError{Segments: text.Parts, Max: c.MaxSegments, Reason: "is too long"}
	}
	s := submission{
		body: pdu.ShortMessage{
			ServiceType:        c.ServiceType,
			Source:             from,
			Destination:        to,
			ESMClass:           byte(c.ESMClass),
			Priority:           byte(c.Priority),
			RegisteredDelivery: byte(c.RegisteredDelivery),
		},
		encoding: text.Encoding,
		segments: text.Segments,
		sent: sentMessage{
			ref: m.Ref, client: m.Client, to: m.To, source: from, destination: to, service: c.ServiceType, validity: m.Validity,
		},
	}
	switch c.ValidityPeriod {
	case validityRelative:
		s.body.ValidityPeriod = relativeTime(m.Validity)
	case validityAbsolute:
		s.body.ValidityPeriod = absoluteTime(now, m.Validity)
	}
	if m.Replace && c.ReplaceIfPresent {
		s.body.ReplaceIfPresent = 1
	}
	if m.Replace && c.ReplaceType > 0 && !a.stubborn.has(m.To, now) {
		s.body.ProtocolID = pidReplace + byte(c.ReplaceType)
		s.sent.replaces = true
	}
	return s, nil
}

// pidReplace plus 1 to 7 is the TP-PID "replace short message type 1" to 7 (3GPP TS 23.040 §9.2.3.9).
const pidReplace = 0x40

// Types of number and numbering plans (SMPP 3.4 §5.2.5, §5.2.6).
const (
	tonInternational = 1
	tonNetwork       = 3
	tonAlphanumeric  = 5
	npiUnknown       = 0
	npiE164          = 1
)

func (c *Config) source(from string) (pdu.Address, error) {
	var a pdu.Address
	number, international := strings.CutPrefix(from, "+")
	switch {
	case from == "":
		return a, &AddressError{Field: "from", Reason: "is empty"}
	case international && e164(number):
		a = pdu.Address{TON: tonInternational, NPI: npiE164, Number: number}
	case digits(from) && len(from) <= 8:
		a = pdu.Address{TON: tonNetwork, NPI: npiUnknown, Number: from}
	case digits(from):
		return a, &AddressError{Field: "from", Reason: "has more digits than a short code, and a number begins with +"}
	case len(from) > 11:
		return a, &AddressError{Field: "from", Reason: "is longer than 11 characters"}
	case !nameable(from):
		return a, &AddressError{Field: "from", Reason: "has a character other than A-Z, a-z, 0-9, space and !\"#%&'()*+,-./:;<=>?_"}
	default:
		a = pdu.Address{TON: tonAlphanumeric, NPI: npiUnknown, Number: from}
	}
	if c.SourceTON >= 0 {
		a.TON = byte(c.SourceTON)
	}
	if c.SourceNPI >= 0 {
		a.NPI = byte(c.SourceNPI)
	}
	return a, nil
}

func (c *Config) destination(to string) (pdu.Address, error) {
	number, found := strings.CutPrefix(to, "+")
	if !found || !e164(number) {
		return pdu.Address{}, &AddressError{Field: "to", Reason: "must be + and 5 to 15 digits, the first not 0"}
	}
	return pdu.Address{TON: byte(c.DestinationTON), NPI: byte(c.DestinationNPI), Number: number}, nil
}

// e164 says that s may follow the + of a number (ITU-T E.164, CAMARA's form of it).
func e164(s string) bool { return digits(s) && len(s) >= 5 && len(s) <= 15 && s[0] != '0' }

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// nameable says that s reads the same in ASCII and in the GSM alphabet, so that no SMSC shows another name (but for _,
// which all that translate know). An @ would end the string at some.
func nameable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > 'z' || strings.IndexByte("$@[\\]^`", c) >= 0 {
			return false
		}
	}
	return true
}

// relativeTime is d in relative form, rounded up to a second and cut to 99 days (SMPP 3.4 §7.1.1.1); "" for 0. The
// relative form needs no clock in common with the SMSC.
func relativeTime(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	const day = 24 * 3600
	s := min(int64((d+time.Second-1)/time.Second), 99*day)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", s/day, s/3600%24, s/60%60, s%60)
}

// absoluteTime is now plus d in absolute form, in UTC and rounded up to a second (SMPP 3.4 §7.1.1); "" for 0.
func absoluteTime(now time.Time, d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return now.Add(d+time.Second-1).UTC().Format("060102150405") + "000+"
}
