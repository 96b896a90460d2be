//go:build linux

package smpp_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"otpgw/smpp/counterpart"
)

const interopMessages = 1000

// An interopMessage is a message, and what has to stand for its addresses on the wire, as ton/npi/number.
type interopMessage struct {
	from, to, text      string
	source, destination string
	kind                counterpart.Text
}

// newInteropMessage is message n: each has its own number and code.
func newInteropMessage(n int) interopMessage {
	senders := [][2]string{{"ACME", "5/0/ACME"}, {"12345", "3/0/12345"}, {"+34600000000", "1/1/34600000000"}}
	sender, number := senders[n%len(senders)], fmt.Sprintf("346%08d", n)
	kind := counterpart.Texts[n%len(counterpart.Texts)]
	return interopMessage{
		from: sender[0], to: "+" + number, text: kind.With(n),
		source: sender[1], destination: "1/1/" + number, kind: kind,
	}
}

// An interopRecord is what both sides know of a session.
type interopRecord struct {
	validity     string         // how the SMSC says five minutes
	sent         []submitted    // by message
	received     map[string]int // receipts that reached us, by id
	submits      []event        // submit_sm that the SMSC read
	acknowledged map[string]int // receipts whose answer the SMSC read, by id
	ended        map[string]int // unbind and close
}

// interopSession binds, has the SMSC take messages of all kinds, takes its receipts, unbinds, and compares. It returns
// the submit_sm that the SMSC read. validity is how it says five minutes.
func interopSession(t *testing.T, smsc *interopSMSC, validity string) []event {
	t.Helper()
	const binds = 2
	esme := startESME(t, smsc.tap.Address, false)
	for _, bind := range smsc.until("bind", binds)[:binds] {
		if bind.SystemID != "otpgw" || bind.Password != "s3cr3t" || bind.InterfaceVersion != 0x34 {
			t.Errorf("%+v", bind)
		}
	}
	r := interopRecord{validity: validity, received: map[string]int{}, acknowledged: map[string]int{}, ended: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), interopPatience)
	defer cancel()
	r.sent = sendAll(ctx, t, esme)
	segments := 0
	for n := range interopMessages {
		segments += len(newInteropMessage(n).kind.Segments)
	}
	for n := range segments {
		select {
		case receipt := <-esme.receipts:
			if receipt.state != "DELIVRD" || !receipt.final || !receipt.delivered {
				t.Errorf("receipt %+v", receipt)
			}
			for _, id := range receipt.ids {
				r.received[id]++
			}
		case <-ctx.Done():
			t.Fatalf("%d receipts of %d", n, segments)
		}
	}
	esme.stop()
	if more := len(esme.receipts); more > 0 {
		t.Errorf("%d receipts too many", more)
	}
	for _, e := range smsc.until("close", binds) {
		switch e.Event {
		case "submit":
			r.submits = append(r.submits, e)
		case "acknowledged":
			r.acknowledged[e.ID]++
			if e.Status != 0 {
				t.Errorf("receipt of %s answered with status %#x", e.ID, e.Status)
			}
		case "unbind", "close":
			r.ended[e.Event]++
		default:
			t.Errorf("the counterpart says: %+v", e)
		}
	}
	if r.ended["unbind"] != binds || len(r.submits) != segments {
		t.Errorf("%d unbind of %d, %d submit_sm of %d", r.ended["unbind"], binds, len(r.submits), segments)
	}
	r.check(t)
	return r.submits
}

// sendAll sends all messages, some at a time.
func sendAll(ctx context.Context, t *testing.T, esme *esme) []submitted {
	t.Helper()
	sent := make([]submitted, interopMessages)
	next := make(chan int)
	var sending sync.WaitGroup
	for range 32 {
		sending.Go(func() {
			for n := range next {
				m := newInteropMessage(n)
				result, err := esme.send(ctx, m.from, m.to, m.text)
				if err != nil {
					t.Errorf("message %d (%s): %v", n, m.kind.Name, err)
				}
				sent[n] = result
			}
		})
	}
	for n := range interopMessages {
		next <- n
	}
	close(next)
	sending.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return sent
}

// check compares what both sides know, up to the first message with a difference.
func (r interopRecord) check(t *testing.T) {
	t.Helper()
	byNumber := map[string][]event{}
	for _, s := range r.submits {
		byNumber[s.Destination] = append(byNumber[s.Destination], s)
	}
	for n, sent := range r.sent {
		m := newInteropMessage(n)
		segments := byNumber[m.destination]
		slices.SortFunc(segments, func(a, b event) int { return strings.Compare(a.UDH, b.UDH) })
		if err := r.compare(m, sent, segments); err != nil {
			t.Errorf("message %d (%s): %v\nsent %+v\nread %+v", n, m.kind.Name, err, sent, segments)
			return // of a thousand mistakes the first is enough
		}
	}
}

// compare says what is wrong with a message, of which the SMSC read these segments.
func (r interopRecord) compare(m interopMessage, sent submitted, segments []event) error {
	if n := len(m.kind.Segments); len(segments) != n || len(sent.ids) != n || sent.encoding != m.kind.Encoding {
		return fmt.Errorf("want %d segments of %s", n, m.kind.Encoding)
	}
	text := ""
	for i, s := range segments {
		text += s.Text
		if err := compareSegment(m.kind, s, i, segments[0].UDH); err != nil {
			return fmt.Errorf("segment %d: %w", i+1, err)
		}
		switch {
		case s.Source != m.source || s.RegisteredDelivery != 1 || s.Validity != r.validity || len(s.TLVs) > 0:
			return fmt.Errorf("segment %d: fields", i+1)
		case s.ID != sent.ids[i]:
			return fmt.Errorf("segment %d: its id is %s for the SMSC and %s for us", i+1, s.ID, sent.ids[i])
		case r.received[s.ID] != 1 || r.acknowledged[s.ID] != 1:
			return fmt.Errorf("segment %d: %d receipts, %d acknowledged", i+1, r.received[s.ID], r.acknowledged[s.ID])
		}
	}
	if text != m.text {
		return fmt.Errorf("read as %q, want %q", text, m.text)
	}
	return nil
}

// compareSegment says what is wrong with the octets of segment i. first is the UDH of the first one.
func compareSegment(kind counterpart.Text, s event, i int, first string) error {
	octets, err := hex.DecodeString(s.Octets)
	if err != nil {
		return err
	}
	esmClass, dataCoding, length, udh := 0, 0, kind.Segments[i], ""
	if kind.Encoding == "UCS-2" {
		dataCoding, length = 8, 2*length
	}
	if len(kind.Segments) > 1 { // 3GPP TS 23.040 §9.2.3.24.1: the reference is that of the first
		if len(first) < 8 {
			return errors.New("no UDH")
		}
		esmClass, udh = 0x40, fmt.Sprintf("050003%s%02x%02x", first[6:8], len(kind.Segments), i+1)
	}
	switch {
	case s.ESMClass != esmClass || s.DataCoding != dataCoding:
		return fmt.Errorf("esm_class %#x, data_coding %d, want %#x, %d", s.ESMClass, s.DataCoding, esmClass, dataCoding)
	case s.UDH != udh:
		return fmt.Errorf("UDH %s, want %s", s.UDH, udh)
	case len(octets) != length:
		return fmt.Errorf("%d octets, want %d", len(octets), length)
	case s.Octets != s.Own:
		return fmt.Errorf("the counterpart would have written %s", s.Own)
	}
	return nil
}
