package config

import (
	"slices"
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A walker lists the nodes of a TOML text with their places. It stops at the first error of syntax, for which it leaves
// the word to toml.Unmarshal, and accepts more than TOML does: a key that is there twice is two nodes.
type walker struct {
	text   []byte
	lines  []int // offset of the first octet of each line
	parser unstable.Parser
	table  path
	lists  map[string]int // tables so far in each list at the top

	nodes  []node
	starts []int // offset of each expression at the top
	first  []int // its first node
}

func newWalker(text []byte) *walker {
	w := &walker{text: text, lines: []int{0}, lists: map[string]int{}}
	for i, c := range text {
		if c == '\n' {
			w.lines = append(w.lines, i+1)
		}
	}
	w.parser.Reset(text)
	return w
}

func (w *walker) walk() {
	for w.parser.NextExpression() {
		e := w.parser.Expression()
		start := w.start(e)
		w.starts, w.first = append(w.starts, start), append(w.first, len(w.nodes))
		if e.Kind == unstable.KeyValue {
			w.keyValue(w.table, e)
			continue
		}
		w.table = w.parts(nil, e)
		head := &w.table[0]
		if len(w.table) == 1 && e.Kind == unstable.ArrayTable {
			w.lists[head.name]++
		}
		head.index = w.lists[head.name] - 1
		w.table[len(w.table)-1].place = w.place(start)
		w.nodes = append(w.nodes, node{path: w.table, kind: e.Kind})
	}
}

// start is the offset of an expression: of its key, or of the bracket before it.
func (w *walker) start(e *unstable.Node) int {
	keys := e.Key()
	keys.Next()
	at := int(keys.Node().Raw.Offset)
	if e.Kind == unstable.KeyValue {
		return at
	}
	for at--; w.text[at] != '['; at-- { // white space
	}
	if e.Kind == unstable.ArrayTable {
		at--
	}
	return at
}

func (w *walker) place(offset int) place {
	line := sort.SearchInts(w.lines, offset+1)
	return place{line: line, column: offset - w.lines[line-1] + 1}
}

// parts is prefix with the key of e behind it, no longer than maxParts.
func (w *walker) parts(prefix path, e *unstable.Node) path {
	p := slices.Clone(prefix)
	for keys := e.Key(); len(p) < maxParts && keys.Next(); {
		k := keys.Node()
		p = append(p, part{name: string(k.Data), index: -1, place: w.place(int(k.Raw.Offset))})
	}
	return p
}

func (w *walker) keyValue(table path, e *unstable.Node) {
	w.value(w.parts(table, e), e.Value())
}

func (w *walker) value(p path, v *unstable.Node) {
	n := node{path: p, kind: v.Kind}
	switch v.Kind {
	case unstable.InlineTable:
		w.nodes = append(w.nodes, n)
		w.inline(p, v)
	case unstable.Array:
		for items := v.Children(); items.Next(); {
			n.items = append(n.items, items.Node().Kind)
		}
		w.nodes = append(w.nodes, n)
		if len(p) == 1 {
			w.tables(p, v)
		}
	default:
		n.text = string(v.Data)
		w.nodes = append(w.nodes, n)
	}
}

// tables lists the inline tables of an array at the top.
func (w *walker) tables(p path, v *unstable.Node) {
	i := 0
	for items := v.Children(); items.Next(); i++ {
		if items.Node().Kind == unstable.InlineTable {
			table := slices.Clone(p)
			table[0].index = i
			w.inline(table, items.Node())
		}
	}
}

func (w *walker) inline(p path, v *unstable.Node) {
	if len(p) == maxParts {
		return
	}
	for entries := v.Children(); entries.Next(); {
		w.keyValue(p, entries.Node())
	}
}
