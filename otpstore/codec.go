package otpstore

import (
	"crypto/hmac"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// The body of a record, as far as its names do not say it already: an octet with bit 0 set where a code is pending and bit 1 where one counts in a scope and bit 2 where something of one is still to be told, the failures of each client,
// then the codes in the order of their ids. Figures are varints; times are microseconds, absolute first, then by their distance from the time of issue;
// strings have their length before them. The id of the key and the seal, an HMAC over all before it, make the end.

const (
	sealLength  = 16
	maxMessages = 255 // per code, 3GPP TS 23.040 §9.2.3.24.1
)

// seal writes n, which has at least one code, as a record under the newest key.
func (k *keyring) seal(n number) Record {
	newest := k.keys[0]
	r := append(encode(n), newest.id[:]...)
	sum := newest.records.sum(r)
	return append(r, sum[:sealLength]...)
}

// open reads a record back. False says that it is not as it was written, or that its key is not in the ring.
func (k *keyring) open(r Record) (number, bool) {
	content, ok := k.unseal(r)
	if !ok {
		return number{}, false
	}
	return decode(content)
}

// unseal gives what was sealed, without the id of the key.
func (k *keyring) unseal(r Record) (Record, bool) {
	id, sealed, ok := r.key()
	if !ok {
		return nil, false
	}
	for _, d := range k.keys {
		if sealed && d.id != id {
			continue
		}
		content := r[:len(r)-sealLength]
		if sum := d.records.sum(content); hmac.Equal(sum[:sealLength], r[len(content):]) {
			if sealed {
				content = content[:len(content)-len(id)]
			}
			return content, true
		}
	}
	return nil, false
}

// key gives the id of the key that r says it is sealed with; named is false where it is of a version that does not say. False for ok says that
// r is too short.
func (r Record) key() (id KeyID, named, ok bool) {
	named = len(r) > 0 && r[0] >= keyedVersion
	if len(r) < sealLength || named && len(r) < sealLength+len(id) {
		return id, named, false
	}
	if named {
		copy(id[:], r[len(r)-sealLength-len(id):])
	}
	return id, named, true
}

// settled reports whether r, unsealed, has no code that is pending, at less cost than opening it.
func (r Record) settled() bool {
	f, ok := r.frame()
	return ok && len(f.body) > 0 && f.body[0]&1 == 0
}

// scoped reports whether r, unsealed, has a code that counts in a scope.
func (r Record) scoped() bool {
	f, ok := r.frame()
	return ok && len(f.body) > 0 && f.body[0]&2 != 0
}

// owing reports whether something of a code in r is still to be told. The seal is not looked at.
func (r Record) owing() bool {
	f, ok := r.frame()
	return ok && len(f.body) > 0 && f.body[0]&4 != 0
}

func encode(n number) Record {
	ids := make([]Name, len(n.codes))
	messages := make([]Name, 0, len(n.codes))
	body := make([]byte, 0, 160*len(n.codes))
	open := flag(slices.ContainsFunc(n.codes, func(c code) bool { return c.state == pending }))
	counted := flag(slices.ContainsFunc(n.codes, func(c code) bool { return len(c.scopes) > 0 }))
	owing := flag(slices.ContainsFunc(n.codes, func(c code) bool { return c.wanted&^c.told != 0 }))
	body = append(body, open|counted<<1|owing<<2)
	body = binary.AppendUvarint(body, uint64(len(n.failures)))
	for _, f := range n.failures {
		body = appendText(body, f.client)
		body = append(body, byte(f.count), byte(f.most))
		body = appendSpan(body, f.window)
		body = appendMoment(body, f.last, time.UnixMicro(0))
	}
	for i, c := range n.codes {
		ids[i] = c.id
		body = append(body, byte(c.state), byte(c.attempts), byte(c.terms.MaxAttempts))
		body = appendSpan(body, c.terms.TTL)
		body = binary.AppendUvarint(body, uint64(c.issued.UnixMicro()))
		for _, t := range [...]time.Time{c.submitted, c.accepted, c.expires, c.finished} {
			body = appendMoment(body, t, c.issued)
		}
		body = appendText(body, c.client)
		body = appendText(body, c.smsc)
		body = appendText(body, c.masked)
		body = appendText(body, c.terms.Name)
		body = append(body, byte(c.terms.MaxFailures), flag(c.key != Name{}), byte(len(c.scopes)))
		body = appendSpan(body, c.terms.FailureWindow)
		body = appendSpan(body, c.terms.SendWindow)
		if c.key != (Name{}) {
			body = append(body, c.key[:]...)
			body = append(body, c.digest[:]...)
		}
		for _, s := range c.scopes {
			body = binary.BigEndian.AppendUint64(body, s.name)
			body = appendSpan(body, s.window)
		}
		body = append(body, byte(c.wanted)|byte(c.told)<<4)
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

// appendSpan writes a duration in microseconds.
func appendSpan(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64(d.Microseconds()))
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
	var older failures // of the first version: of nobody in particular
	if r[0] == firstVersion {
		older.count, older.last = int(d.count(1<<20)), d.moment(0)
	} else {
		for range d.count(maxFailing) {
			n.failures = append(n.failures, failures{
				client: d.string(), count: int(d.octet()), most: int(d.octet()), window: d.span(), last: d.moment(0),
			})
		}
	}
	for id := range each(f.ids) {
		c := code{id: id}
		c.state, c.attempts, c.terms.MaxAttempts = state(d.octet()), int(d.octet()), int(d.octet())
		c.terms.TTL = d.span()
		issued := int64(d.count(1 << 62))
		c.issued = time.UnixMicro(issued).UTC()
		for _, t := range [...]*time.Time{&c.submitted, &c.accepted, &c.expires, &c.finished} {
			*t = d.moment(issued)
		}
		c.client, c.smsc = d.string(), d.string()
		if r[0] == firstVersion {
			c.terms = firstTerms(c.terms)
		} else {
			c.extra(&d)
		}
		if r[0] >= owingVersion {
			facts := Facts(d.octet())
			c.wanted, c.told = facts&0xf, facts>>4
			d.bad = d.bad || c.wanted&^allFacts != 0 || c.told&^c.wanted != 0
		}
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
		if d.bad || c.state < pending || c.state > canceled {
			return number{}, false
		}
		n.codes = append(n.codes, c)
	}
	if older.count > 0 { // each client that it may have been is held to it
		for _, c := range n.codes {
			n = n.failed(older.last, failures{c.client, min(older.count, 255), older.last, c.terms.MaxFailures, c.terms.FailureWindow})
		}
	}
	return n, !d.bad && len(d.text) == 0
}

// extra reads what the second version of a record added to a code.
func (c *code) extra(d *decoder) {
	c.masked, c.terms.Name = d.string(), d.string()
	c.terms.MaxFailures = int(d.octet())
	named, scopes := d.octet(), int(d.octet())
	c.terms.FailureWindow, c.terms.SendWindow = d.span(), d.span()
	if named != 0 {
		copy(c.key[:], d.take(len(c.key)))
		copy(c.digest[:], d.take(len(c.digest)))
	}
	if scopes > maxScopes {
		d.bad = true
	}
	for range scopes {
		if d.bad {
			return
		}
		var name [8]byte
		copy(name[:], d.take(len(name)))
		c.scopes = append(c.scopes, scope{binary.BigEndian.Uint64(name[:]), d.span()})
	}
}

// firstTerms are those that were kept elsewhere when the first version was written.
func firstTerms(t Terms) Terms {
	usual := DefaultPolicy().Terms()
	t.MaxFailures, t.FailureWindow, t.SendWindow = usual.MaxFailures, usual.FailureWindow, usual.SendWindow
	return t
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

// span reads a duration of 720 hours at most.
func (d *decoder) span() time.Duration {
	return time.Duration(d.count(uint64((720 * time.Hour).Microseconds()))) * time.Microsecond
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
