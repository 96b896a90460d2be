package otpstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The check of a file before bbolt opens it. bbolt trusts every page: a damaged one may end the process from a goroutine of bbolt's own.
// Here nothing is trusted, and nothing but the reader is touched: each page of the trees is read once, with bounds on all that it says,
// so that the check ends, and takes little memory, whatever the file holds. It looks at the structure only. That the records
// are as they were written, and all there, the scan finds out.

const (
	pageHeader    = 16
	pageElement   = 16
	bucketHeader  = 16
	metaLength    = 64
	branchPage    = 0x01
	leafPage      = 0x02
	freelistPage  = 0x10
	leastPages    = 4
	deepestTree   = 32
	largestPage   = 16 << 20 // octets of a page with its overflow
	boltMagic     = 0xED0CDAED
	boltLayout    = 2
	noFreelist    = ^uint64(0)
	smallestBlock = 1 << 10 // sizes of a page
	largestBlock  = 1 << 16
)

var native = binary.NativeEndian // as bbolt writes

// A soundness is what the check found out about a file that can be opened.
type soundness struct {
	fellBack bool  // one of the two metas is damaged: the other stands, which may be a commit older
	used     int64 // octets of the pages in use, free ones among them
	pageSize int64
}

// A boltMeta is one of the two pages that say where the trees are.
type boltMeta struct{ pageSize, root, freelist, pages, tx uint64 }

// readMeta reads the meta at an offset, or says that there is none.
func readMeta(r io.ReaderAt, at int64) (m boltMeta, ok bool, err error) {
	var b [pageHeader + metaLength]byte
	if _, err := r.ReadAt(b[:], at); errors.Is(err, io.EOF) {
		return m, false, nil
	} else if err != nil {
		return m, false, fmt.Errorf("head at %d: %w", at, err)
	}
	meta := b[pageHeader:]
	sum := fnv.New64a()
	sum.Write(meta[:metaLength-8])
	if native.Uint32(meta) != boltMagic || native.Uint32(meta[4:]) != boltLayout || native.Uint64(meta[56:]) != sum.Sum64() {
		return m, false, nil
	}
	return boltMeta{
		pageSize: uint64(native.Uint32(meta[8:])), root: native.Uint64(meta[16:]), freelist: native.Uint64(meta[32:]),
		pages: native.Uint64(meta[40:]), tx: native.Uint64(meta[48:]),
	}, true, nil
}

// check says whether bbolt can be trusted with the first size octets of r. The error wraps ErrCorrupt, unless r could not be read.
func check(r io.ReaderAt, size int64) (soundness, error) {
	first, ok, err := readMeta(r, 0)
	second, also := boltMeta{}, false
	if ok {
		second, also, err = readMeta(r, int64(first.pageSize))
	}
	for at := int64(smallestBlock); !ok && err == nil && at <= largestBlock && !also; at <<= 1 {
		second, also, err = readMeta(r, at)
		also = also && second.pageSize == uint64(at)
	}
	if err != nil {
		return soundness{}, err
	}
	m := first
	switch {
	case !ok && !also:
		return soundness{}, fmt.Errorf("%w: neither of its heads can be read", ErrCorrupt)
	case !ok || also && second.tx > first.tx:
		m = second
	}
	if m.pageSize < smallestBlock || m.pageSize > largestBlock || m.pageSize&(m.pageSize-1) != 0 ||
		m.pages < leastPages || m.pages > uint64(size)/m.pageSize {
		return soundness{}, fmt.Errorf("%w: its %d pages of %d octets are not in %d", ErrCorrupt, m.pages, m.pageSize, size)
	}
	c := &checker{r: r, meta: m, seen: make([]byte, m.pages/8+1)}
	c.mark(0, 1)
	if err := c.tree(m.root, nil, nil, 0, c.bucket); err != nil {
		return soundness{}, err
	}
	if m.freelist != noFreelist { // by a tool: a store keeps none
		if err := c.free(m.freelist); err != nil {
			return soundness{}, err
		}
	}
	if !c.metas || !c.numbers {
		return soundness{}, fmt.Errorf("%w: it has no records", ErrCorrupt)
	}
	return soundness{fellBack: !ok || !also, used: int64(m.pages * m.pageSize), pageSize: int64(m.pageSize)}, nil
}

// A checker walks the trees of a file.
type checker struct {
	r              io.ReaderAt
	meta           boltMeta
	seen           []byte // a bit for each page
	buffers        [deepestTree][]byte
	metas, numbers bool // the buckets that must be there
}

// mark takes pages as seen, and says whether they are in the file and none was before.
func (c *checker) mark(from, count uint64) bool {
	if from >= c.meta.pages || count > c.meta.pages-from {
		return false
	}
	for p := from; p < from+count; p++ {
		if c.seen[p/8]&(1<<(p%8)) != 0 {
			return false
		}
		c.seen[p/8] |= 1 << (p % 8)
	}
	return true
}

func damagedPage(id uint64, what string) error {
	return fmt.Errorf("%w: page %d %s", ErrCorrupt, id, what)
}

