package main

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"otpgw/smpp/pdu"
)

var floodReceipts = flag.Int("receipts", 4000, "receipts that TestReceiptFlood sends at once")

// A hoarder is an SMSC that accepts everything and keeps the receipts back until it is told to let them go.
type hoarder struct {
	t        *testing.T
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex // guards the rest
	conns []*hoarderConn
	ids   []string
	acked map[string]int
	again []string // receipts that the daemon wanted later
	order int      // answers that came out of order
}

type hoarderConn struct {
	net.Conn
	write    sync.Mutex
	sequence uint32
	waiting  []uint32 // sequence numbers of deliver_sm, in the order in which they were written
	receipts map[uint32]string
}

func newHoarder(t *testing.T) *hoarder {
	t.Helper()
	h := &hoarder{t: t, acked: make(map[string]int)}
	var err error
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.serving.Go(func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				return
			}
			c := &hoarderConn{Conn: conn, receipts: make(map[uint32]string)}
			h.mu.Lock()
			h.conns = append(h.conns, c)
			h.mu.Unlock()
			h.serving.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() {
		h.listener.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		h.serving.Wait()
	})
	return h
}

func (h *hoarder) serve(c *hoarderConn) {
	reader := pdu.NewReader(c)
	for {
		f, err := reader.Next()
		if err != nil {
			return
		}
		answer := pdu.Header{Command: f.Command.Response(), Sequence: f.Sequence}
		switch f.Command {
		case pdu.BindTransceiver:
			h.send(c, answer, &pdu.BindResp{SystemID: "hoarder"})
		case pdu.EnquireLink, pdu.Unbind:
			h.send(c, answer, nil)
		case pdu.SubmitSM:
			h.mu.Lock()
			id := fmt.Sprint(1_000_000 + len(h.ids))
			h.ids = append(h.ids, id)
			h.mu.Unlock()
			h.send(c, answer, &pdu.MessageResp{MessageID: id})
		case pdu.DeliverSMResp:
			h.acknowledged(c, f)
		}
	}
}

func (h *hoarder) acknowledged(c *hoarderConn, f pdu.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(c.waiting) == 0 || c.waiting[0] != f.Sequence {
		h.order++
	} else {
		c.waiting = c.waiting[1:]
	}
	id := c.receipts[f.Sequence]
	delete(c.receipts, f.Sequence)
	if f.Status == pdu.StatusOK {
		h.acked[id]++
	} else {
		h.again = append(h.again, id)
	}
}

func (h *hoarder) send(c *hoarderConn, header pdu.Header, body pdu.Body) {
	octets, err := pdu.Append(nil, header, body)
	if err != nil {
		h.t.Error(err)
		return
	}
	c.write.Lock()
	defer c.write.Unlock()
	_, _ = c.Write(octets) // the reader notices
}

// release writes receipts as fast as the daemon reads them.
func (h *hoarder) release(ids []string) {
	var writers sync.WaitGroup
	for n, c := range h.conns {
		writers.Go(func() {
			var octets []byte
			for i := n; i < len(ids); i += len(h.conns) {
				h.mu.Lock()
				c.sequence++
				sequence := c.sequence
				c.waiting = append(c.waiting, sequence)
				c.receipts[sequence] = ids[i]
				h.mu.Unlock()
				var err error
				octets, err = pdu.Append(octets, pdu.Header{Command: pdu.DeliverSM, Sequence: sequence}, &pdu.ShortMessage{
					Source: pdu.Address{TON: 1, NPI: 1, Number: number(0)[1:]}, ESMClass: 0x04,
					TLVs: pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte(ids[i] + "\x00")}, {Tag: pdu.TagMessageState, Value: []byte{byte(pdu.Delivered)}}},
				})
				if err != nil {
					h.t.Error(err)
				}
				if len(octets) > 32<<10 {
					_, _ = c.Write(octets) // the reader notices
					octets = octets[:0]
				}
			}
			_, _ = c.Write(octets)
		})
	}
	writers.Wait()
}

