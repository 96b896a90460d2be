package admin

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// SMSCFigures are counted of one account.
type SMSCFigures struct {
	SMSC      string  `json:"smsc"`
	Rate      float64 `json:"rate"` // segments a second that it may send; 0: no limit
	Accepted  float64 `json:"accepted"`
	Failed    float64 `json:"failed"` // refused, unknown or not sent
	Throttled float64 `json:"throttled"`
}

// BindFigures are counted of one bind.
type BindFigures struct {
	SMSC      string  `json:"smsc"`
	Name      string  `json:"name"`
	AnswerP99 float64 `json:"answerP99"` // of the last minute, seconds; 0 where nothing was sent
	Ended     float64 `json:"ended"`     // bound connections that ended
}

// ClientFigures are counted of one client since the start, or since it was configured.
type ClientFigures struct {
	ID       string  `json:"id"`
	Sent     float64 `json:"sent"`
	Verified float64 `json:"verified"`
	Wrong    float64 `json:"wrong"`
	Failed   float64 `json:"failed"` // its tries were used up
	Refused  []Count `json:"refused,omitempty"`
	PerS     float64 `json:"perSecond"` // codes sent, over about 10 s
}

// StoreFigures are of the store.
type StoreFigures struct {
	Records   float64 `json:"records"`
	CommitP99 float64 `json:"commitP99"` // of the last minute, seconds
}

// clientsShown bounds the clients that are told of: those that sent most.
const clientsShown = 100

// pacing is the share that the last second has in a client's rate.
const pacing = 0.1

// figures collect what is told of each account, bind and client.
type figures struct {
	smscs   map[string]*SMSCFigures
	binds   map[[2]string]*BindFigures
	clients map[string]*ClientFigures
	store   StoreFigures
}

func newFigures() *figures {
	return &figures{smscs: map[string]*SMSCFigures{}, binds: map[[2]string]*BindFigures{}, clients: map[string]*ClientFigures{}}
}

// read takes what a family of metrics has of them.
func (g *figures) read(f *dto.MetricFamily) {
	switch name := f.GetName(); name {
	case "otpgw_store_records":
		g.store.Records = sum(f, "", "")
	case "otpgw_smpp_rate_limit", "otpgw_smpp_submit_total", "otpgw_smpp_throttled_total":
		for _, m := range f.GetMetric() {
			s := g.smsc(label(m, "smsc"))
			switch n := m.GetCounter().GetValue(); {
			case name == "otpgw_smpp_rate_limit":
				s.Rate = m.GetGauge().GetValue()
			case name == "otpgw_smpp_throttled_total":
				s.Throttled += n
			case label(m, "result") == "accepted":
				s.Accepted += n
			default:
				s.Failed += n
			}
		}
	case "otpgw_smpp_inflight": // of every bind there is
		for _, m := range f.GetMetric() {
			g.bind(m)
		}
	case "otpgw_smpp_disconnects_total":
		for _, m := range f.GetMetric() {
			g.bind(m).Ended += m.GetCounter().GetValue()
		}
	case "otpgw_client_codes_total":
		for _, m := range f.GetMetric() {
			c, n := g.client(label(m, "client")), m.GetCounter().GetValue()
			switch label(m, "outcome") {
			case "sent":
				c.Sent += n
			case "verified":
				c.Verified += n
			case "wrong":
				c.Wrong += n
			case "failed":
				c.Failed += n
			}
		}
	case "otpgw_client_refusals_total":
		for _, m := range f.GetMetric() {
			c := g.client(label(m, "client"))
			c.Refused = append(c.Refused, Count{Name: label(m, "reason"), Count: m.GetCounter().GetValue()})
		}
	}
}

func (g *figures) smsc(name string) *SMSCFigures {
	if g.smscs[name] == nil {
		g.smscs[name] = &SMSCFigures{SMSC: name}
	}
	return g.smscs[name]
}

func (g *figures) bind(m *dto.Metric) *BindFigures {
	at := [2]string{label(m, "smsc"), label(m, "bind")}
	if g.binds[at] == nil {
		g.binds[at] = &BindFigures{SMSC: at[0], Name: at[1]}
	}
	return g.binds[at]
}

func (g *figures) client(id string) *ClientFigures {
	if g.clients[id] == nil {
		g.clients[id] = &ClientFigures{ID: id}
	}
	return g.clients[id]
}

// put puts them into tables, in an order that stays.
func (g *figures) put(t *Tables) {
	t.SMSCs, t.Binds, t.Clients, t.Store = []SMSCFigures{}, []BindFigures{}, []ClientFigures{}, g.store
	for _, s := range g.smscs {
		t.SMSCs = append(t.SMSCs, *s)
	}
	slices.SortFunc(t.SMSCs, func(a, b SMSCFigures) int { return strings.Compare(a.SMSC, b.SMSC) })
	for _, b := range g.binds {
		t.Binds = append(t.Binds, *b)
	}
	slices.SortFunc(t.Binds, func(a, b BindFigures) int { return strings.Compare(a.SMSC+"/"+a.Name, b.SMSC+"/"+b.Name) })
	for _, c := range g.clients {
		slices.SortFunc(c.Refused, mostFirst)
		t.Clients = append(t.Clients, *c)
	}
	slices.SortFunc(t.Clients, func(a, b ClientFigures) int {
		return mostFirst(Count{a.ID, a.Sent}, Count{b.ID, b.Sent})
	})
	t.Clients = t.Clients[:min(len(t.Clients), clientsShown)]
}

// pace works out how fast each client sends. h.mu is held.
func (h *History) pace(clients []ClientFigures, seconds float64) {
	before := map[string]float64{}
	for _, c := range h.before.tables.Clients {
		before[c.ID] = c.Sent
	}
	rates := make(map[string]float64, len(clients))
	for i := range clients {
		c := &clients[i]
		c.PerS = (1-pacing)*h.rates[c.ID] + pacing*rate(before[c.ID], c.Sent, seconds)
		if c.PerS < 0.005 {
			c.PerS = 0
		}
		rates[c.ID] = c.PerS
	}
	h.rates = rates
}
