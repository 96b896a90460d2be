package httpapi

import (
	"errors"
	"fmt"
	"regexp"
)

// A NumberPlan says which numbers are the operator's and what may be sent to them: [numbers]. Each entry is the
// beginning of numbers in E.164 form; of all entries that a number begins with, the longest decides.
type NumberPlan struct {
	Own        []string `toml:"own" comment:"Beginnings of the numbers that are served, such as \"+346\". Empty: every number is. Others are answered 404." reload:"hot"`
	NotAllowed []string `toml:"not_allowed" comment:"Beginnings of numbers that may not be sent to for business reasons: 403 PHONE_NUMBER_NOT_ALLOWED." reload:"hot"`
	Landline   []string `toml:"landline" comment:"Beginnings of numbers that take no SMS: 403 PHONE_NUMBER_NOT_ALLOWED." reload:"hot"`
	Blocked    []string `toml:"blocked" comment:"Beginnings of numbers with SMS barred: 403 PHONE_NUMBER_BLOCKED." reload:"hot"`
}

var prefixForm = regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`)

// Validate joins one error for every entry that is no prefix or stands twice; each begins with the key.
func (p NumberPlan) Validate() error {
	var errs []error
	seen := map[string]string{}
	for _, list := range p.lists() {
		for _, prefix := range list.prefixes {
			if !prefixForm.MatchString(prefix) {
				errs = append(errs, fmt.Errorf("%s = %q: must be + and 1 to 15 digits, the first not 0", list.key, prefix))
			}
			if other, twice := seen[prefix]; twice {
				errs = append(errs, fmt.Errorf("%s = %q: is in %s too", list.key, prefix, other))
			}
			seen[prefix] = list.key
		}
	}
	return errors.Join(errs...)
}

type prefixList struct {
	key      string
	prefixes []string
	verdict  *problem // nil: may be sent to
}

func (p NumberPlan) lists() []prefixList {
	return []prefixList{
		{"own", p.Own, nil},
		{"not_allowed", p.NotAllowed, numberNotAllowed},
		{"landline", p.Landline, numberLandline},
		{"blocked", p.Blocked, numberBlocked},
	}
}

// A numberTable is a NumberPlan made ready for look-ups. It does not change.
type numberTable struct {
	verdicts map[string]*problem
	longest  int
	every    bool // numbers that no entry speaks of are served
}

func newNumberTable(p NumberPlan) numberTable {
	t := numberTable{verdicts: map[string]*problem{}, every: len(p.Own) == 0}
	for _, list := range p.lists() {
		for _, prefix := range list.prefixes {
			t.verdicts[prefix] = list.verdict
			t.longest = max(t.longest, len(prefix))
		}
	}
	return t
}

// judge is nil when a message may be sent to number, else why not; foreign is the answer for a number that is not served.
func (t numberTable) judge(number string, foreign *problem) *problem {
	for n := min(t.longest, len(number)); n > 0; n-- {
		if verdict, found := t.verdicts[number[:n]]; found {
			return verdict
		}
	}
	if t.every {
		return nil
	}
	return foreign
}
