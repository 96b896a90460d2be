package otpstore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// traces of a number in the octets of a file: what each is, and how often it is there.
func traces(t *testing.T, dir string, wanted map[string][]byte) map[string]int {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for what, octets := range wanted {
		found[what] = bytes.Count(file, octets)
	}
	return found
}

// What is over is in no octet of the file, once it was swept, or forgotten, and the file was made anew.
func TestNothingOfANumberRemains(t *testing.T) {
	for how, end := range map[string]func(s *running){
		"swept": func(*running) {
			time.Sleep(72 * time.Hour)
			synctest.Wait()
		},
		"forgotten": func(s *running) {
			s.forget(phone, otpstore.Forgotten{Verifications: 1, Live: 1})
		},
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, key := t.TempDir(), ring(t, otpstore.NewKey())
				s, err := otpstore.Open(otpstore.Config{Dir: dir, Key: key}, policy(), nil, quiet())
				if err != nil {
					t.Fatal(err)
				}
				r := start(t, s)
				i, err := r.Issue(t.Context(), otpstore.Request{Client: client, Number: phone, Masked: "+34*******56", Terms: policy().Terms(), Key: "order-1"})
				if err != nil {
					t.Fatal(err)
				}
				r.sent(i)
				wanted := map[string][]byte{
					"masked number": []byte("+34*******56"), "message id": []byte("m-" + i.ID), "id": otpstore.IDOctets(i.ID),
				}
				if how == "swept" { // else the limits lie under it
					wanted["keyed hash"] = otpstore.NumberOctets(key, phone)
				}
				for what, n := range traces(t, dir, wanted) {
					if n == 0 {
						t.Errorf("%s: not in the file as long as it is known", what)
					}
				}
				end(r)
				another := r.send("+3462")
				r.close()
				var all []byte // which of the free pages are written to again is chance: some are sure to be as they were
				for _, octets := range wanted {
					all = append(all, octets...)
				}
				if err := otpstore.Swell(filepath.Join(dir, otpstore.BoltFile), 4<<20, all); err != nil {
					t.Fatal(err)
				}
				for what, n := range traces(t, dir, wanted) {
					if n == 0 {
						t.Errorf("%s: not in the file that is to be compacted", what)
					}
				}
				c, err := otpstore.Compact(dir)
				if err != nil || c.After == 0 || c.After > c.Before {
					t.Fatalf("%+v, %v", c, err)
				}
				for what, n := range traces(t, dir, wanted) {
					if n != 0 {
						t.Errorf("%s: %d times in the compacted file", what, n)
					}
				}
				s, err = otpstore.Open(otpstore.Config{Dir: dir, Key: key}, policy(), nil, quiet())
				if err != nil {
					t.Fatal(err)
				}
				r = start(t, s)
				r.verify(another, another.Code, nil)
				r.close()
			})
		})
	}
}

// ownerOf are the user and the group that a file belongs to.
func ownerOf(t *testing.T, path string) [2]uint32 {
	t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		t.Fatal(err)
	}
	return [2]uint32{s.Uid, s.Gid}
}

func TestCompactKeepsEverything(t *testing.T) {
	codes, files, _ := fill(t, 200)
	dir := memory(t)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, otpstore.BoltFile)
	if err := os.WriteFile(path+".new", []byte("of a compaction that was cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := otpstore.Values(path)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // as root the owner can be another one than who compacts
		if err := os.Chown(path, 4321, 4322); err != nil {
			t.Fatal(err)
		}
	}
	owner := ownerOf(t, path)
	if _, err := otpstore.Compact(dir); err != nil {
		t.Fatal(err)
	}
	after, err := otpstore.Values(path)
	if err != nil || len(after) != 200 || !bytes.Equal(bytes.Join(before, nil), bytes.Join(after, nil)) {
		t.Fatalf("%d records of %d, or others, %v", len(after), len(before), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if now := ownerOf(t, path); now != owner {
		t.Errorf("owned by %v, not %v", now, owner)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if records, err := otpstore.Check(dir); err != nil || records != 200 {
		t.Errorf("%d records, %v", records, err)
	}
	// Either head of the new file speaks of all.
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for head := range 2 {
		torn := bytes.Clone(whole)
		clear(torn[head*page : head*page+512])
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, policy(), nil)
		if n := s.Stats().Records; n != 200 || len(s.Trouble()) > 0 {
			t.Errorf("without head %d: %d records, %v", head, n, s.Trouble())
		}
		if head == 1 {
			for _, k := range codes {
				if !k.used && !k.locked {
					s.verify(k.Issued, k.Code, nil)
				}
			}
		}
		s.close()
	}
}

func TestCompactRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := otpstore.Compact(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("nothing there: %v", err)
	}
	s := open(t, dir, policy(), nil)
	s.send(phone)
	if _, err := otpstore.Compact(dir); !errors.Is(err, otpstore.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	s.close()
	path := filepath.Join(dir, otpstore.BoltFile)
	if err := otpstore.ForgeRecord(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := otpstore.Compact(dir); !errors.Is(err, otpstore.ErrCorrupt) {
		t.Errorf("a record is not that which was written: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy was left: %v", err)
	}
}

// A file that is mostly free is made anew by a start; one that is in order is not.
func TestStartCompactsABulkyFile(t *testing.T) {
	dir := memory(t)
	s := open(t, dir, policy(), nil)
	i := s.send(phone)
	s.close()
	path := filepath.Join(dir, otpstore.BoltFile)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	small := size()
	s = open(t, dir, policy(), nil)
	s.close()
	if err := otpstore.Swell(path, 70<<20, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if size() < 70<<20 {
		t.Fatalf("%d octets", size())
	}
	var log bytes.Buffer
	st, err := otpstore.Open(otpstore.Config{Dir: dir}, policy(), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, st)
	s.verify(i, i.Code, nil)
	s.close()
	if now := size(); now > small+16<<20 || !strings.Contains(log.String(), "store compacted") {
		t.Errorf("%d octets, %d before it swelled; log %s", now, small, &log)
	}
}

func TestWhatAStartCompacts(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		used, live int64
		want, told bool
	}{
		{64 * mib, 1, false, false},
		{65 * mib, 1, true, false},
		{100 * mib, 25 * mib, false, false},
		{101 * mib, 25 * mib, true, false},
		{1025 * mib, 256 * mib, true, false},
		{1200 * mib, 257 * mib, false, true},
	} {
		if got, err := otpstore.Bulky(test.used, test.live); got != test.want || (err != nil) != test.told {
			t.Errorf("%d MiB, %d live: %t, %v", test.used/mib, test.live/mib, got, err)
		}
	}
}
