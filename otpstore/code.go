package otpstore

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	maxLength = 10   // characters of a code, CAMARA OTP: code has maxLength 10
	leastBits = 19.9 // of a code: 6 digits, which NIST SP 800-63B §5.1.3.2 counts as 20
)

// digits is the alphabet of codes where none is named.
const digits = "digits"

// alphabets are what codes are made of. Letters leave out vowels, so that no word comes about, and what looks like something else.
var alphabets = map[string]alphabet{
	digits:         "0123456789",
	"letters":      "BCDFGHJKLMNPQRSTVWXZ",
	"alphanumeric": "23456789BCDFGHJKLMNPQRSTVWXZ",
}

type alphabet string

// bits is the entropy of a code of that length.
func (a alphabet) bits(length int) float64 { return float64(length) * math.Log2(float64(len(a))) }

// newCode gives length characters of an alphabet, each combination equally likely.
func newCode(a alphabet, length int) string {
	code := make([]byte, 0, maxLength)
	fair := 256 - 256%len(a) // what is more would favour the first characters
	for random := make([]byte, 16); ; {
		rand.Read(random) // never fails
		for _, b := range random {
			if len(code) == length {
				return string(code)
			}
			if int(b) < fair {
				code = append(code, a[int(b)%len(a)])
			}
		}
	}
}

// canonical is a code as it is compared: letters may be typed small.
func canonical(code string) string {
	for _, c := range []byte(code) {
		if 'a' <= c && c <= 'z' {
			return strings.ToUpper(code)
		}
	}
	return code
}

// newID gives a UUIDv7 (RFC 9562 §5.7) of the time now. All ids are made here: their 12 bits rand_a may carry a bucket one day.
func newID(now time.Time) (id Name) {
	rand.Read(id[6:]) // never fails
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// parseID takes an id in the one form in which it was given out.
func parseID(s string) (Name, bool) {
	id, err := uuid.Parse(s)
	return Name(id), err == nil && id.String() == s
}
