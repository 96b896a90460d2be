package smpp_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

func TestAccepted(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		before := time.Now()
		c := r.send(t.Context(), smpp.Message{From: "ACME", To: "+34600000001", Text: "hello €", Validity: 5 * time.Minute})
		f := p.expect(pdu.SubmitSM)
		p.accept(f, "id-1")
		got := r.result(c)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if got.SMSC != "main" || got.Bind != "1" || !slices.Equal(got.MessageIDs, []string{"id-1"}) || got.Encoding != "GSM-7" || got.Segments != 1 {
			t.Errorf("Send = %+v", got.Accepted)
		}
		if got.Sequence != f.Sequence || got.InFlight != 1 || got.Window != testConfig().Window || got.Tries != 1 {
			t.Errorf("sequence %d, want %d; %d of %d on the bind, %d tries", got.Sequence, f.Sequence, got.InFlight, got.Window, got.Tries)
		}
		if got.SubmittedAt.Before(before) || got.AnsweredAt.Before(got.SubmittedAt) {
			t.Errorf("submitted %v, answered %v, sent %v", got.SubmittedAt, got.AnsweredAt, before)
		}
		body, err := pdu.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		m := body.(*pdu.ShortMessage)
		if m.Source != (pdu.Address{TON: 5, NPI: 0, Number: "ACME"}) || m.Destination != (pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}) {
			t.Errorf("addresses %+v, %+v", m.Source, m.Destination)
		}
		if m.ValidityPeriod != "000000000500000R" || m.RegisteredDelivery != 1 || m.ESMClass != 0 || m.DataCoding != 0 {
			t.Errorf("validity %q, registered %d, esm %d, coding %d", m.ValidityPeriod, m.RegisteredDelivery, m.ESMClass, m.DataCoding)
		}
		if text := pdu.DecodeText(m.DataCoding, m.ESMClass, m.Text); text != "hello €" {
			t.Errorf("text %q", text)
		}
		r.stop(p)
	})
}

func TestBindSaysWhoWeAre(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.SystemType, cfg.BindTON, cfg.BindNPI = "OTP", 5, 9
		r := run(t, l, cfg, nil)
		p := r.accept()
		f := p.expect(pdu.BindTransceiver)
		body, err := pdu.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := *body.(*pdu.Bind), (pdu.Bind{SystemID: "otpgw", Password: "s3cr3t", SystemType: "OTP", InterfaceVersion: 0x34, AddressTON: 5, AddressNPI: 9}); got != want {
			t.Errorf("bind %+v, want %+v", got, want)
		}
		if f.Sequence != 1 {
			t.Errorf("sequence %d, want 1", f.Sequence)
		}
		p.answer(f, pdu.StatusOK, nil) // quirk: no body
		c := r.send(t.Context(), hello)
		p.accept(p.expect(pdu.SubmitSM), "a")
		r.accepted(c, "a")
		r.stop(p)
	})
}

func TestReceiptWithTheSequenceOfASubmitInFlight(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: f.Sequence}, receiptFor("other"))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, f.Sequence)
		if got := <-r.receipts; got.MessageID != "other" || got.SMSC != "main" || got.State != "DELIVRD" || !got.Final || !got.Delivered || got.Error != "000" || got.At.IsZero() {
			t.Errorf("receipt %+v", got)
		}
		p.accept(f, "id-1")
		r.accepted(c, "id-1")
		r.stop(p)
	})
}

func TestReceiptBeforeItsAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		both := encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 9}, receiptFor("id-1"))
		both = append(both, encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: "id-1"})...)
		p.write(both)
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 9)
		if got := <-r.receipts; got.MessageID != "id-1" {
			t.Errorf("receipt %+v", got)
		}
		r.accepted(c, "id-1")
		r.stop(p)
	})
}

func TestWhatWantsNoAnswerIsPassedOver(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.AlertNotification, Sequence: f.Sequence}, &pdu.AlertNotificationBody{})
		p.send(pdu.Header{Command: pdu.Outbind, Sequence: f.Sequence}, &pdu.OutbindBody{SystemID: "smsc"})
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 7}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 7) // and nothing before it
		p.accept(f, "id-1")
		r.accepted(c, "id-1")
		r.stop(p)
	})
}

