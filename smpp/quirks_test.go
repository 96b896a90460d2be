package smpp_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// What real SMSCs do and the standard does not say has a number in docs/interop.md, and a test of that number in one of
// the files quirks_*_test.go. They run on a socket. Where a time counts that no test can wait for, they run in a bubble
// as well, over pipes and in fake time.

// up shows that the connection has survived: the next message goes over it and is accepted.
func (r *running) up(p *peer) {
	r.t.Helper()
	c := r.send(within(r.t, p.wait), hello)
	p.accept(p.expect(pdu.SubmitSM), "up")
	r.accepted(c, "up")
}

// refused waits for the result of a Send, which must be a refusal with that status in that answer.
func (r *running) refused(c <-chan result, status pdu.Status, command pdu.Command) *smpp.StatusError {
	r.t.Helper()
	var refused *smpp.StatusError
	err := r.result(c).err
	if !errors.As(err, &refused) || refused.Status != uint32(status) || refused.Command != command.String() {
		r.t.Fatalf("err = %v, want %v in %v", err, status, command)
	}
	if errors.Is(err, smpp.ErrUnavailable) || errors.Is(err, smpp.ErrUnknown) {
		r.t.Fatalf("%v is more than a refusal", err)
	}
	return refused
}

// receipt waits for the next receipt that is handed on.
func (r *running) receipt() smpp.Receipt {
	r.t.Helper()
	select {
	case got := <-r.receipts:
		return got
	case <-time.After(r.link.patience):
		r.t.Fatal("no receipt was handed on")
		return smpp.Receipt{}
	}
}

// noReceipt checks that none is left that was handed on.
func (r *running) noReceipt() {
	r.t.Helper()
	select {
	case got := <-r.receipts:
		r.t.Errorf("receipt %+v handed on", got)
	default:
	}
}

// until waits, on a socket, for what another goroutine is about to do.
func (r *running) until(what string, done func() bool) {
	r.t.Helper()
	for began := time.Now(); !done(); runtime.Gosched() {
		if time.Since(began) > r.link.patience {
			r.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// quiet says that no connection comes for d.
func (r *running) quiet(d time.Duration) {
	r.t.Helper()
	select {
	case conn := <-r.link.accepted:
		conn.Close()
		r.t.Errorf("connected again within %v", d)
	case <-time.After(d):
	}
}

// stopAll ends a pool that has several binds.
func (r *running) stopAll(peers ...*peer) {
	r.t.Helper()
	r.cancel()
	for _, p := range peers {
		p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
		p.eof()
	}
	r.stop(nil)
}

// submitted reads a submit_sm with its body.
func (p *peer) submitted() (pdu.Frame, *pdu.ShortMessage) {
	p.t.Helper()
	f := p.expect(pdu.SubmitSM)
	body, err := pdu.Decode(f)
	if err != nil {
		p.t.Fatal(err)
	}
	return f, body.(*pdu.ShortMessage)
}

// deliver sends a deliver_sm, which must be acknowledged under its number.
func (p *peer) deliver(sequence uint32, m *pdu.ShortMessage) {
	p.t.Helper()
	p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: sequence}, m)
	p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, sequence)
}

// alive asks the pool for a sign of life, which must be the next PDU.
func (p *peer) alive() {
	p.t.Helper()
	p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 0x4711}, nil)
	p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 0x4711)
}

// raw is a body of those octets.
func raw(octets string) pdu.Body {
	body := pdu.Raw(octets)
	return &body
}

// claiming is a PDU with another command_length.
func claiming(length uint32, octets []byte) []byte {
	binary.BigEndian.PutUint32(octets, length)
	return octets
}

// bindState is what the metrics say of the state of the first bind.
func (r *running) bindState(state string) bool {
	r.t.Helper()
	return r.count("bind_state", "bind", "1", "state", state) == 1
}

// table runs f once for each name, on a socket of its own.
func table[T any](t *testing.T, rows map[string]T, f func(t *testing.T, l *link, row T)) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { onSocket(t, func(t *testing.T, l *link) { f(t, l, row) }) })
	}
}
