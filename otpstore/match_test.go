package otpstore

import (
	"slices"
	"testing"
	"time"
)

// phoneNamed stands for the keyed hash of a phone number.
func phoneNamed(phone string) (n Name) {
	copy(n[:], phone)
	return n
}

// holding is the record of a number whose messages on the SMSC "main" have these ids, one for each code; "" stands for a
// submit without an outcome, "?" for one whose outcome is unknown.
func holding(t *testing.T, phone string, ids ...string) number {
	t.Helper()
	n := number{index: phoneNamed(phone)}
	for _, id := range ids {
		var name Name
		n, name = reserve(t, noon, rules(), n, "acme")
		switch id {
		case "":
		case "?":
			n, _ = lose(noon, n, name)
		default:
			n, _ = sent(noon, n, name, SendResult{SMSC: "main", MessageIDs: []string{id}})
		}
	}
	return n
}

func asked(converted int, forms []string, phones ...string) *orphan {
	o := &orphan{Receipt: Receipt{SMSC: "main", MessageIDs: forms, Converted: converted, State: "DELIVRD", Final: true, Delivered: true}}
	for _, id := range forms {
		o.names = append(o.names, messageName("main", id))
	}
	for _, phone := range phones {
		o.numbers = append(o.numbers, phoneNamed(phone))
	}
	return o
}

// A receipt "16" may be of the message "16" or, where the answer was hexadecimal, of "10".
func TestMatch(t *testing.T) {
	const ana, ben, eve, shop = "+3461", "+3462", "+3463", "+3491"
	forms := []string{"16", "10", "22"}
	type nums = []number
	for _, test := range []struct {
		name    string
		numbers nums
		receipt *orphan
		i, form int // -1 for none
	}{
		{"as it is", nums{holding(t, ana, "16")}, asked(1, forms, ana), 0, 0},
		{"converted", nums{holding(t, ana, "10")}, asked(1, forms, ana), 0, 1},
		{"the other conversion", nums{holding(t, ana, "22")}, asked(1, forms, ana), 0, 2},
		{"hexadecimal id of one is the decimal id of another, to the one", nums{holding(t, ana, "10"), holding(t, ben, "16")}, asked(1, forms, ana), 0, 1},
		{"hexadecimal id of one is the decimal id of another, to the other", nums{holding(t, ben, "16"), holding(t, ana, "10")}, asked(1, forms, ben), 0, 0},
		{"addresses swapped", nums{holding(t, ana, "10"), holding(t, ben, "16")}, asked(1, forms, shop, ana), 0, 1},
		{"both addresses have codes, first form first", nums{holding(t, ana, "10"), holding(t, ben, "16")}, asked(1, forms, ana, ben), 1, 0},
		{"national form", nums{holding(t, ana, "16")}, asked(1, forms, "+61"), 0, 0},
		{"no number at all", nums{holding(t, ana, "16")}, asked(1, forms), 0, 0},
		{"conversion in national form", nums{holding(t, ana, "10")}, asked(1, forms, "+61"), -1, -1},
		{"conversion without a number", nums{holding(t, ana, "10")}, asked(1, forms), -1, -1},
		{"conversion of another number's", nums{holding(t, ana, "10")}, asked(1, forms, eve), -1, -1},
		{"first of the forms that need no number", nums{holding(t, ana, "10"), holding(t, ben, "16")}, asked(2, forms, "+61"), 1, 0},
		{"second of the forms that need no number", nums{holding(t, ana, "10")}, asked(2, forms, "+61"), 0, 1},
		{"a number before an earlier form", nums{holding(t, ben, "16"), holding(t, ana, "22")}, asked(2, forms, ana), 1, 2},
		{"several codes of a number, first form first", nums{holding(t, ana, "10", "16", "22")}, asked(1, forms, ana), 0, 0},
		{"several codes of a number, order of the forms", nums{holding(t, ana, "10", "16", "22")}, asked(1, []string{"17", "22", "10"}, ana), 0, 1},
		{"a number with other messages", nums{holding(t, ana, "5"), holding(t, ben, "16")}, asked(1, forms, ana), 1, 0},
		{"a submit of the number is under way", nums{holding(t, ana, ""), holding(t, ben, "16")}, asked(1, forms, ana), -1, -1},
		{"a submit of the number has no known outcome", nums{holding(t, ana, "?"), holding(t, ben, "16")}, asked(1, forms, ana), -1, -1},
		{"a submit is under way, the message is of an earlier one", nums{holding(t, ana, "16", "")}, asked(1, forms, ana), 0, 0},
		{"a submit of another number is under way", nums{holding(t, ben, "16", "")}, asked(1, forms, ana), 0, 0},
		{"of another smsc", nums{holding(t, ana, "16")}, func() *orphan { o := asked(1, forms, ana); o.SMSC = "backup"; return o }(), -1, -1},
		{"nobody knows it", nil, asked(1, forms, ana), -1, -1},
		{"no form", nums{holding(t, ana, "16")}, asked(0, nil, ana), -1, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			i, form, found := match(test.numbers, test.receipt)
			if !found {
				i, form = -1, -1
			}
			if i != test.i || form != test.form {
				t.Errorf("number %d by form %d, want number %d by form %d", i, form, test.i, test.form)
			}
		})
	}
	silent := number{index: phoneNamed(ana)} // the SMSC gave a part no id
	silent, id := reserve(t, noon, rules(), silent, "acme")
	silent, _ = sent(noon, silent, id, SendResult{SMSC: "main", MessageIDs: []string{"", "7"}})
	if _, _, found := match([]number{silent}, asked(1, []string{""}, ana)); found {
		t.Error("a receipt without an id found a message without one")
	}
}