func TestUnknownRequestIsRefusedWithItsSequence(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		for _, command := range []pdu.Command{0x00000111, 0x0001FFFF, pdu.SubmitSM, pdu.QuerySM} {
			p.send(pdu.Header{Command: command, Sequence: f.Sequence}, &pdu.Raw{1, 2, 3})
			p.expectStatus(pdu.GenericNack, pdu.StatusInvCmdID, f.Sequence)
		}
		p.send(pdu.Header{Command: 0x80000111, Sequence: f.Sequence}, &pdu.Raw{1, 2, 3}) // a response: no answer
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 0}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 0)
		p.accept(f, "id-1")
		r.accepted(c, "id-1")
		r.stop(p)
	})
}

func TestPeerUnbindIsAnsweredAndWhatItOwesIsTaken(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		first := r.send(t.Context(), hello)
		one := p.expect(pdu.SubmitSM)
		second := r.send(t.Context(), hello)
		p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.Unbind, Sequence: one.Sequence}, nil)
		p.expectStatus(pdu.UnbindResp, pdu.StatusOK, one.Sequence)
		p.accept(one, "id-1")
		r.accepted(first, "id-1")
		began := time.Now()
		isUnknown(t, r.result(second).err) // never answered
		if waited := time.Since(began); waited > 3*time.Second {
			t.Errorf("waited %v for answers after unbind", waited)
		}
		p.eof()
		if _, err := r.Send(t.Context(), hello); err != nil { // bound again or not: no matter, but never unknown
			isUnavailable(t, err)
		}
		p = r.bound()
		r.stop(p)
		if n := r.count("disconnects_total", "reason", "peer_unbind"); n != 1 {
			t.Errorf("%v disconnects by the peer's unbind, want 1", n)
		}
	})
}

func TestPeerUnbindSpacing(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		p.send(pdu.Header{Command: pdu.Unbind, Sequence: 5}, nil)
		p.expectStatus(pdu.UnbindResp, pdu.StatusOK, 5)
		p.eof()
		ended := time.Now()
		p = r.bound()
		if waited := time.Since(ended); waited < time.Second {
			t.Errorf("bound again %v after the unbind, want at least 1s", waited)
		}
		r.stop(p)
	})
}

func TestResponsesOutOfOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		ctx := t.Context()
		first := r.send(ctx, hello)
		one := p.expect(pdu.SubmitSM)
		second := r.send(ctx, hello)
		two := p.expect(pdu.SubmitSM)
		if two.Sequence != one.Sequence+1 {
			t.Errorf("sequences %d, %d", one.Sequence, two.Sequence)
		}
		p.accept(two, "two")
		r.accepted(second, "two")
		p.accept(one, "one")
		r.accepted(first, "one")
		r.stop(p)
	})
}

func TestUnexpectedResponsesAreCountedAndHarmless(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence + 100}, &pdu.MessageResp{MessageID: "unknown"})
		p.send(pdu.Header{Command: pdu.SubmitSMResp, Sequence: 0}, &pdu.MessageResp{MessageID: "zero"})
		p.send(pdu.Header{Command: pdu.EnquireLinkResp, Sequence: f.Sequence}, nil)
		p.send(pdu.Header{Command: pdu.DataSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: "type"})
		p.send(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusThrottled}, nil) // sequence 0: whose?
		p.accept(f, "right")
		p.accept(f, "duplicate")
		r.accepted(c, "right")
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 1}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 1)
		if n := r.count("unexpected_responses_total", "kind", "unknown"); n != 3 {
			t.Errorf("%v unknown responses, want 3", n)
		}
		if n := r.count("unexpected_responses_total", "kind", "duplicate"); n != 1 {
			t.Errorf("%v duplicate responses, want 1", n)
		}
		if n := r.count("unexpected_responses_total", "kind", "type"); n != 2 {
			t.Errorf("%v responses of another type, want 2", n)
		}
		r.stop(p)
	})
}

func TestRefusals(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for _, tc := range []struct {
			command pdu.Command
			status  pdu.Status
			body    pdu.Body
			name    string
		}{
			{pdu.SubmitSMResp, pdu.StatusInvDstAdr, nil, "ESME_RINVDSTADR"},
			{pdu.SubmitSMResp, pdu.StatusRxRAppn, &pdu.MessageResp{}, "ESME_RX_R_APPN"},
			{pdu.SubmitSMResp, 0x422, &pdu.MessageResp{MessageID: "ignored"}, "0x00000422"},
			{pdu.SubmitSMResp, pdu.StatusInvSrcAdr, &pdu.Raw{0x04, 0x28, 0, 1, 99}, "ESME_RINVSRCADR"}, // TLVs only
			{pdu.SubmitSMResp, pdu.StatusRxPAppn, &pdu.Raw{'g', 'a', 'r', 'b'}, "ESME_RX_P_APPN"},
			{pdu.GenericNack, pdu.StatusInvCmdID, nil, "ESME_RINVCMDID"},
		} {
			c := r.send(t.Context(), hello)
			f := p.expect(pdu.SubmitSM)
			p.send(pdu.Header{Command: tc.command, Status: tc.status, Sequence: f.Sequence}, tc.body)
			var refused *smpp.StatusError
			err := r.result(c).err
			if !errors.As(err, &refused) || refused.Status != uint32(tc.status) || refused.Name() != tc.name || refused.Command != tc.command.String() {
				t.Errorf("%v %v: err = %v", tc.command, tc.status, err)
			}
			if errors.Is(err, smpp.ErrUnavailable) || errors.Is(err, smpp.ErrUnknown) {
				t.Errorf("%v %v: %v is more than a refusal", tc.command, tc.status, err)
			}
		}
		r.stop(p)
	})
}

