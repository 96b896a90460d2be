package smpp_test

import (
	"net"
	"testing"
	"time"

	"otpgw/smpp/pdu"
)

// TestOutbind: the SMSC calls, says who it is, and gets a receiver; others get nothing.
func TestOutbind(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := free.Addr().String()
		free.Close()
		cfg := testConfig()
		cfg.OutbindListen, cfg.OutbindPassword, cfg.BindTimeout = address, "knock", time.Second
		cfg.Binds, cfg.Transmitters = 0, 1
		r := run(t, l, cfg, nil)
		tx := r.accept()
		tx.answer(tx.expect(pdu.BindTransmitter), pdu.StatusOK, nil)

		call := func(first pdu.Command, body pdu.Body) *peer {
			t.Helper()
			var conn net.Conn
			for deadline := time.Now().Add(5 * time.Second); ; {
				if conn, err = net.Dial("tcp", address); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { conn.Close() })
			p := &peer{t: t, conn: conn, reader: pdu.NewReader(conn), wait: 5 * time.Second}
			p.send(pdu.Header{Command: first, Sequence: 1}, body)
			return p
		}
		call(pdu.Outbind, &pdu.OutbindBody{SystemID: "smsc", Password: "wrong"}).eof()
		call(pdu.EnquireLink, nil).eof()
		call(pdu.Outbind, &pdu.Raw{'x', 'y'}).eof()

		p := call(pdu.Outbind, &pdu.OutbindBody{SystemID: "smsc", Password: "knock"})
		f := p.expect(pdu.BindReceiver)
		body, err := pdu.Decode(f)
		if b, is := body.(*pdu.Bind); err != nil || !is || b.SystemID != "otpgw" || b.Password != "s3cr3t" {
			t.Errorf("bind %+v, %v", body, err)
		}
		p.answer(f, pdu.StatusOK, &pdu.BindResp{SystemID: "smsc"})
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 2}, receiptFor("id"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 2)
		if got := <-r.receipts; got.MessageID != "id" {
			t.Errorf("receipt %+v", got)
		}
		call(pdu.Outbind, &pdu.OutbindBody{Password: "knock"}).eof() // one at a time
		var states []string
		for _, b := range r.Binds() {
			states = append(states, b.Name+" "+b.Kind+" "+b.State)
		}
		if len(states) != 2 || states[1] != "outbind receiver bound" {
			t.Errorf("binds %v", states)
		}
		r.cancel()
		for _, p := range []*peer{tx, p} {
			p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
		}
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}
