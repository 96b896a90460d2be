package otpstore

import (
	"bytes"
	"encoding/binary"
)

// A place is the first half of a key: the keys that begin with it are few, and lie side by side.
type place uint64

func placeOf(key Name) place { return place(binary.BigEndian.Uint64(key[:8])) }

// An index says at which place the record lies that has a name other than its key. It is kept in memory, 17 octets and what a map leaves free
// for a name, and built anew at every opening. Its one owner at a time is the scan, then the committer.
//
// It knows names by their last half alone, which is random in all of them. So what it says is a guess that the record has to confirm.
type index struct {
	numbers  map[uint64]place
	older    map[uint64]place // ids but the newest, which is the key itself
	messages map[uint64]place // of the record that was written last with the message
	twins    map[Ref]place    // numbers and ids whose last half another one has
	patches  *patches
}

// newIndex has room for so many records.
func newIndex(records int) *index {
	return &index{
		numbers:  make(map[uint64]place, records),
		older:    map[uint64]place{},
		messages: make(map[uint64]place, records),
		twins:    map[Ref]place{},
		patches:  newPatches(),
	}
}

func (x *index) by(i Index) map[uint64]place {
	switch i {
	case ByNumber:
		return x.numbers
	case ByMessage:
		return x.messages
	}
	return x.older
}

func lastHalf(n Name) uint64 { return binary.BigEndian.Uint64(n[8:]) }

// place gives the place at which ref's record would be, if it is not under ref's name itself.
func (x *index) place(ref Ref) (p place, ok bool) {
	if len(x.twins) > 0 {
		if p, ok = x.twins[ref]; ok {
			return p, true
		}
	}
	p, ok = x.by(ref.By)[lastHalf(ref.Name)]
	return p, ok
}

// leads reports whether ref leads to p.
func (x *index) leads(ref Ref, p place) bool {
	at, ok := x.place(ref)
	return ok && at == p
}

// add makes ref, which leads nowhere, lead to p.
func (x *index) add(ref Ref, p place) {
	names, half := x.by(ref.By), lastHalf(ref.Name)
	if _, taken := names[half]; taken {
		x.twins[ref] = p
	} else {
		names[half] = p
		delete(x.twins, ref) // of a damaged record
	}
}

// drop makes ref lead to p no longer.
func (x *index) drop(ref Ref, p place) {
	if at, is := x.twins[ref]; is && at == p {
		delete(x.twins, ref)
		return
	}
	names, half := x.by(ref.By), lastHalf(ref.Name)
	if names[half] == p {
		delete(names, half)
	}
}

// replace makes the index know next in old's place. Either may be nil; names of a damaged old record stay and lead nowhere.
func (x *index) replace(old, next Record) {
	was, had := old.frame()
	is, has := next.frame()
	if has && (!had || was.newest() != is.newest()) {
		x.patches.pass(is.newest())
	}
	if has && bytes.Equal(was.names, is.names) {
		return
	}
	if had {
		p := placeOf(was.newest())
		x.drop(Ref{ByNumber, was.number}, p)
		for id := range each(was.older()) {
			x.drop(Ref{ByID, id}, p)
		}
		for m := range each(was.messages) {
			x.drop(Ref{ByMessage, m}, p)
		}
	}
	if has {
		p := placeOf(is.newest())
		x.add(Ref{ByNumber, is.number}, p)
		for id := range each(is.older()) {
			x.add(Ref{ByID, id}, p)
		}
		for m := range each(is.messages) { // of two records with the same message the later counts
			x.messages[lastHalf(m)] = p
		}
	}
}
