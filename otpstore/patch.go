package otpstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"go.etcd.io/bbolt"
)

// A patch is what became of a record that lies far from the end of the tree. bbolt writes anew the page that a record lies on, and the way to it, and
// there nothing else changes that could share them. So the record is left as it is, and what it is now is put at the end of a tree of its own. A patch
// that is far from the end of that one is left, too, and has another one after it. All go when the record is swept, or the file is made anew.
//
//	key:   sequence number (8 octets) | key of the record (16)
//	value: how many it makes for the record (1) | sequence number of the one before, 0 for none (8) | record, nothing where it went elsewhere

const (
	nearRecords = 1 << 16 // so many of the newest records, and of the newest patches, change in their place
	nearMarks   = 8       // how finely records are counted
	patchHeader = 1 + 8
	patchesMost = 4 // patches of one record
)

var near = func() int { return nearRecords } // replaced by tests

var patchesBucket = []byte("patches")

// patches say which records are patched, 25 octets and what a map leaves free for each. They are changed by whoever owns the index.
type patches struct {
	mu     sync.RWMutex    // held from before a transaction is begun: by who writes until it is committed, by others until they have what they read
	at     map[Name]uint64 // sequence number of the last patch, by the record's key
	astray bool            // at is not of what is in the file: a commit is under way, or one failed

	last   uint64 // sequence number
	near   int
	passed int    // records that came after the last mark
	marks  []Name // keys of records, so many apart; before the first all is far from the end

	largest int // octets of one of those that were loaded
}

func newPatches() *patches { return &patches{at: map[Name]uint64{}, near: near()} }

// pass tells of a record that has come behind all others, or nearly so.
func (p *patches) pass(key Name) {
	most := min(p.near, nearMarks)
	if p.passed++; p.passed < p.near/most {
		return
	}
	n := len(p.marks)
	if n > 0 && bytes.Compare(key[:], p.marks[n-1][:]) <= 0 {
		return
	}
	if n == most {
		n = copy(p.marks, p.marks[1:])
	}
	p.marks, p.passed = append(p.marks[:n], key), 0
}

// far reports whether so many records have come behind key that it is better patched.
func (p *patches) far(key Name) bool {
	return len(p.marks) == min(p.near, nearMarks) && bytes.Compare(key[:], p.marks[0][:]) < 0
}

// load finds the patches of a file, and says how many there are.
func (p *patches) load(tx *bbolt.Tx) (count uint64, err error) {
	b := tx.Bucket(patchesBucket)
	if b == nil {
		return 0, nil
	}
	err = b.ForEach(func(k, v []byte) error {
		if len(k) != 8+len(Name{}) || len(v) < patchHeader {
			return fmt.Errorf("%w: a patch of %d and %d octets", ErrCorrupt, len(k), len(v))
		}
		count++
		p.largest = max(p.largest, len(v)-patchHeader)
		seq, key, nth, before := binary.BigEndian.Uint64(k), Name(k[8:]), v[0], binary.BigEndian.Uint64(v[1:])
		if seq < 1 || seq > math.MaxInt64 || p.at[key] != before || nth < 1 || nth > patchesMost || (nth == 1) != (before == 0) {
			return fmt.Errorf("%w: a patch is not the one that follows", ErrCorrupt)
		}
		p.last, p.at[key] = seq, seq
		return nil
	})
	return count, err
}

// of gives the sequence number of the last patch of what is under a key, which a damaged file may have of another length.
func (p *patches) of(key []byte) (seq uint64, patched bool) {
	if len(p.at) == 0 || len(key) != len(Name{}) {
		return 0, false
	}
	seq, patched = p.at[Name(key)]
	return seq, patched
}

// current gives what is under a key now, where value lies there: nil where the record went elsewhere. b is the bucket of the patches. It panics
// where a patch is not there: as bbolt does on a page that is damaged.
func (p *patches) current(b *bbolt.Bucket, key, value []byte) []byte {
	seq, patched := p.of(key)
	if !patched {
		return value
	}
	if value = getPatch(b, seq, key)[patchHeader:]; len(value) == 0 {
		return nil
	}
	return value
}

// getPatch gives a patch that is known to be there.
func getPatch(b *bbolt.Bucket, seq uint64, key []byte) []byte {
	v := b.Get(patchKey(seq, key))
	if len(v) < patchHeader {
		panic(fmt.Sprintf("patch %d is missing", seq))
	}
	return v
}

func patchKey(seq uint64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(key)), seq), key...)
}

// A walk goes through the records of a transaction as they are now, in the order of their keys.
type walk struct {
	patches *patches
	bucket  *bbolt.Bucket // of the patches
	cursor  *bbolt.Cursor
	begun   bool
	met     int // patched records
	largest int // octets of a record, patched ones and patches among them
}

func (p *patches) walk(tx *bbolt.Tx) *walk {
	return &walk{patches: p, bucket: tx.Bucket(patchesBucket), cursor: tx.Bucket(numbersBucket).Cursor(), largest: p.largest}
}

// next gives the next record; a nil key behind the last.
func (w *walk) next() (key, value []byte) {
	move := w.cursor.Next
	if !w.begun {
		w.begun, move = true, w.cursor.First
	}
	for key, value = move(); key != nil; key, value = w.cursor.Next() {
		w.largest = max(w.largest, len(value))
		if _, patched := w.patches.of(key); patched {
			w.met++
			value = w.patches.current(w.bucket, key, value)
		}
		if value != nil {
			break
		}
	}
	return key, value
}

// complete says, after the last, whether each patch is one of a record that is there.
func (w *walk) complete() error {
	if n := len(w.patches.at); n != w.met {
		return fmt.Errorf("%w: patches of %d records are of none that is there", ErrCorrupt, n-w.met)
	}
	return nil
}
