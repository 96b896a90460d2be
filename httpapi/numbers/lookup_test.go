package numbers_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/httpapi/numbers"
)

const number = "+34600123456"

func TestTheRequestOfALookup(t *testing.T) {
	requests := make(chan string, 1)
	inBubble(t, func(c *numbers.Config) { c.LookupToken = "s3cret"; c.LookupURL = "http://localhost/a?b=c" },
		func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, idempotency := r.Header["Idempotency-Key"]
			requests <- fmt.Sprint(r.Method, " ", r.Host, r.RequestURI, " ", r.Header["Content-Type"], r.Header["Authorization"], r.Header["Accept-Encoding"], idempotency, " ", string(body))
			says("served")(w, r)
		},
		func(t *testing.T, b *bench) {
			if v := b.judge(t, number); v != numbers.Served {
				t.Errorf("verdict %v", v)
			}
			const want = `POST localhost/a?b=c [application/json] [Bearer s3cret] [] false {"phoneNumber":"+34600123456"}`
			if got := <-requests; got != want {
				t.Errorf("asked %s\n want %s", got, want)
			}
		})
}

func TestEveryVerdictOfALookup(t *testing.T) {
	for word, want := range map[string]numbers.Verdict{"served": numbers.Served, "foreign": numbers.Foreign,
		"not_allowed": numbers.NotAllowed, "landline": numbers.Landline, "blocked": numbers.Blocked} {
		inBubble(t, nil, says(word), func(t *testing.T, b *bench) {
			for range 2 {
				if v := b.judge(t, number); v != want {
					t.Errorf("%s: %v", word, v)
				}
			}
			if n := b.asked.Load(); n != 1 {
				t.Errorf("%s: asked %d times, want once", word, n)
			}
			if got := b.metric(t, "otpgw_numbers_lookups_total", word); got != 1 {
				t.Errorf("%s: counted %v times", word, got)
			}
			if got := b.metric(t, "otpgw_numbers_verdicts_total", word); got != 2 {
				t.Errorf("%s: %v verdicts", word, got)
			}
		})
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	endless := func(w io.Writer) {
		block := bytes.Repeat([]byte(" "), 1<<10)
		for n := 0; n < 1<<30; n += len(block) { // 1 GB, if anybody reads it
			if _, err := w.Write(block); err != nil {
				return
			}
			if n > 64<<10 {
				t.Error("more than 64 kB of it were read")
				return
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, `{"verdict":"served"}`)
		},
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"201": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			io.WriteString(w, `{"verdict":"served"}`)
		},
		"204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				says("served")(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"no JSON":         func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") },
		"null":            func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "null") },
		"no verdict":      func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") },
		"another verdict": says("maybe"),
		"ours":            says("refused"),
		"capitals":        says("Served"),
		"a number":        func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"verdict":0}`) },
		"another member":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"verdict":"served","x":1}`) },
		"another case":    func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Verdict":"served"}`) },
		"twice": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"verdict":"blocked","verdict":"served"}`)
		},
		"more after it": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"verdict":"served"}{}`) },
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"verdict":"served"}`+strings.Repeat(" ", 4<<10))
		},
		"1 GB": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			endless(c)
		},
		"1 GB of headers": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			endless(c)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"verdict":"served"}`)
		},
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, "SSH-2.0-"+number+"\r\n\r\n")
		},
		"hung up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, fail := range []string{"open", "closed"} {
			inBubble(t, func(c *numbers.Config) { c.LookupFail = fail; c.LookupURL = "http://127.0.0.1/?key=s3cret" }, answer, func(t *testing.T, b *bench) {
				v, err := b.Judge(t.Context(), number)
				if fail == "open" && (v != numbers.Served || err != nil) {
					t.Errorf("%s, open: %v, %v, want served", name, v, err)
				}
				if fail == "closed" && (v == numbers.Served || !errors.Is(err, numbers.ErrUnavailable)) {
					t.Errorf("%s, closed: %v, %v, want ErrUnavailable", name, v, err)
				}
				if err != nil && (strings.Contains(err.Error(), "+34") || strings.Contains(err.Error(), "s3cret")) {
					t.Errorf("%s: the error holds the number or the URL: %v", name, err)
				}
				if got := b.metric(t, "otpgw_numbers_lookups_total", "failed"); got != 1 {
					t.Errorf("%s: %v failures counted", name, got)
				}
				if n := b.metric(t, "otpgw_numbers_cached", "lookup"); n != 0 {
					t.Errorf("%s: %v answers cached", name, n)
				}
			})
		}
	}
}

