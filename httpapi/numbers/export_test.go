package numbers

import (
	"context"
	"log/slog"
	"net"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// NewDialing is New with connections of the test's own.
func NewDialing(plan *Plan, cfg Config, dial func(ctx context.Context, network, address string) (net.Conn, error), reg prometheus.Registerer, log *slog.Logger) (*Directory, error) {
	return newDirectory(plan, cfg, dial, reg, log)
}

// PlanOf is the plan of an own_file of this text.
func PlanOf(text string) (*Plan, error) {
	l := &list{path: "text"}
	if err := l.parse(strings.NewReader(text)); err != nil {
		return nil, err
	}
	p := &Plan{rest: Foreign}
	p.lists[ownList] = l
	for _, prefix := range l.prefixes {
		p.prefixes.add(prefix, Served)
	}
	return p, nil
}

// MaxRanges and MaxPrefixes are what one file may hold.
const (
	MaxRanges   = maxRanges
	MaxPrefixes = maxPrefixes
)
