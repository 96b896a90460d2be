package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/otpstore"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// refuse opens a store that must not open, and gives the error, which must be one line.
func refuse(t *testing.T, cfg otpstore.Config, want error) string {
	t.Helper()
	s, err := otpstore.Open(cfg, policy(), nil, quiet())
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), cfg.Dir) {
		t.Errorf("no clear line: %v", err)
	}
	return err.Error()
}

func TestFirstStartMakesAKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "otpgw")
	var log bytes.Buffer
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, policy(), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, otpstore.BoltFile: 0o600, otpstore.KeyFile: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v; want %o", name, info.Mode(), err, mode)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, otpstore.KeyFile))
	if err != nil || len(key) != 65 {
		t.Fatalf("key file of %d octets, %v", len(key), err)
	}
	if !strings.Contains(log.String(), "level=WARN") || strings.Contains(log.String(), string(key[:64])) {
		t.Errorf("logged %s", &log)
	}
	// The same key, configured, opens the store too.
	var k otpstore.Key
	if err := k.UnmarshalSecret(key); err != nil {
		t.Fatal(err)
	}
	s, err = otpstore.Open(otpstore.Config{Dir: dir, Key: k}, policy(), nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestKeyFileMustBePrivate(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		dir := t.TempDir()
		path := filepath.Join(dir, otpstore.KeyFile)
		if err := os.WriteFile(path, make([]byte, 32), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := refuse(t, otpstore.Config{Dir: dir}, nil); !strings.Contains(got, "only its owner") {
			t.Errorf("mode %o: %s", mode, got)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, otpstore.KeyFile), []byte("0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := refuse(t, otpstore.Config{Dir: dir}, nil); strings.Contains(got, "0123456789") {
		t.Errorf("the key file's content is in the error: %s", got)
	}
}

func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	i := s.send(phone)
	s.close()
	refuse(t, otpstore.Config{Dir: dir, Key: bytes.Repeat([]byte{7}, 32)}, otpstore.ErrWrongKey)

	path := filepath.Join(dir, otpstore.KeyFile)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	refuse(t, otpstore.Config{Dir: dir}, otpstore.ErrWrongKey)
	if _, err := os.Stat(path); err == nil {
		t.Error("a new key was made for an old store")
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, policy(), nil)
	s.verify(i, i.Code, nil)
}

func TestSecondOpener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the wait for the lock passes at once
		dir := t.TempDir()
		s := open(t, dir, policy(), nil)
		refuse(t, otpstore.Config{Dir: dir}, otpstore.ErrInUse)
		s.send(phone)
		s.close()
	})
}

func TestFilesThatAreNoStore(t *testing.T) {
	t.Run("newer", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir, policy(), nil).close()
		if err := otpstore.SetVersion(filepath.Join(dir, otpstore.BoltFile), otpstore.BoltVersion+1); err != nil {
			t.Fatal(err)
		}
		refuse(t, otpstore.Config{Dir: dir}, otpstore.ErrNewer)
	})
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, otpstore.BoltFile), 0o700); err != nil {
			t.Fatal(err)
		}
		refuse(t, otpstore.Config{Dir: dir}, nil)
	})
	t.Run("file for directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, otpstore.Config{Dir: dir}, nil)
	})
}

// A commit that failed may have been persisted or not: either way nothing is revealed and nothing more is taken.
func TestFailStop(t *testing.T) {
	for name, persisted := range map[string]bool{"not persisted": false, "persisted but reported failed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				p := policy()
				s := open(t, dir, p, nil)
				right, guessed := s.send(phone), s.send("+3461")
				s.close()

				b, err := otpstore.OpenBolt(dir, nil)
				if err != nil {
					t.Fatal(err)
				}
				reg := prometheus.NewRegistry()
				st, err := otpstore.New(b, key(t, dir), p, reg, quiet())
				if err != nil {
					t.Fatal(err)
				}
				otpstore.BreakCommits(b, persisted)
				note := st.Discard(t.Context(), right.ID) // rides along, changes nothing
				answers, sent := make(chan error), make(chan error)
				for range 20 {
					go func() { answers <- st.Verify(t.Context(), client, guessed.ID, guessed.Code) }()
				}
				go func() { sent <- st.Sent(t.Context(), right.ID, otpstore.SendResult{}) }()
				synctest.Wait() // all are queued
				s = start(t, st)
				for range 20 {
					if err := <-answers; !errors.Is(err, otpstore.ErrUnavailable) || !errors.Is(err, otpstore.ErrDisk) {
						t.Errorf("verdict after a failed commit: %v", err)
					}
				}
				if err := <-sent; !errors.Is(err, otpstore.ErrUnavailable) || !errors.Is(err, otpstore.ErrDisk) {
					t.Errorf("Sent with a failed commit: %v", err)
				}
				if note != nil {
					t.Errorf("note: %v", note)
				}
				s.verify(right, right.Code, otpstore.ErrUnavailable)
				if _, err := s.IssueFor(t.Context(), client, phone); !errors.Is(err, otpstore.ErrUnavailable) {
					t.Errorf("Issue: %v", err)
				}
				if err := s.Sent(t.Context(), right.ID, otpstore.SendResult{}); !errors.Is(err, otpstore.ErrUnavailable) {
					t.Errorf("Sent: %v", err)
				}
				if _, err := s.Delivered(t.Context(), receipt(right)); !errors.Is(err, otpstore.ErrUnavailable) {
					t.Errorf("Delivered: %v", err)
				}
				if err := s.Ready(); !errors.Is(err, otpstore.ErrUnavailable) {
					t.Errorf("Ready: %v", err)
				}
				if n := metric(t, reg, "otpgw_codes_total", "verified"); n != 0 {
					t.Errorf("%g codes counted as verified", n)
				}
				if err := s.stop(); !errors.Is(err, otpstore.ErrDisk) {
					t.Errorf("Run: %v", err)
				}

				s = open(t, dir, p, nil)
				want := error(nil)
				if persisted { // the one that may have been told
					want = otpstore.ErrExpired
				}
				s.verify(guessed, guessed.Code, want)
				s.verify(right, right.Code, nil)
				s.close()
			})
		})
	}
}

// key reads the key that a store made for itself.
func key(t *testing.T, dir string) (k otpstore.Key) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, otpstore.KeyFile))
	if err == nil {
		err = k.UnmarshalSecret(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCallerGivesUpInAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := otpstore.Open(otpstore.Config{Dir: t.TempDir()}, policy(), nil, quiet())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		const unknown = "01890000-0000-7000-8000-000000000000"
		taken := 0
		for err == nil { // nothing runs: what is taken stays
			if err = st.Discard(ctx, unknown); err == nil {
				taken++
			}
		}
		if !errors.Is(err, otpstore.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || taken == 0 {
			t.Errorf("after %d: %v", taken, err)
		}
		s := start(t, st)
		i := s.send(phone)
		s.verify(i, i.Code, nil)
		s.close()
	})
}

func TestDirectoryThatEverybodyMayWriteIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cfg := otpstore.DefaultConfig()
	cfg.Dir = dir
	if said := refuse(t, cfg, nil); !strings.Contains(said, "0777") {
		t.Errorf("the mode is not named: %s", said)
	}
}
