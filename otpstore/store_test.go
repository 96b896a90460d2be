package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

const (
	client = "acme-payments"
	phone  = "+34600123456"
)

func policy() otpstore.Policy {
	p := otpstore.DefaultPolicy()
	p.ResendAfter = 0
	return p
}

// A running store, and how to end it.
type running struct {
	*otpstore.Store
	t    *testing.T
	stop func() error // ends Run and gives its error; closes the store
}

func open(t *testing.T, dir string, p otpstore.Policy, reg prometheus.Registerer) *running {
	t.Helper()
	s, err := otpstore.Open(otpstore.Config{Dir: dir}, p, reg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return start(t, s)
}

func start(t *testing.T, s *otpstore.Store) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &running{Store: s, t: t}
	r.stop = func() error {
		cancel()
		err := <-ended
		r.stop = func() error { return err }
		return errors.Join(err, s.Close())
	}
	t.Cleanup(func() { r.stop() }) // a test that cares has looked at the error before
	return r
}

func (r *running) close() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Fatalf("stop: %v", err)
	}
}

func (r *running) issue(number string) otpstore.Issued {
	r.t.Helper()
	i, err := r.IssueFor(r.t.Context(), client, number)
	if err != nil {
		r.t.Fatalf("Issue: %v", err)
	}
	return i
}

func (r *running) send(number string) otpstore.Issued {
	r.t.Helper()
	i := r.issue(number)
	r.sent(i)
	return i
}

func (r *running) sent(i otpstore.Issued) {
	r.t.Helper()
	err := r.Sent(r.t.Context(), i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: []string{"m-" + i.ID}, SubmittedAt: time.Now()})
	if err != nil {
		r.t.Fatalf("Sent: %v", err)
	}
}

func (r *running) verify(i otpstore.Issued, code string, want error) {
	r.t.Helper()
	if err := r.Verify(r.t.Context(), client, i.ID, code); !errors.Is(err, want) {
		r.t.Fatalf("Verify: got %v, want %v", err, want)
	}
}

func (r *running) lookup(i otpstore.Issued) otpstore.Verification {
	r.t.Helper()
	v, err := r.Lookup(r.t.Context(), i.ID)
	if err != nil {
		r.t.Fatalf("Lookup: %v", err)
	}
	return v
}

func wrong(i otpstore.Issued) string {
	return string('0'+(i.Code[0]-'0'+1)%10) + i.Code[1:]
}

func receipt(i otpstore.Issued) otpstore.Receipt {
	return otpstore.Receipt{SMSC: "main", MessageIDs: []string{"m-" + i.ID}, Converted: 1, State: "DELIVRD", Final: true, Delivered: true}
}

func TestLifeOfACode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		s := open(t, t.TempDir(), policy(), reg)
		begin := time.Now()
		i := s.issue(phone)
		if len(i.ID) != 36 || len(i.Code) != 6 || !i.ExpiresAt.Equal(begin.Add(5*time.Minute)) {
			t.Errorf("issued %s until %s", i.ID, i.ExpiresAt)
		}
		time.Sleep(2 * time.Second) // the SMSC takes its time
		answered := time.Now()
		s.sent(i)
		time.Sleep(time.Second)
		if _, err := s.Delivered(t.Context(), receipt(i)); err != nil {
			t.Fatal(err)
		}
		delivered := time.Now()
		s.verify(i, wrong(i), otpstore.ErrWrongCode)
		time.Sleep(time.Second)
		s.verify(i, i.Code, nil)
		s.verify(i, i.Code, otpstore.ErrExpired)

		got := fmt.Sprintf("%+v", s.lookup(i))
		want := fmt.Sprintf("%+v", otpstore.Verification{
			ID: i.ID, Client: client, State: "used", Attempts: 1, MaxAttempts: 3,
			IssuedAt: begin.UTC(), SubmittedAt: answered.UTC(), SentAt: answered.UTC(), DeliveredAt: delivered.UTC(),
			FinishedAt: time.Now().UTC(), ExpiresAt: answered.Add(5 * time.Minute).UTC(),
			SMSC: "main", MessageIDs: []string{"m-" + i.ID}, Receipt: "DELIVRD",
		})
		if strip(got) != strip(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for _, outcome := range []string{"issued", "sent", "wrong", "verified", "expired"} {
			if n := metric(t, reg, "otpgw_codes_total", outcome); n != 1 {
				t.Errorf("%g codes counted as %s", n, outcome)
			}
		}
		for name, want := range map[string]float64{"otpgw_store_records": 1, "otpgw_store_parked_receipts": 0, "otpgw_store_lost_notes_total": 0} {
			if n := metric(t, reg, name, ""); n != want {
				t.Errorf("%s = %g", name, n)
			}
		}
		if n := metric(t, reg, "otpgw_store_commit_seconds", ""); n != 5 { // issue, sent, receipt, two tries; what came after the end changed nothing
			t.Errorf("%g commits", n)
		}
		s.close()
	})
}

