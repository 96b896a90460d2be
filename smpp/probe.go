package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"otpgw/smpp/pdu"
)

// A ProbeStep is one thing that a Probe found out.
type ProbeStep struct {
	// Name is "connect", "bind", "enquire_link", "submit_sm", "receipt" or "unbind".
	Name string
	// OK says that it went as it should.
	OK bool
	// Took is how long the SMSC took; 0 where that means nothing.
	Took time.Duration
	// Detail says what was found, Advice which setting goes with it; either may be "".
	Detail, Advice string
}

// A ProbeMessage is a real message to try an SMSC with.
type ProbeMessage struct {
	Message
	// Wait is how long its receipt is waited for.
	Wait time.Duration
}

// ErrProbe is the error of a Probe that found something wrong; it has been told.
var ErrProbe = errors.New("the smsc does not work as configured")

const enquiries = 3

// Probe connects to every endpoint of an account with its settings, binds, asks for signs of life and unbinds; over the
// first endpoint that works it sends message, where that is not nil, and waits for its receipt. It tells of each step. It
// uses a bind beside those of a running Pool, which the SMSC must allow.
func Probe(ctx context.Context, cfg Config, message *ProbeMessage, tell func(ProbeStep)) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	dial, err := newDialer(cfg)
	if err != nil {
		return err
	}
	a := newAccount(prepared{config: cfg}, Hooks{}, rate.NewLimiter(rate.Inf, 0), newMetrics(nil, cfg.Name), slog.New(slog.DiscardHandler))
	failed, worked := false, false
	for i := range cfg.Endpoints {
		p := &probe{account: a, tell: func(s ProbeStep) {
			failed = failed || !s.OK
			tell(s)
		}}
		if p.run(ctx, dial, i, message) {
			message = nil // once is enough
			worked = true
		}
	}
	if failed || !worked {
		return ErrProbe
	}
	return nil
}

// A probe is one connection, for one goroutine.
type probe struct {
	account  *account
	tell     func(ProbeStep)
	conn     net.Conn
	reader   *pdu.Reader
	sequence uint32
	receipts []receivedReceipt // that came while something else was waited for
	bodies   []pdu.Body        // they were read from
}

// run says whether the endpoint could be bound to.
func (p *probe) run(ctx context.Context, dial dialer, endpoint int, message *ProbeMessage) bool {
	cfg := &p.account.config
	began := time.Now()
	d, err := dial(ctx, endpoint)
	if err != nil {
		p.tell(ProbeStep{Name: "connect", Detail: cfg.Endpoints[endpoint] + ": " + err.Error()})
		return false
	}
	defer d.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = d.conn.Close() })() // what is waited for then fails
	p.conn, p.reader = d.conn, pdu.NewReader(d.conn)
	p.tell(ProbeStep{Name: "connect", OK: true, Took: time.Since(began), Detail: d.peer + secured(d.conn)})

	kind := transceiver
	if cfg.Binds == 0 {
		kind = transmitter
	}
	if !p.bind(kind) {
		return false
	}
	for range enquiries {
		if !p.enquire() {
			return true
		}
	}
	if message != nil && p.submit(message) && kind == transceiver {
		p.await(ctx, message)
	}
	p.unbind()
	return true
}

func secured(conn net.Conn) string {
	secure, is := conn.(*tls.Conn)
	if !is {
		return ", no TLS"
	}
	state := secure.ConnectionState()
	text := ", " + tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		c := state.PeerCertificates[0]
		text += fmt.Sprintf(", certificate of %s until %s", c.Subject, c.NotAfter.Format(time.DateOnly))
	}
	return text
}

func (p *probe) bind(kind bindKind) bool {
	cfg := &p.account.config
	step := ProbeStep{Name: "bind"}
	f, body, took, err := p.ask(kind, cfg.bind(), cfg.BindTimeout)
	step.Took = took
	switch {
	case err != nil:
		step.Detail = fmt.Sprintf("%v: %v", kind, err)
		if kind == transceiver {
			step.Advice = "an SMSC without transceivers needs binds = 0, transmitters = 1 and receivers = 1"
		}
	case f.Status != pdu.StatusOK || f.Command != kind.Response():
		step.Detail = fmt.Sprintf("%v with status %v", f.Command, f.Status)
		step.Advice = bindAdvice(f.Status)
	default:
		step.OK = true
		step.Detail = fmt.Sprintf("%v accepted", kind)
		if b, is := body.(*pdu.BindResp); is {
			step.Detail += fmt.Sprintf(" by %q", b.SystemID)
			if v, found := b.TLVs.Get(pdu.TagSCInterfaceVersion); found && len(v) == 1 {
				step.Detail += fmt.Sprintf(", interface_version %#x", v[0])
			} else {
				step.Detail += ", no interface_version announced"
			}
		}
	}
	p.tell(step)
	return step.OK
}

