package otpstore

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

const maxLength = 10 // digits of a code, CAMARA OTP: code has maxLength 10

// newCode gives length decimal digits, each combination equally likely, leading zeros kept.
func newCode(length int) string {
	code := make([]byte, 0, maxLength)
	for random := make([]byte, 16); ; {
		rand.Read(random) // never fails
		for _, b := range random {
			if len(code) == length {
				return string(code)
			}
			if b < 250 { // 250..255 would favour the digits 0..5
				code = append(code, '0'+b%10)
			}
		}
	}
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