func TestASlowLookupIsLeftAtItsTimeout(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupTimeout = 300 * time.Millisecond },
		func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() },
		func(t *testing.T, b *bench) {
			start := time.Now()
			_, err := b.Judge(t.Context(), number)
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 300*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
			if got := b.metric(t, "otpgw_numbers_lookups_total", "late"); got != 1 {
				t.Errorf("%v late ones counted", got)
			}
		})
}

func TestACallerThatLeavesGetsNoVerdictAndTheOthersGetTheirs(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupFail = "open" },
		func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(500 * time.Millisecond)
			says("blocked")(w, r)
		},
		func(t *testing.T, b *bench) {
			var callers sync.WaitGroup
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				start := time.Now()
				if v, err := b.Judge(ctx, number); v == numbers.Served || !errors.Is(err, numbers.ErrUnavailable) || time.Since(start) != 100*time.Millisecond {
					t.Errorf("the one that left: %v, %v after %v", v, err, time.Since(start))
				}
			})
			for range 100 {
				callers.Go(func() {
					if v, err := b.Judge(t.Context(), number); v != numbers.Blocked || err != nil {
						t.Errorf("%v, %v", v, err)
					}
				})
			}
			callers.Wait()
			if n := b.asked.Load(); n != 1 {
				t.Errorf("asked %d times for one number", n)
			}
		})
}

func TestTheBreakerOpensAndCloses(t *testing.T) {
	var well atomic.Bool
	inBubble(t, func(c *numbers.Config) { c.LookupFail = "closed" },
		func(w http.ResponseWriter, r *http.Request) {
			if !well.Load() {
				w.WriteHeader(503)
				return
			}
			says("served")(w, r)
		},
		func(t *testing.T, b *bench) {
			for range 20 {
				if _, err := b.Judge(t.Context(), number); !errors.Is(err, numbers.ErrUnavailable) {
					t.Fatalf("%v", err)
				}
			}
			if n := b.asked.Load(); n != 5 {
				t.Errorf("asked %d times, want 5 until the breaker opened", n)
			}
			if got := b.metric(t, "otpgw_numbers_lookup_breaker_state", ""); got != 2 {
				t.Errorf("state %v, want 2", got)
			}
			if got := b.metric(t, "otpgw_numbers_lookups_total", "breaker"); got != 15 {
				t.Errorf("%v not asked, want 15", got)
			}
			time.Sleep(5*time.Second + 1) // one try, and it fails
			b.Judge(t.Context(), number)
			b.Judge(t.Context(), number)
			if n := b.asked.Load(); n != 6 {
				t.Errorf("asked %d times, want one try when half open", n-5)
			}
			well.Store(true)
			time.Sleep(5*time.Second + 1)
			if v := b.judge(t, number); v != numbers.Served {
				t.Errorf("after recovery: %v", v)
			}
			if got := b.metric(t, "otpgw_numbers_lookup_breaker_state", ""); got != 0 {
				t.Errorf("state %v, want 0", got)
			}
			for _, change := range []string{`from=closed err="ask look-up: status 503"`, "from=open to=half-open", "from=half-open err=", "from=half-open to=closed"} {
				if !strings.Contains(b.log.String(), change) {
					t.Errorf("no %q in the log", change)
				}
			}
		})
}

func TestTheBreakerOpensWhenHalfFail(t *testing.T) {
	var n atomic.Int64
	inBubble(t, nil,
		func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%2 == 0 {
				w.WriteHeader(500)
				return
			}
			says("served")(w, r)
		},
		func(t *testing.T, b *bench) {
			for i := range 50 {
				b.Judge(t.Context(), fmt.Sprintf("+346001234%02d", i))
			}
			if n := b.asked.Load(); n != 20 {
				t.Errorf("asked %d times, want 20", n)
			}
		})
}

