package smsc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

func wait(t *testing.T, s *smsc.Server, to string, n int) []smsc.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	messages, err := s.Wait(ctx, to, n)
	if err != nil {
		t.Fatalf("%d messages of %d: %v", len(messages), n, err)
	}
	return messages
}

func TestBindsAreChecked(t *testing.T) {
	_, address := serve(t, smsc.Config{SystemID: "otpgw", Password: "secret"})
	c := dial(t, address)
	c.bind(pdu.BindTransceiver, "other", "secret", pdu.StatusInvSysID)
	c.bind(pdu.BindTransceiver, "otpgw", "wrong", pdu.StatusInvPaswd)
	c.submit(7, "34600000001", "too early")
	c.answer(7, pdu.StatusInvBndSts)
	c.bind(pdu.BindTransceiver, "otpgw", "secret", pdu.StatusOK)
	c.bind(pdu.BindTransceiver, "otpgw", "secret", pdu.StatusAlyBnd)

	receiver := dial(t, address)
	receiver.bind(pdu.BindReceiver, "otpgw", "secret", pdu.StatusOK)
	receiver.submit(7, "34600000001", "on a receiver")
	receiver.answer(7, pdu.StatusInvBndSts)
}

func TestReceiptsGoToWhoReceives(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	transmitter := dial(t, address)
	transmitter.bind(pdu.BindTransmitter, "otpgw", "", pdu.StatusOK)
	transmitter.submit(7, "34600000001", "hello")
	id := transmitter.answer(7, pdu.StatusOK)

	stranger := dial(t, address) // another account
	stranger.bind(pdu.BindReceiver, "other", "", pdu.StatusOK)
	receiver := dial(t, address) // which the receipt has waited for
	receiver.bind(pdu.BindReceiver, "otpgw", "", pdu.StatusOK)
	if r, _ := receiver.receipt(pdu.StatusOK); r.MessageID != id || r.Source.Number != "34600000001" || r.Destination.Number != "ACME" {
		t.Errorf("receipt %+v, id %s", r, id)
	}
}

func TestUnansweredAndRefusedReceiptsComeAgain(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	first := bound(t, address)
	first.submit(7, "34600000001", "hello")
	id := first.answer(7, pdu.StatusOK)
	if f := first.read(); f.Command != pdu.DeliverSM {
		t.Fatalf("%+v", f.Header)
	}
	first.conn.Close() // without an answer

	second := bound(t, address)
	for _, status := range []pdu.Status{pdu.StatusRxTAppn, pdu.StatusOK} {
		if r, _ := second.receipt(status); r.MessageID != id {
			t.Fatalf("receipt of %s, want %s", r.MessageID, id)
		}
	}
	second.write(pdu.Header{Command: pdu.Unbind, Sequence: 9}, nil)
	if f := second.read(); f.Command != pdu.UnbindResp || f.Sequence != 9 {
		t.Errorf("%+v", f.Header)
	}
	second.closed()
	if stats := s.Stats(); stats.ReceiptsSent != 3 || stats.ReceiptsAcknowledged != 1 || stats.ReceiptsWaiting != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestSegmentsBecomeOneMessage(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	c := bound(t, address)
	text := strings.Repeat("ж😀", 60)
	c.submit(7, "34600000001", text)
	m := wait(t, s, "+34600000001", 1)[0]
	if m.Text != text || m.Segments != 3 || m.Encoding != "UCS-2" || m.From != "ACME" {
		t.Errorf("%+v", m)
	}

	// The other way: sar TLVs, the last segment first.
	for i := byte(2); i >= 1; i-- {
		c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: uint32(i)}, &pdu.ShortMessage{
			Destination: pdu.Address{TON: 1, NPI: 1, Number: "34600000002"}, Text: []byte(fmt.Sprint("part ", i, " ")),
			TLVs: pdu.TLVs{
				{Tag: pdu.TagSarMsgRefNum, Value: []byte{1, 1}}, {Tag: pdu.TagSarTotalSegments, Value: []byte{2}},
				{Tag: pdu.TagSarSegmentSeqnum, Value: []byte{i}},
			},
		})
	}
	if m := wait(t, s, "+34600000002", 1)[0]; m.Text != "part 1 part 2 " || m.Segments != 2 {
		t.Errorf("%+v", m)
	}
}

