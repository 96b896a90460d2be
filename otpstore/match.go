package otpstore

import "slices"

// An orphan is a receipt whose message is looked for.
type orphan struct {
	Receipt
	names   []Name // of the message, by each form of its id
	numbers []Name // of Numbers
	// One of numbers has a code of which no message is known yet: the receipt is that number's, or nobody's.
	addressed bool
}

// to reports whether o names that number.
func (o *orphan) to(number Name) bool { return slices.Contains(o.numbers, number) }

// match finds the message that o is for, among the numbers that o names and those that know a form of its id: number i has it
// under that form. A form counts first where o names the number. A conversion of the id may well be the id of another message,
// and counts nowhere else.
//
// A form that is no conversion counts without the number, whose addresses may be national, unless one of the numbers that o
// names has a code of which no message is known yet. For then the receipt has most likely overtaken the answer to its own
// submit, and the message found is another, whose id happens to be a conversion of the right one.
func match(numbers []number, o *orphan) (i, form int, found bool) {
	for form, id := range o.MessageIDs {
		for i, n := range numbers {
			if o.to(n.index) && n.knows(o.SMSC, id) {
				return i, form, true
			}
		}
	}
	if addressed(numbers, o) {
		return 0, 0, false
	}
	for form, id := range o.MessageIDs[:o.Converted] {
		for i, n := range numbers {
			if n.knows(o.SMSC, id) {
				return i, form, true
			}
		}
	}
	return 0, 0, false
}

// addressed reports whether o names a number with a code of which no message is known yet.
func addressed(numbers []number, o *orphan) bool {
	return slices.ContainsFunc(numbers, func(n number) bool {
		return o.to(n.index) && slices.ContainsFunc(n.codes, code.open)
	})
}

// claims gives those of waiting that a message of number takes when it becomes known by name, one of theirs: match, seen from
// the message. Where one names the number, the others do not count.
func claims(waiting []*parked, name, number Name) []*parked {
	var checked, others []*parked
	for _, p := range waiting {
		switch {
		case p.to(number):
			checked = append(checked, p)
		case !p.addressed && slices.Index(p.names, name) < p.Converted:
			others = append(others, p)
		}
	}
	if len(checked) > 0 {
		return checked
	}
	return others
}
