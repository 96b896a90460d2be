package losefs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

type page [pageSize]byte

// A file is its content as it was written, and as it was synced. A page that is missing is all zeros.
type file struct {
	id          uint64
	mode        uint32
	size, safe  int64 // written, synced
	pages, kept map[int64]*page
	dirty       map[int64]bool // pages written since the last sync: those that kept does not share
}

func newFile(id uint64, mode uint32) *file {
	return &file{id: id, mode: mode, pages: map[int64]*page{}, kept: map[int64]*page{}, dirty: map[int64]bool{}}
}

func (f *file) read(b []byte, at int64) int {
	b = b[:max(0, min(int64(len(b)), f.size-at))]
	for n := 0; n < len(b); {
		p, from := (at+int64(n))/pageSize, (at+int64(n))%pageSize
		end := min(len(b), n+int(pageSize-from))
		if content := f.pages[p]; content != nil {
			copy(b[n:end], content[from:])
		} else {
			clear(b[n:end])
		}
		n = end
	}
	return len(b)
}

// own gives a page that may be changed.
func (f *file) own(p int64) *page {
	content := new(page)
	if old := f.pages[p]; old != nil {
		if f.dirty[p] {
			return old
		}
		*content = *old
	}
	f.pages[p], f.dirty[p] = content, true
	return content
}

// needs counts the pages that a write would add.
func (f *file) needs(length int, at int64) (pages int) {
	for p := at / pageSize; p*pageSize < at+int64(length); p++ {
		if f.pages[p] == nil {
			pages++
		}
	}
	return pages
}

func (f *file) write(b []byte, at int64) {
	for n := 0; n < len(b); {
		p, from := (at+int64(n))/pageSize, (at+int64(n))%pageSize
		n += copy(f.own(p)[from:], b[n:])
	}
	f.size = max(f.size, at+int64(len(b)))
}

func (f *file) truncate(size int64) {
	for p := range f.pages {
		if p*pageSize >= size {
			delete(f.pages, p)
			f.dirty[p] = true
		}
	}
	if p := size / pageSize; size%pageSize != 0 && f.pages[p] != nil {
		clear(f.own(p)[size%pageSize:])
	}
	f.size = size
}

func (f *file) sync() {
	for p := range f.dirty {
		set(f.kept, p, f.pages[p])
	}
	clear(f.dirty)
	f.safe = f.size
}

func set(pages map[int64]*page, p int64, content *page) {
	if content == nil {
		delete(pages, p)
	} else {
		pages[p] = content
	}
}

// forget is a sync that failed: what was dirty counts as clean, and is not.
func (f *file) forget() { clear(f.dirty) }

// after is f after a power failure, as another file. rng decides what becomes of each page; nil loses all that was not synced.
func (f *file) after(id uint64, rng *rand.Rand) *file {
	next := newFile(id, f.mode)
	next.size, next.pages = f.safe, maps.Clone(f.kept)
	if rng != nil {
		if f.size != f.safe && rng.IntN(2) == 0 {
			next.size = f.size
		}
		for _, p := range slices.Sorted(maps.Keys(f.dirty)) {
			switch written := f.pages[p]; rng.IntN(3) {
			case 0:
			case 1:
				set(next.pages, p, written)
			case 2:
				next.pages[p] = torn(f.kept[p], written, rng)
			}
		}
	}
	next.truncate(next.size)
	clear(next.dirty)
	next.safe, next.kept = next.size, maps.Clone(next.pages)
	return next
}

// torn is a page of which some sectors, at the front or at the end, were written and the others were not.
func torn(old, written *page, rng *rand.Rand) *page {
	front, back := new(page), new(page)
	if old != nil {
		*front = *old
	}
	if written != nil {
		*back = *written
	}
	if rng.IntN(2) == 0 {
		front, back = back, front
	}
	cut := sectorSize * (1 + rng.IntN(pageSize/sectorSize-1))
	copy(front[cut:], back[cut:])
	return front
}

// An image is all files by their names, as they were made, and as they were synced.
type image struct {
	names, kept map[string]*file
	last        uint64 // id that was given last
}

// root is the id of the directory.
const root = 1

func newImage(last uint64) *image {
	return &image{names: map[string]*file{}, kept: map[string]*file{}, last: last}
}

func (m *image) create(name string, mode uint32) *file {
	m.last++
	f := newFile(m.last, mode)
	m.names[name] = f
	return f
}

func (m *image) sync() { m.kept = maps.Clone(m.names) }

// used counts the pages of all files.
func (m *image) used() (pages int) {
	counted := map[*file]bool{}
	for _, f := range m.names {
		if !counted[f] {
			pages += len(f.pages)
		}
		counted[f] = true
	}
	return pages
}

// after is m after a power failure; no file has the id that it had.
func (m *image) after(l Loss) *image {
	var rng *rand.Rand
	if l.Torn {
		rng = rand.New(rand.NewPCG(l.Seed, l.Seed))
	}
	next := newImage(m.last)
	survivors := map[*file]*file{}
	both := maps.Clone(m.names)
	maps.Copy(both, m.kept)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		f := m.kept[name]
		if f != m.names[name] && rng != nil && rng.IntN(2) == 0 {
			f = m.names[name]
		}
		if f == nil {
			continue
		}
		if survivors[f] == nil {
			next.last++
			survivors[f] = f.after(next.last, rng)
		}
		next.names[name] = survivors[f]
	}
	next.sync()
	return next
}