func TestKnobs(t *testing.T) {
	t.Run("hex ids", func(t *testing.T) {
		_, address := serve(t, smsc.Config{HexIDs: true, FirstID: 0x6C7D5E64})
		c := bound(t, address)
		c.submit(7, "34600000001", "hello")
		id := c.answer(7, pdu.StatusOK)
		n, ok := new(big.Int).SetString(id, 16)
		if r, _ := c.receipt(pdu.StatusOK); id != "6C7D5E64" || !ok || r.MessageID != n.String() {
			t.Errorf("id %s, receipt of %s", id, r.MessageID)
		}
	})
	t.Run("rate", func(t *testing.T) {
		_, address := serve(t, smsc.Config{Rate: 1})
		c := bound(t, address)
		c.submit(7, "34600009902", "hello")
		c.answer(7, pdu.StatusOK)
		c.submit(8, "34600009902", "hello")
		c.answer(8, pdu.StatusThrottled)
	})
	t.Run("shares", func(t *testing.T) {
		_, address := serve(t, smsc.Config{ThrottledShare: 1})
		c := bound(t, address)
		c.submit(7, "34600000001", "hello")
		c.answer(7, pdu.StatusThrottled)
		_, address = serve(t, smsc.Config{LostReceipts: 1})
		c = bound(t, address)
		c.submit(7, "34600000001", "hello")
		c.answer(7, pdu.StatusOK)
		c.write(pdu.Header{Command: pdu.EnquireLink, Sequence: 9}, nil)
		if f := c.read(); f.Command != pdu.EnquireLinkResp {
			t.Errorf("%+v", f.Header)
		}
	})
	t.Run("drops", func(t *testing.T) {
		_, address := serve(t, smsc.Config{DropEvery: 2})
		c := bound(t, address)
		c.submit(7, "34600009902", "hello")
		c.answer(7, pdu.StatusOK)
		c.submit(8, "34600009902", "hello")
		c.closed()
	})
	t.Run("latency", func(t *testing.T) {
		const latency = 50 * time.Millisecond
		_, address := serve(t, smsc.Config{Latency: latency})
		c := bound(t, address)
		asked := time.Now()
		c.submit(7, "34600009902", "hello")
		if c.answer(7, pdu.StatusOK); time.Since(asked) < latency {
			t.Errorf("answered after %v", time.Since(asked))
		}
	})
	t.Run("silent", func(t *testing.T) {
		s, address := serve(t, smsc.Config{Silent: true})
		c := bound(t, address)
		c.submit(7, "34600000001", "hello")
		c.write(pdu.Header{Command: pdu.Unbind, Sequence: 9}, nil)
		if f := c.read(); f.Command != pdu.UnbindResp {
			t.Errorf("%+v", f.Header)
		}
		if len(s.Messages("")) != 0 {
			t.Error("a message was accepted")
		}
	})
}

