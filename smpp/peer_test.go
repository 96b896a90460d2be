package smpp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// A link is a way from a pool to scripted peers.
type link struct {
	dial     func(context.Context) (net.Conn, error)
	accepted chan net.Conn
	patience time.Duration  // for a peer that waits: real time on a socket, fake time in a bubble
	hurry    bool           // the pool reconnects faster
	settle   func(*running) // waits until the pool has taken note of a bind's answer
}

// inBubble runs f over pipes and in fake time.
func inBubble(t *testing.T, f func(t *testing.T, l *link)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &link{accepted: make(chan net.Conn), patience: time.Hour, settle: func(*running) { synctest.Wait() }}
		l.dial = func(ctx context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			select {
			case l.accepted <- theirs:
				return ours, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		f(t, l)
	})
}

// onSocket runs f over TCP on loopback.
func onSocket(t *testing.T, f func(t *testing.T, l *link)) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{accepted: make(chan net.Conn), patience: 10 * time.Second, hurry: true}
	l.settle = func(r *running) {
		for r.Ready() != nil {
			runtime.Gosched()
		}
	}
	l.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	}
	stop := make(chan struct{})
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case l.accepted <- conn:
			case <-stop:
				conn.Close()
				return
			}
		}
	})
	defer accepting.Wait()
	defer listener.Close()
	defer close(stop)
	f(t, l)
}

// everywhere runs f over pipes and over TCP.
func everywhere(t *testing.T, f func(t *testing.T, l *link)) {
	t.Run("pipe", func(t *testing.T) { inBubble(t, f) })
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		onSocket(t, f)
	})
}

// testConfig is one bind to an address that nobody dials.
func testConfig() smpp.Config {
	cfg := smpp.DefaultConfig()
	cfg.Name, cfg.Endpoints, cfg.SystemID, cfg.Password = "main", []string{"127.0.0.1:2775"}, "otpgw", "s3cr3t"
	cfg.Binds, cfg.Rate, cfg.MessageIDFormat = 1, 0, "as_is"
	return cfg
}

// ignore is a Deliver that knows every message.
func ignore(context.Context, smpp.Receipt) (smpp.Match, error) { return smpp.Match{Found: true}, nil }

// A running pool, and what its test needs of it.
type running struct {
	*smpp.Pool
	t        *testing.T
	link     *link
	config   smpp.Config
	registry *prometheus.Registry
	receipts chan smpp.Receipt    // what the default deliver func got
	late     chan smpp.LateAnswer // what was told late
	match    func(smpp.Receipt) smpp.Match
	log      *logBuffer
	cancel   context.CancelFunc
	ended    chan error
}

type logBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// run starts a pool. deliver may be nil: then receipts go to the channel.
func run(t *testing.T, l *link, cfg smpp.Config, deliver func(context.Context, smpp.Receipt) error) *running {
	t.Helper()
	r := &running{
		t: t, link: l, registry: prometheus.NewRegistry(), log: new(logBuffer), ended: make(chan error, 1),
		receipts: make(chan smpp.Receipt, 1000), late: make(chan smpp.LateAnswer, 1000),
	}
	if l.hurry {
		cfg.ReconnectMin = 10 * time.Millisecond
	}
	if deliver == nil {
		deliver = func(_ context.Context, receipt smpp.Receipt) error {
			r.receipts <- receipt
			return nil
		}
	}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	pool, err := smpp.NewPool([]smpp.Config{cfg}, smpp.Hooks{
		Deliver: func(ctx context.Context, receipt smpp.Receipt) (smpp.Match, error) {
			err := deliver(ctx, receipt)
			if r.match != nil {
				return r.match(receipt), err
			}
			return smpp.Match{Found: err == nil}, err
		},
		Late: func(_ context.Context, answer smpp.LateAnswer) { r.late <- answer },
	}, r.registry, log)
	if err != nil {
		t.Fatal(err)
	}
	smpp.SetDialer(pool, func(ctx context.Context, _ string, _ int) (net.Conn, error) { return l.dial(ctx) })
	r.Pool, r.config = pool, cfg
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	t.Cleanup(cancel) // where the test failed on the way
	go func() { r.ended <- pool.Run(ctx) }()
	return r
}

// setRate is what a reload does that changes the rate.
func (r *running) setRate(perSecond float64) {
	r.t.Helper()
	r.config.Rate = perSecond
	change, err := r.Prepare([]smpp.Config{r.config})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Apply(change)
}

// stop ends the pool while p, if any, answers the unbind, and waits for its end.
func (r *running) stop(p *peer) {
	r.t.Helper()
	r.cancel()
	if p != nil {
		f := p.expect(pdu.Unbind)
		p.answer(f, pdu.StatusOK, nil)
		p.eof()
	}
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run = %v, want nil", err)
	}
}

// A result is what a Send returned.
type result struct {
	smpp.Accepted
	err error
}

var hello = smpp.Message{From: "ACME", To: "+34600000001", Text: "hello"}

// send sends a message in a goroutine.
func (r *running) send(ctx context.Context, m smpp.Message) <-chan result {
	c := make(chan result, 1)
	go func() {
		accepted, err := r.Send(ctx, m)
		c <- result{accepted, err}
	}()
	return c
}

// unanswered sends n messages one after the other that p leaves without an answer.
func (r *running) unanswered(p *peer, n int) {
	r.t.Helper()
	for range n {
		r.unansweredAtOnce(p, 1)
	}
}

