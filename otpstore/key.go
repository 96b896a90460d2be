package otpstore

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	keyLength = 32          // octets of a master key
	maxKeys   = 8           // in a ring
	keyFile   = "otpgw.key" // in Config.Dir, where no key is configured
)

// A Key is the ring of master keys of a store, newest first, 32 octets each, or none. It prints as "***".
type Key []byte

// UnmarshalSecret takes a key as 32 raw octets, or 1 to 8 keys in lines, the newest first, each as 64 hexadecimal digits or in base64; white
// space around a line, empty lines and those that begin with # are ignored.
func (k *Key) UnmarshalSecret(text []byte) error {
	if len(text) == keyLength {
		*k = bytes.Clone(text)
		return nil
	}
	var ring, one Key
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := one.unmarshalLine(line); err != nil {
			return err
		}
		ring = append(ring, one...)
	}
	if len(ring) == 0 {
		return errKeyForm
	}
	*k = ring
	return ring.validate()
}

var errKeyForm = errors.New("must be 32 octets, raw, as 64 hexadecimal digits or in base64; several, newest first, each in a line")

// validate says what is wrong with the ring, which has a key at least.
func (k Key) validate() error {
	if len(k)%keyLength != 0 {
		return fmt.Errorf("must have %d octets, has %d", keyLength, len(k))
	}
	if n := len(k) / keyLength; n > maxKeys {
		return fmt.Errorf("has %d keys, may have %d", n, maxKeys)
	}
	seen := map[string]bool{}
	for one := range slices.Chunk(k, keyLength) {
		if seen[string(one)] {
			return errors.New("has the same key twice")
		}
		seen[string(one)] = true
	}
	return nil
}

func (k *Key) unmarshalLine(text []byte) error {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if b, err := decode(string(text)); err == nil && len(b) == keyLength {
			*k = b
			return nil
		}
	}
	return errKeyForm
}

// IDs are the ids of the ring's keys, newest first. k must be valid.
func (k Key) IDs() (ids []KeyID) {
	for one := range slices.Chunk(k, keyLength) {
		ids = append(ids, newDerived(one).id)
	}
	return ids
}

// NewKey gives a key of 256 random bits, as a line of a ring.
func NewKey() string {
	k := make([]byte, keyLength)
	rand.Read(k) // never fails
	return hex.EncodeToString(k)
}

// String hides the key.
func (k Key) String() string {
	if len(k) == 0 {
		return ""
	}
	return "***"
}

// GoString hides the key.
func (k Key) GoString() string { return k.String() }

// LogValue hides the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText hides the key.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// fileKey reads the key that a former start left in dir. It gives fs.ErrNotExist where there is none.
func fileKey(dir string) (Key, error) {
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %s: must be a file that only its owner can read", path, info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var k Key
	if err := k.UnmarshalSecret(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// newFileKey generates a key and leaves it in dir. Key and name are on the disk before it returns.
func newFileKey(dir string) (k Key, err error) {
	k = make(Key, keyLength)
	rand.Read(k) // never fails
	// 0600, and under its own name only when it is whole.
	f, err := os.CreateTemp(dir, keyFile+".new-")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%x\n", []byte(k))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), filepath.Join(dir, keyFile)) // fails where another process was first
	}
	return k, errors.Join(err, os.Remove(f.Name()), syncDir(dir))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// loadKey gives the configured key, else the one in the directory. Where the store is new (known is false) and has no key,
// one is generated.
func loadKey(cfg Config, known bool, log *slog.Logger) (Key, error) {
	if len(cfg.Key) > 0 {
		return cfg.Key, nil
	}
	k, err := fileKey(cfg.Dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	path := filepath.Join(cfg.Dir, keyFile)
	if known {
		return nil, fmt.Errorf("%w: no key is configured and %s is gone", ErrWrongKey, path)
	}
	log.Warn("no store key configured, generated one beside the store", "path", path)
	return newFileKey(cfg.Dir)
}

// A keyring is what is derived from the master keys. The newest seals and names; all read. It is safe for concurrent use.
type keyring struct {
	keys []*derived // newest first
}

// derived is what is derived from one master key.
type derived struct {
	numbers, codes, records macs
	id                      KeyID
}

func newKeyring(k Key) (*keyring, error) {
	if len(k) == 0 {
		return nil, errKeyForm
	}
	if err := k.validate(); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	r := new(keyring)
	for one := range slices.Chunk(k, keyLength) {
		r.keys = append(r.keys, newDerived(one))
	}
	return r, nil
}

func newDerived(k Key) *derived {
	derive := func(label string) []byte {
		b, err := hkdf.Key(sha256.New, k, nil, "otpgw/v1/"+label, sha256.Size)
		if err != nil {
			panic(err) // only for lengths that HKDF cannot give
		}
		return b
	}
	d := new(derived)
	d.numbers.key, d.codes.key, d.records.key = derive("number"), derive("code"), derive("record")
	sum := sha256.Sum256(derive("identifier"))
	copy(d.id[:], sum[:])
	return d
}

// ids are those of the keys, newest first.
func (r *keyring) ids() (ids []KeyID) {
	for _, d := range r.keys {
		ids = append(ids, d.id)
	}
	return ids
}

// with gives the key of that id, or nil.
func (r *keyring) with(id KeyID) *derived {
	for _, d := range r.keys {
		if d.id == id {
			return d
		}
	}
	return nil
}

// numbers are the names of a phone number, that under the newest key first: all that is ever kept of it.
func (r *keyring) numbers(number string) []Name {
	names := make([]Name, len(r.keys))
	for i, d := range r.keys {
		names[i] = d.number(number)
	}
	return names
}

func (d *derived) number(number string) (n Name) {
	sum := d.numbers.sum([]byte(number))
	copy(n[:], sum[:])
	return n
}

// requests are the names of a client's request, that under the newest key first: nothing is kept of the key itself.
func (r *keyring) requests(client, key string) []Name {
	b := bound("key/v1", client, key)
	names := make([]Name, len(r.keys))
	for i, d := range r.keys {
		sum := d.codes.sum(b)
		copy(names[i][:], sum[:])
	}
	return names
}

// code binds a code to its id and client, under the newest key.
func (r *keyring) code(id, client, code string) [sha256.Size]byte {
	return r.keys[0].codes.sum(bound("otp/v1", id, client, code))
}

// candidates are what code may have given for these, under each key.
func (r *keyring) candidates(id, client, code string) [][sha256.Size]byte {
	b := bound("otp/v1", id, client, code)
	sums := make([][sha256.Size]byte, len(r.keys))
	for i, d := range r.keys {
		sums[i] = d.codes.sum(b)
	}
	return sums
}

// bound joins texts so that no two lists of them give the same.
func bound(label string, texts ...string) []byte {
	b := make([]byte, 0, 128)
	b = append(b, label...)
	for _, s := range texts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// macs computes HMAC-SHA-256 under one key and reuses the states.
type macs struct {
	key  []byte
	pool sync.Pool
}

func (m *macs) sum(b []byte) (out [sha256.Size]byte) {
	h, ok := m.pool.Get().(hash.Hash)
	if !ok {
		h = hmac.New(sha256.New, m.key)
	}
	h.Reset()
	h.Write(b)
	h.Sum(out[:0])
	m.pool.Put(h)
	return out
}
