package otpstore

import "go.etcd.io/bbolt"

// An extent is what is known of how much a transaction will write. bbolt writes each page anew that holds something that changed, and the way to it
// from the root; how full the pages are it tells nobody, so that all that follows is an upper bound.
type extent struct {
	put     int64 // octets of the records that were put
	moved   bool  // a record went away: what is left on its page may be merged with the page beside it
	largest int64 // octets of the largest record that may be in the file
}

const (
	leafKeys   = 4       // bbolt splits no page of so many entries, however large it gets
	entryExtra = 64      // octets of an entry besides the record: its key, and what leads to it
	nodesMost  = 64      // pages that one record can have on its ways, to where it and its patches were, to what is cleared, and to where it will be
	headMost   = 2       // pages that a commit of nothing but a head writes
	headNodes  = 8       // pages of the head and the ways to it
	sweptNodes = 12      // pages of one of many that are removed in order: shared with others, but for the ways to its patches
	growthMost = 1 << 14 // octets by which a record grows at once
)

// begin makes e that of a transaction in which nothing was done yet.
func (e *extent) begin() { e.put, e.moved = 0, false }

// replaces makes e count next in old's place.
func (e *extent) replaces(old, next Record) {
	e.put += int64(len(next))
	e.largest = max(e.largest, int64(len(next)))
	e.moved = e.moved || len(old) > 0 && (len(next) == 0 || old.Newest() != next.Newest())
}

// leaf is the most octets that a page with records has, a multiple of page.
func (e *extent) leaf(page int64) int64 {
	return max(page, (leafKeys*(e.largest+entryExtra)+page)/page*page)
}

// single reports whether every page takes up the place of one, so that any that is free will do.
func (e *extent) single(page int64) bool { return e.leaf(page) == page }

// nodes are the most octets that so many pages become which were read to be written anew. What is on a full one that grows is put on two.
func (e *extent) nodes(n, page int64) int64 {
	if e.moved {
		n *= 2
	}
	if e.single(page) {
		return n * 2 * page
	}
	return n * (e.leaf(page) + 2*page)
}

// octets are the most that tx will write.
func (e *extent) octets(tx *bbolt.Tx, page int64) int64 {
	stats := tx.Stats()
	return e.nodes(stats.GetNodeCount()+headNodes, page) + 4*e.put
}

// step are the most octets that one step more can add.
func (e *extent) step(page int64) int64 {
	leaves := extent{largest: e.largest + growthMost, moved: true}
	return leaves.nodes(2, page) + 2*2*nodesMost*page + 4*leaves.largest
}

// sweep is how many records one step may remove so that it takes no more than so many octets.
func (e *extent) sweep(octets, page int64) int {
	each := extent{largest: e.largest, moved: true}
	return int(max(1, octets/each.nodes(sweptNodes, page)))
}
