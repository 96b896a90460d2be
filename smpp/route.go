package smpp

import (
	"slices"
	"strings"
	"time"
)

// A candidate is an account that may carry a message.
type candidate struct {
	account  *account
	standing standing
	fit      int // how closely the account is meant for such messages
}

// choose puts the accounts that serve m in the order in which they are to be tried: those that take messages before
// those that have been down until a moment ago and those that are, the lower tier before the higher, the one that is
// meant for such messages before the one for all, then the one that is likely to answer first for its weight.
func (p *Pool) choose(to []candidate, m Message, now time.Time) []candidate {
	for _, a := range p.list() {
		if fit, fits := a.fits(m); fits {
			to = append(to, candidate{account: a, fit: fit})
		}
	}
	if len(to) < 2 {
		return to
	}
	for i := range to {
		to[i].standing = to[i].account.gate.standing(now)
		to[i].standing.cost /= float64(to[i].account.config.Weight)
	}
	slices.SortStableFunc(to, compareCandidates)
	return to
}

func compareCandidates(a, b candidate) int {
	for _, d := range [...]int{
		a.standing.group() - b.standing.group(),
		a.account.config.Tier - b.account.config.Tier,
		a.standing.rank - b.standing.rank,
		b.fit - a.fit,
	} {
		if d != 0 {
			return d
		}
	}
	switch {
	case a.standing.cost < b.standing.cost:
		return -1
	case a.standing.cost > b.standing.cost:
		return 1
	}
	return 0
}

// group comes before tier: an account that is down only since a moment is waited for.
func (s standing) group() int {
	return [...]int{rankUp: 0, rankSoon: 0, rankBack: 1, rankDown: 2}[s.rank]
}

// anyUsable says that one of them takes messages.
func anyUsable(others []candidate) bool {
	now := time.Now()
	return slices.ContainsFunc(others, func(c candidate) bool { return c.account.gate.standing(now).rank <= rankBack })
}

// fits says whether the account serves m, and how closely: the longest prefix counts most, then the client, then the sender.
func (a *account) fits(m Message) (int, bool) { return a.config.fits(m) }

func (c *Config) fits(m Message) (int, bool) {
	fit := 0
	if len(c.Prefixes) > 0 {
		longest := 0
		for _, prefix := range c.Prefixes {
			if strings.HasPrefix(m.To, prefix) {
				longest = max(longest, len(prefix))
			}
		}
		if longest == 0 {
			return 0, false
		}
		fit += 4 * longest
	}
	if len(c.Clients) > 0 {
		if !slices.Contains(c.Clients, m.Client) {
			return 0, false
		}
		fit += 2
	}
	if len(c.Senders) > 0 {
		if !slices.Contains(c.Senders, m.From) {
			return 0, false
		}
		fit++
	}
	return fit, true
}
