package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"otpgw/otpstore"
)

// A record that went on leaves an entry behind. Many of them in a row keep nobody who turns pages from what lies before them.
func TestPagesGoPastWhatWentOn(t *testing.T) {
	patching(t, 512)
	const many, listReads = 11_000, 10_000 // one List reads no more
	dir := memory(t)
	s := open(t, dir, policy(), nil)
	ask(t, s.Store, client, "+3461", wantsAll)
	first := s.send("+3462")
	for range 2 { // the second time each leaves what it was
		var all sync.WaitGroup
		for w := range 64 {
			all.Go(func() {
				for n := w; n < many; n += 64 {
					if _, err := s.IssueFor(t.Context(), "other", fmt.Sprintf("+346%06d", n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	for from, pages := "", 0; ; pages++ {
		next, err := s.Untold(t.Context(), from, 1000, func(otpstore.Event) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if from = next; next == "" {
			break
		}
		if pages > 100 {
			t.Fatal("what is untold has no end")
		}
	}
	if got := s.pages(client, otpstore.ListOptions{Limit: 7}); len(got) != 2 || !slices.Contains(got, first.ID) {
		t.Errorf("the list has %q", got)
	}
	s.close()
	if records, _ := entries(t, dir); records < many+listReads {
		t.Errorf("%d entries: too few are left in a row", records)
	}
}

// What is left where a record went on goes with the code that it had there: nothing else leads to it, were the number forgotten.
func TestDiscardTakesWhatIsLeft(t *testing.T) {
	patching(t, 1)
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	issue := func(number string) otpstore.Issued {
		t.Helper()
		i, err := s.Issue(t.Context(), otpstore.Request{Client: client, Number: number, Masked: "masked" + number, Terms: policy().Terms()})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	discard := func(i otpstore.Issued) {
		t.Helper()
		if err := s.Discard(t.Context(), i.ID); err != nil {
			t.Fatal(err)
		}
	}
	others := 0
	apart := func() { others++; issue(fmt.Sprintf("+3470%d", others)) }

	kept := issue(phone)
	apart()
	gone := issue(phone)
	apart()
	issue(phone)
	apart()
	discard(gone)
	s.lookup(kept)

	none := []otpstore.Issued{issue("+3461")}
	for range 2 {
		apart()
		none = append(none, issue("+3461"))
	}
	apart()
	for _, i := range none {
		discard(i)
	}
	s.forget(phone, otpstore.Forgotten{Verifications: 2, Live: 2})
	s.forget("+3461", otpstore.Forgotten{})
	s.close()
	all, err := otpstore.Raw(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, octets := range map[string][]byte{"the id": otpstore.IDOctets(gone.ID), "the number": []byte("masked" + phone), "the other number": []byte("masked+3461")} {
		if bytes.Contains(all, octets) {
			t.Errorf("%s is left", what)
		}
	}
	if !bytes.Contains(all, []byte("masked+34701")) {
		t.Error("what is looked for would not be found")
	}
	if records, patches := entries(t, dir); records != others+1 || patches != 0 {
		t.Errorf("%d entries and %d patches, want %d and 0", records, patches, others+1)
	}
}

// A forgetfulBackend fails to sweep, so many times.
type forgetfulBackend struct {
	otpstore.Backend
	fails int
}

func (b *forgetfulBackend) Sweep(ctx context.Context, after otpstore.Name, before time.Time, limit int, step otpstore.Step) (otpstore.Name, bool, error) {
	if limit == 1 { // on behalf of Forget
		if b.fails--; b.fails >= 0 {
			return otpstore.Name{}, false, otpstore.ErrUnavailable
		}
	}
	return b.Backend.Sweep(ctx, after, before, limit, step)
}

// A Forget that was cut off is repeated, and leaves no more than one that was not.
func TestForgetIsRepeated(t *testing.T) {
	patching(t, 1)
	dir := t.TempDir()
	bolt, err := otpstore.OpenBolt(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &forgetfulBackend{bolt, 2}
	st, err := otpstore.New(b, make(otpstore.Key, 32), policy(), nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, st)
	var ids []otpstore.Issued
	for n := range 3 {
		ids = append(ids, s.send(phone))
		s.send(fmt.Sprintf("+3461%d", n))
	}
	for range 2 {
		if _, err := s.Forget(t.Context(), phone); !errors.Is(err, otpstore.ErrUnavailable) {
			t.Fatalf("cut off: %v", err)
		}
	}
	s.forget(phone, otpstore.Forgotten{Verifications: 3, Live: 1})
	s.close()
	all, err := otpstore.Raw(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		t.Fatal(err)
	}
	for n, i := range ids {
		if bytes.Contains(all, otpstore.IDOctets(i.ID)) {
			t.Errorf("the id of code %d is left", n)
		}
	}
}
