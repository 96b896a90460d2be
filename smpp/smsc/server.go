// Package smsc is the other side of SMPP 3.4: an SMSC that accepts messages, shows what the phones received and sends
// delivery receipts, and that misbehaves as real ones do when it is told to, by the last digits of a number
// ([Behaviours]) or altogether ([Profiles], [Config]), and differently while it runs ([Server.Configure], [Server.Drop],
// [Server.Freeze]). The demo, the tests and cmd/smscsim share it.
//
// It is no gateway: it delivers nothing to anybody. Start reading at [Server.Serve], session.go and submit.go.
package smsc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"otpgw/smpp/pdu"
)

const (
	maxSessions  = 256
	maxAccounts  = 1000 // system_ids that have bound
	writeTimeout = 5 * time.Second
	unbindWait   = 2 * time.Second // for unbind_resp when the server ends
)

// Stats count what a Server has done since it was made.
type Stats struct {
	Sessions             int // bound now
	Submits              int // submit_sm and data_sm received
	Accepted             int // of them, answered or meant to be with ESME_ROK
	ReceiptsSent         int // deliver_sm written, repetitions among them
	ReceiptsAcknowledged int // of them, answered with ESME_ROK
	ReceiptsWaiting      int // for a bind, or for an answer
}

// A Server is an SMSC. All of its methods may be called by several goroutines at once.
type Server struct {
	log        *slog.Logger
	behaviours []Behaviour
	inbox      *inbox
	ledger     *ledger

	configuring sync.Mutex // held while settings are replaced
	settings    atomic.Pointer[settings]
	configured  chan struct{} // has something in it after a change
	freezing    sync.Mutex    // held while thawed is replaced
	thawed      atomic.Pointer[chan struct{}]

	nextID    atomic.Uint64
	strangers atomic.Uint64 // message ids made up
	submits   atomic.Int64
	accepted  atomic.Int64
	sent      atomic.Int64
	acked     atomic.Int64
	lies      atomic.Int64 // command_lengths that were wrong

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	accounts map[string]*account
	parts    assembly
	seen     map[string]bool // numbers that were refused once
}

// New returns an SMSC that serves nobody yet.
func New(cfg Config, log *slog.Logger) *Server {
	s := &Server{
		log:        log,
		behaviours: Behaviours(),
		configured: make(chan struct{}, 1),
		sessions:   map[*session]struct{}{},
		accounts:   map[string]*account{},
		parts:      assembly{messages: map[assemblyKey]*fragments{}},
		seen:       map[string]bool{},
	}
	inForce := newSettings(cfg)
	s.settings.Store(inForce)
	s.inbox = newInbox(inForce.KeepMessages)
	s.ledger = &ledger{keep: inForce.KeepMessages, byID: map[string]*record{}}
	open := make(chan struct{})
	close(open)
	s.thawed.Store(&open)
	if cfg.FirstID > 0 {
		s.nextID.Store(cfg.FirstID - 1)
	}
	return s
}

// Serve accepts connections on l until ctx ends, then unbinds all sessions, waits a moment for their answers and returns
// after everything has ended. l is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()                                             // also where Accept fails: sessions must not wait for an end that nobody brings
	closed := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept then fails, which is how the loop below ends
	defer closed()
	running.Go(func() { s.callOut(ctx) })
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return errors.Join(fmt.Errorf("accept: %w", err), l.Close())
		}
		if session := s.admit(conn); session != nil {
			running.Go(func() { s.serve(ctx, session) })
		}
	}
}

// admit makes a session of a connection; nil where there are too many.
func (s *Server) admit(conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= maxSessions {
		s.log.Warn("too many connections", "peer", conn.RemoteAddr().String())
		_ = conn.Close() // nothing was said on it
		return nil
	}
	c := newSession(s, conn)
	s.sessions[c] = struct{}{}
	return c
}

// serve runs a session to its end.
func (s *Server) serve(ctx context.Context, c *session) {
	defer s.dismiss(c)
	if err := c.run(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Info("connection ended", "peer", c.conn.RemoteAddr().String(), "error", err)
	}
}

func (s *Server) dismiss(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
}

// account returns what the sessions of one system_id share; nil when there are too many.
func (s *Server) account(systemID string) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[systemID]
	if a == nil && len(s.accounts) < maxAccounts {
		a = &account{server: s, systemID: systemID}
		s.accounts[systemID] = a
	}
	return a
}

// allAccounts are those that have ever bound, by system_id.
func (s *Server) allAccounts() []*account {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*account, 0, len(s.accounts))
	for _, a := range s.accounts {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *account) int { return strings.Compare(a.systemID, b.systemID) })
	return all
}

// Messages returns the messages that the phone with that number received, with + in front of it, newest last; those to
// all phones for "".
func (s *Server) Messages(to string) []Message { return s.inbox.to(to) }

// Wait blocks until n messages to that number are there, n in all for "", and returns all of them. When ctx ends first it
// returns its error with those that are.
func (s *Server) Wait(ctx context.Context, to string, n int) ([]Message, error) {
	return s.inbox.wait(ctx, to, n)
}

// Stats returns the counts as they are now.
func (s *Server) Stats() Stats {
	stats := Stats{
		Submits:              int(s.submits.Load()),
		Accepted:             int(s.accepted.Load()),
		ReceiptsSent:         int(s.sent.Load()),
		ReceiptsAcknowledged: int(s.acked.Load()),
	}
	for _, a := range s.allAccounts() {
		sessions, waiting := a.size()
		stats.Sessions += sessions
		stats.ReceiptsWaiting += waiting
	}
	return stats
}

// messageID makes the id of a segment as it stands in submit_sm_resp and as it stands in the receipt.
func (s *Server) messageID(cfg *settings) (n uint64, answered, receipted string) {
	n = s.nextID.Add(1)
	if cfg.BigIDs {
		n |= 1 << 63
	}
	switch {
	case cfg.HexIDs:
		return n, fmt.Sprintf("%X", n), fmt.Sprintf("%d", n)
	case cfg.DecHexIDs:
		return n, fmt.Sprintf("%d", n), fmt.Sprintf("%x", n)
	case cfg.PaddedIDs:
		return n, fmt.Sprintf("%d", n), fmt.Sprintf("%020d", n)
	}
	id := fmt.Sprintf("%010d", n)
	return n, id, id
}

// firstTime says whether this is the first message to a number.
func (s *Server) firstTime(number string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.seen[number]
	if len(s.seen) < 10_000 {
		s.seen[number] = true
	}
	return first
}

// receive puts a segment where the phone shows it, once all segments of its message are there.
func (s *Server) receive(m *pdu.ShortMessage, p part, a alphabet, receipt string) {
	s.mu.Lock()
	whole, complete := s.parts.add(m, p)
	s.mu.Unlock()
	if !complete {
		return
	}
	s.inbox.add(Message{
		To:          display(m.Destination),
		From:        display(m.Source),
		Text:        a.text(whole.udh, whole.octets),
		Encoding:    a.name,
		Segments:    int(whole.total),
		ReceivedAt:  time.Now(),
		MessageID:   whole.id,
		Receipt:     receipt,
		Validity:    m.ValidityPeriod,
		ProtocolID:  m.ProtocolID,
		serviceType: m.ServiceType,
	}, m.ReplaceIfPresent == 1)
}

// display is an address as a phone shows it.
func display(a pdu.Address) string {
	if a.TON == 1 { // international
		return "+" + a.Number
	}
	return a.Number
}
