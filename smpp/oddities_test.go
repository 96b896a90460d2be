package smpp_test

import (
	"testing"
	"time"

	"otpgw/smpp/pdu"
)

// TestSMSCThatNeverAnswersEnquireLink: an SMSC that answers all but enquire_link takes messages again after a silence.
func TestSMSCThatNeverAnswersEnquireLink(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		over, served := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(served)
			for {
				var p *peer
				select {
				case conn := <-l.accepted:
					p = &peer{t: t, conn: conn, reader: pdu.NewReader(conn), wait: time.Hour}
				case <-over:
					return
				}
				for f, err := p.next(); err == nil; f, err = p.next() {
					switch f.Command {
					case pdu.EnquireLink: // unanswered
					case pdu.SubmitSM:
						p.accept(f, "id")
					default:
						p.answer(f, pdu.StatusOK, nil)
					}
				}
			}
		}()
		time.Sleep(time.Second)
		if _, err := r.Send(within(t, 5*time.Second), hello); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // nothing to send
		accepted := 0
		for range 600 {
			if _, err := r.Send(within(t, 5*time.Second), hello); err == nil {
				accepted++
			}
			time.Sleep(time.Second)
		}
		if accepted < 500 {
			t.Errorf("%d of 600 messages accepted in 10 minutes, state %s", accepted, r.Binds()[0].State)
		}
		r.cancel()
		<-r.ended
		close(over)
		<-served
	})
}

// TestIDsThatAreNotASCII: two ids are two, whatever octets they have.
func TestIDsThatAreNotASCII(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.MessageIDFormat = "auto"
		r := run(t, l, cfg, nil)
		p := r.bound()
		ids := make(map[string]bool)
		for _, id := range []string{"\xe4", "\xf6"} {
			c := r.send(t.Context(), hello)
			p.answer(p.expect(pdu.SubmitSM), pdu.StatusOK, raw(id+"\x00"))
			ids[r.result(c).MessageIDs[0]] = true
		}
		if len(ids) != 2 {
			t.Errorf("two messages are known as one: %v", ids)
		}
		r.stop(p)
	})
}