func TestAcceptedWithoutMessageID(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for _, tc := range []struct {
			body pdu.Body
			id   string
		}{{nil, ""}, {&pdu.MessageResp{}, ""}, {&pdu.Raw{'A', 'B'}, "AB"}, {&pdu.Raw{'A', 0, 'g', 'a', 'r', 'b', 'a', 'g', 'e'}, "A"}} {
			c := r.send(t.Context(), hello)
			f := p.expect(pdu.SubmitSM)
			p.answer(f, pdu.StatusOK, tc.body)
			r.accepted(c, tc.id)
		}
		r.stop(p)
	})
}

func TestEnquireLinkIsAnsweredBeforeTheBindIs(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.accept()
		f := p.expect(pdu.BindTransceiver)
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: f.Sequence}, nil)
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, f.Sequence)
		p.answer(f, pdu.StatusOK, &pdu.BindResp{SystemID: "smsc"})
		c := r.send(t.Context(), hello)
		p.accept(p.expect(pdu.SubmitSM), "a")
		r.accepted(c, "a")
		r.stop(p)
	})
}

func TestReceiptInOneSegmentWithTheBindsAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.accept()
		f := p.expect(pdu.BindTransceiver)
		both := encode(t, pdu.Header{Command: pdu.BindTransceiverResp, Sequence: f.Sequence}, &pdu.BindResp{SystemID: "smsc"})
		p.write(append(both, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 0xFFFFFFFF}, receiptFor("early"))...))
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 0xFFFFFFFF)
		if got := <-r.receipts; got.MessageID != "early" {
			t.Errorf("receipt %+v", got)
		}
		r.link.settle(r)
		r.stop(p)
	})
}

func TestOneOctetAtATime(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		octets := encode(t, pdu.Header{Command: pdu.SubmitSMResp, Sequence: f.Sequence}, &pdu.MessageResp{MessageID: "slow"})
		for _, octet := range append(octets, encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 3}, nil)...) {
			p.write([]byte{octet})
		}
		r.accepted(c, "slow")
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 3)
		r.stop(p)
	})
}

func TestPDUThatDoesNotEndCostsTheBind(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		octets := encode(t, pdu.Header{Command: pdu.EnquireLink, Sequence: 3}, nil)
		for range 3 { // whole ones, in two parts within the time, do not
			p.write(octets[:5])
			time.Sleep(9 * time.Second)
			p.write(octets[5:])
			p.expect(pdu.EnquireLinkResp)
			time.Sleep(9 * time.Second)
		}
		p.write(octets[:15])
		began := time.Now()
		p.eof()
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("closed after %v, want 10s", waited)
		}
		r.stop(r.bound())
		if n := r.count("disconnects_total", "reason", "slow_pdu"); n != 1 {
			t.Errorf("%v disconnects for a slow pdu, want 1", n)
		}
	})
}

func TestLostFramingIsRefusedAndCostsTheBind(t *testing.T) {
	for name, octets := range map[string][]byte{
		"zero":    {0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9},
		"short":   {0, 0, 0, 15, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9},
		"huge":    {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9},
		"garbage": []byte("GET / HTTP/1.1\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, l *link) {
				r := run(t, l, testConfig(), nil)
				p := r.bound()
				c := r.send(t.Context(), hello)
				p.expect(pdu.SubmitSM)
				p.write(octets)
				f := p.expect(pdu.GenericNack)
				if f.Status != pdu.StatusInvCmdLen {
					t.Errorf("status %v", f.Status)
				}
				p.eof()
				isUnknown(t, r.result(c).err)
				p = r.bound()
				c = r.send(t.Context(), hello)
				p.accept(p.expect(pdu.SubmitSM), "again")
				r.accepted(c, "again")
				r.stop(p)
			})
		})
	}
}