func bindAdvice(status pdu.Status) string {
	switch status {
	case pdu.StatusInvPaswd:
		return "check password"
	case pdu.StatusInvSysID, pdu.StatusBindFail:
		return "check system_id and password, and that the SMSC knows the address we come from"
	case pdu.StatusInvSysTyp:
		return "check system_type"
	case pdu.StatusAlyBnd:
		return "the account has as many binds as it may: stop one, or lower binds"
	case pdu.StatusInvCmdID:
		return "an SMSC without transceivers needs binds = 0, transmitters = 1 and receivers = 1"
	}
	return ""
}

func (p *probe) enquire() bool {
	f, _, took, err := p.ask(pdu.EnquireLink, nil, p.account.config.ResponseTimeout)
	step := ProbeStep{Name: "enquire_link", OK: err == nil, Took: took}
	switch {
	case err != nil:
		step.Detail = err.Error()
	case f.Status != pdu.StatusOK:
		step.Detail = fmt.Sprintf("answered with status %v", f.Status)
	}
	p.tell(step)
	return step.OK
}

// submit says whether there is a receipt to wait for.
func (p *probe) submit(m *ProbeMessage) bool {
	step := ProbeStep{Name: "submit_sm"}
	defer func() { p.tell(step) }()
	s, err := p.account.compose(m.Message, time.Now())
	if err != nil {
		step.Detail = err.Error()
		return false
	}
	s.body.RegisteredDelivery |= 1
	var ids []string
	for i := range s.segments {
		f, body, took, err := p.ask(pdu.SubmitSM, s.segment(i), p.account.config.ResponseTimeout)
		step.Took = took
		switch {
		case err != nil:
			step.Detail = err.Error()
			return false
		case f.Status != pdu.StatusOK:
			step.Detail = fmt.Sprintf("refused with %v (%#08x), taken as %s", f.Status, uint32(f.Status), p.account.classes.of(f.Status))
			if f.Status == pdu.StatusInvExpiry {
				step.Advice = `validity_period = "absolute" or "none"`
			}
			return false
		}
		id := ""
		if b, is := body.(*pdu.MessageResp); is {
			id = b.MessageID
		}
		ids = append(ids, id)
	}
	step.OK = true
	step.Detail = fmt.Sprintf("%s, %d segment(s), message_id %q (%s)", s.encoding, len(s.segments), ids[0], shape(ids[0]))
	m.Ref = ids[0]
	if ids[0] == "" {
		step.Advice = "without a message_id no receipt can be matched"
		return false
	}
	return true
}

// await waits for the final receipt, and tells what its id has in common with that of the answer.
func (p *probe) await(ctx context.Context, m *ProbeMessage) {
	began := time.Now()
	for ctx.Err() == nil {
		for i, r := range p.receipts {
			if p.told(m, r, p.bodies[i], time.Since(began)) {
				return
			}
		}
		p.receipts, p.bodies = nil, nil
		left := m.Wait - time.Since(began)
		if left <= 0 {
			break
		}
		f, err := p.next(time.Now().Add(left))
		if err != nil {
			if !errors.Is(err, errProbeTime) {
				p.tell(ProbeStep{Name: "receipt", Detail: err.Error()})
				return
			}
			break
		}
		p.serve(f)
	}
	p.tell(ProbeStep{Name: "receipt", Detail: fmt.Sprintf("none within %v", m.Wait), Advice: "a daemon that is bound may have been given it: look there for an orphan, or probe while it is stopped; else ask whether receipts are switched on for the account"})
}

// told says whether r was the final receipt of the message.
func (p *probe) told(m *ProbeMessage, r receivedReceipt, body pdu.Body, took time.Duration) bool {
	step := ProbeStep{Name: "receipt", OK: true, Took: took}
	format := matching(m.Ref, r.MessageID)
	step.Detail = fmt.Sprintf("%s %s, message_id %q (%s), %s", r.State, r.Error, r.MessageID, shape(r.MessageID), carrier(body))
	switch {
	case format == "" && !slices.Contains(r.Numbers, m.To):
		step.Detail += ": of another message"
		p.tell(step)
		return false
	case format == "":
		step.OK = false
		step.Advice = "its id cannot be told from that of the answer: ask the SMSC's people how they go together"
	default:
		step.Advice = fmt.Sprintf("message_id_format = %q", format)
	}
	if !slices.Contains(r.Numbers, m.To) {
		step.Detail += ", without the number as we sent it"
	}
	p.tell(step)
	return r.Final
}

