package smpp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"
)

// A Change is a set of accounts that Apply can put in force.
type Change struct {
	accounts []prepared
}

// prepared is an account of which everything that can fail has been done.
type prepared struct {
	config Config
	dial   dialer
	files  [sha256.Size]byte // what the files hold that config names
}

// Prepare checks accounts and reads the files that they name, and touches nothing. The error is one line for each fault.
func (p *Pool) Prepare(accounts []Config) (*Change, error) {
	if err := checkNames(accounts); err != nil {
		return nil, err
	}
	change := &Change{}
	for _, cfg := range accounts {
		if err := cfg.Validate(); err != nil {
			return nil, fmt.Errorf("smsc %s: %w", cfg.Name, err)
		}
		dial, err := p.dialer(cfg)
		if err != nil {
			return nil, fmt.Errorf("smsc %s: %w", cfg.Name, err)
		}
		change.accounts = append(change.accounts, prepared{config: cfg, dial: dial, files: filesOf(cfg)})
	}
	return change, nil
}

// filesOf tells whether a certificate was renewed under the same name.
func filesOf(cfg Config) [sha256.Size]byte {
	sum := sha256.New()
	for _, path := range []string{cfg.TLSCA, cfg.TLSCert, cfg.TLSKey} {
		content, err := os.ReadFile(path) // newDialer has read those that there are
		fmt.Fprintf(sum, "%v %d ", err == nil, len(content))
		sum.Write(content)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

// A move is an account that begins, ends, or takes the place of another.
type move struct{ start, stop *account }

// Apply puts a change of this pool in force. Accounts that are as they were go on undisturbed, a rate changes at once. One
// that changed is opened anew beside the old one, which is drained when the new one is up, or soon where the SMSC does
// not allow as many binds. One that is gone is drained. One that was stopped stays that.
func (p *Pool) Apply(change *Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = change.accounts
	p.settle()
}

// Stop drains the account of that name and leaves its binds down until Start, whatever is applied in between. Its metrics are
// gone meanwhile. It does not wait. The error says that there is no such account.
func (p *Pool) Stop(name string) error { return p.hold(name, true) }

// Start brings the binds of an account up again that was stopped.
func (p *Pool) Start(name string) error { return p.hold(name, false) }

// Stopped are the names of the accounts that were stopped, in the order of the configuration.
func (p *Pool) Stopped() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for _, a := range p.wanted {
		if p.stopped[a.config.Name] {
			names = append(names, a.config.Name)
		}
	}
	return names
}

func (p *Pool) hold(name string, stop bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.wanted, func(a prepared) bool { return a.config.Name == name }) {
		return fmt.Errorf("there is no smsc %q", name)
	}
	if p.stopped == nil {
		p.stopped = make(map[string]bool)
	}
	if p.stopped[name] != stop {
		p.stopped[name] = stop
		p.settle()
	}
	return nil
}

// settle makes the accounts those that are wanted and not stopped. p.mu is held.
func (p *Pool) settle() {
	old := p.list()
	var next []*account
	kept := make(map[*account]bool)
	for _, wanted := range p.wanted {
		if p.stopped[wanted.config.Name] {
			continue
		}
		i := slices.IndexFunc(old, func(a *account) bool { return a.config.Name == wanted.config.Name && !a.retired.Load() })
		if i < 0 {
			m := newMetrics(p.registry, wanted.config.Name)
			a := newAccount(wanted, p.hooks, p.pace, m, p.log)
			m.show(a)
			p.moves = append(p.moves, move{start: a})
			next = append(next, a)
			continue
		}
		a := old[i]
		kept[a] = true
		if a.same(wanted) {
			a.setRate(wanted.config.Rate)
			next = append(next, a)
			continue
		}
		a.retired.Store(true)
		successor := newAccount(wanted, p.hooks, p.pace, a.metrics, p.log)
		a.metrics.show(successor)
		p.moves = append(p.moves, move{start: successor, stop: a})
		next = append(next, successor, a)
	}
	for _, a := range old {
		switch {
		case kept[a]:
		case a.retired.Load():
			next = append(next, a) // its successor is on its way
		default:
			a.retired.Store(true)
			a.metrics.unregister()
			p.moves = append(p.moves, move{stop: a})
		}
	}
	p.accounts.Store(&next)
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// same says that wanted differs from a in its rate at most.
func (a *account) same(wanted prepared) bool {
	cfg := wanted.config
	cfg.Rate = a.config.Rate
	return wanted.files == a.files && reflect.DeepEqual(cfg, a.config)
}

func (a *account) setRate(perSecond float64) {
	if a.rate != perSecond {
		a.rate = perSecond
		a.gate.set(perSecond)
	}
}

// due takes the moves that are to be made.
func (p *Pool) due() []move {
	p.mu.Lock()
	defer p.mu.Unlock()
	moves := p.moves
	p.moves = nil
	return moves
}

// retire waits until m.stop is not needed any more and lets nothing more onto it.
func (p *Pool) retire(ctx context.Context, m move) {
	if m.start != nil {
		limit := time.NewTimer(handover)
		defer limit.Stop()
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
	waiting:
		for m.start.ready() != nil {
			select {
			case <-look.C:
			case <-limit.C:
				break waiting
			case <-ctx.Done():
				break waiting
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(p.list()), func(a *account) bool { return a == m.stop })
	p.accounts.Store(&next)
}
