package otpstore

import (
	"crypto/hmac"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// The body of a record, as far as its names do not say it already: an octet that is 1 where a code is pending, failures, time of
// the last one, then the codes in the order of their ids. Figures are varints; times are microseconds, absolute first, then by their distance from the time of issue;
// strings have their length before them. The seal, an HMAC over all before it, makes the end.

const (
	sealLength  = 16
	maxMessages = 255 // per code, 3GPP TS 23.040 §9.2.3.24.1
)

// seal writes n, which has at least one code, as a record.
func (k *keyring) seal(n number) Record {
	r := encode(n)
	sum := k.records.sum(r)
	return append(r, sum[:sealLength]...)
}

// open reads a record back. False says that it is not as it was written.
func (k *keyring) open(r Record) (number, bool) {
	content, ok := k.unseal(r)
	if !ok {
		return number{}, false
	}
	return decode(content)
}

// unseal gives what was sealed.
func (k *keyring) unseal(r Record) (Record, bool) {
	if len(r) < sealLength {
		return nil, false
	}
	content := r[:len(r)-sealLength]
	sum := k.records.sum(content)
	return content, hmac.Equal(sum[:sealLength], r[len(content):])
}

// settled reports whether r, unsealed, has no code that is pending, at less cost than opening it.
func (r Record) settled() bool {
	f, ok := r.frame()
	return ok && len(f.body) > 0 && f.body[0] == 0
}

func encode(n number) Record {
	ids := make([]Name, len(n.codes))
	messages := make([]Name, 0, len(n.codes))
	body := make([]byte, 0, 160*len(n.codes))
	body = append(body, flag(slices.ContainsFunc(n.codes, func(c code) bool { return c.state == pending })))
	body = binary.AppendUvarint(body, uint64(n.failures))
	body = appendMoment(body, n.lastFailure, time.UnixMicro(0))
	for i, c := range n.codes {
		ids[i] = c.id
		body = append(body, byte(c.state), byte(c.attempts), byte(c.maxAttempts))
		body = binary.AppendUvarint(body, uint64(c.ttl.Microseconds()))
		body = binary.AppendUvarint(body, uint64(c.issued.UnixMicro()))
		for _, t := range [...]time.Time{c.submitted, c.accepted, c.expires, c.finished} {
			body = appendMoment(body, t, c.issued)
		}
		body = appendText(body, c.client)
		body = appendText(body, c.smsc)
		if c.state.verifiable() {
			body = append(body, c.mac[:]...)
		}
		body = binary.AppendUvarint(body, uint64(len(c.messages)))
		for _, m := range c.messages {
			if m.id != "" { // the SMSC may give none
				messages = append(messages, messageName(c.smsc, m.id))
			}
			body = appendText(body, m.id)
			body = appendText(body, m.state)
			body = appendText(body, m.err)
			body = append(body, flag(m.final)|flag(m.ok)<<1)
			body = appendMoment(body, m.at, c.issued)
		}
	}
	return NewRecord(n.index, ids, messages, body)
}

// appendMoment writes 0 for the zero time, else one more than the distance.
func appendMoment(b []byte, t, from time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	d := t.UnixMicro() - from.UnixMicro()
	return binary.AppendUvarint(b, uint64(d<<1^d>>63)+1)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decode reads what encode wrote, and takes no more memory than a few times len(r) whatever r holds.
func decode(r Record) (number, bool) {
	f, ok := r.frame()
	if !ok {
		return number{}, false
	}
	d := decoder{text: string(f.body)}
	d.octet() // for settled
	n := number{index: f.number, codes: make([]code, 0, len(f.ids)/16)}
	n.failures = int(d.count(1 << 20))
	n.lastFailure = d.moment(0)
	for id := range each(f.ids) {
		c := code{id: id}
		c.state, c.attempts, c.maxAttempts = state(d.octet()), int(d.octet()), int(d.octet())
		c.ttl = time.Duration(d.count(uint64(time.Hour.Microseconds()))) * time.Microsecond
		issued := int64(d.count(1 << 62))
		c.issued = time.UnixMicro(issued).UTC()
		for _, t := range [...]*time.Time{&c.submitted, &c.accepted, &c.expires, &c.finished} {
			*t = d.moment(issued)
		}
		c.client, c.smsc = d.string(), d.string()
		if c.state.verifiable() {
			copy(c.mac[:], d.take(len(c.mac)))
		}
		if count := d.count(maxMessages); count > 0 && !d.bad {
			c.messages = make([]message, 0, min(int(count), len(d.text)))
			for range count {
				m := message{id: d.string(), state: d.string(), err: d.string()}
				flags := d.octet()
				m.final, m.ok = flags&1 != 0, flags&2 != 0
				m.at = d.moment(issued)
				c.messages = append(c.messages, m)
			}
		}
		if d.bad || c.state < pending || c.state > elapsed {
			return number{}, false
		}
		n.codes = append(n.codes, c)
	}
	return n, !d.bad && len(d.text) == 0
}

// A decoder takes values off the front of a text. After the first that is not there, bad is true and all are zero.
type decoder struct {
	text string
	bad  bool
}

func (d *decoder) take(n int) string {
	if d.bad || n > len(d.text) {
		d.bad = true
		return ""
	}
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}

func (d *decoder) octet() byte {
	if s := d.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (d *decoder) uvarint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := d.octet()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	d.bad = true
	return 0
}

// count reads a figure that is at most limit.
func (d *decoder) count(limit uint64) uint64 {
	v := d.uvarint()
	if v > limit {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) string() string { return d.take(int(d.count(math.MaxInt32))) }

func (d *decoder) moment(from int64) time.Time {
	v := d.uvarint()
	if v == 0 {
		return time.Time{}
	}
	v--
	return time.UnixMicro(from + (int64(v>>1) ^ -int64(v&1))).UTC()
}