func TestADeadServiceIsNotDialedForever(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupFail = "open" }, says("blocked"), func(t *testing.T, b *bench) {
		b.dead.Store(true)
		for range 100 {
			if v := b.judge(t, number); v != numbers.Served {
				t.Fatalf("verdict %v, want the plan's", v)
			}
		}
		if n := b.dials.Load(); n != 5 {
			t.Errorf("%d dials", n)
		}
		b.dead.Store(false)
		time.Sleep(5*time.Second + 1)
		if v := b.judge(t, number); v != numbers.Blocked {
			t.Errorf("after recovery: %v", v)
		}
	})
}

func TestLookupsAtOnceAreBounded(t *testing.T) {
	var now, most atomic.Int64
	inBubble(t, func(c *numbers.Config) { c.LookupConcurrency = 3 },
		func(w http.ResponseWriter, r *http.Request) {
			for n := now.Add(1); ; {
				if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			time.Sleep(100 * time.Millisecond)
			now.Add(-1)
			says("served")(w, r)
		},
		func(t *testing.T, b *bench) {
			var callers sync.WaitGroup
			var served, atOnce, later atomic.Int64
			start := time.Now()
			for i := range 200 {
				callers.Go(func() {
					switch _, err := b.Judge(t.Context(), fmt.Sprintf("+34600123%03d", i)); {
					case err == nil:
						served.Add(1)
					case time.Since(start) == 0:
						atOnce.Add(1)
					default:
						later.Add(1)
						if time.Since(start) != 500*time.Millisecond {
							t.Errorf("no turn after %v, want half of the timeout", time.Since(start))
						}
					}
				})
			}
			callers.Wait()
			// 3 run and 48 wait; each 100 ms has room for 3. At 500 ms the last 3 may or may not get their turn.
			if most.Load() != 3 || atOnce.Load() != 200-17*3 || served.Load() != int64(b.asked.Load()) || served.Load() < 15 || served.Load() > 18 {
				t.Errorf("%d at once, %d turned away at once, %d without turn, %d served", most.Load(), atOnce.Load(), later.Load(), served.Load())
			}
			if got := b.metric(t, "otpgw_numbers_lookups_total", "busy"); got != float64(atOnce.Load()+later.Load()) {
				t.Errorf("%v counted busy, want %d", got, atOnce.Load()+later.Load())
			}
			if got := b.metric(t, "otpgw_numbers_lookup_breaker_state", ""); got != 0 {
				t.Errorf("the breaker took a crowd for a failure")
			}
			if n := b.dials.Load(); n > 6 {
				t.Errorf("%d connections dialed for 3 places", n)
			}
		})
}

func TestAnswersAreHeldForTheirTime(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupCache, c.LookupNegativeCache = time.Hour, time.Minute },
		func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if bytes.Contains(body, []byte(number)) {
				says("served")(w, r)
				return
			}
			says("blocked")(w, r)
		},
		func(t *testing.T, b *bench) {
			const other = "+34600000000"
			ask := func(want int64, when string) {
				t.Helper()
				if v := b.judge(t, number); v != numbers.Served {
					t.Errorf("%s: %v", when, v)
				}
				if v := b.judge(t, other); v != numbers.Blocked {
					t.Errorf("%s: %v", when, v)
				}
				if n := b.asked.Load(); n != want {
					t.Errorf("%s: asked %d times, want %d", when, n, want)
				}
			}
			ask(2, "first")
			time.Sleep(time.Minute - 1)
			ask(2, "within a minute")
			time.Sleep(time.Nanosecond)
			ask(3, "after a minute: the negative one again")
			time.Sleep(59*time.Minute - 1)
			ask(4, "within the hour")
			time.Sleep(time.Nanosecond)
			if n := b.metric(t, "otpgw_numbers_cached", "lookup"); n != 1 {
				t.Errorf("%v held after the hour", n)
			}
			ask(5, "after the hour: the positive one again")
			if got := b.metric(t, "otpgw_numbers_cache_hits_total", "lookup"); got != 5 {
				t.Errorf("%v hits", got)
			}
		})
}