func TestMalformedPDUCostsThatPDU(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 4}, &pdu.Raw{'x'}) // cut off
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 4)
		octets := encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 5}, receiptFor("id-5"))
		octets = append(octets, 0x04, 0x27, 0, 9, 2) // a TLV that is longer than the PDU
		octets[3] += 5
		p.write(octets)
		p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, 5)
		if got := <-r.receipts; got.MessageID != "id-5" || !got.Delivered {
			t.Errorf("receipt %+v", got)
		}
		p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 6}, &pdu.Raw{'x'})
		p.expectStatus(pdu.EnquireLinkResp, pdu.StatusOK, 6)
		p.accept(f, "id-1")
		r.accepted(c, "id-1")
		if m, tlv := r.count("pdu_errors_total", "part", "mandatory"), r.count("pdu_errors_total", "part", "tlv"); m != 1 || tlv != 1 {
			t.Errorf("%v mandatory and %v tlv errors, want 1 and 1", m, tlv)
		}
		r.stop(p)
	})
}

func TestSilentPeerIsAskedTwiceAndLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		began := time.Now()
		for _, want := range []time.Duration{30 * time.Second, 40 * time.Second} {
			p.expect(pdu.EnquireLink)
			if got := time.Since(began); got != want {
				t.Errorf("asked after %v, want %v", got, want)
			}
		}
		p.eof()
		if got := time.Since(began); got != 50*time.Second {
			t.Errorf("left after %v, want 50s", got)
		}
		p = r.bound() // and the next connection has to show that it is better
		p.answer(p.expect(pdu.EnquireLink), pdu.StatusOK, nil)
		r.stop(p)
		if n := r.count("enquire_link_misses_total"); n != 2 {
			t.Errorf("%v misses, want 2", n)
		}
	})
}

func TestAnySignOfLifeCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for range 5 { // never answered as it should be, but something comes
			p.expect(pdu.EnquireLink)
			p.send(pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, receiptFor("x"))
			p.expect(pdu.DeliverSMResp)
		}
		f := p.expect(pdu.EnquireLink)
		p.answer(f, pdu.StatusSysErr, &pdu.Raw{'o', 'd', 'd'})
		for range 10 { // and while something comes there is no need to ask
			time.Sleep(29 * time.Second)
			p.send(pdu.Header{Command: pdu.EnquireLink, Sequence: 1}, nil)
			p.expect(pdu.EnquireLinkResp)
		}
		if state := r.Binds()[0].State; state != "bound" {
			t.Errorf("state %q", state)
		}
		r.stop(p)
		if n := r.count("enquire_link_misses_total"); n != 0 {
			t.Errorf("%v misses, want 0", n)
		}
	})
}

func TestPeerThatStopsReading(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.WriteTimeout = 5 * time.Second
		r := run(t, l, cfg, nil)
		p := r.bound()
		began := time.Now()
		_, err := r.Send(within(t, time.Minute), hello)
		isUnavailable(t, err) // not one octet was taken
		if waited := time.Since(began); waited != 6*time.Second {
			t.Errorf("given up after %v, want 5s, and 1s for another bind", waited)
		}
		p.eof()
		r.stop(r.bound())
		if n := r.count("disconnects_total", "reason", "write_error"); n != 1 {
			t.Errorf("%v disconnects on write, want 1", n)
		}
	})
}

func TestPartOfAPDUIsNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(within(t, time.Minute), hello)
		if _, err := p.conn.Read(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		p.conn.Close()
		isUnavailable(t, r.result(c).err)
		r.stop(r.bound())
	})
}

func TestDroppedAfterAccepting(t *testing.T) {
	everywhere(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.expect(pdu.SubmitSM)
		p.conn.Close()
		isUnknown(t, r.result(c).err)
		r.stop(r.bound())
	})
}

func TestUnwrittenGoesOverAnotherBind(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, nil)
		peers := []*peer{r.bound(), r.bound()}
		time.Sleep(time.Second)
		c := r.send(t.Context(), hello)
		time.Sleep(time.Second) // one of the binds stands in Write
		on := 0
		if r.Binds()[1].InFlight == 1 {
			on = 1
		}
		peers[on].conn.Close()
		other := peers[1-on]
		other.accept(other.expect(pdu.SubmitSM), "moved")
		r.accepted(c, "moved")
		if n := r.count("submit_retries_total", "class", "lost"); n != 1 {
			t.Errorf("%v retries, want 1", n)
		}
		peers[on] = r.bound()
		r.cancel()
		for _, p := range peers {
			p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
		}
		r.stop(nil)
	})
}

