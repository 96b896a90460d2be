package otpstore

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Constants and hooks that black-box tests need.
const (
	BoltFile    = boltFile
	KeyFile     = keyFile
	ParkedLimit = parkedLimit
	ParkedFor   = parkedFor
	SweepEvery  = sweepEvery
	LazyWithin  = lazyWithin
	Acceptance  = acceptance
)

// SentLazily is Sent that does not wait for its commit: the measure of what the wait costs.
func (s *Store) SentLazily(ctx context.Context, id string, r SendResult) error {
	return s.sent(ctx, id, r, false)
}

// ErrDisk is what commits give after BreakCommits.
var ErrDisk = errors.New("input/output error")

// BreakCommits makes every commit of b report a failure from now on, after it was persisted or instead of it. It must be called
// before Run.
func BreakCommits(b *Bolt, persisted bool) {
	b.commit = func(tx *bbolt.Tx) error {
		if persisted {
			return errors.Join(ErrDisk, tx.Commit())
		}
		return errors.Join(ErrDisk, tx.Rollback())
	}
}

// SetVersion makes the store in the closed file one of another format.
func SetVersion(path string, version byte) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		h, err := readHead(tx)
		if h.format = version; err == nil {
			err = h.put(tx)
		}
		return errors.Join(err, tx.Bucket(metaBucket).Put(versionKey, []byte{version}))
	}), db.Close())
}

// Values gives every record in the closed file.
func Values(path string) (values [][]byte, err error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	return values, errors.Join(db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(numbersBucket).ForEach(func(_, v []byte) error {
			values = append(values, append([]byte(nil), v...))
			return nil
		})
	}), db.Close())
}

// SwapRecords puts two records of the closed file each in the place of the other.
func SwapRecords(path string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(numbersBucket)
		c := b.Cursor()
		k1, v1 := c.First()
		k2, v2 := c.Next()
		v1, v2 = append([]byte(nil), v1...), append([]byte(nil), v2...)
		return errors.Join(b.Put(k1, v2), b.Put(k2, v1))
	}), db.Close())
}

// FlipRecordBit changes one bit of every record in the closed file, whose head agrees with that.
func FlipRecordBit(path string, octet int, bit uint) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(numbersBucket)
		changed := map[string][]byte{}
		h, err := readHead(tx)
		err = errors.Join(err, b.ForEach(func(k, old []byte) error {
			v := append([]byte(nil), old...)
			v[octet%len(v)] ^= 1 << (bit % 8)
			changed[string(k)] = v
			h.replaces(old, v)
			return nil
		}))
		for k, v := range changed {
			err = errors.Join(err, b.Put([]byte(k), v))
		}
		return errors.Join(err, h.put(tx))
	}), db.Close())
}

// IssueFor asks for a code under the store's own terms.
func (s *Store) IssueFor(ctx context.Context, client, number string) (Issued, error) {
	return s.Issue(ctx, Request{Client: client, Number: number, Terms: s.policy.Load().Terms()})
}

// SkipSyncs makes commits of b return before they are on the disk. It must be called before Run.
func SkipSyncs(b *Bolt) { b.db.NoSync = true }

// WithoutSeals is b as if records had no MAC: whatever is in one is believed.
func WithoutSeals(b *Bolt, key Key) Backend {
	keys, err := newKeyring(key)
	if err != nil {
		panic(err) // the test's own key
	}
	return unsealed{b, keys}
}

type unsealed struct {
	*Bolt
	keys *keyring
}

func (u unsealed) believe(step Step) Step {
	return func(now time.Time, r Record) (Record, bool) {
		if len(r) >= sealLength {
			sum := u.keys.keys[0].records.sum(r[:len(r)-sealLength])
			r = slices.Concat(r[:len(r)-sealLength], sum[:sealLength])
		}
		return step(now, r)
	}
}

func (u unsealed) Scan(ctx context.Context, step Step) error {
	return u.Bolt.Scan(ctx, u.believe(step))
}

func (u unsealed) Update(ctx context.Context, ref Ref, step Step) error {
	return u.Bolt.Update(ctx, ref, u.believe(step))
}

func (u unsealed) Note(ctx context.Context, ref Ref, step Step, done func(error)) error {
	return u.Bolt.Note(ctx, ref, u.believe(step), done)
}

// CheckFile checks the file at path as every opening does.
func CheckFile(path string) error {
	_, err := checkFile(path)
	return err
}

// ReadAll reads and writes all that bbolt finds in the file at path.
func ReadAll(path string) error {
	db, err := openDB(path)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [...][]byte{metaBucket, numbersBucket} {
			b := tx.Bucket(name)
			err := b.ForEach(func(k, v []byte) error { return b.Put(append([]byte(nil), k...), append([]byte(nil), v...)) })
			if err != nil {
				return err
			}
		}
		return nil
	}), db.Close())
}

