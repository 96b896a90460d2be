package numbers_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi/numbers"
)

// without makes a directory that has no look-up.
func without(t testing.TB, cfg numbers.Config) *numbers.Directory {
	t.Helper()
	d, err := numbers.New(load(t, cfg, nil), cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatTheSMSCRefusedIsRefusedForAWhile(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupURL = ""; c.RefusedCache = time.Minute }, nil, func(t *testing.T, b *bench) {
		b.Refused(number)
		b.Refused("no number")
		if v := b.judge(t, number); v != numbers.Refused {
			t.Errorf("at once: %v", v)
		}
		if v := b.judge(t, "+34600000000"); v != numbers.Served {
			t.Errorf("another: %v", v)
		}
		time.Sleep(time.Minute - 1)
		if v := b.judge(t, number); v != numbers.Refused {
			t.Errorf("within the minute: %v", v)
		}
		if n := b.metric(t, "otpgw_numbers_cached", "refused"); n != 1 {
			t.Errorf("%v held", n)
		}
		time.Sleep(time.Nanosecond)
		if n := b.metric(t, "otpgw_numbers_cached", "refused"); n != 0 {
			t.Errorf("%v held after the minute", n)
		}
		if v := b.judge(t, number); v != numbers.Served {
			t.Errorf("after the minute: %v", v)
		}
		if n := b.metric(t, "otpgw_numbers_cache_hits_total", "refused"); n != 2 {
			t.Errorf("%v hits", n)
		}
	})
}

func TestARefusalAnewHoldsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := without(t, config(func(c *numbers.Config) { c.RefusedCache = time.Minute }))
		d.Refused(number)
		d.Refused("+34600000000")
		time.Sleep(40 * time.Second)
		d.Refused(number)
		time.Sleep(40 * time.Second)
		if v, _ := d.Judge(t.Context(), number); v != numbers.Refused {
			t.Errorf("refused 40 s ago: %v", v)
		}
		if v, _ := d.Judge(t.Context(), "+34600000000"); v != numbers.Served {
			t.Errorf("refused 80 s ago: %v", v)
		}
	})
}

func TestRefusedNumbersAreBounded(t *testing.T) {
	d := without(t, config(func(c *numbers.Config) { c.RefusedCacheSize = 10 }))
	for i := range 50 {
		d.Refused(fmt.Sprintf("+346001234%02d", i))
	}
	refused := 0
	for i := range 50 {
		v, _ := d.Judge(t.Context(), fmt.Sprintf("+346001234%02d", i))
		if v == numbers.Refused {
			refused++
		}
		if (v == numbers.Refused) != (i >= 40) {
			t.Errorf("the one %d before the last: %v", 49-i, v)
		}
	}
	if refused != 10 {
		t.Errorf("%d refused, want 10", refused)
	}
	change, err := d.Prepare(config(func(c *numbers.Config) { c.RefusedCacheSize = 1 }))
	if err != nil {
		t.Fatal(err)
	}
	d.Apply(change)
	if v, _ := d.Judge(t.Context(), "+34600123448"); v != numbers.Served {
		t.Errorf("the last but one, with room for one: %v", v)
	}
	if v, _ := d.Judge(t.Context(), "+34600123449"); v != numbers.Refused {
		t.Errorf("the last, with room for one: %v", v)
	}
}

func TestAReloadChangesHowLongRefusalsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(func(c *numbers.Config) { c.RefusedCache = time.Hour })
		d := without(t, cfg)
		apply := func(held time.Duration) {
			t.Helper()
			cfg.RefusedCache = held
			change, err := d.Prepare(cfg)
			if err != nil {
				t.Fatal(err)
			}
			d.Apply(change)
		}
		d.Refused(number)
		time.Sleep(10 * time.Minute)
		apply(11 * time.Minute)
		if v, _ := d.Judge(t.Context(), number); v != numbers.Refused {
			t.Errorf("held 11 minutes, after 10: %v", v)
		}
		apply(9 * time.Minute)
		if v, _ := d.Judge(t.Context(), number); v != numbers.Served {
			t.Errorf("held 9 minutes, after 10: %v", v)
		}
		d.Refused(number)
		apply(0)
		d.Refused(number)
		if v, _ := d.Judge(t.Context(), number); v != numbers.Served {
			t.Errorf("off: %v", v)
		}
	})
}

