package smpp_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

var (
	chaosMessages = flag.Int("messages", 20_000, "messages of TestChaos")
	chaosSeed     = flag.Uint64("seed", 0, "seed of TestChaos; 0: another each time")
)

// The moods of a capricious SMSC.
const (
	calm      = iota
	throttles // refuses half of the messages with ESME_RTHROTTLED
	fails     // refuses half of them with ESME_RSYSERR
	silent    // reads and accepts, and writes nothing
	drops     // drops connections, before or after it accepted a message
	down      // takes no connections
	moods
)

// A capricious SMSC changes its mood every moment, and keeps account of all that it did. It answers to one account.
type capricious struct {
	t        *testing.T
	name     string
	listener net.Listener
	mood     atomic.Int32
	serving  sync.WaitGroup
	ids      atomic.Int64

	mu       sync.Mutex // guards the rest
	random   *rand.Rand
	conns    map[*capriciousConn]bool
	accepted map[string][]string // ids of a text
	receipts []string            // ids whose receipts are to be sent
	acked    map[string]int      // how often each receipt was acknowledged
}

type capriciousConn struct {
	net.Conn
	bound    bool
	write    sync.Mutex
	sequence uint32            // guarded by mu of the SMSC, as is the next
	waiting  map[uint32]string // ids of receipts without an answer
}

func newCapricious(t *testing.T, name string, seed uint64) *capricious {
	t.Helper()
	c := &capricious{
		t: t, name: name, random: rand.New(rand.NewPCG(seed, 1)), conns: make(map[*capriciousConn]bool),
		accepted: make(map[string][]string), acked: make(map[string]int),
	}
	var err error
	if c.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return c
}

// live serves until ctx ends.
func (c *capricious) live(ctx context.Context) {
	c.serving.Go(func() {
		for {
			conn, err := c.listener.Accept()
			if err != nil {
				return
			}
			if c.mood.Load() == down {
				conn.Close()
				continue
			}
			k := &capriciousConn{Conn: conn, waiting: make(map[uint32]string)}
			c.mu.Lock()
			c.conns[k] = true
			c.mu.Unlock()
			c.serving.Go(func() {
				c.serve(k)
				c.lose(k)
			})
		}
	})
	c.serving.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.deliver()
			case <-ctx.Done():
				c.listener.Close()
				c.mu.Lock()
				for k := range c.conns {
					k.Close()
				}
				c.mu.Unlock()
				return
			}
		}
	})
}

// change puts the SMSC into another mood.
func (c *capricious) change(mood int32) {
	c.mood.Store(mood)
	if mood == down {
		c.mu.Lock()
		defer c.mu.Unlock()
		for k := range c.conns {
			k.Close()
		}
	}
}

// lose puts back the receipts that were not acknowledged.
func (c *capricious) lose(k *capriciousConn) {
	k.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, k)
	for _, id := range k.waiting {
		c.receipts = append(c.receipts, id)
	}
	k.waiting = nil
}

// deliver sends the receipts that are due over any bind.
func (c *capricious) deliver() {
	if mood := c.mood.Load(); mood == silent || mood == down {
		return
	}
	for range 200 {
		c.mu.Lock()
		var k *capriciousConn
		for other := range c.conns {
			if other.bound && len(other.waiting) < 100 {
				k = other
				break
			}
		}
		if k == nil || len(c.receipts) == 0 {
			c.mu.Unlock()
			return
		}
		id := c.receipts[0]
		c.receipts = c.receipts[1:]
		k.sequence++
		sequence := k.sequence
		k.waiting[sequence] = id
		c.mu.Unlock()
		c.send(k, pdu.Header{Command: pdu.DeliverSM, Sequence: sequence}, receiptOf(id, pdu.Delivered))
	}
}

func (c *capricious) send(k *capriciousConn, h pdu.Header, body pdu.Body) {
	octets, err := pdu.Append(nil, h, body)
	if err != nil {
		c.t.Error(err)
		return
	}
	k.write.Lock()
	defer k.write.Unlock()
	k.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = k.Write(octets) // the reader notices
}

