package smsc_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

func TestConnectionsAreBounded(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	for range 256 {
		dial(t, address)
	}
	if _, err := dial(t, address).reader.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("one more: %v", err)
	}
}

func TestAccountsAreBounded(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	bindAs := func(systemID string, want pdu.Status) {
		t.Helper()
		c := dial(t, address)
		c.bind(pdu.BindTransmitter, systemID, "", want)
		c.write(pdu.Header{Command: pdu.Unbind, Sequence: 2}, nil)
		c.read()
		c.closed() // so that there are never many
	}
	for i := range 1000 {
		bindAs(fmt.Sprint("client", i), pdu.StatusOK)
	}
	bindAs("one more", pdu.StatusBindFail)
	bindAs("client7", pdu.StatusOK)
}

func TestPendingAnswersAreBounded(t *testing.T) {
	s, address := serve(t, smsc.Config{Latency: time.Hour})
	c := bound(t, address)
	const most = 10_000
	var octets []byte
	for i := range uint32(most + 1) {
		var err error
		octets, err = pdu.Append(octets, pdu.Header{Command: pdu.SubmitSM, Sequence: i + 1}, &pdu.ShortMessage{
			Destination: pdu.Address{TON: 1, NPI: 1, Number: "34600000001"}, Text: []byte("hello"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.conn.Write(octets); err != nil {
		t.Fatal(err)
	}
	c.answer(most+1, pdu.StatusMsgQFul)
	if stats := s.Stats(); stats.Accepted != most {
		t.Errorf("%+v", stats)
	}
}