func TestACacheOfNoTimeHoldsNothing(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupCache, c.LookupNegativeCache = 0, 0 }, says("served"), func(t *testing.T, b *bench) {
		b.judge(t, number)
		b.judge(t, number)
		if n := b.asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections for two look-ups", n)
		}
	})
}

func TestTheCacheOfAnswersIsBounded(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupCacheSize = 10 }, says("served"), func(t *testing.T, b *bench) {
		for i := range 50 {
			b.judge(t, fmt.Sprintf("+346001234%02d", i))
		}
		if n := b.metric(t, "otpgw_numbers_cached", "lookup"); n != 10 {
			t.Errorf("%v held, want 10", n)
		}
		b.judge(t, "+34600123449")
		b.judge(t, "+34600123400")
		if n := b.asked.Load(); n != 51 {
			t.Errorf("asked %d times, want the newest from the cache and the oldest again", n)
		}
	})
}

func TestAConnectionThatTheServiceClosedIsNoFailure(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.LookupCache = 0 },
		func(w http.ResponseWriter, r *http.Request) {
			c, rw, _ := w.(http.Hijacker).Hijack()
			io.WriteString(rw, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"verdict\":\"served\"}")
			rw.Flush()
			http.ReadRequest(rw.Reader) // the next request, and then nothing: a keep-alive that ended as it came
			c.Close()
		},
		func(t *testing.T, b *bench) {
			for range 3 {
				b.judge(t, number)
			}
			if n := b.dials.Load(); n != 3 {
				t.Errorf("%d dials, want a new connection each time", n)
			}
		})
}

func TestOnlyWhatThePlanServesIsLookedUp(t *testing.T) {
	inBubble(t, func(c *numbers.Config) { c.Own, c.Blocked = []string{"+346"}, []string{"+34699"} }, says("served"), func(t *testing.T, b *bench) {
		if v := b.judge(t, "+34699000000"); v != numbers.Blocked {
			t.Errorf("%v", v)
		}
		if v := b.judge(t, "+33612345678"); v != numbers.Foreign {
			t.Errorf("%v", v)
		}
		if v := b.judge(t, `+346"}{`); v != numbers.Foreign {
			t.Errorf("%v", v)
		}
		b.Refused(number)
		if v := b.judge(t, number); v != numbers.Refused {
			t.Errorf("%v", v)
		}
		if n := b.asked.Load(); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestRunWaitsForLookupsAndAsksNobodyAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(func(c *numbers.Config) { c.LookupURL = "http://localhost/" })
		var down atomic.Bool
		d, err := numbers.NewDialing(load(t, cfg, nil), cfg, func(ctx context.Context, _, _ string) (net.Conn, error) {
			defer down.Store(true)
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var caller sync.WaitGroup
		caller.Go(func() { d.Judge(t.Context(), number) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := d.Run(ctx); err != nil || time.Since(start) != cfg.LookupTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		caller.Wait()
		synctest.Wait()
		if !down.Load() {
			t.Error("a dial goes on")
		}
		if _, err := d.Judge(t.Context(), number); !errors.Is(err, numbers.ErrUnavailable) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestTheServiceIsKnownByItsCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(says("landline"))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	own := filepath.Join(t.TempDir(), "ca.pem")
	write(t, own, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for ca, known := range map[string]bool{own: true, "": false} {
		cfg := config(func(c *numbers.Config) { c.LookupURL, c.LookupCA, c.LookupTimeout = server.URL, ca, 10*time.Second })
		d, err := numbers.New(load(t, cfg, nil), cfg, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		v, err := d.Judge(t.Context(), number)
		if known && (v != numbers.Landline || err != nil) || !known && !errors.Is(err, numbers.ErrUnavailable) {
			t.Errorf("lookup_ca %q: %v, %v", ca, v, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.Run(ctx)
	}
}