func (c *capricious) serve(k *capriciousConn) {
	reader := pdu.NewReader(k)
	for {
		f, err := reader.Next()
		if err != nil {
			return
		}
		answer := pdu.Header{Command: f.Command.Response(), Sequence: f.Sequence}
		mood := c.mood.Load()
		switch f.Command {
		case pdu.BindTransceiver:
			if mood != silent {
				c.send(k, answer, &pdu.BindResp{SystemID: c.name})
				c.mu.Lock()
				k.bound = true
				c.mu.Unlock()
			}
		case pdu.EnquireLink, pdu.Unbind:
			if mood != silent {
				c.send(k, answer, nil)
			}
		case pdu.DeliverSMResp:
			c.mu.Lock()
			if id, found := k.waiting[f.Sequence]; found {
				delete(k.waiting, f.Sequence)
				if f.Status == pdu.StatusOK {
					c.acked[id]++
				} else {
					c.receipts = append(c.receipts, id)
				}
			}
			c.mu.Unlock()
		case pdu.SubmitSM:
			if !c.submit(k, f, answer, mood) {
				return
			}
		}
	}
}

// submit says whether the connection lives on.
func (c *capricious) submit(k *capriciousConn, f pdu.Frame, answer pdu.Header, mood int32) bool {
	body, err := pdu.Decode(f)
	if err != nil {
		c.t.Error(err)
		return false
	}
	c.mu.Lock()
	dice := c.random.Float64()
	c.mu.Unlock()
	switch {
	case mood == throttles && dice < 0.5:
		answer.Status = pdu.StatusThrottled
	case mood == fails && dice < 0.5:
		answer.Status = pdu.StatusSysErr
	case mood == drops && dice < 0.02:
		return false
	}
	if answer.Status != pdu.StatusOK {
		c.send(k, answer, nil)
		return true
	}
	text := string(body.(*pdu.ShortMessage).Text)
	id := fmt.Sprintf("%s-%d", c.name, c.ids.Add(1))
	c.mu.Lock()
	c.accepted[text] = append(c.accepted[text], id)
	c.receipts = append(c.receipts, id)
	c.mu.Unlock()
	if mood == drops && dice < 0.04 {
		return false
	}
	if mood != silent {
		c.send(k, answer, &pdu.MessageResp{MessageID: id})
	}
	return true
}

// quiet says that every receipt was acknowledged.
func (c *capricious) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := len(c.receipts)
	for k := range c.conns {
		waiting += len(k.waiting)
	}
	return waiting == 0
}

// An account of what became of every message and of every receipt.
type ledger struct {
	mu       sync.Mutex
	outcomes map[string]string // the last one of each text
	counts   map[string]int    // of all
	ids      map[string]string // of what was accepted, with its text
	recorded map[string]int    // receipts by id
}

