package otpstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"time"

	"github.com/google/uuid"
)

// A Name is 16 octets by which a record is found: a keyed hash of a number, an id, or a hash of a message's SMSC and id.
type Name [16]byte

// String is the name in hexadecimal.
func (n Name) String() string { return hex.EncodeToString(n[:]) }

// id is the name of a verification as its client knows it.
func (n Name) id() string { return uuid.UUID(n).String() }

// previous is the name before n in the order of names.
func (n Name) previous() Name {
	for i := len(n) - 1; i >= 0; i-- {
		if n[i]--; n[i] != 0xff {
			break
		}
	}
	return n
}

// Time is when the verification with this id was issued, to the millisecond (RFC 9562 §5.7). It has no meaning for other names.
func (n Name) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(n[:8]) >> 16)).UTC()
}

// messageName is the name of a message. Ids of different SMSCs do not meet.
func messageName(smsc, id string) (n Name) {
	b := make([]byte, 0, 96)
	b = binary.BigEndian.AppendUint32(b, uint32(len(smsc)))
	b = append(b, smsc...)
	b = append(b, id...)
	sum := sha256.Sum256(b)
	copy(n[:], sum[:])
	return n
}

const (
	recordVersion = 3
	firstVersion  = 1   // the oldest that is read
	owingVersion  = 3   // the first that says what clients are to be told
	keyedVersion  = 3   // the first that names its key
	maxCodes      = 128 // codes in one record
	maxFailing    = 16  // clients in it whose failures are kept
	maxScopes     = 8   // scopes that a code counts in
)

// A Record is the state of one number as a backend keeps it: the names by which it is found, followed by what only the
// store reads, sealed. Nil stands for no record.
//
//	version (1 octet) | number (16) | count, ids (16 each, oldest first) | count, messages (16 each) | body
//
// What the store seals has the id of the key (8) and the seal (16) behind the body.
//
// Counts are uvarints. There is at least one id.
type Record []byte

// NewRecord frames a record. ids must not be empty; their last is the newest.
func NewRecord(number Name, ids, messages []Name, body []byte) Record {
	r := make(Record, 0, 1+len(number)+2*binary.MaxVarintLen16+16*(len(ids)+len(messages))+len(body)+sha256.Size)
	r = append(r, recordVersion)
	r = append(r, number[:]...)
	for _, names := range [...][]Name{ids, messages} {
		r = binary.AppendUvarint(r, uint64(len(names)))
		for _, n := range names {
			r = append(r, n[:]...)
		}
	}
	return append(r, body...)
}

// A frame is a record taken apart; its slices are the record's own.
type frame struct {
	number        Name
	ids, messages []byte // 16 octets each
	names         []byte // everything before body
	body          []byte
}

// frame takes r apart, or reports that r is damaged.
func (r Record) frame() (f frame, ok bool) {
	if len(r) < 1+len(f.number) || r[0] < firstVersion || r[0] > recordVersion {
		return frame{}, false
	}
	rest := []byte(r[1+copy(f.number[:], r[1:]):])
	for _, names := range [...]*[]byte{&f.ids, &f.messages} {
		count, n := binary.Uvarint(rest)
		if n <= 0 || count > uint64(len(rest)-n)/16 {
			return frame{}, false
		}
		*names, rest = rest[n:n+int(count)*16], rest[n+int(count)*16:]
	}
	f.names, f.body = r[:len(r)-len(rest)], rest
	return f, len(f.ids) > 0
}

// Valid reports whether r has the form of a record. It does not check the seal.
func (r Record) Valid() bool {
	_, ok := r.frame()
	return ok
}

// Number is the name of the record's number.
func (r Record) Number() Name {
	f, _ := r.frame()
	return f.number
}

// Newest is the id of the record's newest code: time-ordered and unique, so a good key.
func (r Record) Newest() Name {
	f, _ := r.frame()
	return f.newest()
}

// IDs are the ids of the record's codes, oldest first.
func (r Record) IDs() iter.Seq[Name] {
	f, _ := r.frame()
	return each(f.ids)
}

// Messages are the names of the record's messages.
func (r Record) Messages() iter.Seq[Name] {
	f, _ := r.frame()
	return each(f.messages)
}

func (f frame) newest() (n Name) {
	if len(f.ids) >= len(n) {
		copy(n[:], f.ids[len(f.ids)-len(n):])
	}
	return n
}

// older are the ids but the newest.
func (f frame) older() []byte { return f.ids[:max(len(f.ids)-len(Name{}), 0)] }

// knows reports whether ref leads to the record.
func (f frame) knows(ref Ref) bool {
	names := f.ids
	switch ref.By {
	case ByNumber:
		return f.number == ref.Name
	case ByMessage:
		names = f.messages
	}
	for n := range each(names) {
		if n == ref.Name {
			return true
		}
	}
	return false
}

// has reports whether r has a code with that id.
func (r Record) has(id []byte) bool {
	f, _ := r.frame()
	return len(id) == len(Name{}) && f.knows(Ref{ByID, Name(id)})
}

func each(names []byte) iter.Seq[Name] {
	return func(yield func(Name) bool) {
		for ; len(names) > 0; names = names[16:] {
			if !yield(Name(names[:16])) {
				return
			}
		}
	}
}