// TestReceiptFlood: an SMSC that was cut off sends all the receipts that it has at once.
func TestReceiptFlood(t *testing.T) {
	var h *hoarder
	p := newPlant(t, otp("max_attempts", "10"), otp("max_failures", "100"), func(c *plantConfig) {
		c.level = "error"
		c.relay = func(t *testing.T, _ string) string {
			h = newHoarder(t)
			return h.listener.Addr().String()
		}
	})
	ids := make(chan string, *floodReceipts)
	var senders sync.WaitGroup
	for s := range 64 {
		senders.Go(func() {
			for n := s; n < *floodReceipts; n += 64 {
				a, err := p.call(http.MethodPost, "/send-code", sendBody(number(n)), nil)
				if err != nil || a.status != http.StatusOK {
					t.Errorf("send-code: %d, %v", a.status, err)
					return
				}
				ids <- a.id
			}
		})
	}
	senders.Wait()
	if t.Failed() {
		t.FailNow()
	}
	validate := func(until <-chan struct{}) *latencies {
		l := &latencies{}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-until:
				return l
			case <-tick.C:
			}
			id := <-ids
			began := time.Now()
			if a, err := p.call(http.MethodPost, "/validate-code", validateBody(id, "000000"), nil); err != nil || a.status >= 500 {
				t.Errorf("validate-code: %d, %v", a.status, err)
			}
			l.add(time.Since(began))
			ids <- id
		}
	}
	fresh := p.validateBuckets()
	calmEnd := make(chan struct{})
	time.AfterFunc(max(2*time.Second, time.Duration(*floodReceipts)*120*time.Microsecond), func() { close(calmEnd) }) // about as long as the flood
	calm := validate(calmEnd)
	calmed := p.validateBuckets()
	memory := metric(t, p.metrics(), "process_resident_memory_bytes")

	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		h.mu.Lock()
		due := h.ids
		h.mu.Unlock()
		for deadline := time.Now().Add(2 * time.Minute); len(due) > 0 && time.Now().Before(deadline); {
			h.release(due)
			time.Sleep(time.Second) // no SMSC sends again at once what it was asked to send later
			for {
				time.Sleep(10 * time.Millisecond)
				h.mu.Lock()
				waiting := 0
				for _, c := range h.conns {
					waiting += len(c.receipts)
				}
				due, h.again = h.again, nil
				if waiting > 0 {
					h.again, due = due, nil
				}
				h.mu.Unlock()
				if waiting == 0 {
					break
				}
			}
		}
	}()
	flooded := validate(done)
	took := time.Since(began)
	ended := p.validateBuckets()
	t.Logf("in the daemon alone, from headers to answer: validate-code p99 %v calm and %v in the flood", p99Between(fresh, calmed), p99Between(calmed, ended))
	memoryNow := metric(t, p.metrics(), "process_resident_memory_bytes")
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Logf("%d receipts recorded and acknowledged in %v; validate-code p99 %v calm and %v in the flood; RSS %.0f and %.0f MiB",
		len(h.acked), took, calm.p99(), flooded.p99(), memory/(1<<20), memoryNow/(1<<20))
	if len(h.acked) != *floodReceipts || h.order > 0 {
		t.Errorf("%d of %d receipts acknowledged, %d answers out of order", len(h.acked), *floodReceipts, h.order)
	}
	for id, n := range h.acked {
		if n != 1 {
			t.Errorf("receipt %s acknowledged %d times", id, n)
		}
	}
	if limit := max(2*calm.p99(), noise); flooded.p99() > limit { // below that it is the machine's noise
		t.Errorf("validate-code p99 %v in the flood, want %v at most", flooded.p99(), limit)
	}
	if memoryNow > memory+128<<20 {
		t.Errorf("RSS grew from %.0f to %.0f MiB", memory/(1<<20), memoryNow/(1<<20))
	}
}

// validateBuckets are the counts of the daemon's own histogram of validate-code, by upper bound.
func (p *plant) validateBuckets() map[float64]float64 {
	p.t.Helper()
	buckets := map[float64]float64{}
	for _, m := range regexp.MustCompile(`(?m)^otpgw_http_request_seconds_bucket\{route="v1/validate-code",le="([^"]+)"\} (\S+)$`).FindAllStringSubmatch(p.metrics(), -1) {
		bound, err := strconv.ParseFloat(m[1], 64)
		count, err2 := strconv.ParseFloat(m[2], 64)
		if err != nil || err2 != nil {
			p.t.Fatalf("%q", m[0])
		}
		buckets[bound] = count
	}
	return buckets
}

// p99Between is the 99th percentile of what was counted between, by straight lines within the buckets.
func p99Between(before, after map[float64]float64) time.Duration {
	bounds := slices.Sorted(maps.Keys(after))
	count := func(bound float64) float64 { return after[bound] - before[bound] }
	rank := 0.99 * count(math.Inf(1))
	low, below := 0.0, 0.0
	for _, bound := range bounds {
		if n := count(bound); n >= rank {
			return time.Duration((low + (bound-low)*(rank-below)/(n-below)) * float64(time.Second))
		}
		low, below = bound, count(bound)
	}
	return time.Duration(low * float64(time.Second))
}