// unansweredAtOnce sends n messages together that p leaves without an answer.
func (r *running) unansweredAtOnce(p *peer, n int) {
	r.t.Helper()
	var lost []<-chan result
	for range n {
		lost = append(lost, r.send(within(r.t, time.Minute), hello))
		p.expect(pdu.SubmitSM)
	}
	for _, c := range lost {
		isUnknown(r.t, r.result(c).err)
	}
}

// within is a context that ends after d, or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// count is the sum of the counters and gauges, or of the counts of the histograms, of that name and those labels.
func (r *running) count(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	var sum float64
	for _, family := range families {
		if family.GetName() != "otpgw_smpp_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			matched := 0
			for _, l := range m.GetLabel() {
				for i := 0; i < len(labels); i += 2 {
					if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
						matched += 2
					}
				}
			}
			if matched == len(labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// A peer is one connection as the SMSC sees it, for one goroutine.
type peer struct {
	t      *testing.T
	conn   net.Conn
	reader *pdu.Reader
	wait   time.Duration
}

// accept waits for the next connection.
func (r *running) accept() *peer {
	r.t.Helper()
	select {
	case conn := <-r.link.accepted:
		r.t.Cleanup(func() { conn.Close() })
		return &peer{t: r.t, conn: conn, reader: pdu.NewReader(conn), wait: r.link.patience}
	case <-time.After(r.link.patience):
		r.t.Fatal("no connection came")
		return nil
	}
}

// bound waits for the next connection and binds it.
func (r *running) bound() *peer {
	r.t.Helper()
	p := r.accept()
	p.answer(p.expect(pdu.BindTransceiver), pdu.StatusOK, &pdu.BindResp{SystemID: "smsc"})
	r.link.settle(r)
	return p
}

// next reads a PDU.
func (p *peer) next() (pdu.Frame, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.wait)); err != nil {
		return pdu.Frame{}, err
	}
	return p.reader.Next()
}

// read reads any PDU.
func (p *peer) read() pdu.Frame {
	p.t.Helper()
	f, err := p.next()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// expect reads a PDU, which must be a c.
func (p *peer) expect(c pdu.Command) pdu.Frame {
	p.t.Helper()
	f, err := p.next()
	if err != nil {
		p.t.Fatalf("reading %v: %v", c, err)
	}
	if f.Command != c {
		p.t.Fatalf("got %v (status %v), want %v", f.Command, f.Status, c)
	}
	return f
}

// expectStatus reads the answer c, which must have that status and sequence.
func (p *peer) expectStatus(c pdu.Command, status pdu.Status, sequence uint32) {
	p.t.Helper()
	if f := p.expect(c); f.Status != status || f.Sequence != sequence {
		p.t.Fatalf("got %v status %v sequence %d, want status %v sequence %d", c, f.Status, f.Sequence, status, sequence)
	}
}

// eof waits for the end of the connection.
func (p *peer) eof() {
	p.t.Helper()
	f, err := p.next()
	if err == nil {
		p.t.Fatalf("got %v, want the end of the connection", f.Command)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		p.t.Fatalf("the connection ended inside of a pdu")
	}
}

// write writes what append made.
func (p *peer) write(octets []byte) {
	p.t.Helper()
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.wait)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Write(octets); err != nil {
		p.t.Fatalf("writing: %v", err)
	}
}

// encode encodes one PDU.
func encode(t testing.TB, h pdu.Header, body pdu.Body) []byte {
	t.Helper()
	octets, err := pdu.Append(nil, h, body)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func (p *peer) send(h pdu.Header, body pdu.Body) {
	p.t.Helper()
	p.write(encode(p.t, h, body))
}

// answer answers f.
func (p *peer) answer(f pdu.Frame, status pdu.Status, body pdu.Body) {
	p.t.Helper()
	p.send(pdu.Header{Command: f.Command.Response(), Status: status, Sequence: f.Sequence}, body)
}

// accept answers a submit_sm with a message id.
func (p *peer) accept(f pdu.Frame, id string) {
	p.t.Helper()
	p.answer(f, pdu.StatusOK, &pdu.MessageResp{MessageID: id})
}

// receiptFor is the receipt of a delivered message.
func receiptFor(id string) *pdu.ShortMessage {
	return &pdu.ShortMessage{
		Source:      pdu.Address{TON: 1, NPI: 1, Number: "34600000001"},
		Destination: pdu.Address{TON: 5, Number: "ACME"},
		ESMClass:    0x04,
		Text:        []byte("id:" + id + " sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:"),
	}
}

// result waits for the result of a Send.
func (r *running) result(c <-chan result) result {
	r.t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(r.link.patience):
		r.t.Fatal("Send did not return")
		return result{}
	}
}

// accepted waits for the result of a Send, which must be that id.
func (r *running) accepted(c <-chan result, id string) {
	r.t.Helper()
	got := r.result(c)
	if got.err != nil || len(got.MessageIDs) != 1 || got.MessageIDs[0] != id {
		r.t.Fatalf("Send = %q, %v, want id %q", got.MessageIDs, got.err, id)
	}
}

// isUnavailable checks that err says: certainly not sent.
func isUnavailable(t *testing.T, err error) {
	t.Helper()
	var unavailable *smpp.UnavailableError
	if !errors.Is(err, smpp.ErrUnavailable) || errors.Is(err, smpp.ErrUnknown) || !errors.As(err, &unavailable) || unavailable.RetryAfter <= 0 {
		t.Fatalf("err = %v, want ErrUnavailable with a time to retry", err)
	}
}

// isUnknown checks that err says: perhaps sent.
func isUnknown(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, smpp.ErrUnknown) || errors.Is(err, smpp.ErrUnavailable) {
		t.Fatalf("err = %v, want ErrUnknown", err)
	}
}