// older writes n as format 2 had it: without the octet in each code for what is to be told, which is found by what changes with it.
func older(n number) []byte {
	r := encode(n)
	var octets []int
	for i, c := range slices.Backward(n.codes) {
		c.wanted = Outcome
		at := len(r) - 1
		for told := encode(n.with(i, c)); told[at] == r[at]; {
			at--
		}
		octets = append(octets, at)
	}
	for _, at := range octets {
		r = slices.Delete(r, at, at+1)
	}
	r[0] = owingVersion - 1
	return r
}

// MakeOlder makes the store in the closed file one of format 2, as the version before wrote it.
func MakeOlder(path string, key Key) error {
	ring, err := newKeyring(key)
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		b, meta := tx.Bucket(numbersBucket), tx.Bucket(metaBucket)
		records := map[string][]byte{}
		err := b.ForEach(func(k, v []byte) error {
			content, ok := ring.unseal(Record(v))
			if !ok {
				return ErrCorrupt
			}
			n, ok := decode(content)
			if !ok {
				return ErrCorrupt
			}
			r := older(n)
			sum := ring.keys[0].records.sum(r)
			records[string(k)] = append(r, sum[:sealLength]...)
			return nil
		})
		for k, v := range records {
			err = errors.Join(err, b.Put([]byte(k), v))
		}
		return errors.Join(err, meta.Delete(headKey), meta.Put(versionKey, []byte{2}), meta.Put(keyIDKey, ring.keys[0].id[:]))
	}), db.Close())
}

// IDOctets are an id as it lies in the file.
func IDOctets(id string) []byte {
	name, ok := parseID(id)
	if !ok {
		panic("not an id: " + id)
	}
	return name[:]
}

// NumberOctets are a number's keyed hash, as it lies in the file.
func NumberOctets(key Key, number string) []byte {
	keys, err := newKeyring(key)
	if err != nil {
		panic(err) // the test's own key
	}
	name := keys.numbers(number)[0]
	return name[:]
}

// ForgeRecord changes the first record in the closed file, of which its head knows nothing.
func ForgeRecord(path string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		_, k, v := first(tx)
		v = slices.Clone(v)
		v[len(v)-1] ^= 1
		return tx.Bucket(numbersBucket).Put(slices.Clone(k), v)
	}), db.Close())
}

// Swell makes the closed file that much larger, by records of that content that are gone again.
func Swell(path string, octets int, content []byte) error {
	db, err := openDB(path)
	if err != nil {
		return err
	}
	const one = 1 << 20
	key := func(i int) []byte { return []byte{0xff, byte(i >> 8), byte(i)} }
	err = db.Update(func(tx *bbolt.Tx) error {
		for i := range octets/one + 1 {
			if err := tx.Bucket(numbersBucket).Put(key(i), bytes.Repeat(content, one/len(content))); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			for i := range octets/one + 1 {
				if err := tx.Bucket(numbersBucket).Delete(key(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return errors.Join(err, db.Close())
}

// Inflate makes the closed file that large, by pages that were never written and are free, and has it on the disk.
func Inflate(path string, octets int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	page := int64(os.Getpagesize())
	if err := f.Truncate(octets); err != nil {
		return err
	}
	for at := range int64(2) {
		meta := make([]byte, metaLength)
		if _, ok, err := readMeta(f, at*page); err != nil || !ok {
			return errors.Join(ErrCorrupt, err)
		}
		if _, err := f.ReadAt(meta, at*page+pageHeader); err != nil {
			return err
		}
		native.PutUint64(meta[40:], uint64(octets/page))
		sum := fnv.New64a()
		sum.Write(meta[:metaLength-8])
		native.PutUint64(meta[metaLength-8:], sum.Sum64())
		if _, err := f.WriteAt(meta, at*page+pageHeader); err != nil {
			return err
		}
	}
	return nil
}

// Fill leaves no room for new records in b, which runs, until free is called.
func Fill(b *Bolt) (free func() error, err error) {
	change := func(f func()) error { // in the goroutine whose room it is
		return b.Choose(context.Background(), nil, func(time.Time, []Record) (int, Record, bool) {
			f()
			return 0, nil, false
		})
	}
	return func() error { return change(func() { b.room.tried = time.Time{} }) }, change(func() { fill(b) })
}

// SetAside gives the closed file in dir another name, as one that was found damaged now.
func SetAside(dir string) error {
	_, err := setAside(dir, time.Now())
	return err
}

// NoteTime has the closed file say that a step was given a time.
func NoteTime(path string, at time.Time) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		h, err := readHead(tx)
		if h.clock = at; err == nil {
			err = h.put(tx)
		}
		return err
	}), db.Close())
}

// Bulky is what a start decides by.
var Bulky = bulky
