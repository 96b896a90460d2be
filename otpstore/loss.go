package otpstore

import "time"

// What is answered after a loss. What was known of ids and limits is gone then, and an attacker must not gain by it: ids of before are
// expired, whatever the code, and each limit is halved until one of its windows has passed.

// expiredBy reports whether an id of which nothing is known may be one of those that were lost. Those of a store that was ahead of the clock that the
// loss was noted by may be later than that; one that is later than now is none of this store.
func (p Policy) expiredBy(lost, now time.Time, id Name) bool {
	at := id.Time()
	return now.Sub(lost) < p.memory() && (!at.After(lost) || at.After(now))
}

// after are the figures of p for all clients that hold at a time after a loss, if there was one.
func (p Policy) after(lost, now time.Time) Policy {
	p.NumberLimit = halved(p.NumberLimit, p.SendWindow, lost, now)
	p.NumberDayLimit = halved(p.NumberDayLimit, day, lost, now)
	return p
}

// after are the terms that hold at a time after a loss, if there was one.
func (t Terms) after(lost, now time.Time) Terms {
	t.SendLimit = halved(t.SendLimit, t.SendWindow, lost, now)
	t.DayLimit = halved(t.DayLimit, day, lost, now)
	return t
}

// halved is half a limit, at least 1, until its window has passed; 0 is no limit.
func halved(most int, window time.Duration, lost, now time.Time) int {
	if most == 0 || now.Sub(lost) >= window {
		return most
	}
	return max(1, most/2)
}
