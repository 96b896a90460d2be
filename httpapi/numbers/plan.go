package numbers

import (
	"errors"
	"fmt"
)

// A Plan is the prefixes and files of a Config made ready. It does not change, and any number of goroutines may use it.
type Plan struct {
	lists    [listCount]*list // nil: no file
	prefixes prefixTable[Verdict]
	groups   prefixTable[struct{}] // of own alone
	rest     Verdict               // on numbers that nothing speaks of
}

// The lists, the stricter first: doc.go has the rules that this order makes.
const (
	blockedList = iota
	notAllowedList
	landlineList
	portedOutList
	portedInList
	ownList
	listCount
)

// A source is one list as the configuration has it.
type source struct {
	key      string
	verdict  Verdict
	prefixes []string
	path     string
}

func (c *Config) sources() [listCount]source {
	return [listCount]source{
		blockedList:    {"blocked", Blocked, c.Blocked, c.BlockedFile},
		notAllowedList: {"not_allowed", NotAllowed, c.NotAllowed, c.NotAllowedFile},
		landlineList:   {"landline", Landline, c.Landline, c.LandlineFile},
		portedOutList:  {"ported_out", Foreign, nil, c.PortedOutFile},
		portedInList:   {"ported_in", Served, nil, c.PortedInFile},
		ownList:        {"own", Served, c.Own, c.OwnFile},
	}
}

// Load reads the files of cfg, which is validated first, and takes from previous, which may be nil, what has not changed since. Its error
// joins one for each key and bad line, a few of them for each file, and each begins with the key.
func Load(cfg Config, previous *Plan) (*Plan, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Plan{}
	if len(cfg.Own) > 0 || cfg.OwnFile != "" {
		p.rest = Foreign
	}
	var errs []error
	for i, source := range cfg.sources() {
		for _, prefix := range source.prefixes {
			n, _, _ := parse(prefix)
			p.prefixes.add(n, source.verdict)
			if i == ownList {
				p.groups.add(n, struct{}{})
			}
		}
		if source.path == "" {
			continue
		}
		var before *list
		if previous != nil {
			before = previous.lists[i]
		}
		l, err := readList(source.path, before)
		if err == nil && i == ownList && l.len() == 0 {
			err = fmt.Errorf("%s: holds no entry", source.path) // an export that failed, not an operator without subscribers
		}
		if err != nil {
			for _, err := range split(err) {
				errs = append(errs, fmt.Errorf("%s_file: %w", source.key, err))
			}
			continue
		}
		for _, prefix := range l.prefixes {
			p.prefixes.add(prefix, source.verdict)
		}
		p.lists[i] = l
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// split is the errors that errors.Join joined, or err.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Judge applies the rules of the package to a number as +E.164; what is no such number is Foreign. It never returns Refused.
func (p *Plan) Judge(number string) Verdict {
	n, digits, ok := parse(number)
	if !ok {
		return Foreign
	}
	switch {
	case p.lists[blockedList].has(n):
		return Blocked
	case p.lists[notAllowedList].has(n):
		return NotAllowed
	case p.lists[landlineList].has(n):
		return Landline
	case p.lists[portedOutList].has(n):
		return Foreign
	}
	verdict, length := p.prefixes.longest(n, digits)
	switch {
	case verdict.denies():
		return verdict
	case p.lists[portedInList].has(n), p.lists[ownList].has(n):
		return Served
	case length > 0:
		return verdict
	}
	return p.rest
}

// Group returns the longest prefix of own that number begins with, "" for none. Prefixes of files are no groups, so
// there are no more of them than the configuration names.
func (p *Plan) Group(number string) string {
	n, digits, ok := parse(number)
	if !ok {
		return ""
	}
	if _, length := p.groups.longest(n, digits); length > 0 {
		return number[:1+length]
	}
	return ""
}

// Entries returns how many numbers, ranges and prefixes the file of each list holds, those that stood twice once: by the names
// "own", "not_allowed", "landline", "blocked", "ported_out" and "ported_in".
func (p *Plan) Entries() map[string]int {
	entries := make(map[string]int, listCount)
	for i, source := range new(Config).sources() {
		entries[source.key] = p.lists[i].len()
	}
	return entries
}