func TestNotBoundInTheEyesOfTheSMSC(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvBndSts, nil)
		isUnavailable(t, r.result(c).err)
		p.eof()
		r.stop(r.bound())
	})
}

func TestLateAnswerFreesItsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window = 1
		r := run(t, l, cfg, nil)
		p := r.bound()
		began := time.Now()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		isUnknown(t, r.result(c).err)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("waited %v for the answer, want 10s", waited)
		}
		if in := r.Binds()[0].InFlight; in != 0 {
			t.Errorf("%d in flight, want 0", in)
		}
		c = r.send(within(t, 20*time.Second), hello)
		time.Sleep(5 * time.Second)
		select {
		case got := <-c:
			t.Fatalf("sent past the window: %v", got.err)
		default:
		}
		p.accept(f, "late")
		p.accept(p.expect(pdu.SubmitSM), "next")
		r.accepted(c, "next")
		if n := r.count("unexpected_responses_total", "kind", "late"); n != 1 {
			t.Errorf("%v late responses, want 1", n)
		}
		r.stop(p)
	})
}

func TestAnswerThatNeverComesFreesItsPlaceAfter30s(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window, cfg.EnquireLinkInterval, cfg.ResponseTimeout = 2, 10*time.Minute, 40*time.Second
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.expect(pdu.SubmitSM)
		isUnknown(t, r.result(c).err)
		began := time.Now()
		c = r.send(within(t, time.Minute), hello)
		f := p.expect(pdu.SubmitSM)
		d := r.send(within(t, time.Minute), hello)
		next := p.expect(pdu.SubmitSM)
		if waited := time.Since(began); waited != 30*time.Second {
			t.Errorf("waited %v for the place, want 30s", waited)
		}
		p.accept(f, "first")
		r.accepted(c, "first")
		p.accept(next, "next")
		r.accepted(d, "next")
		r.stop(p)
	})
}

// TestOneGhostDoesNotCloseAWindowOfOne: an SMSC that is otherwise well goes on.
func TestOneGhostDoesNotCloseAWindowOfOne(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window = 1
		r := run(t, l, cfg, nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.expect(pdu.SubmitSM)
		isUnknown(t, r.result(c).err)
		c = r.send(within(t, time.Second), hello)
		p.accept(p.expect(pdu.SubmitSM), "next")
		r.accepted(c, "next")
		r.stop(p)
	})
}

func TestGhostsLeaveHalfOfTheWindow(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window, cfg.EnquireLinkInterval = 4, 10*time.Minute
		r := run(t, l, cfg, nil)
		p := r.bound()
		var unanswered []<-chan result
		for range cfg.Window / 2 {
			unanswered = append(unanswered, r.send(t.Context(), hello))
			p.expect(pdu.SubmitSM)
		}
		for _, c := range unanswered {
			isUnknown(t, r.result(c).err)
		}
		began := time.Now()
		first, second := r.send(within(t, time.Minute), hello), r.send(within(t, time.Minute), hello)
		a, b := p.expect(pdu.SubmitSM), p.expect(pdu.SubmitSM)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v although half of the window was free", waited)
		}
		_, err := r.Send(within(t, time.Second), hello)
		isUnavailable(t, err) // the other half is the ghosts'
		p.accept(a, "a")
		p.accept(b, "b")
		for _, c := range []<-chan result{first, second} {
			if got := r.result(c); got.err != nil {
				t.Error(got.err)
			}
		}
		r.stop(p)
	})
}

func TestEndOfTheContext(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Window = 2
		r := run(t, l, cfg, nil)
		p := r.bound()
		ended, end := context.WithCancel(t.Context())
		end()
		_, err := r.Send(ended, hello)
		isUnavailable(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		read := r.send(ctx, hello)
		p.expect(pdu.SubmitSM)
		stuck := r.send(ctx, hello) // in Write: perhaps the peer has got it
		time.Sleep(time.Second)
		waiting := r.send(ctx, hello) // for the window
		time.Sleep(time.Second)
		cancel()
		isUnknown(t, r.result(read).err)
		isUnknown(t, r.result(stuck).err)
		isUnavailable(t, r.result(waiting).err)
		p.expect(pdu.SubmitSM)
		r.stop(p)
	})
}

func TestQueuedBehindAWriteIsNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		stuck := r.send(t.Context(), hello)
		time.Sleep(time.Second)
		queued := r.send(within(t, time.Second), hello)
		isUnavailable(t, r.result(queued).err)
		p.accept(p.expect(pdu.SubmitSM), "stuck")
		r.accepted(stuck, "stuck")
		r.stop(p) // sees no second submit_sm
	})
}
