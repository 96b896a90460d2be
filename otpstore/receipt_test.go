package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/otpstore"
)

// forms is a final receipt under several forms of its id, of which the first is no conversion.
func forms(phone string, ids ...string) otpstore.Receipt {
	r := otpstore.Receipt{SMSC: "main", MessageIDs: ids, Converted: 1, State: "DELIVRD", Final: true, Delivered: true}
	if phone != "" {
		r.Numbers = []string{phone}
	}
	return r
}

func (r *running) sentAs(i otpstore.Issued, ids ...string) {
	r.t.Helper()
	if err := r.Sent(r.t.Context(), i.ID, otpstore.SendResult{SMSC: "main", MessageIDs: ids}); err != nil {
		r.t.Fatalf("Sent: %v", err)
	}
}

func (r *running) delivered(receipt otpstore.Receipt, want otpstore.Match) {
	r.t.Helper()
	got, err := r.Delivered(r.t.Context(), receipt)
	if got.Found != (got.ID != "" && got.Client == client) {
		r.t.Errorf("receipt %s: %+v is of nobody", receipt.State, got)
	}
	if got.ID, got.Client = "", ""; err != nil || got != want {
		r.t.Errorf("receipt %s %v: %+v, %v, want %+v", receipt.State, receipt.MessageIDs, got, err, want)
	}
}

func TestReceiptsOfParts(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	i := s.issue(phone)
	s.sentAs(i, "1", "2")
	for _, part := range []string{"2", "1"} {
		if v := s.lookup(i); v.Receipt != "" || !v.DeliveredAt.IsZero() {
			t.Errorf("delivered before part %s was: %+v", part, v)
		}
		s.delivered(forms("", part), otpstore.Match{Found: true, Changed: true})
	}
	if v := s.lookup(i); v.Receipt != "DELIVRD" || v.DeliveredAt.IsZero() {
		t.Errorf("got %+v", v)
	}
}

// The id of one message, in hexadecimal, is the id of another in decimal; an SMSC that began its numbers anew gave one id twice.
func TestReceiptFindsItsMessage(t *testing.T) {
	const one, two, stranger = "+34600000001", "+34600000002", "+34600000003"
	found := func(form int) otpstore.Match { return otpstore.Match{Found: true, Form: form, Changed: true} }
	for _, test := range []struct {
		name     string
		one, two []string // message ids, each of a code of its own, in this order
		receipt  otpstore.Receipt
		want     otpstore.Match
		whose    string
	}{
		{"as it is", []string{"10"}, []string{"16"}, forms(two, "16", "10", "22"), found(0), two},
		{"converted", []string{"10"}, []string{"16"}, forms(one, "16", "10", "22"), found(1), one},
		{"national form", []string{"10"}, []string{"16"}, forms("+600000002", "16", "10"), found(0), two},
		{"converted, national form", []string{"10"}, []string{"5"}, forms("+600000001", "16", "10"), otpstore.Match{}, ""},
		{"converted, for a stranger", []string{"10"}, []string{"5"}, forms(stranger, "16", "10"), otpstore.Match{}, ""},
		{"one id twice, the older is meant", []string{"16"}, []string{"16"}, forms(one, "16"), found(0), one},
		{"one id twice, the newer is meant", []string{"16"}, []string{"16"}, forms(two, "16"), found(0), two},
		{"several codes of a number", []string{"10", "16", "22"}, []string{"5"}, forms(one, "16", "10", "22"), found(0), one},
		{"nobody's", []string{"10"}, []string{"16"}, forms(one, "99"), otpstore.Match{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, t.TempDir(), policy(), nil)
			codes := map[string][]otpstore.Issued{}
			for _, messages := range []struct {
				phone string
				ids   []string
			}{{one, test.one}, {two, test.two}} {
				for _, id := range messages.ids {
					i := s.issue(messages.phone)
					s.sentAs(i, id)
					codes[messages.phone] = append(codes[messages.phone], i)
				}
			}
			s.delivered(test.receipt, test.want)
			for phone, issued := range codes {
				got := 0
				for _, i := range issued {
					if v := s.lookup(i); v.Receipt != "" {
						got++
						if v.MessageIDs[0] != test.receipt.MessageIDs[test.want.Form] {
							t.Errorf("the receipt went to message %s", v.MessageIDs)
						}
					}
				}
				if want := map[bool]int{true: 1}[phone == test.whose]; got != want {
					t.Errorf("%d receipts recorded for %s, want %d", got, phone, want)
				}
			}
			s.close()
		})
	}
}

func TestReceiptBeforeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		reg := prometheus.NewPedanticRegistry()
		s := open(t, dir, policy(), reg)
		i, late := s.issue(phone), s.issue(phone)
		for range 2 {
			s.delivered(receipt(i), otpstore.Match{})
		}
		s.delivered(receipt(late), otpstore.Match{})
		if n := metric(t, reg, "otpgw_store_parked_receipts", ""); n != 2 {
			t.Errorf("%g receipts wait", n)
		}
		s.sent(i)
		if v := s.lookup(i); v.Receipt != "DELIVRD" || !v.DeliveredAt.Equal(time.Now()) {
			t.Errorf("got %+v", v)
		}
		time.Sleep(otpstore.ParkedFor)
		s.sent(late)
		if v := s.lookup(late); v.Receipt != "" {
			t.Errorf("a receipt waited for longer than %s", otpstore.ParkedFor)
		}
		time.Sleep(otpstore.SweepEvery)
		synctest.Wait()
		for outcome, want := range map[string]float64{"parked": 2, "claimed": 1, "expired": 1, "refused": 0} {
			if n := metric(t, reg, "otpgw_store_orphans_total", outcome); n != want {
				t.Errorf("%g receipts %s, want %g", n, outcome, want)
			}
		}
		if n := metric(t, reg, "otpgw_store_receipts_total", "delivered"); n != 1 {
			t.Errorf("%g receipts counted as delivered", n)
		}
		s.close()
		s = open(t, dir, policy(), nil)
		if v := s.lookup(i); v.Receipt != "DELIVRD" {
			t.Errorf("after reopening: %+v", v)
		}
		s.close()
	})
}

// Two messages of the same id: the early receipt waits for the one to its number, and all that came of it are recorded.
func TestEarlyReceiptIsClaimedByItsMessage(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	progress := forms(phone, "16", "10")
	progress.State, progress.Final, progress.Delivered = "ENROUTE", false, false
	vague := forms(phone, "16", "10")
	vague.State, vague.Delivered = "UNKNOWN", false
	for _, r := range []otpstore.Receipt{progress, vague, forms(phone, "16", "10")} {
		s.delivered(r, otpstore.Match{})
	}
	other, i := s.issue("+34600000999"), s.issue(phone)
	s.sentAs(other, "10")
	s.sentAs(i, "10")
	if v := s.lookup(i); v.Receipt != "DELIVRD" {
		t.Errorf("got %+v", v)
	}
	if v := s.lookup(other); v.Receipt != "" {
		t.Errorf("the other number's message got it: %+v", v)
	}
}

// A receipt comes before the answer to its own submit, and its id is that of another message, unless it is converted. Whatever
// comes first, the other message stays without.
func TestEarlyReceiptIsNotAnothers(t *testing.T) {
	const other = "+34600000999"
	for name, otherFirst := range map[string]bool{"the other was sent before": true, "the other is sent meanwhile": false} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), policy(), nil)
			o, i := s.issue(other), s.issue(phone)
			if otherFirst {
				s.sentAs(o, "16")
			}
			s.delivered(forms(phone, "16", "10"), otpstore.Match{})
			if !otherFirst {
				s.sentAs(o, "16")
			}
			if v := s.lookup(o); v.Receipt != "" {
				t.Errorf("recorded for the other: %+v", v)
			}
			s.sentAs(i, "10")
			if v := s.lookup(i); v.Receipt != "DELIVRD" {
				t.Errorf("not recorded for its own: %+v", v)
			}
		})
	}
}

func TestFullParkingAsksForTheReceiptAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := open(t, t.TempDir(), policy(), reg)
		i := s.issue(phone)
		for n := range otpstore.ParkedLimit {
			s.delivered(forms("", fmt.Sprint(n)), otpstore.Match{})
		}
		s.delivered(forms("", "0"), otpstore.Match{}) // once more: it has its place
		if _, err := s.Delivered(t.Context(), receipt(i)); !errors.Is(err, otpstore.ErrUnavailable) {
			t.Errorf("a receipt for which there is no room: %v", err)
		}
		s.sent(i)
		s.delivered(receipt(i), otpstore.Match{Found: true, Changed: true})
		if n := metric(t, reg, "otpgw_store_orphans_total", "refused"); n != 1 {
			t.Errorf("%g receipts refused", n)
		}
		if n := metric(t, reg, "otpgw_store_parked_receipts", ""); n != otpstore.ParkedLimit {
			t.Errorf("%g receipts wait", n)
		}
		time.Sleep(otpstore.ParkedFor)
		s.delivered(forms("", "one more"), otpstore.Match{}) // there is room again
		s.close()
	})
}

// Many receipts expire: each is counted, and a minute has one line of log.
func TestExpiredReceiptsAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		st, err := otpstore.Open(otpstore.Config{Dir: t.TempDir()}, policy(), reg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, st)
		for n := range 300 {
			s.delivered(forms("", fmt.Sprint(n)), otpstore.Match{})
			time.Sleep(time.Second)
		}
		time.Sleep(otpstore.ParkedFor)
		s.close()
		if n := metric(t, reg, "otpgw_store_orphans_total", "expired"); n < 240 {
			t.Errorf("%g receipts expired", n)
		}
		lines := strings.Count(log.String(), "receipts forgotten")
		if lines == 0 || lines > 6 || !strings.Contains(log.String(), "latest_smsc=main latest_state=DELIVRD") {
			t.Errorf("%d lines:\n%s", lines, &log)
		}
	})
}

// A late acceptance makes the receipts of a message known, those before it and those after it; the code stays dead.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := policy()
		p.SendLimit = 3
		reg := prometheus.NewRegistry()
		s := open(t, dir, p, reg)
		older := s.send(phone)
		early, refused := s.issue(phone), s.issue(phone)
		for _, i := range []otpstore.Issued{early, refused} {
			if err := s.Unknown(t.Context(), i.ID); err != nil {
				t.Fatal(err)
			}
		}
		s.delivered(forms(phone, "16", "10"), otpstore.Match{})
		time.Sleep(9 * time.Minute)
		for range 2 {
			s.sentAs(early, "10", "11")
			if err := s.Discard(t.Context(), refused.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Discard(t.Context(), early.ID); err != nil { // it was accepted: nothing comes of it
			t.Fatal(err)
		}
		s.delivered(forms(phone, "17", "11"), otpstore.Match{Found: true, Form: 1, Changed: true})
		for range 2 {
			v := s.lookup(early)
			if v.State != "unknown" || v.SMSC != "main" || fmt.Sprint(v.MessageIDs) != "[10 11]" || v.Receipt != "DELIVRD" || v.DeliveredAt.IsZero() {
				t.Errorf("got %+v", v)
			}
			if _, err := s.Lookup(t.Context(), refused.ID); !errors.Is(err, otpstore.ErrNotFound) {
				t.Errorf("refused after all: %v", err)
			}
			s.verify(early, early.Code, otpstore.ErrNotFound)
			s.verify(older, wrong(older), otpstore.ErrExpired) // its own time is over
			s.close()
			s = open(t, dir, p, nil)
		}
		s.issue(phone) // in the place that was given back
		var limit *otpstore.LimitError
		if _, err := s.IssueFor(t.Context(), client, phone); !errors.As(err, &limit) || limit.Limit != "send_limit" {
			t.Errorf("more than one place was given back: %v", err)
		}
		for outcome, want := range map[string]float64{"sent": 1, "unknown": 2, "sent_late": 1, "discarded_late": 1, "discarded": 0} {
			if n := metric(t, reg, "otpgw_codes_total", outcome); n != want {
				t.Errorf("%g codes %s, want %g", n, outcome, want)
			}
		}
		s.close()
	})
}

// A slowBackend does something after each of its first choices.
type slowBackend struct {
	otpstore.Backend
	after []func()
}

func (b *slowBackend) Choose(ctx context.Context, refs []otpstore.Ref, choice otpstore.Choice) error {
	err := b.Backend.Choose(ctx, refs, choice)
	if len(b.after) > 0 {
		f := b.after[0]
		b.after = b.after[1:]
		f()
	}
	return err
}

// A brittleBackend damages what choices see.
type brittleBackend struct{ otpstore.Backend }

