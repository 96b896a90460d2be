package otpstore_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/otpstore"
)

var (
	mutations = flag.Int("mutations", 500, "how often TestDamageIsNeverAccepted damages a store")
	damages   = flag.Uint64("damages", 0, "seed of TestDamageIsNeverAccepted; 0: another one each time")
)

// memory is a directory whose files need no disk, where there is one.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "otpgw-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A known code is what its client knows of it.
type known struct {
	otpstore.Issued
	used, locked bool // or replaced, as if it was used
	tries        int
}

// fill makes a store with so many numbers, whose codes stand where codes may stand, and gives its files, and what its file was like before. Most
// of what changed is patched, and some records went on.
func fill(t *testing.T, numbers int) (codes []known, files map[string][]byte, before [][]byte) {
	t.Helper()
	otpstore.PatchBeyond(8)
	defer otpstore.CycleNear(uint64(numbers))
	dir := memory(t)
	s := open(t, dir, policy(), nil)
	number := func(n int) string { return fmt.Sprintf("+346%06d", n) }
	keep := func() {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, otpstore.BoltFile))
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, bytes.Clone(content[:min(len(content), 1<<20)])) // behind it nothing was written
	}
	for n := range numbers {
		codes = append(codes, known{Issued: s.send(number(n))})
	}
	keep()
	for n := 4; n < numbers; n += 8 {
		codes[n].used = true // replaced
		codes = append(codes, known{Issued: s.send(number(n))})
		if n%40 == 4 {
			keep()
		}
	}
	for try := range policy().MaxAttempts {
		for n := range numbers {
			switch k := &codes[n]; n % 4 {
			case 0:
				if try == 0 && !k.used {
					s.verify(k.Issued, k.Code, nil)
					k.used = true
				}
			case 1:
				if k.tries < policy().MaxAttempts-1 {
					s.verify(k.Issued, wrong(k.Issued), otpstore.ErrWrongCode)
					k.tries++
				}
			case 2:
				if k.locked = try == policy().MaxAttempts-1; k.locked {
					s.verify(k.Issued, wrong(k.Issued), otpstore.ErrFailed)
				} else {
					s.verify(k.Issued, wrong(k.Issued), otpstore.ErrWrongCode)
				}
			}
			if n%25 == 0 {
				keep()
			}
		}
	}
	s.close()
	if records, patches := entries(t, dir); records <= numbers || patches < numbers/2 {
		t.Errorf("%d entries, %d patches of %d numbers", records, patches, numbers)
	}
	if err := otpstore.Trim(filepath.Join(dir, otpstore.BoltFile)); err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, name := range []string{otpstore.BoltFile, otpstore.KeyFile} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	return codes, files, before
}

const page = 4096

// damage changes a file in one of the ways in which disks and people do.
func damage(rng *rand.Rand, file []byte, before [][]byte) (string, []byte) {
	file = bytes.Clone(file)
	pages := len(file) / page
	at := rng.IntN(len(file))
	this, other := rng.IntN(pages)*page, rng.IntN(pages)*page
	flip := func(at int) { file[at] ^= 1 << rng.IntN(8) }
	switch rng.IntN(12) {
	case 0, 1:
		flip(at)
		return fmt.Sprintf("bit at %d", at), file
	case 2: // of what bbolt says of a page, and where its first entries are
		at = this + rng.IntN(96)
		flip(at)
		return fmt.Sprintf("bit of the head of a page, at %d", at), file
	case 3:
		at = rng.IntN(2)*page + rng.IntN(80)
		flip(at)
		return fmt.Sprintf("bit of a meta, at %d", at), file
	case 4:
		clear(file[this : this+page])
		return fmt.Sprintf("page of zeros at %d", this), file
	case 5:
		clear(file[at:min(len(file), at+512)])
		return fmt.Sprintf("zeros at %d", at), file
	case 6:
		return fmt.Sprintf("cut off at %d", at), file[:at]
	case 7:
		copy(file[this:this+page], file[other:other+page])
		return fmt.Sprintf("page at %d in the place of that at %d", other, this), file
	case 8:
		for i := range file[at:min(len(file), at+64)] {
			file[at+i] = byte(rng.Uint32())
		}
		return fmt.Sprintf("noise at %d", at), file
	case 9, 10: // a write never came to the disk
		old := before[rng.IntN(len(before))]
		copy(file[this:this+page], old[min(this, len(old)):])
		return fmt.Sprintf("page of an earlier time at %d", this), file
	}
	for range 20 {
		flip(rng.IntN(len(file)))
	}
	return "20 bits", file
}

