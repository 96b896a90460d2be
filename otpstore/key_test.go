package otpstore_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/otpstore"
)

// ring is made of keys, newest first.
func ring(t *testing.T, keys ...string) (k otpstore.Key) {
	t.Helper()
	var text bytes.Buffer
	for _, line := range keys {
		text.WriteString(line + "\n")
	}
	if err := k.UnmarshalSecret(text.Bytes()); err != nil {
		t.Fatal(err)
	}
	return k
}

func openRing(t *testing.T, dir string, reg prometheus.Registerer, keys ...string) *running {
	t.Helper()
	p := policy()
	p.SendLimit, p.ResendAfter = 3, 0
	s, err := otpstore.Open(otpstore.Config{Dir: dir, Key: ring(t, keys...)}, p, reg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return start(t, s)
}

func TestRingOfKeys(t *testing.T) {
	dir, old, fresh := t.TempDir(), otpstore.NewKey(), otpstore.NewKey()
	s := openRing(t, dir, nil, old)
	kept, guessed := s.send(phone), s.send("+3462")
	s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
	key := otpstore.Request{Client: client, Number: "+3463", Terms: policy().Terms(), Key: "order-1"}
	named, err := s.Issue(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.sent(named)
	s.close()

	s = openRing(t, dir, nil, fresh, old)
	s.verify(kept, wrong(kept), otpstore.ErrWrongCode)
	s.verify(kept, kept.Code, nil) // sealed anew since, and still of the old key
	for n := range 3 {             // what was sent under the old key counts
		_, err := s.IssueFor(t.Context(), client, phone)
		if refused := errors.As(err, new(*otpstore.LimitError)); refused != (n == 2) {
			t.Errorf("code %d: %v", n+2, err)
		}
	}
	if again, err := s.Issue(t.Context(), key); err != nil || again.ID != named.ID || !again.Replayed {
		t.Errorf("the same request under another key: %+v, %v", again, err)
	}
	latest := s.send("+3464")
	if held, err := s.Seals(t.Context()); err != nil || len(held) != 2 || held[ring(t, fresh).IDs()[0]] != 3 || held[ring(t, old).IDs()[0]] != 1 {
		t.Errorf("records by key: %v, %v", held, err)
	}
	s.close()

	// Without the old key its records are dropped, and nothing else.
	reg := prometheus.NewRegistry()
	s = openRing(t, dir, reg, fresh)
	s.verify(guessed, guessed.Code, otpstore.ErrExpired)
	s.verify(latest, latest.Code, nil)
	if n := metric(t, reg, "otpgw_store_keyless_records_total", ""); n != 1 {
		t.Errorf("%g records without a key", n)
	}
	if n := metric(t, reg, "otpgw_store_damaged_records_total", ""); n != 0 {
		t.Errorf("%g records are called damaged", n)
	}
	s.close()
	refuse(t, otpstore.Config{Dir: dir, Key: ring(t, old)}, otpstore.ErrWrongKey)
}

func TestRingsThatAreNone(t *testing.T) {
	a := otpstore.NewKey()
	for name, text := range map[string]string{
		"twice": a + "\n" + a, "nothing": "\n# none\n\n", "half": a + "\n" + a[:30], "many": func() (lines string) {
			for range 9 {
				lines += otpstore.NewKey() + "\n"
			}
			return lines
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			var k otpstore.Key
			if err := k.UnmarshalSecret([]byte(text)); err == nil {
				t.Error("taken")
			} else if bytes.Contains([]byte(err.Error()), []byte(a[:16])) {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
}

// A store of the format before is read, claimed by its key only, and written anew as its records change.
func TestOlderFormat(t *testing.T) {
	dir, old, fresh := t.TempDir(), otpstore.NewKey(), otpstore.NewKey()
	s := openRing(t, dir, nil, old)
	kept, guessed := s.send(phone), s.send("+3462")
	s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
	s.close()
	if err := otpstore.MakeOlder(filepath.Join(dir, otpstore.BoltFile), ring(t, old)); err != nil {
		t.Fatal(err)
	}
	refuse(t, otpstore.Config{Dir: dir, Key: ring(t, fresh)}, otpstore.ErrWrongKey)

	s = openRing(t, dir, nil, fresh, old)
	s.verify(kept, kept.Code, nil)
	s.verify(guessed, wrong(guessed), otpstore.ErrWrongCode)
	s.close()
	if records, err := otpstore.Check(dir); err != nil || records != 2 {
		t.Errorf("afterwards: %d records, %v", records, err)
	}
	s = openRing(t, dir, nil, fresh, old)
	s.verify(kept, kept.Code, otpstore.ErrExpired)
	s.verify(guessed, wrong(guessed), otpstore.ErrFailed)
	s.close()
}
