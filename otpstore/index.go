package otpstore

import "bytes"

// An index finds records by the names that are not their key. It is kept in memory and built anew at every opening. Its one
// owner at a time is the scan, then the committer.
type index struct {
	numbers  map[Name]Name // number → key
	older    map[Name]Name // ids but the newest, which is the key itself → key
	messages map[Name]Name // message → key of the record that was written last with it
}

func newIndex() *index {
	return &index{numbers: map[Name]Name{}, older: map[Name]Name{}, messages: map[Name]Name{}}
}

// key gives the key under which ref's record would be.
func (x *index) key(ref Ref) (key Name, ok bool) {
	switch ref.By {
	case ByNumber:
		key, ok = x.numbers[ref.Name]
	case ByMessage:
		key, ok = x.messages[ref.Name]
	case ByID:
		if key, ok = x.older[ref.Name]; !ok {
			key, ok = ref.Name, true
		}
	}
	return key, ok
}

// replace makes the index know next in old's place. Either may be nil; names of a damaged old record stay and lead nowhere.
func (x *index) replace(old, next Record) {
	was, _ := old.frame()
	is, ok := next.frame()
	if ok && bytes.Equal(was.names, is.names) {
		return
	}
	key := was.newest()
	for id := range each(was.ids) {
		delete(x.older, id)
	}
	for m := range each(was.messages) {
		if x.messages[m] == key {
			delete(x.messages, m)
		}
	}
	if len(was.ids) > 0 && (!ok || was.number != is.number) {
		delete(x.numbers, was.number)
	}
	if !ok {
		return
	}
	key = is.newest()
	x.numbers[is.number] = key
	for id := range each(is.ids[:len(is.ids)-len(key)]) {
		x.older[id] = key
	}
	for m := range each(is.messages) {
		x.messages[m] = key
	}
}
