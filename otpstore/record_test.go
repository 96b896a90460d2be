package otpstore

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"
)

// sample has every field set, in one of its codes at least.
func sample() number {
	n := number{index: Name{1, 2, 3}, failures: []failures{
		{"acme", 3, noon.Add(time.Minute), 10, 24 * time.Hour}, {"", 1, noon, 1, time.Hour},
	}}
	for i, s := range []state{pending, live, unknown, used, replaced, locked, elapsed} {
		c := code{
			id: name(i), client: "acme", state: s, attempts: i % 3, terms: Terms{
				Name: []string{"", "bank"}[i%2], MaxAttempts: 3, TTL: 5 * time.Minute, MaxFailures: 10, FailureWindow: 24 * time.Hour, SendWindow: time.Hour,
			}, masked: "+34*******01",
			issued: noon, expires: noon.Add(5*time.Minute + time.Microsecond),
		}
		if s.verifiable() {
			c.mac = digest("code")
		}
		if s != pending {
			c.smsc, c.submitted, c.accepted, c.finished = "main", noon.Add(-time.Second), noon.Add(time.Second), noon.Add(time.Hour)
			c.messages = []message{
				{id: "0A1B", state: "DELIVRD", final: true, ok: true, at: noon.Add(3 * time.Second)},
				{id: "0A1C", state: "UNDELIV", err: "034", final: true, at: noon.Add(4 * time.Second)},
				{id: "0A1D"},
			}
		}
		c.wanted = Facts(i) & allFacts
		c.told = c.wanted & Facts(i>>1)
		n.codes = append(n.codes, c)
	}
	return n
}

func testKeys(t *testing.T, first byte) *keyring {
	t.Helper()
	k, err := newKeyring(append(Key{first}, make([]byte, keyLength-1)...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRecordKeepsEverything(t *testing.T) {
	k, n := testKeys(t, 1), sample()
	r := k.seal(n)
	got, ok := k.open(r)
	if !ok || !reflect.DeepEqual(got, n) {
		t.Errorf("got  %+v\nwant %+v", got, n)
	}
	if !r.Valid() || r.Number() != n.index || r.Newest() != n.codes[6].id {
		t.Errorf("names of %x: valid %t, number %s, newest %s", []byte(r), r.Valid(), r.Number(), r.Newest())
	}
	if ids := slices.Collect(r.IDs()); len(ids) != 7 || ids[0] != n.codes[0].id {
		t.Errorf("ids %v", ids)
	}
	if messages := slices.Collect(r.Messages()); len(messages) != 18 || messages[2] != messageName("main", "0A1D") {
		t.Errorf("messages %v", messages)
	}
	if _, ok := testKeys(t, 2).open(r); ok {
		t.Error("opened with another key")
	}
}

// A record of the format before has no octet of facts: all else is read, and nothing is owed.
func TestRecordOfFormat2IsRead(t *testing.T) {
	n := sample()
	n.codes = n.codes[:1]
	none, both := n.codes[0], n.codes[0]
	none.wanted, none.told = 0, 0
	both.wanted, both.told = allFacts, Delivery
	r, marked := encode(n.with(0, none)), encode(n.with(0, both))
	if r.owing() || !marked.owing() || len(r) != len(marked) {
		t.Fatalf("owing %t and %t", r.owing(), marked.owing())
	}
	at := len(r) - 1
	for r[at] == marked[at] {
		at--
	}
	older := slices.Delete(slices.Clone(r), at, at+1)
	older[0] = 2
	got, ok := decode(older)
	if want := n.with(0, none); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %t %+v\nwant %+v", ok, got, want)
	}
}

func TestChangedRecordIsRefused(t *testing.T) {
	k := testKeys(t, 1)
	r := k.seal(sample())
	for bit := range len(r) * 8 {
		flipped := bytes.Clone(r)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, ok := k.open(flipped); ok {
			t.Fatalf("accepted with bit %d changed", bit)
		}
	}
	for n := range r {
		if _, ok := k.open(r[:n]); ok {
			t.Fatalf("accepted when cut to %d octets", n)
		}
	}
	if _, ok := k.open(append(bytes.Clone(r), 0)); ok {
		t.Error("accepted with an octet more")
	}
}

// The seal keeps damage out; what is behind it must not rely on that.
func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(encode(sample())))
	f.Add([]byte(encode(number{codes: []code{{state: live}}})))
	f.Add([]byte(NewRecord(Name{}, []Name{{}}, nil, nil)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := decode(b)
		if !ok {
			return
		}
		again, ok := decode(encode(n))
		if !ok || !reflect.DeepEqual(again, n) {
			t.Errorf("%x\nwas      %+v\nbecame %t %+v", b, n, ok, again)
		}
		x := newIndex(0)
		x.replace(nil, b)
		x.replace(b, encode(n))
		x.replace(encode(n), nil)
		if len(x.numbers)+len(x.older)+len(x.messages)+len(x.twins) != 0 {
			t.Errorf("index keeps %v", x)
		}
	})
}

func TestCodesAreUniform(t *testing.T) {
	const codes, length = 100_000, 10
	var counts [length][10]float64
	for range codes {
		code := newCode(alphabets[digits], length)
		if len(code) != length {
			t.Fatalf("%q has %d digits", code, len(code))
		}
		for i := range code {
			counts[i][code[i]-'0']++
		}
	}
	// χ² with 9 degrees of freedom: above 50 once in ten million.
	var all [10]float64
	for i, digits := range counts {
		if chi := chiSquare(digits, codes); chi > 50 {
			t.Errorf("digit %d: χ² = %.1f, %v", i, chi, digits)
		}
		for d, n := range digits {
			all[d] += n
		}
	}
	if chi := chiSquare(all, codes*length); chi > 50 {
		t.Errorf("all digits: χ² = %.1f, %v", chi, all)
	}
}

func chiSquare(counts [10]float64, total float64) (chi float64) {
	for _, n := range counts {
		d := n - total/10
		chi += d * d / (total / 10)
	}
	return chi
}

func TestIDs(t *testing.T) {
	a, b := newID(noon), newID(noon.Add(time.Millisecond))
	if a.id()[14] != '7' || len(a.id()) != 36 || !a.Time().Equal(noon) {
		t.Errorf("%s of %s is no UUIDv7 of noon", a.id(), a.Time())
	}
	if bytes.Compare(a[:], b[:]) >= 0 || newID(noon) == a {
		t.Errorf("%s and %s do not follow each other", a, b)
	}
	if got, ok := parseID(a.id()); !ok || got != a {
		t.Errorf("parsed %s as %s", a.id(), got.id())
	}
	for _, s := range []string{"", "x", a.String(), "{" + a.id() + "}", "urn:uuid:" + a.id(), a.id() + " ", "0198A1B2-0000-7000-8000-000000000000"} {
		if _, ok := parseID(s); ok {
			t.Errorf("took %q for an id", s)
		}
	}
}

// The SMSC may give a part of a message no id: nothing finds it.
func TestMessageWithoutIDHasNoName(t *testing.T) {
	n, id := reserve(t, noon, rules(), number{}, "acme")
	n, _ = sent(noon, n, id, SendResult{SMSC: "main", MessageIDs: []string{"1", ""}})
	if got := slices.Collect(encode(n).Messages()); !slices.Equal(got, []Name{messageName("main", "1")}) {
		t.Errorf("found by %v", got)
	}
}
