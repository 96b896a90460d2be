package smsc

import (
	"testing"
	"time"
)

func TestValidityPeriods(t *testing.T) {
	now := time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC)
	for period, want := range map[string]time.Duration{
		"000000000500000R": 5 * time.Minute,
		"000002000000000R": 2 * 24 * time.Hour,
		"000100000000000R": 28 * 24 * time.Hour, // to 27 March
		"010000000001000R": 365*24*time.Hour + time.Second,
		"260227230500000+": 5 * time.Minute,
		"260227230500900+": 5*time.Minute + 900*time.Millisecond,
		"260228000500004+": 5 * time.Minute, // an hour east of Greenwich
		"260227220500004-": 5 * time.Minute,
		"250101000000000+": 0,
	} {
		if got, ok := validity(period, now); !ok || got != want {
			t.Errorf("%s: %v %v, want %v", period, got, ok, want)
		}
	}
	for _, period := range []string{"", "5", "000000000500000", "00000000050000RR", "000000000500000Z", "-00000000500000R", "0000000005000000R"} {
		if got, ok := validity(period, now); ok {
			t.Errorf("%q: %v", period, got)
		}
	}
	if got, ok := validity(absoluteTime(now.Add(time.Hour)), now); !ok || got != time.Hour {
		t.Errorf("%v %v", got, ok)
	}
}

// FuzzValidity: any string is a time that is not over yet, or none.
func FuzzValidity(f *testing.F) {
	f.Add("000000000500000R")
	f.Add("260227230500000+")
	f.Add("999999999999999-")
	now := time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, period string) {
		if d, ok := validity(period, now); d < 0 || ok && len(period) != 16 {
			t.Errorf("%q: %v %v", period, d, ok)
		}
	})
}

// FuzzUnpack: any octets are septets, as many as there is room for.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{0xE8, 0x32, 0x9B, 0xFD, 0x06}, byte(0))
	f.Add([]byte{0xD0, 0x65}, byte(6))
	f.Add([]byte{}, byte(6))
	f.Fuzz(func(t *testing.T, octets []byte, udh byte) {
		septets := unpack(octets, int(udh))
		if len(septets) > len(octets)*8/7 {
			t.Errorf("%d septets in %d octets", len(septets), len(octets))
		}
		for _, s := range septets {
			if s > 0x7F {
				t.Errorf("%x", s)
			}
		}
	})
}