// TestChaos sends many messages through four binds of two accounts whose SMSCs throttle, fail, fall silent, drop
// connections and go down at random, and then goes through the books of both sides.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%d messages, -seed %d", *chaosMessages, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	smscs := []*capricious{newCapricious(t, "a", seed), newCapricious(t, "b", seed+1)}
	living, kill := context.WithCancel(t.Context())
	defer kill()
	var accounts []smpp.Config
	for _, c := range smscs {
		c.live(living)
		accounts = append(accounts, account(c.name, func(cfg *smpp.Config) {
			cfg.Binds, cfg.Window, cfg.Endpoints = 2, 50, []string{c.listener.Addr().String()}
			cfg.ResponseTimeout, cfg.BindTimeout, cfg.FailoverAfter = 400*time.Millisecond, 400*time.Millisecond, 100*time.Millisecond
			cfg.ReconnectMin, cfg.ReconnectMax, cfg.EnquireLinkInterval = 20*time.Millisecond, 200*time.Millisecond, time.Second
		}))
	}
	books := &ledger{counts: make(map[string]int), outcomes: make(map[string]string), ids: make(map[string]string), recorded: make(map[string]int)}
	pool, err := smpp.NewPool(accounts, smpp.Hooks{
		Deliver: func(_ context.Context, r smpp.Receipt) (smpp.Match, error) {
			if rand.N(50) == 0 {
				return smpp.Match{}, errors.New("the store is not well")
			}
			books.mu.Lock()
			defer books.mu.Unlock()
			books.recorded[r.MessageIDs[0]]++
			return smpp.Match{Found: true}, nil
		},
		Late: func(_ context.Context, answer smpp.LateAnswer) {
			books.mu.Lock()
			defer books.mu.Unlock()
			if answer.Err == nil {
				books.ids[answer.Accepted.MessageIDs[0]] = answer.Ref
			}
		},
	}, prometheus.NewRegistry(), discard())
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(running) }()

	changing, calmDown := context.WithCancel(t.Context())
	var weather sync.WaitGroup
	weather.Go(func() {
		for n := random.IntN(moods); changing.Err() == nil; n++ { // every mood in its turn
			smscs[random.IntN(len(smscs))].change(int32(n % moods))
			time.Sleep(time.Duration(50+random.IntN(300)) * time.Millisecond)
		}
		for _, c := range smscs {
			c.change(calm)
		}
	})

	var (
		next    atomic.Int64
		senders sync.WaitGroup
		early   atomic.Uint64 // heap in use after a fifth of the messages
	)
	for range 64 {
		senders.Go(func() {
			for {
				n := int(next.Add(1))
				if n > *chaosMessages {
					return
				}
				if n == *chaosMessages/5 {
					early.Store(heap())
				}
				text := fmt.Sprintf("message %d", n)
				for { // until it is accepted, or nobody knows: what was certainly not sent may be tried again
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					accepted, err := pool.Send(ctx, smpp.Message{From: "ACME", To: "+34600000001", Text: text, Ref: text})
					cancel()
					if books.note(t, text, accepted, err) {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	senders.Wait()
	calmDown()
	weather.Wait()
	for deadline := time.Now().Add(30 * time.Second); !smscs[0].quiet() || !smscs[1].quiet(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("receipts are left that nobody acknowledges")
		}
	}
	late := heap()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	kill()
	for _, c := range smscs {
		c.serving.Wait()
	}
	books.audit(t, smscs)
	if grown := int64(late) - int64(early.Load()); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// note says whether that was the last word on the message.
func (b *ledger) note(t *testing.T, text string, accepted smpp.Accepted, err error) bool {
	var refused *smpp.StatusError
	outcome := ""
	switch {
	case err == nil:
		outcome = "accepted"
	case errors.As(err, &refused):
		outcome = "refused"
	case errors.Is(err, smpp.ErrUnknown):
		outcome = "unknown"
	case errors.Is(err, smpp.ErrUnavailable):
		outcome = "not sent"
	default:
		t.Errorf("%s: %v", text, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[outcome]++
	if outcome == "refused" || outcome == "not sent" {
		return false
	}
	b.outcomes[text] = outcome
	if err == nil {
		b.ids[accepted.MessageIDs[0]] = text
	}
	return true
}

// audit compares the books of the pool with those of the SMSCs.
func (b *ledger) audit(t *testing.T, smscs []*capricious) {
	t.Helper()
	taken := make(map[string][]string)
	for _, c := range smscs {
		for text, ids := range c.accepted {
			taken[text] = append(taken[text], ids...)
		}
		for id, n := range c.acked {
			if b.recorded[id] == 0 {
				t.Errorf("receipt %s was acknowledged %d times and never recorded", id, n)
			}
		}
	}
	known := 0
	for text, outcome := range b.outcomes {
		n := len(taken[text])
		switch {
		case n > 1:
			t.Errorf("%s was accepted %d times: %v", text, n, taken[text])
		case outcome == "accepted" && n != 1:
			t.Errorf("%s was accepted, and no SMSC took it", text)
		}
		for _, id := range taken[text] {
			if b.recorded[id] == 0 {
				t.Errorf("the receipt of %s (%s, %s) was never recorded", text, id, outcome)
			}
			if b.ids[id] == text {
				known++
			} else if outcome == "accepted" {
				t.Errorf("%s was accepted under another id than %s", text, id)
			}
		}
	}
	invented := len(b.recorded)
	for _, ids := range taken {
		for _, id := range ids {
			if b.recorded[id] > 0 {
				invented--
			}
		}
	}
	if len(b.outcomes) != *chaosMessages || invented > 0 {
		t.Errorf("%d outcomes of %d messages, %d receipts invented", len(b.outcomes), *chaosMessages, invented)
	}
	if b.counts["accepted"] == 0 || b.counts["accepted"] == len(b.outcomes) {
		t.Error("the weather was too fine, or too bad")
	}
	t.Logf("%v; %d receipts, %d of them of messages with a known id", b.counts, len(b.recorded), known)
}