func (b brittleBackend) Choose(ctx context.Context, refs []otpstore.Ref, choice otpstore.Choice) error {
	return b.Backend.Choose(ctx, refs, func(now time.Time, records []otpstore.Record) (int, otpstore.Record, bool) {
		for i, r := range records {
			records[i] = append(r[:len(r)-1:len(r)-1], r[len(r)-1]^1)
		}
		return choice(now, records)
	})
}

func TestReceiptDropsADamagedRecord(t *testing.T) {
	bolt, err := otpstore.OpenBolt(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	st, err := otpstore.New(brittleBackend{bolt}, make(otpstore.Key, 32), policy(), reg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, st)
	i := s.send(phone)
	s.delivered(receipt(i), otpstore.Match{})
	if _, err := s.Lookup(t.Context(), i.ID); !errors.Is(err, otpstore.ErrNotFound) {
		t.Errorf("the record is still there: %v", err)
	}
	if n := metric(t, reg, "otpgw_store_damaged_records_total", ""); n != 1 {
		t.Errorf("%g damaged records counted", n)
	}
}

// The Sent passes right between the search for the message and the parking of its receipt, or between that and the second search.
func TestReceiptIsNotLostBetweenSearchAndParking(t *testing.T) {
	for search := range 2 {
		bolt, err := otpstore.OpenBolt(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &slowBackend{Backend: bolt}
		reg := prometheus.NewRegistry()
		st, err := otpstore.New(b, make(otpstore.Key, 32), policy(), reg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, st)
		i := s.issue(phone)
		b.after = []func(){func() {}, func() {}}
		b.after[search] = func() { s.sentAs(i, "10") }
		want := otpstore.Match{}
		if search == 0 {
			want = otpstore.Match{Found: true, Form: 1, Changed: true}
		}
		s.delivered(forms(phone, "16", "10"), want)
		if v := s.lookup(i); v.Receipt != "DELIVRD" {
			t.Errorf("sent after search %d: %+v", search+1, v)
		}
		for name, want := range map[string]float64{"parked": 1, "claimed": 1} {
			if n := metric(t, reg, "otpgw_store_orphans_total", name); n != want {
				t.Errorf("sent after search %d: %g receipts %s", search+1, n, name)
			}
		}
		s.close()
	}
}

// Receipts of one message over many binds at once: one of several that say the same changes something, and whatever their order
// a delivery is the last word after UNKNOWN, and the first of other final states stays.
func TestReceiptsOfOneMessageAtOnce(t *testing.T) {
	s := open(t, t.TempDir(), policy(), nil)
	say := func(id, state string) otpstore.Receipt {
		r := forms(phone, "x"+id, id)
		r.State, r.Final, r.Delivered = state, state != "ENROUTE", state == "DELIVRD"
		return r
	}
	for round := range 30 {
		i := s.issue(fmt.Sprintf("+3460000%04d", round))
		id := fmt.Sprint(round)
		s.sentAs(i, id)
		states := []string{"DELIVRD", "UNKNOWN", "ENROUTE", "DELIVRD", "UNKNOWN", "DELIVRD"}
		if round%2 == 0 {
			states = []string{"UNDELIV", "DELIVRD", "UNDELIV", "ENROUTE", "EXPIRED", "DELIVRD"}
		}
		var mu sync.Mutex
		changed := map[string]int{}
		var wg sync.WaitGroup
		for _, state := range states {
			wg.Go(func() {
				r := say(id, state)
				r.Numbers = []string{fmt.Sprintf("+3460000%04d", round)}
				m, err := s.Delivered(context.Background(), r)
				if err != nil || !m.Found || m.Form != 1 {
					t.Errorf("%s: %+v, %v", state, m, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if m.Changed {
					changed[state]++
				}
			})
		}
		wg.Wait()
		v := s.lookup(i)
		finals := changed["DELIVRD"] + changed["UNDELIV"] + changed["EXPIRED"]
		if finals != 1 || changed[v.Receipt] != 1 || changed["UNKNOWN"] > 1 || changed["ENROUTE"] > 1 || round%2 == 1 && v.Receipt != "DELIVRD" {
			t.Errorf("%s in the end; changed something: %v", v.Receipt, changed)
		}
	}
}
