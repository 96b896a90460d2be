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
	"sync"
)

const (
	keyLength = 32          // octets of the master key
	keyFile   = "otpgw.key" // in Config.Dir, where no key is configured
)

// A Key is the master key of a store: 32 octets, or none. It prints as "***".
type Key []byte

// UnmarshalSecret takes a key as 32 raw octets, 64 hexadecimal digits or base64; white space around the latter two is ignored.
func (k *Key) UnmarshalSecret(text []byte) error {
	if len(text) == keyLength {
		*k = bytes.Clone(text)
		return nil
	}
	text = bytes.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if b, err := decode(string(text)); err == nil && len(b) == keyLength {
			*k = b
			return nil
		}
	}
	return errors.New("must be 32 octets, raw, as 64 hexadecimal digits or in base64")
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

// A keyring is what is derived from the master key. It is safe for concurrent use.
type keyring struct {
	numbers, codes, records macs
	id                      KeyID
}

func newKeyring(k Key) (*keyring, error) {
	if len(k) != keyLength {
		return nil, fmt.Errorf("key has %d octets, must have %d", len(k), keyLength)
	}
	derive := func(label string) []byte {
		b, err := hkdf.Key(sha256.New, k, nil, "otpgw/v1/"+label, sha256.Size)
		if err != nil {
			panic(err) // only for lengths that HKDF cannot give
		}
		return b
	}
	r := new(keyring)
	r.numbers.key, r.codes.key, r.records.key = derive("number"), derive("code"), derive("record")
	sum := sha256.Sum256(derive("identifier"))
	copy(r.id[:], sum[:])
	return r, nil
}

// number is the name of a phone number: all that is ever kept of it.
func (r *keyring) number(number string) (n Name) {
	sum := r.numbers.sum([]byte(number))
	copy(n[:], sum[:])
	return n
}

// request is the name of a client's request: nothing is kept of the key itself.
func (r *keyring) request(client, key string) (n Name) {
	b := make([]byte, 0, 128)
	b = append(b, "key/v1"...)
	for _, s := range [...]string{client, key} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	sum := r.codes.sum(b)
	copy(n[:], sum[:])
	return n
}

// code binds a code to its id and client.
func (r *keyring) code(id, client, code string) [sha256.Size]byte {
	b := make([]byte, 0, 128)
	b = append(b, "otp/v1"...)
	for _, s := range [...]string{id, client, code} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return r.codes.sum(b)
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