// matching is the message_id_format under which an answer and a receipt meet, "" for none.
func matching(answer, receipt string) string {
	for _, format := range []string{idAsIs, idHexAnswer, idDecAnswer, idAuto} {
		c := Config{MessageIDFormat: format}
		forms, certain := c.receiptIDs(receipt, func(string) bool { return false })
		for _, form := range forms[:certain] {
			if form.id == c.answeredID(answer) {
				return format
			}
		}
	}
	return ""
}

// shape says what an id looks like.
func shape(id string) string {
	_, dec := number(id, 10)
	_, hex := number(id, 16)
	switch {
	case id == "":
		return "none"
	case dec && strings.HasPrefix(id, "0") && len(id) > 1:
		return "decimal, padded"
	case dec:
		return "decimal"
	case hex:
		return "hexadecimal"
	}
	return "opaque"
}

// carrier says where the receipt stood.
func carrier(body pdu.Body) string {
	var (
		tlvs pdu.TLVs
		text string
	)
	switch b := body.(type) {
	case *pdu.ShortMessage:
		tlvs, text = b.TLVs, fmt.Sprintf("deliver_sm, esm_class %#02x, data_coding %d", b.ESMClass, b.DataCoding)
		if len(b.Text) > 0 {
			text += ", text"
		}
	case *pdu.DataMessage:
		tlvs, text = b.TLVs, fmt.Sprintf("data_sm, esm_class %#02x, data_coding %d", b.ESMClass, b.DataCoding)
	}
	for _, tlv := range tlvs {
		text += fmt.Sprintf(", TLV %#04x", tlv.Tag)
	}
	return text
}

func (p *probe) unbind() {
	_, _, took, err := p.ask(pdu.Unbind, nil, unbindTimeout)
	step := ProbeStep{Name: "unbind", OK: err == nil, Took: took}
	if err != nil {
		step.Detail = err.Error()
	}
	p.tell(step)
}

// ask sends a request and waits for its answer, and serves what comes in between.
func (p *probe) ask(c pdu.Command, body pdu.Body, patience time.Duration) (pdu.Frame, pdu.Body, time.Duration, error) {
	p.sequence++
	began := time.Now()
	if err := p.write(pdu.Header{Command: c, Sequence: p.sequence}, body); err != nil {
		return pdu.Frame{}, nil, 0, err
	}
	for {
		f, err := p.next(began.Add(patience))
		took := time.Since(began)
		switch {
		case errors.Is(err, errProbeTime):
			return f, nil, took, fmt.Errorf("not answered within %v", patience)
		case err != nil:
			return f, nil, took, err
		case f.Command.IsResponse() && f.Sequence == p.sequence:
			body, _ := pdu.Decode(f) // what cannot be read is not there
			return f, body, took, nil
		}
		p.serve(f)
	}
}

func (p *probe) write(h pdu.Header, body pdu.Body) error {
	octets, err := pdu.Append(nil, h, body)
	if err != nil {
		return err
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.account.config.WriteTimeout)); err != nil {
		return err
	}
	_, err = p.conn.Write(octets)
	return err
}

var errProbeTime = errors.New("time is up")

func (p *probe) next(deadline time.Time) (pdu.Frame, error) {
	if err := p.conn.SetReadDeadline(deadline); err != nil {
		return pdu.Frame{}, err
	}
	f, err := p.reader.Next()
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return f, errProbeTime
	}
	return f, err
}

// serve answers a request of the SMSC and keeps a receipt. A write that fails is noticed by the next read.
func (p *probe) serve(f pdu.Frame) {
	if f.Command.IsResponse() || f.Command == pdu.AlertNotification || f.Command == pdu.Outbind {
		return
	}
	answer := pdu.Header{Command: f.Command.Response(), Sequence: f.Sequence}
	body, _ := pdu.Decode(f) // what cannot be read is not there
	if receipt, found := p.account.read(body); found {
		p.receipts = append(p.receipts, p.account.receipt(receipt, time.Now()))
		p.bodies = append(p.bodies, body)
	}
	switch f.Command {
	case pdu.DeliverSM, pdu.DataSM:
		_ = p.write(answer, &pdu.MessageResp{})
	case pdu.EnquireLink, pdu.Unbind:
		_ = p.write(answer, nil)
	default:
		_ = p.write(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusInvCmdID, Sequence: f.Sequence}, nil)
	}
}
