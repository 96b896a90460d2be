package smpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"otpgw/smpp/pdu"
)

const (
	ghostLife   = 30 * time.Second // how long an answer that is late still counts against the window
	flushTime   = time.Second      // for the last words on a connection that ends
	maxControl  = 1 << 20          // octets of control PDUs that a peer may leave unread
	maxSequence = 0x7FFFFFFF       // SMPP 3.4 §3.2
)

// Reasons why a session ended, as metrics have them.
const (
	endPeerClosed  = "peer_closed"
	endReadError   = "read_error"
	endSlowPDU     = "slow_pdu"
	endFraming     = "framing"
	endWriteError  = "write_error"
	endUnread      = "peer_does_not_read"
	endNoLife      = "enquire_link"
	endPeerUnbind  = "peer_unbind"
	endNotBound    = "not_bound"
	endDrain       = "drain"
	endBindFailure = "bind_failure"
)

// A session is one connection to the SMSC, from before the bind until the connection's end. read and write each run in
// one goroutine until end.
type session struct {
	conn      net.Conn
	windows   *windows
	receipts  *receipts
	metrics   *bindMetrics
	log       *slog.Logger
	smsc      string
	bind      string
	writeTime time.Duration
	answer    time.Duration // longest wait for an answer
	started   time.Time
	seat      seat // guarded by mu of windows

	heard  atomic.Int64  // time since started at which the last PDU came
	ghosts chan struct{} // something about haunted has changed; has room for one
	unbind chan struct{} // closed when the peer has sent unbind
	done   chan struct{} // closed by end

	mu        sync.Mutex // guards the rest
	more      sync.Cond  // there is something to write, or the session ended
	control   []byte     // PDUs that go before all others, encoded
	submits   []*request // queued
	inflight  map[uint32]*request
	haunted   map[uint32]time.Time // sequence numbers of late answers, and until when they count
	sequence  uint32               // the last one given
	enquiry   uint32               // that of the last enquire_link
	receiving int                  // receipts not yet acknowledged
	settled   chan struct{}        // set by settle; closed when receiving is 0
	stopped   bool                 // one side unbinds: no more submits are taken or written
	ended     bool
	reason    string
	err       error
}

// read hands in what the peer sends until the connection ends.
func (s *session) read(ctx context.Context) {
	stream := &stream{conn: s.conn}
	reader := pdu.NewReader(stream)
	for {
		f, err := stream.next(reader)
		if err != nil {
			s.readFailed(err)
			return
		}
		s.heard.Store(int64(time.Since(s.started)))
		s.metrics.received(f.Command)
		s.handle(ctx, f)
		select {
		case <-s.done:
			return
		default:
		}
	}
}

func (s *session) readFailed(err error) {
	var length *pdu.LengthError
	switch {
	case errors.As(err, &length):
		s.metrics.pduErrors.WithLabelValues(s.bind, s.metrics.commandLabel(length.Command), "length").Inc()
		s.tell(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdLen, Sequence: length.Sequence}, nil)
		s.end(endFraming, err)
	case errors.Is(err, io.EOF):
		s.end(endPeerClosed, errors.New("closed by the smsc"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.end(endSlowPDU, errors.New("a pdu did not end in time"))
	default:
		s.end(endReadError, err)
	}
}

// handle never waits. Requests of the peer are told apart by their command alone: their sequence numbers are its own.
func (s *session) handle(ctx context.Context, f pdu.Frame) {
	answer := pdu.Header{Command: f.Command.Response(), Sequence: f.Sequence}
	switch {
	case f.Command.IsResponse():
		s.response(f)
	case f.Command == pdu.EnquireLink:
		s.tell(answer, nil)
	case f.Command == pdu.DeliverSM || f.Command == pdu.DataSM:
		s.receive(ctx, f, answer)
	case f.Command == pdu.Unbind:
		s.peerUnbinds(answer)
	case f.Command == pdu.AlertNotification || f.Command == pdu.Outbind:
		// SMPP 3.4 §4.12, §4.1.7: they have no answer, and nothing here wants to know
	default:
		s.log.Debug("unknown request", "command", f.Command.String())
		s.tell(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdID, Sequence: f.Sequence}, nil)
	}
}

// response ends the request that f answers.
func (s *session) response(f pdu.Frame) {
	o := outcome{kind: answered, command: f.Command, status: f.Status, at: time.Now()}
	if f.Command == pdu.SubmitSMResp {
		body, err := pdu.Decode(f)
		if err != nil {
			s.unreadable(f, err)
		}
		if b, ok := body.(*pdu.MessageResp); ok { // without it there is no id, and the status counts all the same
			o.id = b.MessageID
		}
	}
	kind := "unknown"
	s.mu.Lock()
	r, found := s.inflight[f.Sequence]
	if found && (f.Command == r.command.Response() || f.Command == pdu.GenericNack) {
		delete(s.inflight, f.Sequence)
		r.stage = finished
		at := r.at
		s.mu.Unlock()
		s.complete(r, at, o)
		return
	}
	_, late := s.haunted[f.Sequence]
	late = late && !found && (f.Command == pdu.SubmitSMResp || f.Command == pdu.GenericNack)
	if late {
		delete(s.haunted, f.Sequence)
	}
	s.mu.Unlock()
	switch {
	case found:
		kind = "type"
	case late:
		kind = "late"
		s.windows.exorcise(s, 1)
	}
	s.metrics.unexpected.WithLabelValues(s.bind, kind).Inc()
	s.log.Debug("unexpected response", "command", f.Command.String(), "kind", kind)
}

