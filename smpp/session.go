package smpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
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
	maxProtests = 3                // times a minute that the SMSC may not understand us
	yieldEvery  = 4                // PDUs read in a row
	restEvery   = 16               // receipts read in a row
	restAnswers = time.Second      // how old a message in flight may be for reading to rest
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
	endProtests    = "protocol"
	endUnrecorded  = "receipts_unrecorded"
)

// A session is one connection to the SMSC, from before the bind until the connection's end. read and write each run in
// one goroutine until end.
type session struct {
	conn    net.Conn
	account *account
	metrics *bindMetrics
	log     *slog.Logger
	bind    string
	answer  time.Duration // longest wait for an answer
	started time.Time
	seat    seat // guarded by mu of the gate

	transmits bool // it carries messages; else it only receives

	heard  atomic.Int64  // time since started at which the last PDU came
	spoken atomic.Int64  // likewise, the last answer
	wake   chan struct{} // something for the bind to look at: a ghost, or a suspicion; has room for one
	unbind chan struct{} // closed when the peer has sent unbind
	done   chan struct{} // closed by end

	mu       sync.Mutex // guards the rest
	more     sync.Cond  // there is something to write, or the session ended
	control  []byte     // PDUs that go before all others, encoded
	submits  []*request // queued
	inflight map[uint32]*request
	haunted  map[uint32]time.Time // sequence numbers of late answers, and until when they count
	late     tombstones           // messages given up, for answers that come all the same
	sequence uint32               // the last one given
	enquiry  uint32               // that of the last enquire_link
	answered answeredRing
	acks     []*ack        // requests of the peer that wait for their turn to be answered
	settled  chan struct{} // set by settle; closed when there are no acks
	protests []time.Time   // when the peer did not understand us, the last few
	stopped  bool          // one side unbinds: no more submits are taken or written
	ended    bool
	reason   string
	err      error
}

// alarm has the bind look at the session.
func (s *session) alarm() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// canTry says that s is suspect, and that one message may go over it to see. It is called with mu of the gate held.
func (s *session) canTry() bool { return s.seat.suspect && s.seat.proven && s.seat.used == 0 }

// read hands in what the peer sends until the connection ends.
func (s *session) read(ctx context.Context) {
	stream := &stream{conn: s.conn, timeout: s.account.config.PDUReadTimeout}
	reader := pdu.NewReader(stream)
	receipts := 0
	for n := 0; ; n++ {
		if n%yieldEvery == 0 { // a flood on one connection must not keep others from the processor
			runtime.Gosched()
		}
		f, err := stream.next(reader)
		if err != nil {
			s.readFailed(err)
			return
		}
		s.heard.Store(int64(time.Since(s.started)))
		s.metrics.received(f.Command)
		s.handle(ctx, f)
		if f.Command == pdu.DeliverSM || f.Command == pdu.DataSM {
			if receipts++; receipts%restEvery == 0 && !s.owed(restAnswers) { // else the answer may lie behind them
				_ = s.account.pace.WaitN(ctx, restEvery) // it could fail at the end of ctx only, and then there is nothing to pace
			}
		}
		select {
		case <-s.done:
			return
		default:
		}
	}
}

// owed reports whether a message has waited for its answer for longer than d.
func (s *session) owed(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.inflight {
		if r.command == pdu.SubmitSM && time.Since(r.at) > d {
			return true
		}
	}
	return false
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
		s.reply(answer)
	case f.Command == pdu.DeliverSM || f.Command == pdu.DataSM:
		s.receive(ctx, f, answer)
	case f.Command == pdu.Unbind:
		s.peerUnbinds(answer)
	case f.Command == pdu.AlertNotification || f.Command == pdu.Outbind:
		// SMPP 3.4 §4.12, §4.1.7: they have no answer, and nothing here wants to know
	default:
		s.log.Debug("unknown request", "command", f.Command.String())
		s.reply(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdID, Sequence: f.Sequence})
	}
}

// response ends the request that f answers.
func (s *session) response(f pdu.Frame) {
	o := s.outcomeOf(f)
	now := o.at
	kind := "unknown"
	s.spoken.Store(int64(time.Since(s.started)))
	s.mu.Lock()
	r, found := s.inflight[f.Sequence]
	if found && (f.Command == r.command.Response() || f.Command == pdu.GenericNack) {
		delete(s.inflight, f.Sequence)
		r.stage = finished
		if f.Command == pdu.GenericNack && r.command == pdu.SubmitSM && s.answered.has(f.Sequence) {
			// It may be meant for an answer of ours that has the same number.
			s.haunted[f.Sequence] = now.Add(ghostLife)
			s.remember(r, now)
			o = outcome{kind: unknown, reason: reasonAmbiguous, ghost: true, at: now}
		}
		at := r.at
		s.mu.Unlock()
		s.complete(r, at, o)
		return
	}
	_, ghost := s.haunted[f.Sequence]
	ghost = ghost && !found && (f.Command == pdu.SubmitSMResp || f.Command == pdu.GenericNack)
	if ghost {
		delete(s.haunted, f.Sequence)
	}
	var late *lateMessage
	if !found && f.Command == pdu.SubmitSMResp {
		late = s.late.take(f.Sequence, now)
	}
	ours := f.Sequence > 0 && f.Sequence <= s.sequence
	s.mu.Unlock()
	switch {
	case found:
		kind = "type"
	case ghost || late != nil:
		kind = "late"
	case ours && f.Command == pdu.SubmitSMResp:
		kind = "duplicate"
	}
	if ghost {
		s.account.gate.exorcise(s, 1)
	}
	if late != nil {
		s.account.late(late, o)
	}
	s.protest(o)
	s.metrics.unexpected.WithLabelValues(s.bind, kind).Inc()
	s.log.Debug("unexpected response", "command", f.Command.String(), "kind", kind)
}

