package smsc_test

import (
	"strings"
	"testing"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

func TestSameSequenceOnATransmitterReachesTheReceiver(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	receiver := dial(t, address)
	receiver.bind(pdu.BindReceiver, "otpgw", "", pdu.StatusOK)
	transmitter := dial(t, address)
	transmitter.bind(pdu.BindTransmitter, "otpgw", "", pdu.StatusOK)
	transmitter.submit(7, numberFor(t, "same-sequence"), "hello")
	id := transmitter.answer(7, pdu.StatusOK)
	if r, _ := receiver.receipt(pdu.StatusOK); r.MessageID != id {
		t.Errorf("receipt %+v, id %s", r, id)
	}
}

func TestSameSequenceForgetsNoReceiptThatWaitsForItsAnswer(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c := bound(t, address)
	c.submit(5, "34600000001", "hello")
	c.answer(5, pdu.StatusOK)
	f := c.read()
	if f.Command != pdu.DeliverSM {
		t.Fatalf("%+v", f.Header)
	}
	c.submit(f.Sequence, numberFor(t, "same-sequence"), "hello") // the number of the deliver_sm that was not answered
	if second := c.read(); second.Command != pdu.DeliverSM || second.Sequence == f.Sequence {
		t.Errorf("%+v", second.Header)
	}
	c.answer(f.Sequence, pdu.StatusOK)
	if stats := s.Stats(); stats.ReceiptsWaiting != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestReceiptsRefusedForGoodDoNotComeAgain(t *testing.T) {
	for _, status := range []pdu.Status{pdu.StatusRxPAppn, pdu.StatusRxRAppn} {
		inBubble(t, smsc.Config{}, func(t *testing.T, c *client) {
			c.submit(7, "34600000001", "hello")
			c.answer(7, pdu.StatusOK)
			c.receipt(status)
			time.Sleep(time.Minute)
			c.enquire()
		})
	}
}

func TestReceiptAnsweredWithGenericNackComesAgain(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	c := bound(t, address)
	c.submit(7, "34600000001", "hello")
	id := c.answer(7, pdu.StatusOK)
	f := c.read()
	c.write(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusSysErr, Sequence: f.Sequence}, nil)
	if r, _ := c.receipt(pdu.StatusOK); r.MessageID != id {
		t.Errorf("receipt %+v, id %s", r, id)
	}
}

// registered_delivery 2 asks for a receipt of failure only (SMPP 3.4 §5.2.17).
func TestReceiptOfFailureOnly(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	c := bound(t, address)
	for i, to := range []string{"34600000001", numberFor(t, "undelivered")} {
		c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: uint32(i + 7)}, &pdu.ShortMessage{
			Destination: pdu.Address{TON: 1, NPI: 1, Number: to}, RegisteredDelivery: 2, Text: []byte("hello"),
		})
	}
	c.answer(7, pdu.StatusOK)
	id := c.answer(8, pdu.StatusOK)
	if r, _ := c.receipt(pdu.StatusOK); r.MessageID != id || r.State != pdu.Undeliverable {
		t.Errorf("receipt %+v, id %s", r, id)
	}
	c.enquire()
}

func TestEachSegmentHasAnIDAndAReceipt(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	c := bound(t, address)
	c.submit(7, "34600000001", strings.Repeat("x", 400))
	waiting := map[string]bool{}
	for answered, receipted := uint32(0), 0; answered < 3 || receipted < 3; {
		f := c.read()
		b, err := pdu.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		switch b := b.(type) {
		case *pdu.MessageResp:
			if _, known := waiting[b.MessageID]; known || f.Sequence != 7+answered || f.Status != pdu.StatusOK {
				t.Fatalf("%+v %+v", f.Header, b)
			}
			answered++
			waiting[b.MessageID] = true
		case *pdu.ShortMessage:
			r, ok := pdu.ParseReceipt(b)
			if !ok || !waiting[r.MessageID] {
				t.Fatalf("receipt %+v", r)
			}
			receipted++
			waiting[r.MessageID] = false
		default:
			t.Fatalf("%+v", f.Header)
		}
	}
}