func (s *session) complete(r *request, at time.Time, o outcome) {
	switch {
	case r.command == pdu.EnquireLink:
		s.metrics.rtt.WithLabelValues(s.bind).Observe(o.at.Sub(at).Seconds())
	case r.command == pdu.SubmitSM:
		s.metrics.submitSeconds.Observe(o.at.Sub(at).Seconds())
		if o.command == pdu.GenericNack && o.status == pdu.StatusOK { // neither an acceptance nor a refusal
			o = outcome{kind: unknown, reason: reasonNonsense}
		}
		if o.status == pdu.StatusInvBndSts { // the SMSC takes us for not bound, so it took nothing
			o = outcome{kind: notSent, reason: reasonLost, lost: true}
			s.end(endNotBound, errors.New("the smsc says that the bind is not bound"))
		}
	}
	r.done <- o
}

// receive hands a receipt on, and answers all else.
func (s *session) receive(ctx context.Context, f pdu.Frame, answer pdu.Header) {
	body, err := pdu.Decode(f)
	if err != nil {
		s.unreadable(f, err)
	}
	var (
		receipt pdu.Receipt
		found   bool
	)
	switch b := body.(type) {
	case *pdu.ShortMessage:
		receipt, found = pdu.ParseReceipt(b)
	case *pdu.DataMessage:
		receipt, found = pdu.ParseDataReceipt(b)
	default: // a refusal would only bring the same octets again
		s.tell(answer, &pdu.MessageResp{})
		return
	}
	if !found || receipt.MessageID == "" {
		if found { // in a form that nobody reads: the SMSC's people have to be asked about it
			s.metrics.pduErrors.WithLabelValues(s.bind, s.metrics.commandLabel(f.Command), "receipt").Inc()
			s.log.Warn("receipt without a message id", "command", f.Command.String())
		}
		s.metrics.mobile.WithLabelValues(s.bind).Inc()
		s.tell(answer, &pdu.MessageResp{})
		return
	}
	d := delivery{session: s, answer: answer, receipt: Receipt{
		SMSC:      s.smsc,
		MessageID: receipt.MessageID,
		State:     receipt.State.String(),
		Final:     receipt.State.Final(),
		Delivered: receipt.State == pdu.Delivered,
		Error:     receipt.Error,
		At:        time.Now(),
	}}
	s.mu.Lock()
	s.receiving++
	s.mu.Unlock()
	if !s.receipts.offer(ctx, d) {
		s.metrics.deferred.WithLabelValues("queue_full").Inc()
		answer.Status = pdu.StatusRxTAppn
		s.acknowledge(answer)
	}
}

