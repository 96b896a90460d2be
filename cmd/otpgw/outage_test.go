package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var outageTime = flag.Duration("outage", 6*time.Second, "how long the SMSC of TestOutage is away")

// noise is a latency that says nothing while other tests share the machine.
const noise = 250 * time.Millisecond

const (
	outageSends     = 300 // send-codes a second
	outageValidates = 50
)

// A valve stands between daemon and SMSC: open it relays, frozen it takes connections and passes nothing on, closed it
// takes none.
type valve struct {
	listener net.Listener
	smsc     string
	flow     sync.WaitGroup

	mu     sync.Mutex    // guards the rest
	thawed chan struct{} // closed while data may pass
	closed bool
	conns  map[net.Conn]bool
}

func newValve(t *testing.T, smsc string) *valve {
	t.Helper()
	v := &valve{smsc: smsc, thawed: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(v.thawed)
	var err error
	if v.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	v.flow.Go(func() {
		for {
			conn, err := v.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", smsc)
			if err != nil || !v.keep(conn, far) {
				conn.Close()
				continue
			}
			v.flow.Go(func() { v.relay(conn, far) })
			v.flow.Go(func() { v.relay(far, conn) })
		}
	})
	t.Cleanup(func() {
		v.listener.Close()
		v.thaw()
		v.cut(true)
		v.flow.Wait()
	})
	return v
}

func (v *valve) keep(conns ...net.Conn) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range conns {
		v.conns[c] = true
	}
	if v.closed {
		for _, c := range conns {
			c.Close()
		}
	}
	return !v.closed
}

func (v *valve) relay(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		v.mu.Lock()
		thawed := v.thawed
		v.mu.Unlock()
		<-thawed
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (v *valve) freeze() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.thawed = make(chan struct{})
}

func (v *valve) thaw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.thawed:
	default:
		close(v.thawed)
	}
}

// cut ends all connections, and with for good takes no new ones.
func (v *valve) cut(closed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = closed
	for c := range v.conns {
		c.Close()
		delete(v.conns, c)
	}
}

// latencies are collected by many at once.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *latencies) p99() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[len(l.all)*99/100]
}

// A pressure is a load that does not wait for answers: so many requests a second, however long they take.
type pressure struct {
	plant   *plant
	next    atomic.Int64
	ids     chan string // of codes that can be tried
	sent    atomic.Int64
	refused atomic.Int64
	others  sync.Map // statuses that are neither
	running sync.WaitGroup
}

// apply applies the pressure for d and returns the latencies that it met. It does not wait for the last answers.
func (l *pressure) apply(d time.Duration) (sends, tries *latencies) {
	sends, tries = &latencies{}, &latencies{}
	tick := time.NewTicker(time.Second / outageSends)
	defer tick.Stop()
	end := time.After(d)
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-end:
			return sends, tries
		}
		l.running.Go(func() {
			began := time.Now()
			a, err := l.plant.call(http.MethodPost, "/send-code", sendBody(number(int(l.next.Add(1)))), nil)
			if err != nil {
				l.others.Store(err.Error(), true)
				return
			}
			sends.add(time.Since(began))
			switch a.status {
			case http.StatusOK:
				l.sent.Add(1)
				select {
				case l.ids <- a.id:
				default:
				}
			case http.StatusServiceUnavailable:
				l.refused.Add(1)
				if a.header.Get("Retry-After") == "" {
					l.others.Store("503 without Retry-After", true)
				}
			case http.StatusGatewayTimeout:
			default:
				l.others.Store(a.status, true)
			}
		})
		if n%(outageSends/outageValidates) != 0 {
			continue
		}
		l.running.Go(func() {
			id := <-l.ids
			began := time.Now()
			if a, err := l.plant.call(http.MethodPost, "/validate-code", validateBody(id, "000000"), nil); err != nil || a.status != http.StatusBadRequest && a.status != http.StatusNoContent {
				l.others.Store(fmt.Sprint("validate-code: ", a.status, err), true)
			}
			tries.add(time.Since(began))
			select {
			case l.ids <- id:
			default:
			}
		})
	}
}

// TestOutage takes the SMSC away under load, once so that it is silent and once so that nobody is there.
func TestOutage(t *testing.T) {
	for name, away := range map[string]struct{ begin, end func(*valve) }{
		"silent": {func(v *valve) { v.freeze() }, func(v *valve) { v.thaw() }},
		"down":   {func(v *valve) { v.cut(true) }, func(v *valve) { v.cut(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			var v *valve
			p := newPlant(t, otp("max_attempts", "10"), otp("max_failures", "100"), func(c *plantConfig) {
				c.level = "error"
				c.smsc = `response_timeout = "1s"` + "\n" + `bind_timeout = "1s"`
				c.relay = func(t *testing.T, smsc string) string {
					v = newValve(t, smsc)
					return v.listener.Addr().String()
				}
			})
			load := &pressure{plant: p, ids: make(chan string, 2000)}
			load.apply(time.Second) // warms up
			_, calm := load.apply(3 * time.Second)
			away.begin(v)
			load.apply(2500 * time.Millisecond) // until it is known: an answer's time and a bit
			goroutines, memory := metric(t, p.metrics(), "go_goroutines"), metric(t, p.metrics(), "process_resident_memory_bytes")
			sends, tries := load.apply(*outageTime)
			goroutinesNow, memoryNow := metric(t, p.metrics(), "go_goroutines"), metric(t, p.metrics(), "process_resident_memory_bytes")
			if p.probe("/readyz") == http.StatusOK {
				t.Error("ready without an SMSC")
			}
			away.end(v)
			began := time.Now()
			before := load.sent.Load()
			resumed := make(chan time.Duration, 1)
			go func() {
				for load.sent.Load() == before {
					time.Sleep(5 * time.Millisecond)
				}
				resumed <- time.Since(began)
			}()
			load.apply(3 * time.Second)
			load.running.Wait()
			var back time.Duration
			select {
			case back = <-resumed:
			case <-time.After(5 * time.Second):
				t.Fatal("no message was accepted after the SMSC was back")
			}

			t.Logf("send-code p99 %v in the outage, first message accepted %v after its end, validate-code p99 %v calm and %v in the outage, goroutines %v and %v, RSS %.0f and %.0f MiB, %d accepted, %d refused",
				sends.p99(), back, calm.p99(), tries.p99(), goroutines, goroutinesNow, memory/(1<<20), memoryNow/(1<<20), load.sent.Load(), load.refused.Load())
			load.others.Range(func(what, _ any) bool {
				t.Errorf("answered %v", what)
				return true
			})
			if sends.p99() > noise {
				t.Errorf("send-code p99 %v in the outage, want 250ms at most", sends.p99())
			}
			if limit := max(2*calm.p99(), noise); tries.p99() > limit { // below that it is the machine's noise
				t.Errorf("validate-code p99 %v in the outage, want %v at most", tries.p99(), limit)
			}
			if back > 2*time.Second {
				t.Errorf("first message %v after the SMSC was back, want 2s at most", back)
			}
			if goroutinesNow > goroutines+200 || memoryNow > memory+64<<20 {
				t.Errorf("goroutines %v, then %v; RSS %.0f MiB, then %.0f", goroutines, goroutinesNow, memory/(1<<20), memoryNow/(1<<20))
			}
		})
	}
}
