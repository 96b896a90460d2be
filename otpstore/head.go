package otpstore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/bbolt"
)

// A head is what the file says of itself. Every commit writes it, so that it always speaks of the records beside it.
type head struct {
	format  byte
	key     KeyID     // zero: never claimed
	count   uint64    // records
	sum     uint64    // of the hashes of all records as they are now: says that none is missing, doubled or of another time
	clock   time.Time // no step was given a later time
	lost    time.Time // see Backend.Lost
	closed  bool      // in order: the two last commits hold the same records
	patches uint64

	extent extent // of the transaction; not in the file
}

var (
	metaBucket    = []byte("meta")
	numbersBucket = []byte("numbers")
	versionKey    = []byte("version") // all that versions before 3 look at
	headKey       = []byte("head")
	keyIDKey      = []byte("key") // before version 3
)

const headLength = 1 + 8 + 8 + 8 + 8 + 8 + 1 + 8

// length is that of the entry of h without its hash.
func (h head) length() int {
	if h.format < patchVersion {
		return headLength - 8
	}
	return headLength
}

// encode makes the entry of h: its fields, and a hash over them.
func (h head) encode() []byte {
	b := append(make([]byte, 0, headLength+8), h.format)
	b = append(b, h.key[:]...)
	for _, v := range [...]uint64{h.count, h.sum, micros(h.clock), micros(h.lost)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, flag(h.closed))
	if h.format >= patchVersion {
		b = binary.BigEndian.AppendUint64(b, h.patches)
	}
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64(b))
}

// decodeHead reads an entry back, or says that it is not as it was written.
func decodeHead(b []byte) (h head, ok bool) {
	if len(b) == 0 {
		return head{}, false
	}
	h.format = b[0]
	n := h.length()
	if len(b) != n+8 || xxhash.Sum64(b[:n]) != binary.BigEndian.Uint64(b[n:]) {
		return head{}, false
	}
	b = b[1+copy(h.key[:], b[1:]):]
	h.count, h.sum = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	h.clock, h.lost = moment(binary.BigEndian.Uint64(b[16:])), moment(binary.BigEndian.Uint64(b[24:]))
	h.closed = b[32] != 0
	if h.format >= patchVersion {
		h.patches = binary.BigEndian.Uint64(b[33:])
	}
	return h, true
}

// micros is a time as a head holds it, 0 for the zero time.
func micros(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMicro())
}

func moment(v uint64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(v)).UTC()
}

// put writes h with the transaction.
func (h head) put(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(headKey, h.encode()) }

// replaces makes h count next in old's place; an empty one is none.
func (h *head) replaces(old, next []byte) {
	if len(old) > 0 {
		h.count--
		h.sum -= xxhash.Sum64(old)
	}
	if len(next) > 0 {
		h.count++
		h.sum += xxhash.Sum64(next)
	}
	h.extent.replaces(old, next)
}

// readHead gives the head of the file, of format 1 or 2 where it is older than heads are.
func readHead(tx *bbolt.Tx) (head, error) {
	meta, numbers := tx.Bucket(metaBucket), tx.Bucket(numbersBucket)
	if meta == nil || numbers == nil {
		return head{}, fmt.Errorf("%w: it has no records", ErrCorrupt)
	}
	version, entry := meta.Get(versionKey), meta.Get(headKey)
	if len(version) != 1 || version[0] == 0 {
		return head{}, fmt.Errorf("%w: format version %x", ErrCorrupt, version)
	}
	if version[0] > boltVersion && (entry == nil || len(entry) > 0 && entry[0] == version[0]) {
		return head{}, fmt.Errorf("%w: its format is %d, this version knows %d", ErrNewer, version[0], boltVersion)
	}
	if version[0] < headVersion && entry == nil {
		h := head{format: version[0]}
		copy(h.key[:], meta.Get(keyIDKey))
		return h, nil
	}
	h, ok := decodeHead(entry)
	if !ok || h.format != version[0] {
		return head{}, fmt.Errorf("%w: its head is not as it was written", ErrCorrupt)
	}
	if h.format >= patchVersion && tx.Bucket(patchesBucket) == nil {
		return head{}, fmt.Errorf("%w: it has no patches", ErrCorrupt)
	}
	return h, nil
}