// strip removes the monotonic reading of printed times.
func strip(s string) string {
	words := strings.Fields(s)
	kept := words[:0]
	for _, w := range words {
		if !strings.HasPrefix(w, "m=") {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

func TestIDsAreBoundToTheirClient(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	i := s.send(phone)
	for _, id := range []string{"", "x", strings.ToUpper(i.ID), "01890000-0000-7000-8000-000000000000"} {
		if err := s.Verify(t.Context(), client, id, i.Code); !errors.Is(err, otpstore.ErrNotFound) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for range 5 {
		if err := s.Verify(t.Context(), "other", i.ID, i.Code); !errors.Is(err, otpstore.ErrNotFound) {
			t.Errorf("another client: %v", err)
		}
	}
	s.verify(i, i.Code, nil)
}

func TestSettledOnce(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	a, b, c := s.issue(phone), s.issue(phone), s.issue(phone)
	for id, settle := range map[string]func(context.Context, string) error{b.ID: s.Discard, c.ID: s.Unknown} {
		if err := settle(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	s.sent(a)
	s.sent(a)
	s.sent(c)
	if err := s.Sent(t.Context(), b.ID, otpstore.SendResult{SMSC: "main"}); !errors.Is(err, otpstore.ErrNotFound) {
		t.Errorf("Sent of a code that was discarded: %v", err)
	}
	if _, err := s.Lookup(t.Context(), b.ID); !errors.Is(err, otpstore.ErrNotFound) {
		t.Errorf("discarded: %v", err)
	}
	if v := s.lookup(c); v.State != "unknown" {
		t.Errorf("unknown outcome: %s", v.State)
	}
	s.verify(b, b.Code, otpstore.ErrNotFound)
	s.verify(c, c.Code, otpstore.ErrNotFound)
	s.verify(a, a.Code, nil)
	sent := func(ctx context.Context, id string) error { return s.Sent(ctx, id, otpstore.SendResult{}) }
	for what, settle := range map[string]func(context.Context, string) error{"Sent": sent, "Discard": s.Discard, "Unknown": s.Unknown} {
		if err := settle(t.Context(), "no id"); !errors.Is(err, otpstore.ErrNotFound) {
			t.Errorf("%s of no id: %v", what, err)
		}
	}
}

func TestLimitsAreCountedOverClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		p.NumberLimit = 2
		reg := prometheus.NewRegistry()
		s := open(t, t.TempDir(), p, reg)
		s.send(phone)
		time.Sleep(20 * time.Minute)
		if _, err := s.IssueFor(t.Context(), "other", phone); err != nil {
			t.Fatal(err)
		}
		_, err := s.IssueFor(t.Context(), "third", phone)
		var limit *otpstore.LimitError
		if !errors.As(err, &limit) || *limit != (otpstore.LimitError{Limit: "number_limit", RetryAfter: 40 * time.Minute}) {
			t.Errorf("got %v", err)
		}
		s.issue("+34600123457") // another number
		p.NumberLimit = 3
		s.SetPolicy(p)
		s.issue(phone)
		if n := metric(t, reg, "otpgw_limits_total", "number_limit"); n != 1 {
			t.Errorf("%g refusals counted", n)
		}
		s.close()
	})
}

// metric gives the value of a metric with at most one label, of a histogram its count.
func metric(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == name && (len(labels) == 0) == (label == "") && (label == "" || labels[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

func TestReopenedKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := policy()
		p.SendLimit = 5
		s := open(t, dir, p, nil)
		used, replaced, locked := s.send("+3461"), s.send("+3462"), s.send("+3463")
		s.verify(used, used.Code, nil)
		tried := s.send("+3462")
		for range p.MaxAttempts - 1 {
			s.verify(tried, wrong(tried), otpstore.ErrWrongCode)
			s.verify(locked, wrong(locked), otpstore.ErrWrongCode)
		}
		s.verify(locked, wrong(locked), otpstore.ErrFailed)
		for range 3 {
			s.issue("+3462") // of these nobody ever hears anything
		}
		for range 3 {
			s.close()
			s = open(t, dir, p, nil)
			s.verify(used, used.Code, otpstore.ErrExpired)
			s.verify(replaced, replaced.Code, otpstore.ErrExpired)
			s.verify(locked, locked.Code, otpstore.ErrFailed)
			var limit *otpstore.LimitError
			if _, err := s.IssueFor(t.Context(), client, "+3462"); !errors.As(err, &limit) || limit.Limit != "send_limit" {
				t.Errorf("send limit forgotten: %v", err)
			}
		}
		s.close()
	})
}

// What a crash leaves is what the file has at that moment. A resend must not end the older code before it was accepted itself,
// and must have ended it, and be live, as soon as its Sent has returned.
func TestCrashOfAResend(t *testing.T) {
	for name, accepted := range map[string]bool{"before it was accepted": false, "when it was accepted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, crashed := t.TempDir(), t.TempDir()
				s := open(t, dir, policy(), nil)
				older, other := s.send(phone), s.send("+3461")
				tried := s.send("+3462")
				s.verify(tried, wrong(tried), otpstore.ErrWrongCode)
				newer := s.issue(phone)
				if accepted {
					s.sent(newer)
				}
				snapshot(t, dir, crashed)
				s.close()

				reg := prometheus.NewRegistry()
				s = open(t, crashed, policy(), reg)
				interrupted, state := 1.0, "unknown"
				if accepted {
					interrupted, state = 0, "live"
				}
				if n := metric(t, reg, "otpgw_codes_total", "interrupted"); n != interrupted {
					t.Errorf("%g codes interrupted", n)
				}
				if v := s.lookup(newer); v.State != state {
					t.Errorf("the newer code is %s, want %s", v.State, state)
				}
				if accepted {
					s.verify(older, older.Code, otpstore.ErrExpired)
					s.verify(newer, newer.Code, nil)
				} else {
					s.verify(newer, newer.Code, otpstore.ErrNotFound)
					s.verify(older, older.Code, nil)
				}
				s.verify(other, other.Code, nil)
				s.verify(tried, wrong(tried), otpstore.ErrWrongCode)
				s.verify(tried, wrong(tried), otpstore.ErrFailed)
				s.close()
			})
		})
	}
}