// acknowledge answers a receipt.
func (s *session) acknowledge(answer pdu.Header) {
	s.tell(answer, &pdu.MessageResp{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiving--
	if s.settled != nil && s.receiving == 0 {
		close(s.settled)
		s.settled = nil
	}
}

// settle returns a channel that is closed when no receipt waits for its acknowledgement.
func (s *session) settle() <-chan struct{} {
	settled := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.receiving == 0 {
		close(settled)
	} else {
		s.settled = settled
	}
	return settled
}

// peerUnbinds answers, and gives back what has not been written yet: the SMSC would not take it any more.
func (s *session) peerUnbinds(answer pdu.Header) {
	s.tell(answer, nil)
	s.quiesce()
	select {
	case <-s.unbind: // not the first time
	default:
		close(s.unbind) // by the reader alone
	}
}

func (s *session) unreadable(f pdu.Frame, err error) {
	part := "mandatory"
	if fault := (*pdu.BodyError)(nil); errors.As(err, &fault) {
		part = fault.Part
	}
	s.metrics.pduErrors.WithLabelValues(s.bind, s.metrics.commandLabel(f.Command), part).Inc()
	s.log.Warn("unreadable pdu", "command", f.Command.String(), "part", part)
}

// quiesce lets no more submits onto the connection, and gives back what has not been written yet.
func (s *session) quiesce() {
	s.mu.Lock()
	s.stopped = true
	unsent := s.withdraw()
	s.mu.Unlock()
	s.fail(unsent, nil)
}

// tell queues a PDU that goes before all others and past window and rate.
func (s *session) tell(h pdu.Header, body pdu.Body) {
	s.mu.Lock()
	err := s.push(h, body)
	full := len(s.control) > maxControl
	s.mu.Unlock()
	switch {
	case err != nil:
		s.log.Error("pdu not encoded", "command", h.Command.String(), "error", err)
	case full:
		s.end(endUnread, errors.New("the smsc does not read its answers"))
	}
}

// push is called with mu held.
func (s *session) push(h pdu.Header, body pdu.Body) error {
	if s.ended {
		return nil
	}
	octets, err := pdu.Append(s.control, h, body)
	if err != nil {
		return err
	}
	s.control = octets
	s.metrics.out[h.Command].Inc()
	s.more.Signal()
	return nil
}

// ask queues a request that goes before all others. Its outcome comes in done of what is returned.
func (s *session) ask(c pdu.Command, body pdu.Body) (*request, error) {
	r := &request{command: c, done: make(chan outcome, 1), stage: written, at: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	sequence := nextSequence(s.sequence)
	if err := s.push(pdu.Header{Command: c, Sequence: sequence}, body); err != nil {
		return nil, fmt.Errorf("encode %v: %w", c, err)
	}
	s.sequence = sequence
	s.inflight[sequence] = r
	if c == pdu.EnquireLink {
		delete(s.inflight, s.enquiry) // one that was never answered
		s.enquiry = sequence
	}
	return r, nil
}

// nextSequence is the sequence_number after n (SMPP 3.4 §3.2).
func nextSequence(n uint32) uint32 { return n%maxSequence + 1 }

// submit sends a submit_sm and waits for its outcome. Its place in the window is the caller's.
func (s *session) submit(ctx context.Context, r *request) outcome {
	if ctx.Err() != nil {
		return outcome{kind: notSent, reason: reasonDeadline}
	}
	s.mu.Lock()
	if s.stopped || s.ended {
		s.mu.Unlock()
		return outcome{kind: notSent, reason: reasonLost, lost: true}
	}
	r.stage = queued
	s.submits = append(s.submits, r)
	s.more.Signal()
	s.mu.Unlock()

	r.timer.Reset(s.answer)
	defer r.timer.Stop()
	select {
	case o := <-r.done:
		return o
	case <-r.timer.C:
		return s.abandon(r, reasonTimeout)
	case <-ctx.Done():
		return s.abandon(r, reasonDeadline)
	}
}

// abandon takes back a request for which nobody wants to wait any longer.
func (s *session) abandon(r *request, reason string) outcome {
	s.mu.Lock()
	if i := slices.Index(s.submits, r); r.stage == queued && i >= 0 {
		s.submits = slices.Delete(s.submits, i, i+1)
		r.stage = finished
		s.mu.Unlock()
		return outcome{kind: notSent, reason: reason}
	}
	if r.stage == finished {
		s.mu.Unlock()
		return <-r.done
	}
	r.stage = finished
	delete(s.inflight, r.sequence())
	s.haunted[r.sequence()] = time.Now().Add(ghostLife)
	s.mu.Unlock()
	select {
	case s.ghosts <- struct{}{}:
	default:
	}
	return outcome{kind: unknown, reason: reason, ghost: true}
}

// bury frees the places of late answers that are not expected any more, and says how long until the next one.
func (s *session) bury(now time.Time) time.Duration {
	next, gone := time.Duration(1<<62), 0
	s.mu.Lock()
	for sequence, until := range s.haunted {
		if left := until.Sub(now); left > 0 {
			next = min(next, left)
		} else {
			delete(s.haunted, sequence)
			gone++
		}
	}
	s.mu.Unlock()
	if gone > 0 {
		s.windows.exorcise(s, gone)
	}
	return next
}

// withdraw empties the queue and returns what was in it. It is called with mu held.
func (s *session) withdraw() []*request {
	unsent := slices.Clone(s.submits)
	for i, r := range unsent {
		r.stage = finished
		s.submits[i] = nil
	}
	s.submits = s.submits[:0]
	return unsent
}

// fail ends requests that the connection took with it: those that it never got, and those that have no answer.
func (s *session) fail(unsent, lost []*request) {
	for _, r := range unsent {
		r.done <- outcome{kind: notSent, reason: reasonLost, lost: true}
	}
	for _, r := range lost {
		r.done <- outcome{kind: unknown, reason: reasonLost}
	}
}

// end ends the session; the first reason counts. Control PDUs that are queued have a last moment to get through. What is
// just being written is left to write, which knows how far it came.
func (s *session) end(reason string, err error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended, s.reason, s.err = true, reason, err
	unsent := s.withdraw()
	var lost []*request
	for sequence, r := range s.inflight {
		if r.stage == written {
			delete(s.inflight, sequence)
			r.stage = finished
			lost = append(lost, r)
		}
	}
	// An error would be that of a connection which is closed already.
	_ = s.conn.SetDeadline(time.Now().Add(flushTime))
	s.more.Broadcast()
	close(s.done)
	s.mu.Unlock()
	s.fail(unsent, lost)
}

// over says that the session has ended.
func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}