// load reads the page with that id into buffer n, once it was seen to be the one that belongs there.
func (c *checker) load(id uint64, n int) ([]byte, error) {
	at := int64(id * c.meta.pageSize)
	if c.buffers[n] == nil {
		c.buffers[n] = make([]byte, c.meta.pageSize)
	}
	page := c.buffers[n][:c.meta.pageSize]
	if _, err := c.r.ReadAt(page, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	length := (uint64(native.Uint32(page[12:])) + 1) * c.meta.pageSize
	if native.Uint64(page) != id || length > largestPage || !c.mark(id, length/c.meta.pageSize) {
		return nil, damagedPage(id, "is not the one that belongs here")
	}
	if length == c.meta.pageSize {
		return page, nil
	}
	if uint64(cap(c.buffers[n])) < length {
		c.buffers[n] = make([]byte, length)
	}
	page = c.buffers[n][:length]
	if _, err := c.r.ReadAt(page, at); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

// free checks the list of free pages.
func (c *checker) free(id uint64) error {
	if id < 2 || id >= c.meta.pages {
		return damagedPage(id, "is in the wrong place")
	}
	page, err := c.load(id, 0)
	if err != nil {
		return err
	}
	if native.Uint16(page[8:]) != freelistPage {
		return damagedPage(id, "is no list of free pages")
	}
	count, at := uint64(native.Uint16(page[10:])), uint64(pageHeader)
	if count == 0xFFFF {
		count, at = native.Uint64(page[at:]), at+8
	}
	if count > (uint64(len(page))-at)/8 {
		return damagedPage(id, "lists more pages than it has room for")
	}
	for ; count > 0; count, at = count-1, at+8 {
		if free := native.Uint64(page[at:]); free < 2 || !c.mark(free, 1) {
			return damagedPage(id, "lists a page that is in use")
		}
	}
	return nil
}

// tree walks the tree below page id, whose first key is low, unless that is nil, and whose keys are below high, unless that is nil, and calls leaf
// for its entries. A node that is not found in its parent by its first key would be written twice by bbolt.
func (c *checker) tree(id uint64, low, high []byte, depth int, leaf func(flags uint32, key, value []byte) error) error {
	if id < 2 || id >= c.meta.pages || depth >= deepestTree {
		return damagedPage(id, "is in the wrong place")
	}
	page, err := c.load(id, depth)
	if err != nil {
		return err
	}
	switch flags := native.Uint16(page[8:]); flags {
	case leafPage:
		if depth > 0 && native.Uint16(page[10:]) == 0 {
			return damagedPage(id, "is empty")
		}
		return entries(page, id, low, high, leaf)
	case branchPage:
		return c.branch(page, id, low, high, depth, leaf)
	}
	return damagedPage(id, "is of no known kind")
}

// branch walks the children of a page.
func (c *checker) branch(page []byte, id uint64, low, high []byte, depth int, leaf func(flags uint32, key, value []byte) error) error {
	count := int(native.Uint16(page[10:]))
	if count == 0 || pageHeader+count*pageElement > len(page) {
		return damagedPage(id, "has no children, or too many")
	}
	key := func(i int) ([]byte, bool) {
		at := pageHeader + i*pageElement
		return within(page, at, native.Uint32(page[at:]), native.Uint32(page[at+4:]), count)
	}
	from, ok := key(0)
	for i := range count {
		if !ok || i == 0 && low != nil && !bytes.Equal(from, low) || high != nil && bytes.Compare(from, high) >= 0 {
			return damagedPage(id, "has a key that does not belong there")
		}
		to := high
		if i+1 < count {
			if to, ok = key(i + 1); !ok || bytes.Compare(from, to) >= 0 {
				return damagedPage(id, "has keys out of order")
			}
		}
		child := native.Uint64(page[pageHeader+i*pageElement+8:])
		if err := c.tree(child, from, to, depth+1, leaf); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// within gives length octets, at least one, that begin offset behind an element of a page with count elements.
func within(page []byte, element int, offset, length uint32, count int) ([]byte, bool) {
	begin := uint64(element) + uint64(offset)
	if length == 0 || begin < uint64(pageHeader+count*pageElement) || begin+uint64(length) > uint64(len(page)) {
		return nil, false
	}
	return page[begin : begin+uint64(length)], true
}

// entries walks a leaf.
func entries(page []byte, id uint64, low, high []byte, leaf func(flags uint32, key, value []byte) error) error {
	count := int(native.Uint16(page[10:]))
	if pageHeader+count*pageElement > len(page) {
		return damagedPage(id, "has too many entries")
	}
	var last []byte
	for i := range count {
		at := pageHeader + i*pageElement
		size, more := native.Uint32(page[at+8:]), native.Uint32(page[at+12:])
		key, ok := within(page, at, native.Uint32(page[at+4:]), size, count)
		if end := uint64(at) + uint64(native.Uint32(page[at+4:])) + uint64(size) + uint64(more); !ok || end > uint64(len(page)) {
			return damagedPage(id, "has an entry that is not within it")
		}
		if i == 0 && low != nil && !bytes.Equal(key, low) || i > 0 && bytes.Compare(key, last) <= 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return damagedPage(id, "has keys out of order")
		}
		if err := leaf(native.Uint32(page[at:]), key, key[size:size+more]); err != nil {
			return err
		}
		last = key
	}
	return nil
}

// bucket checks a bucket of the file.
func (c *checker) bucket(flags uint32, name, value []byte) error {
	if flags != 1 || len(value) < bucketHeader {
		return fmt.Errorf("%w: it holds more than its buckets", ErrCorrupt)
	}
	c.metas = c.metas || bytes.Equal(name, metaBucket)
	c.numbers = c.numbers || bytes.Equal(name, numbersBucket)
	plain := func(flags uint32, _, _ []byte) error {
		if flags != 0 {
			return fmt.Errorf("%w: a bucket is within another", ErrCorrupt)
		}
		return nil
	}
	if root := native.Uint64(value); root != 0 {
		saved := c.buffers
		c.buffers = [deepestTree][]byte{} // name and value lie in those of the tree above
		defer func() { c.buffers = saved }()
		return c.tree(root, nil, nil, 0, plain)
	}
	page := value[bucketHeader:]
	if len(page) < pageHeader || native.Uint16(page[8:]) != leafPage {
		return fmt.Errorf("%w: a bucket within a page is damaged", ErrCorrupt)
	}
	return entries(page, 0, nil, nil, plain)
}
