package otpstore

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func (d *smallDisk) remount(flags uintptr) {
	d.t.Helper()
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=32m"); err != nil {
		d.t.Fatal(err)
	}
}

// TestReadOnlyAtTheStart: a store whose file system cannot be written when it is opened refuses everything, and begins when it can. What was
// known before is known then, and counted once.
func TestReadOnlyAtTheStart(t *testing.T) {
	disk := newSmallDisk(t, 32)
	p := DefaultPolicy()
	p.ResendAfter = 0
	request := Request{Client: "acme", Number: "+34600000001", Masked: "+34*******01", Terms: p.Terms(), Budgets: []Budget{{Limit: "budget", Scope: "all", Max: 3, Window: time.Hour}}}
	issue := func(s *Store) (Issued, error) {
		i, err := s.Issue(t.Context(), request)
		if err == nil {
			err = s.Sent(t.Context(), i.ID, SendResult{SMSC: "main", SubmittedAt: time.Now()})
		}
		return i, err
	}
	var log bytes.Buffer
	open := func(reg prometheus.Registerer) *Store {
		s, err := Open(Config{Dir: disk.dir}, p, reg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	s := open(nil)
	stop := runUntil(t, s)
	before, err := issue(s)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	disk.remount(syscall.MS_RDONLY)
	reg := prometheus.NewRegistry()
	s = open(reg)
	told := func(want float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "otpgw_store_read_only" && f.GetMetric()[0].GetGauge().GetValue() == want {
				return
			}
		}
		t.Errorf("the gauge does not say %v", want)
	}
	told(1)
	if n := strings.Count(log.String(), "all is refused until the store can be opened"); n != 1 {
		t.Errorf("the log says %d times why\n%s", n, &log)
	}
	l := s.backend.(*lateBolt)
	tried, try := make(chan error, 100), l.open
	l.open = func() (*Bolt, error) {
		b, err := try()
		tried <- err
		return b, err
	}
	stop = runUntil(t, s)
	if err := <-tried; !isReadOnly(err) {
		t.Fatalf("opened: %v", err)
	}
	for range 3 {
		_, refused := issue(s)
		_, canceled := s.Cancel(t.Context(), "acme", before.ID)
		_, looked := s.Lookup(t.Context(), before.ID)
		_, received := s.Delivered(t.Context(), Receipt{SMSC: "main", MessageIDs: []string{"1"}, State: "DELIVRD", Final: true})
		for what, err := range map[string]error{
			"Issue": refused, "Lookup": looked, "Delivered": received, "Ready": s.Ready(),
			"Verify": s.Verify(t.Context(), "acme", before.ID, before.Code), "Cancel": canceled,
			"Sent": s.Sent(t.Context(), before.ID, SendResult{SMSC: "main"}),
		} {
			if !errors.Is(err, ErrReadOnly) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if stats := s.Stats(); stats.Records != 0 || len(stats.Trouble) != 1 || !strings.Contains(stats.Trouble[0], "read-only") {
		t.Errorf("%+v", stats)
	}
	if err := s.Backup(t.Context(), new(bytes.Buffer)); err == nil {
		t.Error("a backup of nothing")
	}

	disk.remount(0)
	for deadline := time.Now().Add(10 * time.Second); s.Ready() != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v", s.Ready())
		}
		time.Sleep(10 * time.Millisecond)
	}
	told(0)
	if stats := s.Stats(); stats.Records != 1 || strings.Contains(strings.Join(stats.Trouble, ""), "read-only") {
		t.Errorf("%+v", stats)
	}
	if err := s.Verify(t.Context(), "acme", before.ID, before.Code); err != nil {
		t.Errorf("the code of before: %v", err)
	}
	for n := range 3 { // one of the budget was spent before
		_, err := issue(s)
		if limit := (*LimitError)(nil); errors.As(err, &limit) != (n == 2) {
			t.Errorf("code %d: %v", n, err)
		}
	}
	stop()

	s = open(nil) // and again, ended before it could be opened
	stop = runUntil(t, s)
	stop()
	disk.remount(syscall.MS_RDONLY)
	s = open(nil)
	stop = runUntil(t, s)
	stop()
	disk.remount(0)
}

// A store that never was, and one whose key is gone, are no matter of waiting.
func TestReadOnlyWithoutAKey(t *testing.T) {
	disk := newSmallDisk(t, 32)
	disk.remount(syscall.MS_RDONLY)
	defer disk.remount(0)
	if _, err := Open(Config{Dir: disk.dir}, DefaultPolicy(), nil, slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.EROFS) {
		t.Errorf("%v", err)
	}
}

// A file system that failed may give EROFS to who writes, and say that it is not read-only. A start that would write nothing finds it out, so that it
// waits, and the first commit does not end it.
func TestStartFindsOutWhatCannotBeWritten(t *testing.T) {
	b, err := OpenBolt(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.room.allocate = func(*os.File, int64, int64) error { return syscall.EROFS }
	if err := b.Scan(t.Context(), keep); !isReadOnly(err) {
		t.Errorf("the start goes on: %v", err)
	}
}
