package numbers

const (
	minDigits = 5 // CAMARA OTP, phoneNumber: ^\+[1-9][0-9]{4,14}$
	maxDigits = 15
)

// parse takes + and 1 to 15 digits, the first not 0, which is what makes n name one number and no other.
func parse[T string | []byte](s T) (n uint64, digits int, ok bool) {
	digits = len(s) - 1
	if digits < 1 || digits > maxDigits || s[0] != '+' || s[1] == '0' {
		return 0, 0, false
	}
	for i := 1; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, 0, false
		}
		n = n*10 + uint64(c)
	}
	return n, digits, true
}

// A prefixTable finds the longest of its prefixes that a number begins with.
type prefixTable[V any] struct {
	values  map[uint64]V
	lengths uint16 // bit d is set when some prefix has d digits
}

// add keeps the value that a prefix has already.
func (t *prefixTable[V]) add(prefix uint64, value V) {
	if t.values == nil {
		t.values = map[uint64]V{}
	}
	if _, there := t.values[prefix]; there {
		return
	}
	t.values[prefix] = value
	digits := 0
	for ; prefix > 0; prefix /= 10 {
		digits++
	}
	t.lengths |= 1 << digits
}

// longest returns the value of the longest prefix of n, and its digits: 0 when there is none.
func (t *prefixTable[V]) longest(n uint64, digits int) (value V, length int) {
	for ; digits > 0; digits-- {
		if t.lengths>>digits&1 != 0 {
			if v, found := t.values[n]; found {
				return v, digits
			}
		}
		n /= 10
	}
	return value, 0
}
