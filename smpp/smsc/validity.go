package smsc

import (
	"strconv"
	"time"
)

// validity is how long a message that comes now may be delivered (SMPP 3.4 §7.1.1): validity_period is relative,
// YYMMDDhhmmss000R, or absolute, YYMMDDhhmmsstnn+ with tenths of a second and the distance from UTC in quarters of an hour.
// ok is false where it is empty or none of these.
func validity(period string, now time.Time) (d time.Duration, ok bool) {
	if len(period) != 16 {
		return 0, false
	}
	var n [8]int // years, months, days, hours, minutes, seconds, tenths, quarters
	at := 0
	for i, width := range [8]int{2, 2, 2, 2, 2, 2, 1, 2} {
		digits, err := strconv.ParseUint(period[at:at+width], 10, 8)
		if err != nil {
			return 0, false
		}
		n[i] = int(digits)
		at += width
	}
	offset := time.Duration(n[7]) * 15 * time.Minute
	switch period[15] {
	case 'R':
		end := now.AddDate(n[0], n[1], n[2])
		return end.Sub(now) + time.Duration(n[3])*time.Hour + time.Duration(n[4])*time.Minute + time.Duration(n[5])*time.Second, true
	case '-':
		offset = -offset
	case '+':
	default:
		return 0, false
	}
	end := time.Date(2000+n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*int(100*time.Millisecond), time.UTC)
	return max(0, end.Add(-offset).Sub(now)), true
}

// absoluteTime is a time as final_date tells it, in UTC (SMPP 3.4 §7.1.1).
func absoluteTime(t time.Time) string { return t.UTC().Format("060102150405") + "000+" }