func TestAPreparedChangeHoldsOnceItIsApplied(t *testing.T) {
	path := file(t, "own", number)
	cfg := own(path)
	d := without(t, cfg)
	judge := func() numbers.Verdict {
		v, err := d.Judge(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	write(t, path, "+34600000000\n")
	change, err := d.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if v := judge(); v != numbers.Served {
		t.Errorf("prepared: %v", v)
	}
	d.Apply(change)
	if v := judge(); v != numbers.Foreign || d.Plan().Judge(number) != numbers.Foreign {
		t.Errorf("applied: %v", v)
	}
}

func TestAReloadThatFailsChangesNothing(t *testing.T) {
	path, bad := file(t, "own", number), file(t, "bad", "no number")
	ca := file(t, "ca.pem", "no certificate")
	cfg := own(path)
	d := without(t, cfg)
	plan := d.Plan()
	for name, change := range map[string]func(*numbers.Config){
		"blocked_file: ":   func(c *numbers.Config) { c.BlockedFile = bad; c.Blocked = []string{"+34"} },
		"own_file: ":       func(c *numbers.Config) { c.OwnFile = path + ".gone"; c.Blocked = []string{"+34"} },
		"blocked: ":        func(c *numbers.Config) { c.Blocked = []string{"34"} },
		"lookup_ca: ":      func(c *numbers.Config) { c.LookupURL, c.LookupCA, c.Blocked = "https://x", ca, []string{"+34"} },
		"lookup_timeout =": func(c *numbers.Config) { c.LookupTimeout = 0; c.Blocked = []string{"+34"} },
	} {
		next := cfg
		change(&next)
		prepared, err := d.Prepare(next)
		if prepared != nil || len(each(err)) != 1 || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s%v, %v", name, prepared, err)
		}
		if v, err := d.Judge(t.Context(), number); v != numbers.Served || err != nil || d.Plan() != plan {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func TestLookupCAIsReadWhereThereIsALookup(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for ca, want := range map[string]string{dir: "no regular file", huge: "is longer", filepath.Join(dir, "none"): "no such file", file(t, "ca", "x"): "no certificate"} {
		cfg := config(func(c *numbers.Config) { c.LookupURL, c.LookupCA = "https://example.com", ca })
		plan := load(t, cfg, nil)
		if _, err := numbers.New(plan, cfg, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "lookup_ca: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		cfg.LookupURL = ""
		if _, err := numbers.New(plan, cfg, nil, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("without lookup_url: %v", err)
		}
	}
}

func TestAReloadKeepsAnswersUntilTheLookupIsAnother(t *testing.T) {
	inBubble(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			says("blocked")(w, r)
			return
		}
		says("served")(w, r)
	}, func(t *testing.T, b *bench) {
		apply := func(change func(*numbers.Config)) {
			t.Helper()
			change(&b.cfg)
			prepared, err := b.Prepare(b.cfg)
			if err != nil {
				t.Fatal(err)
			}
			b.Apply(prepared)
		}
		b.judge(t, number)
		apply(func(c *numbers.Config) { c.Own = []string{"+34"}; c.LookupFail = "open"; c.RefusedCache = time.Hour })
		if v := b.judge(t, number); v != numbers.Served || b.asked.Load() != 1 || b.dials.Load() != 1 {
			t.Errorf("%v, asked %d times over %d connections: the answer should have been kept", v, b.asked.Load(), b.dials.Load())
		}
		apply(func(c *numbers.Config) { c.LookupURL = "http://127.0.0.1/other" })
		if v := b.judge(t, number); v != numbers.Blocked || b.asked.Load() != 2 {
			t.Errorf("another service: %v, asked %d times", v, b.asked.Load())
		}
		synctest.Wait()
		if n := b.open.Load(); n != 1 {
			t.Errorf("%d connections open, want that to the other service", n)
		}
		apply(func(c *numbers.Config) { c.LookupURL = "" })
		if v := b.judge(t, number); v != numbers.Served || b.asked.Load() != 2 {
			t.Errorf("no service: %v, asked %d times", v, b.asked.Load())
		}
	})
}

func TestALookupThatIsReplacedWhileItRunsLeavesNoConnection(t *testing.T) {
	inBubble(t, nil, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(100 * time.Millisecond)
		says("served")(w, r)
	}, func(t *testing.T, b *bench) {
		var caller sync.WaitGroup
		caller.Go(func() { b.judge(t, number) })
		synctest.Wait()
		b.cfg.LookupURL = ""
		change, err := b.Prepare(b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.Apply(change)
		caller.Wait()
		synctest.Wait()
		if n := b.open.Load(); n != 0 {
			t.Errorf("%d connections open", n)
		}
	})
}

func TestJudgeAndApplyAtOnce(t *testing.T) {
	path := file(t, "own", number)
	cfg := config(func(c *numbers.Config) { c.OwnFile, c.LookupURL, c.LookupFail = path, "http://127.0.0.1:1/", "open" })
	d := without(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { d.Run(ctx) })
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if v, err := d.Judge(t.Context(), number); v != numbers.Served && v != numbers.Refused || err != nil {
					t.Errorf("%v, %v", v, err)
					return
				}
				d.Refused("+34600000000")
				d.Plan().Group(number)
			}
		})
	}
	for i := range 50 {
		cfg.LookupConcurrency, cfg.RefusedCacheSize = 1+i%2, 1+i
		change, err := d.Prepare(cfg)
		if err != nil {
			t.Error(err)
			break
		}
		d.Apply(change)
	}
	close(stop)
	cancel()
	all.Wait()
}

func TestMetricsSayWhatIsLoaded(t *testing.T) {
	own, blocked := file(t, "own", "+34600000001", "+34600000002"), file(t, "blocked", "+3460*")
	then := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(own, then, then); err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(c *numbers.Config) { c.LookupURL, c.OwnFile, c.BlockedFile = "", own, blocked }, nil, func(t *testing.T, b *bench) {
		for list, want := range map[string]float64{"own": 2, "blocked": 1, "ported_in": 0} {
			if got := b.metric(t, "otpgw_numbers_entries", list); got != want {
				t.Errorf("%s: %v entries, want %v", list, got, want)
			}
		}
		if got := b.metric(t, "otpgw_numbers_file_modified_timestamp_seconds", "own"); got != 1_700_000_000 {
			t.Errorf("modified %v", got)
		}
		b.cfg.OwnFile, b.cfg.BlockedFile = "", ""
		change, err := b.Prepare(b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.Apply(change)
		if got := b.metric(t, "otpgw_numbers_entries", ""); got != 0 {
			t.Errorf("%v entries without files", got)
		}
	})
}