func snapshot(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{otpstore.BoltFile, otpstore.KeyFile} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoteIsDurableWithinItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, crashed := t.TempDir(), t.TempDir()
		s := open(t, dir, policy(), nil)
		i := s.issue(phone)
		if err := s.Discard(t.Context(), i.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(otpstore.LazyWithin)
		synctest.Wait()
		snapshot(t, dir, crashed)
		s.close()
		s = open(t, crashed, policy(), nil)
		if v, err := s.Lookup(t.Context(), i.ID); !errors.Is(err, otpstore.ErrNotFound) {
			t.Errorf("not kept after %s: %+v, %v", otpstore.LazyWithin, v, err)
		}
		s.close()
	})
}

func TestSweepEmpties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const numbers = 600 // more than two batches
		dir := t.TempDir()
		reg := prometheus.NewRegistry()
		p := policy()
		s := open(t, dir, p, reg)
		var first otpstore.Issued
		for n := range numbers {
			i := s.issue(fmt.Sprintf("+346%08d", n))
			if n == 0 {
				first = i
			}
			s.sent(i)
		}
		time.Sleep(p.Retention + p.TTL/2)
		young := s.send(phone)
		s.verify(first, first.Code, otpstore.ErrExpired)
		time.Sleep(p.TTL/2 + otpstore.SweepEvery + time.Second)
		s.verify(first, first.Code, otpstore.ErrNotFound)
		s.verify(young, young.Code, nil)
		if n := metric(t, reg, "otpgw_store_swept_records_total", ""); n != numbers {
			t.Errorf("%g records swept, want %d", n, numbers)
		}
		s.close()
		values, err := otpstore.Values(filepath.Join(dir, otpstore.BoltFile))
		if err != nil || len(values) != 1 {
			t.Errorf("%d records left, %v; want the young one", len(values), err)
		}
	})
}

