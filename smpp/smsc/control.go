package smsc

import (
	"sync/atomic"

	"golang.org/x/time/rate"
)

// settings are a Config in force. They do not change; Configure replaces them.
type settings struct {
	Config
	limit    *rate.Limiter // nil: no limit
	refusals *atomic.Int64 // binds that BindStatus has refused
}

func newSettings(cfg Config) *settings {
	if cfg.KeepMessages == 0 {
		cfg.KeepMessages = 10_000
	}
	s := &settings{Config: cfg, refusals: new(atomic.Int64)}
	if cfg.Rate > 0 {
		s.limit = rate.NewLimiter(rate.Limit(cfg.Rate), max(1, int(cfg.Rate)))
	}
	return s
}

// withTLVs says whether the SMSC knows optional parameters: those of SMPP 3.4 do.
func (s *settings) withTLVs() bool { return s.InterfaceVersion == 0 || s.InterfaceVersion >= 0x34 }

// refuseBind says whether BindStatus refuses the next bind, and counts it.
func (s *settings) refuseBind() bool {
	return s.BindStatus != 0 && (s.BindRefusals == 0 || s.refusals.Add(1) <= int64(s.BindRefusals))
}

func (s *Server) config() *settings { return s.settings.Load() }

// Configure lets change edit a copy of the configuration and puts it in force for what comes after: connections, binds,
// messages, PDUs written. Sessions that are bound stay so. A FirstID that was changed numbers the next message.
func (s *Server) Configure(change func(*Config)) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	old := s.config()
	cfg := old.Config
	change(&cfg)
	fresh := newSettings(cfg)
	if fresh.Rate == old.Rate {
		fresh.limit = old.limit
	}
	if fresh.BindStatus == old.BindStatus && fresh.BindRefusals == old.BindRefusals {
		fresh.refusals = old.refusals
	}
	if fresh.FirstID != old.FirstID && fresh.FirstID > 0 {
		s.nextID.Store(fresh.FirstID - 1)
	}
	s.inbox.setKeep(fresh.KeepMessages)
	s.ledger.setKeep(fresh.KeepMessages)
	s.settings.Store(fresh)
	select {
	case s.configured <- struct{}{}:
	default: // somebody is about to look already
	}
}

// Drop closes all connections that are bound under a system_id, of all for "", without a word, and returns how many. What
// was not written is lost; receipts that were not answered come again on other binds.
func (s *Server) Drop(systemID string) int {
	dropped := 0
	for _, a := range s.allAccounts() {
		if systemID != "" && a.systemID != systemID {
			continue
		}
		for _, c := range a.bound() {
			c.close()
			dropped++
		}
	}
	return dropped
}

// Freeze stops the SMSC from reading and writing on any connection, old or new, or lets it go on. Connections stay open,
// and nothing that a client wrote is lost.
func (s *Server) Freeze(on bool) {
	s.freezing.Lock()
	defer s.freezing.Unlock()
	frozen := s.frozen()
	switch {
	case on && !frozen:
		closed := make(chan struct{})
		s.thawed.Store(&closed)
	case !on && frozen:
		close(*s.thawed.Load())
	}
}

// gate is closed while the server is not frozen.
func (s *Server) gate() <-chan struct{} { return *s.thawed.Load() }

func (s *Server) frozen() bool {
	select {
	case <-s.gate():
		return false
	default:
		return true
	}
}
