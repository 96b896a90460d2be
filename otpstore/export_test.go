package otpstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// Constants and hooks that black-box tests need.
const (
	BoltFile    = boltFile
	BoltVersion = boltVersion
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

// contents are the records in a closed file, as they are now.
type contents struct {
	tx      *bbolt.Tx
	patches *patches
	head    head
	keys    [][]byte
	values  [][]byte
}

// with opens the closed file for f.
func with(path string, f func(c *contents) error) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		h, err := readHead(tx)
		c := &contents{tx: tx, patches: newPatches(), head: h}
		_, err2 := c.patches.load(tx)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		w := c.patches.walk(tx)
		for k, v := w.next(); k != nil; k, v = w.next() {
			c.keys, c.values = append(c.keys, slices.Clone(k)), append(c.values, slices.Clone(v))
		}
		return f(c)
	}), db.Close())
}

// put puts value in the place of what is under key.
func (c *contents) put(key, value []byte) error {
	if seq, patched := c.patches.of(key); patched {
		b := c.tx.Bucket(patchesBucket)
		return b.Put(patchKey(seq, key), slices.Concat(getPatch(b, seq, key)[:patchHeader], value))
	}
	return c.tx.Bucket(numbersBucket).Put(key, value)
}

// emptied gives the bucket of the records without any, and there are no patches: what a store had before there were such.
func (c *contents) emptied() (*bbolt.Bucket, error) {
	if err := errors.Join(c.tx.DeleteBucket(numbersBucket), c.tx.DeleteBucket(patchesBucket)); err != nil {
		return nil, err
	}
	return c.tx.CreateBucket(numbersBucket)
}

// Values gives every record in the closed file.
func Values(path string) (values [][]byte, err error) {
	err = with(path, func(c *contents) error {
		values = c.values
		return nil
	})
	return values, err
}

// Entries counts what the trees of the closed file hold.
func Entries(path string) (records, patches int, err error) {
	err = with(path, func(c *contents) error {
		count := func(n *int) func(k, v []byte) error {
			return func(_, _ []byte) error { *n++; return nil }
		}
		return errors.Join(c.tx.Bucket(numbersBucket).ForEach(count(&records)), c.tx.Bucket(patchesBucket).ForEach(count(&patches)))
	})
	return records, patches, err
}

// Raw gives all that is in the trees of the closed file.
func Raw(path string) (all []byte, err error) {
	err = with(path, func(c *contents) error {
		add := func(k, v []byte) error {
			all = append(append(all, k...), v...)
			return nil
		}
		return errors.Join(c.tx.Bucket(numbersBucket).ForEach(add), c.tx.Bucket(patchesBucket).ForEach(add))
	})
	return all, err
}

// lastPatch opens the closed file for f, which is given its last patch.
func lastPatch(path string, f func(c *contents, b *bbolt.Bucket, key, value []byte) error) error {
	return with(path, func(c *contents) error {
		b := c.tx.Bucket(patchesBucket)
		k, v := b.Cursor().Last()
		return f(c, b, slices.Clone(k), slices.Clone(v))
	})
}

// DropPatch takes a patch out of the closed file.
func DropPatch(path string) error {
	return lastPatch(path, func(_ *contents, b *bbolt.Bucket, key, _ []byte) error { return b.Delete(key) })
}

// RevertPatch has a patch say what it covers.
func RevertPatch(path string) error {
	return lastPatch(path, func(c *contents, b *bbolt.Bucket, key, value []byte) error {
		return b.Put(key, slices.Concat(value[:patchHeader], c.tx.Bucket(numbersBucket).Get(key[8:])))
	})
}

// EstrangePatch has a patch be of a record that is not there.
func EstrangePatch(path string) error {
	return lastPatch(path, func(_ *contents, b *bbolt.Bucket, key, value []byte) error {
		other := slices.Clone(key)
		other[len(other)-1] ^= 1
		return errors.Join(b.Delete(key), b.Put(other, value))
	})
}

// DoublePatch has what a patch covers come after it as another one.
func DoublePatch(path string) error {
	return lastPatch(path, func(c *contents, b *bbolt.Bucket, key, value []byte) error {
		other := slices.Clone(key)
		other[0] ^= 1
		after := append(binary.BigEndian.AppendUint64([]byte{value[0] + 1}, binary.BigEndian.Uint64(key)), c.tx.Bucket(numbersBucket).Get(key[8:])...)
		c.head.patches++
		return errors.Join(b.Put(other, after), c.head.put(c.tx))
	})
}