func TestNothingInClear(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	st, err := otpstore.Open(otpstore.Config{Dir: dir}, policy(), reg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, st)
	codes := map[string]bool{}
	for n := range 40 {
		i := s.send(fmt.Sprintf("+3460012%04d", n))
		if n%2 == 0 {
			s.verify(i, wrong(i), otpstore.ErrWrongCode)
		}
		if n%4 == 0 {
			s.verify(i, i.Code, nil)
		}
		codes[i.Code] = true
	}
	s.close()
	file, err := os.ReadFile(filepath.Join(dir, otpstore.BoltFile))
	if err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte(client)) {
		t.Fatal("the search does not find what is there")
	}
	if bytes.Contains(file, []byte("60012")) || strings.Contains(log.String()+fmt.Sprint(families), "60012") {
		t.Error("a number is in clear")
	}
	// Six digits may stand by chance in the hexadecimal ids of messages, so those are taken out before the search.
	for code := range codes {
		for at := bytes.Index(file, []byte(code)); at >= 0; {
			if around := file[max(0, at-40):min(len(file), at+46)]; !bytes.Contains(around, []byte("m-0")) {
				t.Errorf("a code is in clear: %q", around)
			}
			next := bytes.Index(file[at+1:], []byte(code))
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}
}

func TestFlippedBitIsNeverAccepted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	i := s.send(phone)
	s.verify(i, wrong(i), otpstore.ErrWrongCode)
	s.close()
	values, err := otpstore.Values(filepath.Join(dir, otpstore.BoltFile))
	if err != nil || len(values) != 1 {
		t.Fatalf("%d records, %v", len(values), err)
	}
	for octet := 0; octet < len(values[0]); octet += 3 {
		bad := t.TempDir()
		snapshot(t, dir, bad)
		if err := otpstore.FlipRecordBit(filepath.Join(bad, otpstore.BoltFile), octet, uint(octet)); err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		s := open(t, bad, policy(), reg)
		s.verify(i, i.Code, otpstore.ErrExpired)
		again := s.send(phone)
		s.verify(again, again.Code, nil)
		// A flip in the name of the key looks like a key that was dropped.
		if n := metric(t, reg, "otpgw_store_damaged_records_total", "") + metric(t, reg, "otpgw_store_keyless_records_total", ""); n != 1 {
			t.Errorf("octet %d: %g records found damaged", octet, n)
		}
		s.close()
	}
}

// Each record is as it was sealed, but not where it was put.
func TestMovedRecordIsNeverAccepted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, policy(), nil)
	a, b := s.send("+3461"), s.send("+3462")
	s.close()
	if err := otpstore.SwapRecords(filepath.Join(dir, otpstore.BoltFile)); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s = open(t, dir, policy(), reg)
	s.verify(a, a.Code, otpstore.ErrExpired)
	s.verify(b, b.Code, otpstore.ErrExpired)
	if n := metric(t, reg, "otpgw_store_damaged_records_total", ""); n != 2 {
		t.Errorf("%g records found damaged", n)
	}
}