// TestDamageIsNeverAccepted damages a store in many ways. Whatever the damage, the store opens, twice; no code that was used or locked is right
// again, no try is given back, and what is lost is told of. A process of its own checks every tenth.
func TestDamageIsNeverAccepted(t *testing.T) {
	seed := *damages
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-damages %d", seed)
	codes, files, before := fill(t, 200)
	filled := time.Now()
	anew, dropped := 0, 0
	for round := range *mutations {
		if time.Since(filled) > time.Minute { // codes that are live must not come to their end
			codes, files, before = fill(t, 200)
			filled = time.Now()
		}
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		what, file := damage(rng, files[otpstore.BoltFile], before)
		if len(file) == 0 || bytes.Equal(file, files[otpstore.BoltFile]) {
			continue
		}
		dir := memory(t)
		for name, content := range map[string][]byte{otpstore.BoltFile: file, otpstore.KeyFile: files[otpstore.KeyFile]} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("round %d, %s: %s", round, what, fmt.Sprintf(format, args...))
		}
		reg := prometheus.NewRegistry()
		var s *running
		if round%10 == 0 { // as the daemon does it
			opened, err := openInspected(t, dir, reg, "inspects")
			if err != nil {
				t.Fatalf("round %d, %s: %v", round, what, err)
			}
			s = start(t, opened)
		} else {
			s = open(t, dir, policy(), reg)
		}
		lost := metric(t, reg, "otpgw_store_lost_timestamp_seconds", "") > 0
		missing := false
		for _, k := range codes {
			switch err := s.Verify(t.Context(), client, k.ID, map[bool]string{true: k.Code, false: wrong(k.Issued)}[k.tries == 0]); {
			case errors.Is(err, otpstore.ErrExpired):
				missing = missing || !k.used
			case k.locked && errors.Is(err, otpstore.ErrFailed): // its record is there
			case lost:
				fail("%v of a code of before", err)
			case k.used:
				fail("a used code: %v", err)
			case k.locked || k.tries > 0:
				if !errors.Is(err, otpstore.ErrFailed) {
					fail("tries were given back: %v", err)
				}
			case err != nil:
				fail("a right code: %v", err)
			}
		}
		told := metric(t, reg, "otpgw_store_damaged_records_total", "") + metric(t, reg, "otpgw_store_keyless_records_total", "")
		if missing && !lost && told == 0 {
			fail("records are missing, and nobody is told")
		}
		if lost && (len(s.Trouble()) == 0 || !strings.Contains(strings.Join(s.Trouble(), " "), "something was lost")) {
			fail("lost, and the operator is told %q", s.Trouble())
		}
		i := s.send("+34699")
		s.close()
		s = open(t, dir, policy(), nil)
		s.verify(i, i.Code, nil)
		s.close()
		asides, err := filepath.Glob(filepath.Join(dir, otpstore.BoltFile+".corrupt-*"))
		switch {
		case err != nil || len(asides) > 1 || len(asides) == 1 && !lost || lost && len(asides) == 0 && told == 0:
			fail("lost %t, set aside %v, %v records dropped, %v", lost, asides, told, err)
		case len(asides) == 1:
			anew++
		case told > 0:
			dropped++
		}
		os.RemoveAll(dir)
	}
	t.Logf("%d stores begun anew, %d with records dropped, of %d", anew, dropped, *mutations)
	if *mutations >= 100 && (anew == 0 || dropped == 0) {
		t.Error("the damage was none")
	}
}

// What is no store at all is set aside, too, and not touched.
func TestWhatIsNoStoreIsSetAside(t *testing.T) {
	for name, content := range map[string][]byte{
		"text": bytes.Repeat([]byte("no store\n"), 2000), "zeros": make([]byte, 1<<16), "short": []byte("x"), "empty": nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, otpstore.BoltFile), content, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir, policy(), nil)
			i := s.send(phone)
			s.verify(i, i.Code, nil)
			s.close()
			asides, err := filepath.Glob(filepath.Join(dir, otpstore.BoltFile+".corrupt-*"))
			if err != nil || len(asides) != 1 {
				t.Fatalf("set aside: %v, %v", asides, err)
			}
			if kept, err := os.ReadFile(asides[0]); err != nil || !bytes.Equal(kept, content) {
				t.Errorf("%d octets were kept of %d, %v", len(kept), len(content), err)
			}
		})
	}
}

// After a loss each limit is halved, for one of its windows.
func TestLimitsAreHalvedAfterALoss(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, otpstore.BoltFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := policy()
	p.SendLimit, p.ResendAfter = 4, 0
	s := open(t, dir, p, nil)
	defer s.close()
	for n := range 3 {
		_, err := s.IssueFor(t.Context(), client, phone)
		if refused := errors.As(err, new(*otpstore.LimitError)); refused != (n == 2) {
			t.Errorf("code %d: %v", n+1, err)
		}
	}
	budget := []otpstore.Budget{{Limit: "budget", Scope: "all", Max: 5, Window: time.Hour}}
	for n := range 3 {
		_, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: fmt.Sprintf("+3470%d", n), Terms: p.Terms(), Budgets: budget})
		if refused := errors.As(err, new(*otpstore.LimitError)); refused != (n == 2) {
			t.Errorf("code %d of the budget: %v", n+1, err)
		}
	}
}

// FuzzCheck holds that no file makes the check before the opening fail in another way than by its verdict, and that bbolt reads what passes.
func FuzzCheck(f *testing.F) {
	dir := f.TempDir()
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, policy(), nil, quiet())
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, file []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, otpstore.BoltFile)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := otpstore.CheckFile(path); err != nil {
			if !errors.Is(err, otpstore.ErrCorrupt) {
				t.Fatalf("the verdict is %v", err)
			}
			return
		}
		if err := otpstore.ReadAll(path); err != nil {
			t.Fatal(err)
		}
	})
}
