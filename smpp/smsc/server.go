// Package smsc is the other side of SMPP 3.4: an SMSC that accepts messages, shows what the phones received and sends
// delivery receipts, and that misbehaves as real ones do when it is told to, by the last digits of a number
// ([Behaviours]) or altogether ([Profiles]). The demo, the tests and cmd/smscsim share it.
//
// It is no gateway: it delivers nothing to anybody. Start reading at [Server.Serve] and session.go.
package smsc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

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
	Submits              int // submit_sm received
	Accepted             int // of them, answered or meant to be with ESME_ROK
	ReceiptsSent         int // deliver_sm written, repetitions among them
	ReceiptsAcknowledged int // of them, answered with ESME_ROK
	ReceiptsWaiting      int // for a bind, or for an answer
}

// A Server is an SMSC. All of its methods may be called by several goroutines at once.
type Server struct {
	cfg   Config
	log   *slog.Logger
	inbox *inbox
	limit *rate.Limiter // nil: no limit

	nextID   atomic.Uint64
	submits  atomic.Int64
	accepted atomic.Int64
	sent     atomic.Int64
	acked    atomic.Int64

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	accounts map[string]*account
	parts    assembly
	seen     map[string]bool // numbers that were throttled once
}

// New returns an SMSC that serves nobody yet.
func New(cfg Config, log *slog.Logger) *Server {
	if cfg.KeepMessages == 0 {
		cfg.KeepMessages = 10_000
	}
	s := &Server{
		cfg:      cfg,
		log:      log,
		inbox:    newInbox(cfg.KeepMessages),
		sessions: map[*session]struct{}{},
		accounts: map[string]*account{},
		parts:    assembly{messages: map[assemblyKey][][]byte{}},
		seen:     map[string]bool{},
	}
	if cfg.Rate > 0 {
		s.limit = rate.NewLimiter(rate.Limit(cfg.Rate), max(1, int(cfg.Rate)))
	}
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
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return errors.Join(fmt.Errorf("accept: %w", err), l.Close())
		}
		session := newSession(s, conn)
		if !s.admit(session) {
			s.log.Warn("too many connections", "peer", conn.RemoteAddr().String())
			_ = conn.Close() // nothing was said on it
			continue
		}
		running.Go(func() {
			defer s.dismiss(session)
			if err := session.run(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
				s.log.Info("connection ended", "peer", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

func (s *Server) admit(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= maxSessions {
		return false
	}
	s.sessions[session] = struct{}{}
	return true
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
		a = &account{server: s}
		s.accounts[systemID] = a
	}
	return a
}

// Messages returns the messages that the phone with that number received, with + in front of it, newest last; those to
// all phones for "".
func (s *Server) Messages(to string) []Message { return s.inbox.to(to) }

// Wait blocks until n messages to that number are there, n in all for "", and returns all of them. When ctx ends first it returns its
// error with those that are.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		sessions, waiting := a.size()
		stats.Sessions += sessions
		stats.ReceiptsWaiting += waiting
	}
	return stats
}

// messageID makes the id of a segment as it stands in submit_sm_resp and as it stands in the receipt.
func (s *Server) messageID() (answered, receipted string) {
	n := s.nextID.Add(1)
	if s.cfg.HexIDs {
		return fmt.Sprintf("%X", n), fmt.Sprintf("%d", n)
	}
	id := fmt.Sprintf("%010d", n)
	return id, id
}

// throttledOnce says whether this is the first message to a number.
func (s *Server) throttledOnce(number string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.seen[number]
	if len(s.seen) < 10_000 {
		s.seen[number] = true
	}
	return first
}

// receive puts a segment where the phone shows it, once all segments of its message are there.
func (s *Server) receive(m *pdu.ShortMessage, id, receipt string) {
	part := newPart(m)
	s.mu.Lock()
	octets, segments := s.parts.add(m, part)
	s.mu.Unlock()
	if segments == 0 {
		return
	}
	encoding := pdu.GSM7
	if m.DataCoding == 0x08 {
		encoding = pdu.UCS2
	}
	s.inbox.add(Message{
		To:         display(m.Destination),
		From:       display(m.Source),
		Text:       pdu.DecodeText(m.DataCoding, 0, octets),
		Encoding:   encoding.String(),
		Segments:   segments,
		ReceivedAt: time.Now(),
		MessageID:  id,
		Receipt:    receipt,
		Validity:   m.ValidityPeriod,
	})
}

// display is an address as a phone shows it.
func display(a pdu.Address) string {
	if a.TON == 1 { // international
		return "+" + a.Number
	}
	return a.Number
}
