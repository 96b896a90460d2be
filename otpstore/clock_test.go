package otpstore

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	type step struct {
		running, wall time.Duration // since the start, by either clock
		ours, skew    time.Duration
	}
	const year = 365 * day
	for name, c := range map[string]struct {
		mark  time.Duration // the latest time that the store saw, from noon
		steps []step
	}{
		"steady":                    {-year, []step{{0, 0, 0, 0}, {time.Hour, time.Hour, time.Hour, 0}}},
		"back by an hour":           {-day, []step{{time.Minute, time.Minute - time.Hour, time.Minute, -time.Hour}, {2 * time.Minute, 2*time.Minute - time.Hour, 2 * time.Minute, -time.Hour}}},
		"back by ten years":         {-day, []step{{time.Minute, -10 * year, time.Minute, -10*year - time.Minute}}},
		"set a little":              {-day, []step{{time.Minute, time.Minute + 20*time.Second, time.Minute + 20*time.Second, 0}, {2 * time.Minute, 2 * time.Minute, 2*time.Minute + 20*time.Second, -20 * time.Second}}},
		"asleep for five minutes":   {-day, []step{{time.Second, 5 * time.Minute, 5 * time.Minute, 0}, {2 * time.Second, 5*time.Minute + time.Second, 5*time.Minute + time.Second, 0}}},
		"forward by an hour":        {-day, []step{{0, time.Hour, leapMost, time.Hour - leapMost}, {time.Minute, time.Hour + time.Minute, leapMost + time.Minute, time.Hour - leapMost}}},
		"forward by ten years":      {-day, []step{{0, 10 * year, leapMost, 10*year - leapMost}, {time.Hour, 10*year + time.Hour, leapMost + time.Hour, 10*year - leapMost}}},
		"forward and back":          {-day, []step{{0, time.Hour, leapMost, time.Hour - leapMost}, {time.Minute, time.Minute, leapMost + time.Minute, -leapMost}, {time.Hour, time.Hour + leapMost, leapMost + time.Hour, 0}}},
		"forward twice":             {-day, []step{{0, time.Hour, leapMost, time.Hour - leapMost}, {0, 2 * time.Hour, 2 * leapMost, 2*time.Hour - 2*leapMost}}},
		"started behind the mark":   {time.Hour, []step{{0, 0, time.Hour, -time.Hour}, {time.Minute, time.Minute, time.Hour + time.Minute, -time.Hour}}},
		"started ten years behind":  {10 * year, []step{{0, 0, 10 * year, -10 * year}}},
		"behind the mark, then set": {time.Hour, []step{{0, 0, time.Hour, -time.Hour}, {time.Minute, time.Hour + time.Minute, time.Hour + time.Minute, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var at step
			k := startTimekeeper(noon.Add(c.mark), func() (time.Time, time.Duration) { return noon.Add(at.wall), at.running })
			for _, at = range c.steps {
				ours, skew := k.now()
				if got := ours.Sub(noon); got != at.ours || skew != at.skew {
					t.Errorf("after %s, wall %s: got %s, skew %s, want %s, skew %s", at.running, at.wall, got, skew, at.ours, at.skew)
				}
			}
		})
	}
}

// Whatever the wall clock does, the store's never goes back and is never slower than time.
func FuzzClock(f *testing.F) {
	f.Add([]byte{1, 200, 3, 0, 77})
	f.Fuzz(func(t *testing.T, jumps []byte) {
		wall, running := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), time.Duration(0)
		k := startTimekeeper(time.Time{}, func() (time.Time, time.Duration) { return wall, running })
		last, _ := k.now()
		for _, b := range jumps {
			step := time.Duration(b) * time.Second
			running += step
			wall = wall.Add(step + time.Duration(int8(b*37))*time.Duration(int8(b*11))*time.Minute)
			now, _ := k.now()
			if now.Sub(last) < step || now.Sub(last) > step+leapMost {
				t.Fatalf("%s passed, %s by the store's clock", step, now.Sub(last))
			}
			last = now
		}
	})
}