// UnchainPatch has a patch not say that there is one before it, or that there is.
func UnchainPatch(path string) error {
	return lastPatch(path, func(_ *contents, b *bbolt.Bucket, key, value []byte) error {
		value[patchHeader-1] ^= 1
		return b.Put(key, value)
	})
}

// FlipPatch changes a bit of a patch.
func FlipPatch(path string) error {
	return lastPatch(path, func(_ *contents, b *bbolt.Bucket, key, value []byte) error {
		value[len(value)/2] ^= 1
		return b.Put(key, value)
	})
}

// RevertPatchAndFlip does what RevertPatch does, and changes a bit of the newest record.
func RevertPatchAndFlip(path string) error {
	return errors.Join(RevertPatch(path), with(path, func(c *contents) error {
		last := len(c.keys) - 1
		c.values[last][len(c.values[last])/2] ^= 1
		return c.put(c.keys[last], c.values[last])
	}))
}

// FlipPatched changes a bit of what a patch covers.
func FlipPatched(path string) error {
	return lastPatch(path, func(c *contents, _ *bbolt.Bucket, key, _ []byte) error {
		value := slices.Clone(c.tx.Bucket(numbersBucket).Get(key[8:]))
		value[len(value)/2] ^= 1
		return c.tx.Bucket(numbersBucket).Put(key[8:], value)
	})
}

// SwapRecords puts two records of the closed file each in the place of the other.
func SwapRecords(path string) error {
	return with(path, func(c *contents) error {
		return errors.Join(c.put(c.keys[0], c.values[1]), c.put(c.keys[1], c.values[0]))
	})
}

// FlipRecordBit changes one bit of every record in the closed file, whose head agrees with that.
func FlipRecordBit(path string, octet int, bit uint) error {
	return with(path, func(c *contents) (err error) {
		for i, key := range c.keys {
			v := slices.Clone(c.values[i])
			v[octet%len(v)] ^= 1 << (bit % 8)
			c.head.replaces(c.values[i], v)
			err = errors.Join(err, c.put(key, v))
		}
		return errors.Join(err, c.head.put(c.tx))
	})
}

var opened atomic.Uint64

// CycleNear has one store in three that is opened from now on patch nearly all that changes, one nothing, and one some. seed says with which of
// them it begins.
func CycleNear(seed uint64) {
	opened.Store(seed)
	near = func() int { return [...]int{nearRecords, 1, 4}[opened.Add(1)%3] }
}

// PatchBeyond has stores that are opened from now on patch all but so many of the newest records.
func PatchBeyond(records int) { near = func() int { return records } }

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

// Trim cuts the closed file at path off behind the pages that are in use.
func Trim(path string) error {
	sound, err := checkFile(path)
	return errors.Join(err, os.Truncate(path, sound.used))
}

// ReadAll reads and writes all that bbolt finds in the file at path.
func ReadAll(path string) error {
	db, err := openDB(path)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [...][]byte{metaBucket, numbersBucket, patchesBucket} {
			b := tx.Bucket(name)
			if b == nil { // its format is older
				continue
			}
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
	return with(path, func(c *contents) error {
		meta := c.tx.Bucket(metaBucket)
		b, err := c.emptied()
		if err != nil {
			return err
		}
		for i, v := range c.values {
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
			err = errors.Join(err, b.Put(c.keys[i], append(r, sum[:sealLength]...)))
		}
		return errors.Join(err, meta.Delete(headKey), meta.Put(versionKey, []byte{2}), meta.Put(keyIDKey, ring.keys[0].id[:]))
	})
}

// MakeUnpatched makes the store in the closed file one of format 3, as the version before wrote it.
func MakeUnpatched(path string) error {
	return with(path, func(c *contents) error {
		b, err := c.emptied()
		if err != nil {
			return err
		}
		for i, v := range c.values {
			err = errors.Join(err, b.Put(c.keys[i], v))
		}
		c.head.format, c.head.patches = patchVersion-1, 0
		return errors.Join(err, c.head.put(c.tx), c.tx.Bucket(metaBucket).Put(versionKey, []byte{c.head.format}))
	})
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
	return with(path, func(c *contents) error {
		v := slices.Clone(c.values[0])
		v[len(v)-1] ^= 1
		return c.put(c.keys[0], v)
	})
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
