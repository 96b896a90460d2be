package main

import (
	"context"
	"log/slog"
	"regexp"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"otpgw/httpapi"
	"otpgw/otpstore"
	"otpgw/smpp"
)

// tell writes down what a receipt said that was not known before.
func (d *daemon) tell(ctx context.Context, r smpp.Receipt, match otpstore.Match) {
	if r.Final && !r.Delivered {
		d.refusals.count(r)
	}
	if !r.Final {
		return
	}
	d.mu.Lock()
	logged := d.current.Log.Requests
	d.mu.Unlock()
	level := slog.LevelDebug
	if logged == httpapi.LoggedAll || logged == httpapi.LoggedFailures && !r.Delivered {
		level = slog.LevelInfo
	}
	if !d.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("component", "receipts"), slog.String("client", match.Client), slog.String("id", match.ID),
		slog.String("smsc", r.SMSC), slog.String("message_id", r.MessageID), slog.String("state", r.State), slog.String("error", r.Error),
	}
	if !match.Found {
		attrs = append(attrs, slog.Bool("matched", false)) // yet: it waits for its message
	}
	if t, seen := d.traces.Find(match.ID); seen {
		attrs = append(attrs, slog.String("correlator", t.Correlator))
		if t.Parent != "" {
			attrs = append(attrs, slog.String("traceparent", t.Parent))
		}
	}
	d.log.LogAttrs(ctx, level, "receipt", attrs...)
}

// receiptErrors count receipts of messages that were not delivered, by the code of the network.
type receiptErrors struct {
	total *prometheus.CounterVec

	mu    sync.Mutex // guards known
	known map[string]bool
}

// errorCodes bounds how many codes are told apart.
const errorCodes = 100

var errorCode = regexp.MustCompile(`^[0-9A-Fa-f]{1,8}(:[0-9]{1,6})?$`)

func newReceiptErrors(reg prometheus.Registerer) *receiptErrors {
	e := &receiptErrors{known: map[string]bool{}, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpgw_receipt_errors_total",
		Help: "Messages that were not delivered, by state and by the network's error code as received; other where there are too many codes.",
	}, []string{"state", "error"})}
	reg.MustRegister(e.total)
	return e
}

func (e *receiptErrors) count(r smpp.Receipt) {
	state, code := stateLabel(r.State), r.Error
	switch {
	case code == "":
		code = "none"
	case !errorCode.MatchString(code):
		code = "other"
	}
	at := state + " " + code
	e.mu.Lock()
	if !e.known[at] && len(e.known) >= errorCodes {
		code = "other"
	} else {
		e.known[at] = true
	}
	e.mu.Unlock()
	e.total.WithLabelValues(state, code).Inc()
}

// stateLabel bounds what an SMSC can make a label of (SMPP 3.4 §5.2.28).
func stateLabel(state string) string {
	switch state {
	case "EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD":
		return state
	}
	return "other"
}