// outcomeOf is the outcome that a response tells. Without a body there is no id, and the status counts all the same.
func (s *session) outcomeOf(f pdu.Frame) outcome {
	o := outcome{kind: answered, command: f.Command, status: f.Status, at: time.Now()}
	if f.Status != pdu.StatusOK {
		o.class = s.account.classes.of(f.Status)
	}
	if f.Command == pdu.GenericNack || f.Command == pdu.EnquireLinkResp || f.Command == pdu.UnbindResp {
		return o // whatever is in them
	}
	body, err := pdu.Decode(f)
	if err != nil {
		s.unreadable(f, err)
	}
	if b, is := body.(*pdu.MessageResp); is {
		o.id = b.MessageID
		if state, found := b.TLVs.Get(pdu.TagCongestionState); found && len(state) == 1 {
			o.congestion = state[0]
		}
	}
	o.body = body
	return o
}

func (s *session) complete(r *request, at time.Time, o outcome) {
	switch {
	case r.command == pdu.EnquireLink:
		s.metrics.rtt.WithLabelValues(s.bind).Observe(o.at.Sub(at).Seconds())
		s.account.gate.proven(s, at)
	case r.command == pdu.SubmitSM:
		s.metrics.submitSeconds.Observe(o.at.Sub(at).Seconds())
		if o.command == pdu.GenericNack && o.kind == answered && o.status == pdu.StatusOK { // neither an acceptance nor a refusal
			o = outcome{kind: unknown, reason: reasonNonsense}
		}
		s.protest(o)
		if o.class == ClassUnavailable { // the SMSC takes us for not bound, so it took nothing
			o = outcome{kind: notSent, reason: reasonLost, lost: true}
			s.end(endNotBound, errors.New("the smsc says that the bind is not bound"))
		}
	}
	r.done <- o
}

// protest ends a session in which the peer does not understand us time and again: one of us is out of step.
func (s *session) protest(o outcome) {
	if o.command != pdu.GenericNack || o.status != pdu.StatusInvCmdLen && o.status != pdu.StatusInvCmdID {
		return
	}
	s.mu.Lock()
	s.protests = append(s.protests, o.at)
	if len(s.protests) > maxProtests {
		s.protests = s.protests[1:]
	}
	often := len(s.protests) == maxProtests && o.at.Sub(s.protests[0]) < time.Minute
	s.mu.Unlock()
	if often {
		s.end(endProtests, fmt.Errorf("the smsc answers %v time and again", o.status))
	}
}

// peerUnbinds answers, and gives back what has not been written yet: the SMSC would not take it any more.
func (s *session) peerUnbinds(answer pdu.Header) {
	s.reply(answer)
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

// reply answers a request of the peer that needs no body.
func (s *session) reply(answer pdu.Header) {
	s.mu.Lock()
	s.answered.add(answer.Sequence)
	s.mu.Unlock()
	s.tell(answer, nil)
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
	s.sequence, r.number = sequence, sequence
	s.inflight[sequence] = r
	if c == pdu.EnquireLink {
		delete(s.inflight, s.enquiry) // one that was never answered
		s.enquiry = sequence
	}
	return r, nil
}

// forsake takes back a request among the control PDUs that nobody waits for any longer.
func (s *session) forsake(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inflight[r.number] == r {
		delete(s.inflight, r.number)
	}
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
	now := time.Now()
	s.haunted[r.sequence()] = now.Add(ghostLife)
	s.remember(r, now)
	s.mu.Unlock()
	s.alarm()
	return outcome{kind: unknown, reason: reason, ghost: true}
}

// remember keeps a submit_sm for an answer that comes all the same. It is called with mu held.
func (s *session) remember(r *request, now time.Time) {
	if r.late.message.ref != "" {
		m := r.late
		if m.accepted.SubmittedAt.IsZero() {
			m.accepted.SubmittedAt = r.at
		}
		s.late.put(r.sequence(), &m, now)
	}
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
		s.account.gate.exorcise(s, gone)
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
