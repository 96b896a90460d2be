package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A document is a TOML file with the place of everything in it.
type document struct {
	file   string
	values map[string]any // as decoded; check takes out what does not fit the schema
	nodes  []node         // in the order of the file
	places map[string]place
	failed map[string]bool // paths of which check has found something wrong
}

// A place is a line and column, both from 1.
type place struct{ line, column int }

// A node is a table header, or a key with its value.
type node struct {
	path  path
	kind  unstable.Kind
	text  string          // of a value that is neither array nor table: what a string says, else as written
	items []unstable.Kind // of an array
}

// parse reads a TOML document. It returns a problem instead if there is no making sense of it.
func parse(file string, text []byte) (*document, *Problem) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // editors on Windows write it; go-toml does not take it
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, &Problem{File: file, Message: "is written in UTF-16, must be UTF-8"}
	}
	if !shallow(text) {
		return nil, &Problem{File: file, Message: "nests lists or tables too deeply"}
	}
	d := &document{file: file, places: map[string]place{}, failed: map[string]bool{}}
	err := toml.Unmarshal(text, &d.values)
	w := newWalker(text)
	w.walk()
	if err != nil {
		return nil, syntaxProblem(file, w, err)
	}
	d.nodes = w.nodes
	for _, n := range d.nodes {
		for i := range n.path {
			if p := n.path[:i+1].String(); d.places[p] == (place{}) {
				d.places[p] = n.path[i].place
			}
		}
	}
	return d, nil
}

// shallow says that text nests lists and inline tables no deeper than a parser that recurses can bear. It takes brackets
// in strings and comments for others: it is no exact measure, and need not be.
func shallow(text []byte) bool {
	const deepest = 1000
	depth := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > deepest {
			return false
		}
	}
	return true
}

// syntaxProblem finds the place of an error of toml.Unmarshal, which has none when something is there twice.
func syntaxProblem(file string, w *walker, err error) *Problem {
	p := &Problem{File: file, Message: plain(err.Error())}
	if detail := new(toml.DecodeError); errors.As(err, &detail) {
		p.Line, p.Column = detail.Position()
		return p
	}
	// The first expression with which the text is in error contradicts what stands before it.
	n := sort.Search(len(w.starts), func(i int) bool {
		end := len(w.text)
		if i+1 < len(w.starts) {
			end = w.starts[i+1]
		}
		var values map[string]any
		return toml.Unmarshal(w.text[:end], &values) != nil
	})
	if n == len(w.starts) {
		return p
	}
	culprit := w.nodes[w.first[n]].path
	p.Key = culprit.String()
	at := culprit[len(culprit)-1].place
	p.Line, p.Column = at.line, at.column
	for _, earlier := range w.nodes[:w.first[n]] {
		if earlier.path.String() == p.Key {
			at := earlier.path[len(earlier.path)-1].place
			p.Message = fmt.Sprintf("%s: is there already, in line %d", p.Key, at.line)
			break
		}
	}
	return p
}

// plain is a message of go-toml as one line that repeats no value of the file: it could be a secret.
func plain(message string) string {
	message = strings.TrimPrefix(message, "toml: ")
	if before, after, found := strings.Cut(message, ": strconv."); found {
		message = before + after[strings.LastIndex(after, ": "):]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, message)
}

// fail remembers that something is wrong at p, takes its value away, and returns the problem.
func (d *document) fail(p path, format string, args ...any) Problem {
	key := p.String()
	d.failed[key] = true
	at := p[len(p)-1].place
	remove(d.values, p)
	return Problem{File: d.file, Line: at.line, Column: at.column, Key: key, Message: fmt.Sprintf(format, args...)}
}

// remove takes the value at p out of values. Where there is none it does nothing.
func remove(values map[string]any, p path) {
	for i, step := range p {
		if i == len(p)-1 && step.index < 0 {
			delete(values, step.name)
			return
		}
		next := values[step.name]
		if list, is := next.([]any); is && step.index >= 0 && step.index < len(list) {
			next = list[step.index]
		}
		table, is := next.(map[string]any)
		if !is {
			return
		}
		values = table
	}
}

// check finds every key that s does not have and every value of another type, and takes them out of d.values.
func (d *document) check(s schema) []Problem {
	var problems []Problem
	for _, n := range d.nodes {
		if slices.ContainsFunc(prefixes(n.path), func(p string) bool { return d.failed[p] }) {
			continue
		}
		if p, wrong := d.checkNode(s, n); wrong {
			problems = append(problems, p)
		}
	}
	return problems
}

func (d *document) checkNode(s schema, n node) (_ Problem, wrong bool) {
	table := n.path[:1]
	every := path{{name: table[0].name, index: -1, place: table[0].place}} // the table, or all of its list
	sec, known := s.section(table[0].name)
	if !known {
		return d.unknown(s, every), true
	}
	isTable := len(n.path) > 1 || n.kind == unstable.Table || n.kind == unstable.ArrayTable || n.kind == unstable.InlineTable
	isList := table[0].index >= 0
	switch {
	case sec.list && !isList:
		if isTable || n.kind != unstable.Array || slices.ContainsFunc(n.items, func(k unstable.Kind) bool { return k != unstable.InlineTable }) {
			return d.fail(every, "%s: must be a list of tables, each headed [[%s]]", sec.name, sec.name), true
		}
		return Problem{}, false
	case !sec.list && (isList || !isTable):
		return d.fail(every, "%s: must be one table, headed [%s]", sec.name, sec.name), true
	case len(n.path) == 1:
		return Problem{}, false
	}

	at := n.path[:2]
	k, known := sec.key(at[1].name)
	if !known {
		return d.unknown(s, at), true
	}
	if len(n.path) > 2 || n.kind == unstable.Table || n.kind == unstable.ArrayTable || n.kind == unstable.InlineTable {
		return d.fail(at, "%s: must be %s, not a table", at, k.kind), true
	}
	if fault := k.kind.fault(n); fault != "" {
		return d.fail(at, "%s%s", at, fault), true
	}
	return Problem{}, false
}

// unknown is the problem of a key, or a table, that s does not have.
func (d *document) unknown(s schema, p path) Problem {
	name := p[len(p)-1].name
	var candidates, homes []string
	within := ""
	if len(p) == 1 {
		for _, sec := range s {
			candidates = append(candidates, sec.name)
		}
	} else {
		within = p[:1].String() + "."
		sec, _ := s.section(p[0].name)
		for _, k := range sec.keys {
			candidates = append(candidates, k.name)
		}
	}
	if near := suggest(name, candidates); near != "" {
		return d.fail(p, "unknown key %q (did you mean %q?)", p, within+near)
	}
	for _, sec := range s {
		if _, has := sec.key(name); has {
			homes = append(homes, sec.header())
		}
	}
	switch {
	case homes != nil:
		return d.fail(p, "unknown key %q (%q belongs under %s)", p, name, strings.Join(homes, " or "))
	case len(p) == 1:
		return d.fail(p, "unknown key %q (known are %s)", p, strings.Join(candidates, ", "))
	}
	return d.fail(p, "unknown key %q", p)
}

// has says whether the file sets the key itself.
func (d *document) has(key string) bool {
	_, found := d.places[key]
	return found
}

// find is the place of the key, or of the nearest table around it; none when the file says nothing of either.
func (d *document) find(key string) place {
	for {
		if at, found := d.places[key]; found {
			return at
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return place{}
		}
		key = key[:cut]
	}
}