// What waits is claimed as match would have found it.
func TestClaims(t *testing.T) {
	const ana, ben = "+3461", "+3462"
	number, name := phoneNamed(ana), messageName("main", "10")
	asIs, converted := []string{"10", "16"}, []string{"16", "10"}
	addressed := func(o *orphan) *orphan { o.addressed = true; return o }
	for _, test := range []struct {
		name    string
		waiting []*orphan
		want    []int
	}{
		{"as it is", []*orphan{asked(1, asIs, ana)}, []int{0}},
		{"converted", []*orphan{asked(1, converted, ana)}, []int{0}},
		{"converted, of another number's", []*orphan{asked(1, converted, ben)}, nil},
		{"national form", []*orphan{asked(1, asIs, "+61")}, []int{0}},
		{"for a number whose own submit had no outcome yet", []*orphan{addressed(asked(1, asIs, ben))}, nil},
		{"for this number, whose submit had no outcome yet", []*orphan{addressed(asked(1, converted, ana))}, []int{0}},
		{"its own before all others", []*orphan{asked(1, asIs), asked(1, converted, ana), asked(1, asIs, ben), asked(1, asIs, ana)}, []int{1, 3}},
		{"in the order of their coming", []*orphan{asked(1, asIs), asked(1, converted, ben), asked(1, asIs, ben)}, []int{0, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var waiting []*parked
			for _, o := range test.waiting {
				waiting = append(waiting, &parked{orphan: o})
			}
			var got []int
			for _, p := range claims(waiting, name, number) {
				got = append(got, slices.Index(waiting, p))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("claimed %v, want %v", got, test.want)
			}
		})
	}
}

func TestParking(t *testing.T) {
	k := newParking()
	numbered := func(i int) *orphan {
		o := asked(1, []string{"x"})
		o.names[0] = Name{byte(i), byte(i >> 8)}
		return o
	}
	fill := func(at time.Time) {
		t.Helper()
		for i := range parkedLimit {
			o := numbered(i)
			if p, fresh := k.put(at, o); p == nil || !fresh {
				t.Fatalf("receipt %d was refused", i)
			}
		}
	}
	fill(noon)
	if p, _ := k.put(noon, asked(1, []string{"one more"})); p != nil {
		t.Error("parked one more than the limit")
	}
	if p, fresh := k.put(noon, numbered(7)); p == nil || fresh {
		t.Error("a receipt that is there already was refused, or takes a place of its own")
	}
	if k.waiting(noon.Add(parkedFor-1)) != parkedLimit {
		t.Error("receipts leave too early")
	}
	over := noon.Add(parkedFor)
	if k.waiting(over) != 0 || len(k.names) != 0 {
		t.Error("receipts leave too late")
	}
	if gone, latest := k.expired(over); gone != parkedLimit || latest == nil || latest.names[0] != numbered(parkedLimit - 1).names[0] {
		t.Errorf("%d expired, the latest %v", gone, latest)
	}
	if gone, latest := k.expired(over.Add(time.Hour)); gone != 0 || latest != nil {
		t.Error("told twice of what expired")
	}
	fill(over) // there is room again
}

// A receipt is parked under all its forms, and leaves under all.
func TestParkedUnderEveryForm(t *testing.T) {
	k := newParking()
	ana, ben := phoneNamed("+3461"), phoneNamed("+3462")
	under := func(id string, number Name) int { return len(k.claims(noon, messageName("main", id), number)) }
	progress := asked(1, []string{"7", "7", "8"}, "+3461") // two forms are the same
	progress.State, progress.Final = "ENROUTE", false
	first, _ := k.put(noon, progress)
	final, _ := k.put(noon, asked(1, []string{"7", "7", "8"}, "+3461"))
	elsewhere, _ := k.put(noon, asked(1, []string{"7", "7", "8"}, "+3462"))
	if first == final || final == elsewhere || k.waiting(noon) != 3 {
		t.Fatal("receipts that differ were taken for the same")
	}
	for _, id := range []string{"7", "8"} {
		if got := k.claims(noon, messageName("main", id), ana); !slices.Equal(got, []*parked{first, final}) {
			t.Errorf("under %s: %v", id, got)
		}
	}
	if !k.drop(first) || k.drop(first) || k.waiting(noon) != 2 || under("7", ana) != 1 || under("8", ana) != 1 {
		t.Error("dropped, and still there; or twice")
	}
	k.drop(final)
	if under("8", ana) != 0 || under("8", ben) != 1 || under("7", ana) != 1 {
		t.Error("one of them went with the other, or counts where it must not")
	}
	k.drop(elsewhere)
	if k.waiting(noon) != 0 || len(k.names) != 0 {
		t.Error("something is left")
	}
	k.put(noon, asked(0, nil)) // found by nothing, it only waits for its end
	if k.waiting(noon) != 1 {
		t.Error("a receipt without an id was taken for none")
	}
}
