package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/otpstore"
)

// backup saves a backup of s as the store of a new directory with the same key, and gives that.
func (r *running) backup(from string) string {
	r.t.Helper()
	dir := r.t.TempDir()
	records, err := otpstore.SaveBackup(filepath.Join(dir, otpstore.BoltFile), func(w io.Writer) error { return r.Backup(r.t.Context(), w) })
	if err != nil || records != r.Stats().Records {
		r.t.Fatalf("backup of %d records: %v", records, err)
	}
	key, err := os.ReadFile(filepath.Join(from, otpstore.KeyFile))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, otpstore.KeyFile), key, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// Whoever restores a backup gives nothing back: what was out is expired, whenever it was sent, and limits are halved.
func TestRestoredBackupIsALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		p.SendLimit, p.SendWindow, p.NumberLimit, p.DayLimit, p.NumberDayLimit = 4, time.Hour, 100, 0, 0
		dir := t.TempDir()
		s := open(t, dir, p, nil)
		alive, used, flying := s.send(phone), s.send("+3462"), s.issue("+3463")
		s.verify(used, used.Code, nil)
		s.verify(alive, wrong(alive), otpstore.ErrWrongCode)
		restored := s.backup(dir)
		s.verify(alive, alive.Code, nil) // the backup does not know that
		time.Sleep(time.Minute)
		later := s.send(phone)
		s.close()

		if records, err := otpstore.Check(restored); err != nil || records != 3 {
			t.Errorf("%d records, %v", records, err)
		}
		for again := range 2 {
			s = open(t, restored, p, nil)
			for _, i := range []otpstore.Issued{alive, used, flying, later} {
				s.verify(i, i.Code, otpstore.ErrExpired)
			}
			if v := s.lookup(alive); v.State != "elapsed" || v.Attempts != 1 {
				t.Errorf("%+v", v)
			}
			if len(s.Trouble()) != 1 {
				t.Errorf("trouble: %q", s.Trouble())
			}
			if again == 0 {
				for n := range 2 { // half of 4, of which one is spent
					if got := s.limited(phone); (got == "send_limit") != (n == 1) {
						t.Errorf("code %d after it was restored: limit %q", n+1, got)
					}
				}
				time.Sleep(time.Minute)
			}
			s.close()
		}
		time.Sleep(time.Hour)
		s = open(t, restored, p, nil) // opening again is no loss
		for n := range 5 {
			if got := s.limited(phone); (got == "send_limit") != (n == 4) {
				t.Errorf("code %d an hour later: limit %q", n+1, got)
			}
		}
		s.close()
	})
}

func TestBackupIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	s.send(phone)
	path := filepath.Join(t.TempDir(), "copy")
	gone := func(why string) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was left, %v", why, err)
		}
	}
	var whole bytes.Buffer
	if err := s.Backup(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	for why, content := range map[string][]byte{"nothing": nil, "half": whole.Bytes()[:whole.Len()/2], "another file": bytes.Repeat([]byte("x"), 1<<16)} {
		_, err := otpstore.SaveBackup(path, func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if !errors.Is(err, otpstore.ErrCorrupt) {
			t.Errorf("%s: %v", why, err)
		}
		gone(why)
	}
	broken := errors.New("cut off")
	if _, err := otpstore.SaveBackup(path, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("cut off: %v", err)
	}
	gone("cut off")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ended, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := otpstore.SaveBackup(path, func(w io.Writer) error { return s.Backup(t.Context(), w) }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file is there: %v", err)
	}
	if mine, err := os.ReadFile(path); err != nil || string(mine) != "mine" {
		t.Errorf("it was changed: %q, %v", mine, err)
	}
	s.send("+3462") // the store goes on
	s.close()
}

// A stalled reader takes nothing more from some point on, until it is released.
type stalled struct {
	begun, release chan struct{}
	once           sync.Once
}

func (s *stalled) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	<-s.release
	return len(p), nil
}

// Who takes a backup slowly holds up no commit, though the file grows meanwhile.
func TestBackupHoldsUpNobody(t *testing.T) {
	s := open(t, memory(t), policy(), nil)
	reader := &stalled{begun: make(chan struct{}), release: make(chan struct{})}
	saved := make(chan error, 1)
	go func() { saved <- s.Backup(t.Context(), reader) }()
	<-reader.begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := range 2000 {
		if _, err := s.IssueFor(ctx, client, fmt.Sprintf("+34%07d", n)); err != nil {
			t.Errorf("code %d: %v", n, err)
			break
		}
	}
	close(reader.release)
	if err := <-saved; err != nil {
		t.Error(err)
	}
	s.close()
}