func TestProtocolErrors(t *testing.T) {
	_, address := serve(t, smsc.Config{})
	c := bound(t, address)
	unknown := pdu.Raw("x")
	c.write(pdu.Header{Command: 0x00010200, Sequence: 0xFFFFFFF0}, &unknown)
	if f := c.read(); f.Command != pdu.GenericNack || f.Status != pdu.StatusInvCmdID || f.Sequence != 0xFFFFFFF0 {
		t.Errorf("unknown command: %+v", f.Header)
	}
	c.write(pdu.Header{Command: pdu.SubmitSM, Sequence: 8}, &unknown)
	if f := c.read(); f.Command != pdu.SubmitSMResp || f.Status != pdu.StatusInvMsgLen || f.Sequence != 8 {
		t.Errorf("truncated body: %+v", f.Header)
	}
	c.write(pdu.Header{Command: pdu.GenericNack, Status: pdu.StatusSysErr, Sequence: 9}, nil) // it answers nothing of ours
	if _, err := c.conn.Write([]byte("GET / HTTP/1.1\r\nHost: smsc\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if f := c.read(); f.Command != pdu.GenericNack || f.Status != pdu.StatusInvCmdLen {
		t.Errorf("lost framing: %+v", f.Header)
	}
	c.closed()
}

func TestOldestMessagesAreForgotten(t *testing.T) {
	s, address := serve(t, smsc.Config{KeepMessages: 2})
	c := bound(t, address)
	for i, to := range []string{"34600000010", "34600000020", "34600000020"} {
		c.submit(uint32(i), to, fmt.Sprint("message ", i))
		wait(t, s, "+"+to, max(1, i))
	}
	if all := s.Messages(""); len(all) != 2 || all[0].Text != "message 1" || all[1].Text != "message 2" {
		t.Errorf("%+v", all)
	}
	if gone := s.Messages("+34600000010"); len(gone) != 0 {
		t.Errorf("%+v", gone)
	}
}

func TestServerUnbindsWhenItEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	address := make(chan string, 1)
	done := make(chan error, 1)
	go func() { done <- serveUntil(ctx, address) }()
	c := bound(t, <-address)
	stop()
	if f := c.read(); f.Command != pdu.Unbind {
		t.Errorf("%+v", f.Header)
	}
	c.write(pdu.Header{Command: pdu.UnbindResp, Sequence: 1}, nil)
	c.closed()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestInboxOverHTTP(t *testing.T) {
	s, address := serve(t, smsc.Config{})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	defer http.DefaultClient.CloseIdleConnections()
	get := func(path string) (*http.Response, string) {
		t.Helper()
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	if _, body := get("/messages?to=+34600000010"); strings.TrimSpace(body) != "[]" {
		t.Errorf("empty inbox: %s", body)
	}
	c := bound(t, address)
	c.submit(7, "34600000010", "first")
	c.submit(8, "34600000010", "<script>alert(1)</script>")
	c.submit(9, "34600000020", "another phone")
	wait(t, s, "+34600000010", 2)
	wait(t, s, "+34600000020", 1)

	for _, query := range []string{"+34600000010", "%2B34600000010", "+34600000010&x=1"} {
		resp, body := get("/messages?to=" + query)
		var messages []map[string]any
		if err := json.Unmarshal([]byte(body), &messages); err != nil || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %v, %s", query, err, body)
		}
		if len(messages) != 2 || messages[0]["text"] != "first" || messages[1]["to"] != "+34600000010" || messages[0]["from"] != "ACME" ||
			messages[0]["encoding"] != "GSM-7" || messages[0]["segments"] != 1.0 || messages[0]["receivedAt"] == "" {
			t.Errorf("%s: %v", query, messages)
		}
	}
	if _, body := get("/messages"); strings.Count(body, `"to"`) != 3 {
		t.Errorf("all phones: %s", body)
	}

	resp, page := get("/?to=+34600000010")
	if strings.Contains(page, "<script>alert") || !strings.Contains(page, "&lt;script&gt;alert(1)") || strings.Contains(page, "another phone") {
		t.Errorf("page: %s", page)
	}
	if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("policy %q", resp.Header.Get("Content-Security-Policy"))
	}
	for _, b := range smsc.Behaviours() {
		if !strings.Contains(page, b.Name) {
			t.Errorf("the page does not explain %s", b.Name)
		}
	}
	for _, asset := range []string{"/inbox.js", "/inbox.css"} {
		if resp, body := get(asset); resp.StatusCode != http.StatusOK || len(body) < 100 {
			t.Errorf("%s: %d", asset, resp.StatusCode)
		}
	}
	for _, path := range []string{"/messages?to=%zz", "/?to=%zz"} {
		if resp, body := get(path); resp.StatusCode != http.StatusBadRequest || strings.Contains(body, "another phone") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	if all, err := s.Wait(t.Context(), "", 3); err != nil || len(all) != 3 {
		t.Errorf("%d messages in all: %v", len(all), err)
	}
	if resp, _ := get("/nowhere"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/nowhere: %d", resp.StatusCode)
	}
}
