package smpp_test

import (
	"testing"
	"time"

	"otpgw/smpp/pdu"
)

// TestQuirk12PDUInPieces: a PDU may come in as many pieces as the network likes, but from its first octet to its last it
// has pdu_read_timeout.
func TestQuirk12PDUInPieces(t *testing.T) {
	t.Run("many segments", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			c := r.send(t.Context(), hello)
			f := p.expect(pdu.SubmitSM)
			octets := encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: "slow"})
			for _, octet := range append(octets, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 3}, receiptFor("slow"))...) {
				p.write([]byte{octet})
			}
			r.accepted(c, "slow")
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 3)
			r.up(p)
			r.stop(p)
		})
	})
	octets := encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 3}, nil)
	for name, length := range map[string]int{"stuck in the length": 3, "stuck in the head": 15} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onSocket(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				cfg.PDUReadTimeout = 100 * time.Millisecond
				r := run(t, l, cfg, nil)
				p := r.bound()
				c := r.send(t.Context(), hello)
				p.expect(pdu.SubmitSM)
				p.write(octets[:length])
				began := time.Now()
				p.eof()
				if waited := time.Since(began); waited < 50*time.Millisecond {
					t.Errorf("closed after %v, want 100ms", waited)
				}
				isUnknown(t, r.result(c).err)
				p = r.bound()
				r.up(p)
				if n := r.count("disconnects_total", "reason", "slow_pdu"); n != 1 {
					t.Errorf("%v disconnects for a slow pdu, want 1", n)
				}
				r.stop(p)
			})
		})
	}
	t.Run("one octet a second", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *link) {
			r := run(t, l, testConfig(), nil)
			p := r.bound()
			for range 5 { // within the time it may take as long as it likes
				p.write(octets[:1])
				time.Sleep(9 * time.Second)
				p.write(octets[1:])
				p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 3)
			}
			began := time.Now()
			for _, octet := range octets {
				if _, err := p.conn.Write([]byte{octet}); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			if waited := time.Since(began); waited < 10*time.Second || waited > 11*time.Second {
				t.Errorf("left after %v, want 10s", waited)
			}
			r.stop(r.bound())
			if n := r.count("disconnects_total", "reason", "slow_pdu"); n != 1 {
				t.Errorf("%v disconnects for a slow pdu, want 1", n)
			}
		})
	})
}
