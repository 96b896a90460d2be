package otpstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestIndexTellsTwinsApart: names of which halves are the same, as no hash would give them, still lead to their own record, whatever came and
// went before.
func TestIndexTellsTwinsApart(t *testing.T) {
	defer CycleNear(0)
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "twins.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	few := func(r *rand.Rand) (n Name) { // 9 names, of 3 first and 3 last halves
		binary.BigEndian.PutUint64(n[:], 1+r.Uint64N(3))
		binary.BigEndian.PutUint64(n[8:], 1+r.Uint64N(3))
		return n
	}
	undo := errors.New("undo")
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		err := db.Update(func(tx *bbolt.Tx) error {
			if err := createBuckets(tx); err != nil {
				return err
			}
			PatchBeyond(1 + int(seed%4)*2)
			x := newIndex(0)
			table := newTable(tx, x, new(head))
			model := map[Name]Record{} // by number
			for range 40 {
				number := few(r)
				old := model[number]
				var next Record
				if old == nil || r.IntN(4) > 0 {
					var ids []Name
					for id := range old.IDs() {
						if r.IntN(3) > 0 {
							ids = append(ids, id)
						}
					}
					for id := few(r); ; id = few(r) {
						free := !slices.Contains(ids, id)
						for _, other := range model {
							f, _ := other.frame()
							free = free && !f.knows(Ref{ByID, id})
						}
						if free {
							ids = append(ids, id)
							break
						} else if r.IntN(20) == 0 {
							break
						}
					}
					if len(ids) > 0 {
						next = NewRecord(number, ids, nil, []byte{byte(r.Uint32())})
					}
				}
				key, found := table.find(Ref{ByNumber, number})
				if string(found) != string(old) {
					t.Fatalf("seed %d: number %v leads to %x, not %x", seed, number, found, old)
				}
				if err := table.replace(key[:], found, next); err != nil {
					return err
				}
				if model[number] = next; next == nil {
					delete(model, number)
				}
				for first := range uint64(3) {
					for last := range uint64(3) {
						var name Name
						binary.BigEndian.PutUint64(name[:], 1+first)
						binary.BigEndian.PutUint64(name[8:], 1+last)
						for _, by := range [...]Index{ByNumber, ByID} {
							var want Record
							for _, m := range model {
								if f, _ := m.frame(); f.knows(Ref{by, name}) {
									want = m
								}
							}
							if _, found := table.find(Ref{by, name}); string(found) != string(want) {
								t.Fatalf("seed %d: %d %v leads to %x, not %x", seed, by, name, found, want)
							}
						}
					}
				}
			}
			for number := range model {
				key, found := table.find(Ref{ByNumber, number})
				if err := table.replace(key[:], found, nil); err != nil {
					return err
				}
			}
			w := x.patches.walk(tx)
			if key, _ := w.next(); key != nil || w.complete() != nil {
				t.Errorf("seed %d: %x is left, %v", seed, key, w.complete())
			}
			if left := len(x.numbers) + len(x.older) + len(x.twins); left > 0 {
				t.Errorf("seed %d: %d names are left: %v", seed, left, x)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
	}
}

// TestIndexForgetsTwinsOfDamagedRecords: a name that a damaged record left among the twins does not hide the record that has it now.
func TestIndexForgetsTwinsOfDamagedRecords(t *testing.T) {
	name := func(first uint64) (n Name) {
		binary.BigEndian.PutUint64(n[:], first)
		return n
	}
	record := func(number, id uint64) Record { return NewRecord(name(number), []Name{name(id)}, nil, nil) }
	x := newIndex(0)
	x.replace(nil, record(1, 10))
	x.replace(nil, record(2, 20)) // the twin
	x.replace(Record{}, nil)      // 20 was damaged, and is dropped
	x.replace(record(1, 10), nil)
	x.replace(nil, record(2, 30))
	if p, ok := x.place(Ref{ByNumber, name(2)}); !ok || p != 30 {
		t.Errorf("leads to %d, %t, not to 30", p, ok)
	}
	x.replace(record(2, 30), nil)
	if left := len(x.numbers) + len(x.twins); left > 0 {
		t.Errorf("%d names are left: %v", left, x)
	}
}

// createBuckets makes those of a store.
func createBuckets(tx *bbolt.Tx) error {
	_, err := tx.CreateBucketIfNotExists(numbersBucket)
	_, err2 := tx.CreateBucketIfNotExists(patchesBucket)
	return errors.Join(err, err2)
}

// TestFindAfterChanges: one cursor finds what many jobs of one transaction have changed before, on a tree of many pages that split and merge,
// with records that lie at one place; in their place or, those that are far from the end, patched.
func TestFindAfterChanges(t *testing.T) {
	for _, beyond := range []int{nearRecords, 40, 1} {
		t.Run(fmt.Sprint(beyond), func(t *testing.T) { findAfterChanges(t, beyond) })
	}
}

func findAfterChanges(t *testing.T, beyond int) {
	PatchBeyond(beyond)
	defer CycleNear(0)
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "find.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := rand.New(rand.NewPCG(1, 2))
	anyName := func() (n Name) {
		binary.BigEndian.PutUint64(n[:], r.Uint64())
		binary.BigEndian.PutUint64(n[8:], r.Uint64())
		return n
	}
	ms := uint64(1)
	newID := func() Name { // two in three are of the same millisecond as the one before, and often at one place with it
		n := anyName()
		ms += uint64(r.IntN(3) / 2)
		binary.BigEndian.PutUint64(n[:], ms<<16|0x7000|r.Uint64N(3))
		return n
	}
	numbers := make([]Name, 400)
	for i := range numbers {
		numbers[i] = anyName()
	}
	x, model := newIndex(0), map[Name]Record{} // by number
	refs := func(rec Record) []Ref {
		list := []Ref{{ByNumber, rec.Number()}}
		for id := range rec.IDs() {
			list = append(list, Ref{ByID, id})
		}
		for m := range rec.Messages() {
			list = append(list, Ref{ByMessage, m})
		}
		return list
	}
	var h head
	patched := 0
	for transaction := range 400 {
		err := db.Update(func(tx *bbolt.Tx) error {
			if err := createBuckets(tx); err != nil {
				return err
			}
			table := newTable(tx, x, &h)
			mostlyGone := r.IntN(6) == 0
			for range 1 + r.IntN(60) {
				number := numbers[r.IntN(len(numbers))]
				old := model[number]
				ref := Ref{ByNumber, number}
				if old != nil {
					all := refs(old)
					ref = all[r.IntN(len(all))]
				}
				key, found := table.find(ref)
				if string(found) != string(old) {
					t.Fatalf("transaction %d: %v leads to %x, not %x", transaction, ref, found, old)
				}
				var next Record
				if old == nil || !mostlyGone && r.IntN(5) > 0 {
					ids := slices.Collect(old.IDs())
					switch {
					case len(ids) == 0 || r.IntN(2) == 0: // another code: the key changes
						ids = append(ids, newID())
						ids = ids[max(len(ids)-5, 0):]
					case len(ids) > 1 && r.IntN(5) == 0: // given back: it changes back
						ids = ids[:len(ids)-1]
					}
					var messages []Name
					for range r.IntN(3) {
						messages = append(messages, anyName())
					}
					next = NewRecord(number, ids, messages, make([]byte, r.IntN(900)))
				}
				if err := table.replace(key[:], found, next); err != nil {
					return err
				}
				if model[number] = next; next == nil {
					delete(model, number)
				}
			}
			patched = max(patched, len(x.patches.at))
			if transaction%50 == 49 { // what went elsewhere goes, too
				if _, more, _, err := table.sweep(time.Time{}, Name{}, time.UnixMilli(1<<40), 1<<20, func(time.Time, Record) (Record, bool) { return nil, false }); err != nil || more {
					t.Fatalf("sweep: more %t, %v", more, err)
				}
				n := 0
				if err := tx.Bucket(numbersBucket).ForEach(func(_, _ []byte) error { n++; return nil }); err != nil || n != len(model) {
					t.Errorf("transaction %d: %d records after a sweep, want %d, %v", transaction, n, len(model), err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if (patched > 0) != (beyond < len(numbers)) || h.count != uint64(len(model)) {
		t.Errorf("%d records were patched at once; %d records, the head says %d", patched, len(model), h.count)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		table, anew := newTable(tx, x, new(head)), newIndex(0)
		if n, err := anew.patches.load(tx); err != nil || n != h.patches || !maps.Equal(anew.patches.at, x.patches.at) {
			t.Errorf("%d patches of %d, or others, when they are loaded, %v", n, h.patches, err)
		}
		for _, want := range model {
			for _, ref := range refs(want) {
				if _, found := table.find(ref); string(found) != string(want) {
					t.Errorf("%v leads to %x, not %x", ref, found, want)
				}
			}
			anew.replace(nil, want)
		}
		n, w := 0, anew.patches.walk(tx)
		for k, v := w.next(); k != nil; k, v = w.next() {
			if n++; string(model[Record(v).Number()]) != string(v) {
				t.Errorf("%x is %x", k, v)
			}
		}
		if n != len(model) || n == 0 || w.complete() != nil {
			t.Errorf("%d records, want %d, %v", n, len(model), w.complete())
		}
		x.patches, anew.patches = nil, nil
		if !reflect.DeepEqual(x, anew) {
			t.Error("an index that is built anew is another")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFindHandsOverDamage: a record is handed over as damaged to who looks for the number that it had, and not to who looks for one beside it.
func TestFindHandsOverDamage(t *testing.T) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "damage.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := func(first, last uint64) (n Name) {
		binary.BigEndian.PutUint64(n[:], first)
		binary.BigEndian.PutUint64(n[8:], last)
		return n
	}
	lost, beside, unknown := name(1, 1), name(2, 2), name(3, 3)
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(numbersBucket)
		if err != nil {
			return err
		}
		table := newTable(tx, newIndex(0), new(head))
		of := func(number Name, last uint64) Record { return NewRecord(number, []Name{name(7, last)}, nil, nil) } // at one place
		damaged := of(lost, 1)
		for _, r := range []Record{damaged, of(beside, 2)} {
			if err := table.replace(nil, nil, r); err != nil {
				return err
			}
		}
		damaged = bytes.Clone(damaged)
		damaged[16] ^= 1 // the number's last octet
		key := name(7, 1)
		if err := b.Put(key[:], damaged); err != nil {
			return err
		}
		if key, r := table.find(Ref{ByNumber, lost}); r == nil || len(r) > 0 || key != name(7, 1) {
			t.Errorf("the damaged one is %v %x", key, r)
		}
		if key, r := table.find(Ref{ByNumber, beside}); !bytes.Equal(r, of(beside, 2)) || key != name(7, 2) {
			t.Errorf("the one beside it is %v %x", key, r)
		}
		if _, r := table.find(Ref{ByNumber, unknown}); r != nil {
			t.Errorf("one that is not there is %x", r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedChainIsFoundOut: what a patch says of the others of its record may be damaged while the store runs. What comes of that ends at once, or
// the next start finds it, or the record is as it was changed.
func TestDamagedChainIsFoundOut(t *testing.T) {
	PatchBeyond(1)
	defer CycleNear(0)
	const last = 5 // patch of the record
	for name, damage := range map[string]func(header []byte){
		"cut off":     func(h []byte) { clear(h[1:]) },
		"in a circle": func(h []byte) { binary.BigEndian.PutUint64(h[1:], last) },
		"of another":  func(h []byte) { binary.BigEndian.PutUint64(h[1:], last-1) },
		"of none":     func(h []byte) { h[1] = 0x80 },
		"number 0":    func(h []byte) { h[0] = 0 },
		"number 1":    func(h []byte) { h[0] = 1 },
		"number 255":  func(h []byte) { h[0] = 255 },
	} {
		for _, removed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, removed %t", name, removed), func(t *testing.T) {
				found, err := damagedChain(t, damage, removed)
				if (found == nil) != removed && err == nil {
					t.Errorf("the record is %x", found)
				}
				t.Log(err)
			})
		}
	}
}

// damagedChain has the header of the last of three patches damaged, changes their record again or removes it, and gives what a start then finds.
func damagedChain(t *testing.T, damage func(header []byte), removed bool) (found Record, err error) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "chain.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	x, h := newIndex(0), new(head)
	var records [3]Record
	changes := 0
	put := func(table *table, n int) {
		t.Helper()
		var key Name
		key[0] = byte(1 + n)
		changes++
		next := sized(uint64(n), key, changes)
		if err := table.replace(key[:], records[n], next); err != nil {
			t.Fatal(err)
		}
		records[n] = next
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		if err := createBuckets(tx); err != nil {
			return err
		}
		table := newTable(tx, x, h)
		for _, n := range [...]int{0, 1, 2, 0, 1, 0, 1, 0} {
			put(table, n)
		}
		seq, key := x.patches.at[records[0].Newest()], keyOf(records[0])
		patch := bytes.Clone(getPatch(table.patches, seq, key))
		damage(patch[:patchHeader])
		return table.patches.Put(patchKey(seq, key), patch)
	}); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		err = db.Update(func(tx *bbolt.Tx) error {
			table := newTable(tx, x, h)
			if removed {
				return table.replace(keyOf(records[0]), records[0], nil)
			}
			put(table, 1) // so that the next one is another patch
			put(table, 0)
			return nil
		})
	}()
	if err != nil {
		return nil, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		p := newPatches()
		if _, err := p.load(tx); err != nil {
			return err
		}
		w := p.walk(tx)
		for k, v := w.next(); k != nil; k, v = w.next() {
			if bytes.Equal(k, keyOf(records[0])) {
				found = bytes.Clone(v)
			}
		}
		return w.complete()
	})
	if !removed && err == nil && !bytes.Equal(found, records[0]) {
		t.Errorf("%x is believed again", found)
	}
	return found, err
}
