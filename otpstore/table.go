package otpstore

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// A table is the records within one transaction, together with their index.
type table struct {
	bucket  *bbolt.Bucket
	patches *bbolt.Bucket // nil: none is made
	index   *index
	head    *head
	cursor  *bbolt.Cursor // for find: one for all spares most of what bbolt allocates
}

// fillPercent is how full pages are left that are split. Keys come in order, so that nearly all pages stay as they are then, and records
// grow a little soon after they came: for receipts and tries.
const fillPercent = 0.85

func newTable(tx *bbolt.Tx, x *index, h *head) *table {
	b := tx.Bucket(numbersBucket)
	b.FillPercent = fillPercent
	p := tx.Bucket(patchesBucket)
	if p != nil {
		p.FillPercent = fillPercent
	}
	return &table{bucket: b, patches: p, index: x, head: h, cursor: b.Cursor()}
}

// current gives what is under key now; nil for nothing.
func (t *table) current(key []byte) []byte {
	return t.index.patches.current(t.patches, key, t.bucket.Get(key))
}

// read gives the record under key, empty but not nil where it is damaged.
func read(key, value []byte) Record {
	if value == nil {
		return nil
	}
	f, ok := Record(value).frame()
	if newest := f.newest(); !ok || !bytes.Equal(newest[:], key) {
		return Record{}
	}
	return Record(value)
}

// find gives the record that ref leads to and its key; nil for none. A damaged one may be taken for another that lay beside it.
func (t *table) find(ref Ref) (key Name, r Record) {
	if ref.By == ByID {
		if key, r = t.beginning(ref.Name[:], ref); r != nil {
			return key, r
		}
	}
	at, known := t.index.place(ref)
	if !known {
		return Name{}, nil
	}
	var first [8]byte
	binary.BigEndian.PutUint64(first[:], uint64(at))
	return t.beginning(first[:], ref)
}

// beginning finds it among the keys that begin so.
func (t *table) beginning(first []byte, ref Ref) (key Name, r Record) {
	for k, v := t.cursor.Seek(first); bytes.HasPrefix(k, first) && len(k) == len(key); k, v = t.cursor.Next() {
		found := read(k, t.index.patches.current(t.patches, k, v))
		if found == nil {
			continue // it went elsewhere
		}
		f, ok := found.frame()
		if ok && f.knows(ref) {
			return Name(k), found
		}
		if r == nil && (!ok || !t.index.leads(Ref{ByNumber, f.number}, placeOf(Name(k)))) { // its number is not as it was written
			key, r = Name(k), Record{}
		}
	}
	return key, r
}

func (t *table) update(now time.Time, ref Ref, step Step) (changed bool, err error) {
	key, old := t.find(ref)
	next, changed := step(now, old)
	if !changed {
		return false, nil
	}
	return true, t.replace(key[:], old, next)
}

func (t *table) choose(now time.Time, refs []Ref, choice Choice) (changed bool, err error) {
	keys, records := make([]Name, 0, len(refs)), make([]Record, 0, len(refs))
	for _, ref := range refs {
		if key, r := t.find(ref); r != nil && !slices.Contains(keys, key) {
			keys, records = append(keys, key), append(records, r)
		}
	}
	i, next, changed := choice(now, records)
	if !changed {
		return false, nil
	}
	return true, t.replace(keys[i][:], records[i], next)
}

// replace puts next in the place of old, which lies under key unless it is nil.
func (t *table) replace(key []byte, old, next Record) error {
	raw := []byte(old)
	if old != nil && len(old) == 0 { // damaged, and still counted
		raw = t.current(key)
	}
	t.head.replaces(raw, next)
	t.index.replace(old, next)
	newest := next.Newest()
	stays := old != nil && len(next) > 0 && bytes.Equal(newest[:], key)
	if old != nil && !stays {
		if err := t.remove(key, next.has(key) && !t.index.patches.far(newest)); err != nil {
			return err
		}
	}
	if err := t.clear(old, next); err != nil {
		return err
	}
	switch {
	case len(next) == 0:
		return nil
	case stays && t.far(newest), t.patched(newest): // or it comes back to where it was
		return t.patch(newest, next)
	}
	return t.bucket.Put(newest[:], next)
}

// remove takes what is under key away. moved says that the record goes on at the end of the tree.
func (t *table) remove(key []byte, moved bool) error {
	seq, patched := t.index.patches.of(key)
	switch {
	case moved && len(key) == len(Name{}) && (patched || t.far(Name(key))):
		return t.patch(Name(key), nil)
	case patched:
		for seq > 0 {
			before := binary.BigEndian.Uint64(getPatch(t.patches, seq, key)[1:])
			if err := t.patches.Delete(patchKey(seq, key)); err != nil {
				return err
			}
			t.head.patches--
			seq = before
		}
		delete(t.index.patches.at, Name(key))
	}
	t.head.extent.moved = true
	return t.bucket.Delete(key)
}

// clear removes what is left under the id of a code that old has and next has not: of one at most, for there is room for no more. The rest is swept.
func (t *table) clear(old, next Record) error {
	was, _ := old.frame()
	for id := range each(was.older()) {
		if t.patched(id) && !next.has(id[:]) {
			return t.remove(id[:], false)
		}
	}
	return nil
}

// patched reports whether what is under key is patched.
func (t *table) patched(key Name) bool {
	_, is := t.index.patches.of(key[:])
	return is
}

// far reports whether what is under key is to be patched when it changes.
func (t *table) far(key Name) bool { return t.patches != nil && t.index.patches.far(key) }

// patch puts r in the place of what is under key; nil says that it went elsewhere.
func (t *table) patch(key Name, r Record) error {
	p := t.index.patches
	t.head.extent.put += entryExtra
	nth, seq := byte(0), p.at[key]
	if seq > 0 {
		old := getPatch(t.patches, seq, key[:])
		if nth = old[0]; nth == patchesMost || p.last-seq < uint64(p.near) {
			return t.patches.Put(patchKey(seq, key[:]), slices.Concat(old[:patchHeader], r))
		}
	}
	value := append(binary.BigEndian.AppendUint64([]byte{nth + 1}, seq), r...)
	p.last++
	p.at[key] = p.last
	t.head.patches++
	return t.patches.Put(patchKey(p.last, key[:]), value)
}

func (t *table) sweep(now time.Time, after Name, before time.Time, limit int, step Step) (last Name, more, changed bool, err error) {
	end := make([]byte, 8) // the first 48 bits of an id are its time
	binary.BigEndian.PutUint64(end, uint64(max(before.UnixMilli(), 0))<<16)
	keys := make([]Name, 0, limit)
	c := t.bucket.Cursor()
	k, _ := c.Seek(after[:])
	for ; k != nil && len(keys) < limit && bytes.Compare(k, end) < 0; k, _ = c.Next() {
		if len(k) == len(after) && !bytes.Equal(k, after[:]) {
			keys = append(keys, Name(k))
		}
	}
	for _, key := range keys {
		old := read(key[:], t.current(key[:]))
		if old == nil { // it went elsewhere
			changed = true
			if err := t.remove(key[:], false); err != nil {
				return Name{}, false, false, err
			}
			continue
		}
		next, did := step(now, old)
		if !did {
			continue
		}
		changed = true
		if err := t.replace(key[:], old, next); err != nil {
			return Name{}, false, false, err
		}
	}
	if len(keys) < limit {
		return Name{}, false, changed, nil
	}
	return keys[len(keys)-1], true, changed, nil
}
