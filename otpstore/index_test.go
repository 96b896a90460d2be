package otpstore

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
)

// TestIndexTellsTwinsApart: names of which halves are the same, as no hash would give them, still lead to their own record, whatever came and
// went before.
func TestIndexTellsTwinsApart(t *testing.T) {
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
			if _, err := tx.CreateBucketIfNotExists(numbersBucket); err != nil {
				return err
			}
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
