package smpp_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// FuzzPeer binds, takes a message, and sends whatever it is given. The pool must come to an end in time and must not
// call a message accepted of which the peer has not said so.
func FuzzPeer(f *testing.F) {
	submitResp := encode(f, pdu.Header{Command: pdu.SubmitSMResp, Sequence: 2}, &pdu.MessageResp{MessageID: "id"})
	receipt := encode(f, pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, receiptFor("id"))
	unbind := encode(f, pdu.Header{Command: pdu.Unbind, Sequence: 2}, nil)
	f.Add(submitResp)
	f.Add(append(append([]byte(nil), receipt...), submitResp...))
	f.Add(append(append([]byte(nil), unbind...), submitResp...))
	f.Add(encode(f, pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusThrottled, Sequence: 2}, nil))
	f.Add(encode(f, pdu.Header{Command: pdu.AlertNotification}, &pdu.Raw{1, 2, 3}))
	f.Add(encode(f, pdu.Header{Command: pdu.DataSM}, &pdu.Raw{0, 0, 0, 0, 0, 0, 0, 4}))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, octets []byte) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), func(context.Context, smpp.Receipt) error { return nil })
			p := r.bound()
			c := r.send(within(t, 20*time.Second), hello)
			p.expect(pdu.SubmitSM)
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				_, _ = io.Copy(io.Discard, p.conn) // until the pool hangs up
			}()
			_, _ = p.conn.Write(octets) // what the pool does not want to read it need not
			got := r.result(c)
			var refused *smpp.StatusError
			switch {
			case got.err == nil && len(octets) < 16:
				t.Error("accepted without an answer")
			case got.err == nil, errors.As(got.err, &refused), errors.Is(got.err, smpp.ErrUnknown), errors.Is(got.err, smpp.ErrUnavailable):
			default:
				t.Errorf("err = %v", got.err)
			}
			began := time.Now()
			r.stop(nil)
			if waited := time.Since(began); waited > 20*time.Second {
				t.Errorf("Run returned after %v", waited)
			}
			<-drained
		})
	})
}
