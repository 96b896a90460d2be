package smpp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// told is what a receipt says, as it is handed on.
type told struct{ id, state, err string }

func toldBy(r smpp.Receipt) told { return told{r.MessageID, r.State, r.Error} }

// receiptText is a receipt with that text, and marked as one.
func receiptText(text string) *pdu.ShortMessage {
	m := receiptFor("")
	m.Text = []byte(text)
	return m
}

// receiptTLVs are those that matter: the id and the state.
func receiptTLVs(id string, state pdu.State) pdu.TLVs {
	return pdu.TLVs{
		{Tag: pdu.TagReceiptedMessageID, Value: []byte(id + "\x00")},
		{Tag: pdu.TagMessageState, Value: []byte{byte(state)}},
	}
}

// wide is a text in UTF-16.
func wide(order binary.AppendByteOrder, text string) []byte {
	var octets []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		octets = order.AppendUint16(octets, unit)
	}
	return octets
}

// TestQuirk27WhereAReceiptStands: in the text, in TLVs, in message_payload or in a data_sm; the TLVs count more than the
// text.
func TestQuirk27WhereAReceiptStands(t *testing.T) {
	const text = "id:7 sub:001 dlvrd:000 submit date:2601010000 done date:2601010001 stat:UNDELIV err:011 text:"
	payload := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte(text)}}
	tlvs := receiptTLVs("7", pdu.Undeliverable)
	withError := append(slices.Clone(tlvs), pdu.TLV{Tag: pdu.TagNetworkErrorCode, Value: []byte{3, 0, 11}})
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for name, tc := range map[string]struct {
			body pdu.Body
			want told
		}{
			"text":                   {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte(text)}, told{"7", "UNDELIV", "011"}},
			"TLVs":                   {&pdu.ShortMessage{ESMClass: 0x04, TLVs: withError}, told{"7", "UNDELIV", "3:11"}},
			"id and state only":      {&pdu.ShortMessage{ESMClass: 0x04, TLVs: tlvs}, told{"7", "UNDELIV", ""}},
			"message_payload":        {&pdu.ShortMessage{ESMClass: 0x04, TLVs: payload}, told{"7", "UNDELIV", "011"}},
			"text against TLVs":      {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte(text), TLVs: receiptTLVs("8", pdu.Delivered)}, told{"8", "DELIVRD", "011"}},
			"payload against TLVs":   {&pdu.ShortMessage{ESMClass: 0x04, TLVs: slices.Concat(payload, receiptTLVs("8", pdu.Delivered))}, told{"8", "DELIVRD", "011"}},
			"id in the TLV only":     {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte("stat:EXPIRED err:1"), TLVs: tlvs[:1]}, told{"7", "EXPIRED", "1"}},
			"state in the TLV only":  {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte("id:7"), TLVs: tlvs[1:]}, told{"7", "UNDELIV", ""}},
			"TLV empty":              {&pdu.ShortMessage{ESMClass: 0x04, Text: []byte(text), TLVs: pdu.TLVs{{Tag: pdu.TagReceiptedMessageID}}}, told{"7", "UNDELIV", "011"}},
			"TLV without NUL":        {&pdu.ShortMessage{ESMClass: 0x04, TLVs: pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte("7")}, tlvs[1]}}, told{"7", "UNDELIV", ""}},
			"data_sm with TLVs":      {&pdu.DataMessage{ESMClass: 0x04, TLVs: withError}, told{"7", "UNDELIV", "3:11"}},
			"data_sm with a text":    {&pdu.DataMessage{ESMClass: 0x04, TLVs: payload}, told{"7", "UNDELIV", "011"}},
			"data_sm against itself": {&pdu.DataMessage{ESMClass: 0x04, TLVs: slices.Concat(payload, receiptTLVs("8", pdu.Delivered))}, told{"8", "DELIVRD", "011"}},
		} {
			command := pdu.DeliverSM
			if _, data := tc.body.(*pdu.DataMessage); data {
				command = pdu.DataSM
			}
			p.send(pdu.Header{Command: command, Sequence: 5}, tc.body)
			p.expectStatus(command.Response(), pdu.StatusOK, 5)
			if got := r.receipt(); toldBy(got) != tc.want || got.Delivered != (tc.want.state == "DELIVRD") || !got.Final {
				t.Errorf("%s: %+v, want %+v", name, got, tc.want)
			}
		}
		r.stop(p)
	})
}

// TestQuirk30WordsOfAReceipt: appendix B of the standard is an example, and SMSCs read it as one.
func TestQuirk30WordsOfAReceipt(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for text, want := range map[string]told{
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:hello": {"7", "DELIVRD", "000"},
			"id:7 submit date:2601010000 done date:2601010001 stat:DELIVRD":                                      {"7", "DELIVRD", ""},
			"id:7 stat:DELIVRD": {"7", "DELIVRD", ""},
			"stat:UNDELIV err:011 done date:2601010001 submit date:2601010000 dlvrd:000 sub:001 id:7":                        {"7", "UNDELIV", "011"},
			"ID:7 SUB:001 DLVRD:001 SUBMIT DATE:2601010000 DONE DATE:2601010001 STAT:DELIVRD ERR:000 TEXT:HELLO":             {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:delivrd err:000 text:":                  {"7", "DELIVRD", "000"},
			"Id:7 Sub:001 Dlvrd:001 Submit Date:2601010000 Done Date:2601010001 Stat:Delivrd Err:000 Text:":                  {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 Text: with blanks  ":    {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:260101000000 done date:260101000100 stat:DELIVRD err:000 text:":              {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:20260101000000 done date:20260101000100 stat:DELIVRD err:000 text:":          {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:260101000000000+ done date:260101000100004- stat:DELIVRD err:0":              {"7", "DELIVRD", "0"},
			"id:7 sub:001 dlvrd:001 submit date:2026-01-01 00:00:00 done date: stat:DELIVRD err:000 text:":                   {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:FAILED err:69 text:":                                      {"7", "UNDELIV", "69"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:BUFFRED err:000 text:":                                    {"7", "ENROUTE", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:ACKED err:000 text:":                                      {"7", "ACCEPTD", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:ACCEPTD err:000 text:":                                    {"7", "ACCEPTD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:x done date:y stat:DELIVERED err:000 text:":                                  {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:REJECTD err:0A1 text:":                                    {"7", "REJECTD", "0A1"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:EXPIRED err:ABSENT text:":                                 {"7", "EXPIRED", "ABSENT"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:DELETED err: text:":                                       {"7", "DELETED", ""},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:UNKNOWN err:255 text:":                                    {"7", "UNKNOWN", "255"},
			"id:7 sub:001 dlvrd:000 submit date:x done date:y stat:NEVERHEARD err:255 text:":                                 {"7", "UNKNOWN", "255"},
			"id:7 sub:001 dlvrd:001 submit date:x done date:y stat:DELIVRD err:000 text:id:99 stat:UNDELIV err:1":            {"7", "DELIVRD", "000"},
			"stat:DELIVRD id:7 err:000 text:your id:99 and stat:UNDELIV":                                                     {"7", "DELIVRD", "000"},
			"id: 7 sub: 001 dlvrd: 001 stat: DELIVRD err: 000 text: hello":                                                   {"7", "DELIVRD", "000"},
			"id:7\r\nsub:001\r\ndlvrd:001\r\nstat:DELIVRD\r\nerr:000\r\n":                                                    {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:hello\x00\x00\x00": {"7", "DELIVRD", "000"},
			"id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:\xe9\xff":          {"7", "DELIVRD", "000"},
			" id:7 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000":                       {"7", "DELIVRD", "000"},
		} {
			p.deliver(5, receiptText(text))
			got := r.receipt()
			final := !slices.Contains([]string{"ENROUTE", "ACCEPTD", "SCHEDULED"}, want.state)
			if toldBy(got) != want || got.Final != final || got.Delivered != (want.state == "DELIVRD") {
				t.Errorf("%q:\ngot %+v, want %+v", text, got, want)
			}
		}
		r.stop(p)
	})
}

// TestQuirk32NumbersOfDeliverSM: the SMSC's requests have numbers of their own, in whatever range; they are echoed, and
// never taken for the answer to the message that has the same one.
func TestQuirk32NumbersOfDeliverSM(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		f := p.expect(pdu.SubmitSM)
		for i, number := range []uint32{0, 1, f.Sequence, f.Sequence, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0} {
			id := fmt.Sprint("id-", i)
			p.deliver(number, receiptFor(id))
			if got := r.receipt(); got.MessageID != id {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
		}
		p.accept(f, "own")
		r.accepted(c, "own")
		r.stop(p)
	})
}

// TestQuirk33ReceiptsRepeatAndContradict: all of them are acknowledged and handed on, one after the other and in the order
// in which they came, so that whoever records them can let the final one stand (docs/store.md).
func TestQuirk33ReceiptsRepeatAndContradict(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		var mu sync.Mutex
		inside, states := 0, []string(nil)
		r := run(t, l, testConfig(), func(_ context.Context, got smpp.Receipt) error {
			mu.Lock()
			if inside++; inside > 1 {
				t.Error("two receipts of one message at once")
			}
			states = append(states, got.State)
			mu.Unlock()
			defer func() {
				mu.Lock()
				inside--
				mu.Unlock()
			}()
			return nil
		})
		p := r.bound()
		sent := []pdu.State{
			pdu.Enroute, pdu.Delivered, pdu.Delivered, pdu.Enroute, pdu.Undeliverable, pdu.Delivered, pdu.Accepted, pdu.UnknownState,
		}
		var octets []byte
		var want []string
		for i, state := range sent {
			m := &pdu.ShortMessage{ESMClass: 0x04, TLVs: receiptTLVs("7", state)}
			octets = append(octets, encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: uint32(i)}, m)...)
			want = append(want, state.String())
		}
		p.write(octets)
		for i := range sent {
			p.expectStatus(pdu.DeliverSMResp, pdu.StatusOK, uint32(i))
		}
		r.up(p)
		r.stop(p)
		if !slices.Equal(states, want) {
			t.Errorf("handed on %v, want %v", states, want)
		}
		if n := r.count("dlr_total", "state", "DELIVRD"); n != 3 {
			t.Errorf("%v of DELIVRD counted, want 3", n)
		}
	})
}

// TestQuirk34ReceiptElsewhere: a receipt may come on any bind of the account, after a restart, and days later. It has the
// same name wherever it comes.
func TestQuirk34ReceiptElsewhere(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		cfg := testConfig()
		cfg.Binds = 2
		r := run(t, l, cfg, nil)
		peers := []*peer{r.bound(), r.bound()}
		r.until("both binds", func() bool { return r.count("binds_bound") == 2 })
		var accepted []result
		for range 4 { // over either
			c := r.send(t.Context(), hello)
			on := 0
			r.until("the message", func() bool {
				for i, bind := range r.Binds() {
					if bind.InFlight == 1 {
						on = i
						return true
					}
				}
				return false
			})
			by := peers[on]
			f := by.expect(pdu.SubmitSM)
			id := fmt.Sprint("id-", len(accepted))
			by.accept(f, id)
			accepted = append(accepted, r.result(c))
			peers[1-on].deliver(1, receiptFor(id))
			if got := r.receipt(); got.MessageID != id || got.SMSC != accepted[len(accepted)-1].SMSC {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
		}
		r.stopAll(peers...)

		cfg.Binds = 1
		r = run(t, l, cfg, nil) // the next process
		p := r.bound()
		for i, a := range accepted {
			p.deliver(uint32(i), receiptFor(a.MessageIDs[0]))
			if got := r.receipt(); got.MessageID != a.MessageIDs[0] || got.SMSC != a.SMSC {
				t.Errorf("receipt %+v, want that of %s", got, a.MessageIDs[0])
			}
		}
		r.stop(p)
	})
}

// TestQuirk36FloodAtReconnect: an SMSC that has kept receipts sends them all as soon as the bind is up, and leaves if they
// are not answered soon. They are answered within a second, the memory they take is bounded, and those that find no room
// come again: none is lost.
func TestQuirk36FloodAtReconnect(t *testing.T) {
	const flood = 10_000
	// flooded has the SMSC send receipts of those ids and says, for each, whether it was acknowledged.
	flooded := func(r *running, p *peer, ids []int) (again []int, slowest time.Duration) {
		r.t.Helper()
		sent := make([]time.Time, len(ids))
		var writing sync.WaitGroup
		var mu sync.Mutex // guards sent
		writing.Go(func() {
			for begin := 0; begin < len(ids); begin += 100 {
				var octets []byte
				mu.Lock()
				for i := begin; i < min(begin+100, len(ids)); i++ {
					h := pdu.Header{Command: pdu.DeliverSM, Sequence: uint32(i)}
					octets = append(octets, encode(r.t, h, &pdu.ShortMessage{ESMClass: 0x04, TLVs: receiptTLVs(fmt.Sprint(ids[i]), pdu.Delivered)})...)
					sent[i] = time.Now()
				}
				mu.Unlock()
				if _, err := p.conn.Write(octets); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
		var waits []time.Duration
		for range ids {
			f := p.expect(pdu.DeliverSMResp)
			mu.Lock()
			waits = append(waits, time.Since(sent[f.Sequence]))
			mu.Unlock()
			switch f.Status {
			case pdu.StatusOK:
			case pdu.StatusRxTAppn:
				again = append(again, ids[f.Sequence])
			default:
				r.t.Fatalf("status %v", f.Status)
			}
		}
		writing.Wait()
		slices.Sort(waits)
		return again, waits[len(waits)*99/100]
	}
	all := make([]int, flood)
	for i := range all {
		all[i] = i
	}
	t.Run("all at once", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.ReceiptQueue = flood
			var mu sync.Mutex
			recorded := make(map[string]int)
			r := run(t, l, cfg, func(_ context.Context, got smpp.Receipt) error {
				mu.Lock()
				defer mu.Unlock()
				recorded[got.MessageID]++
				return nil
			})
			p := r.bound()
			again, slowest := flooded(r, p, all)
			if len(again) > 0 || len(recorded) != flood {
				t.Errorf("%d recorded, %d refused", len(recorded), len(again))
			}
			if slowest > time.Second {
				t.Errorf("99 of 100 answered within %v, want 1s", slowest)
			}
			r.up(p)
			r.stop(p)
		})
	})
	t.Run("little room", func(t *testing.T) {
		onSocket(t, func(t *testing.T, l *link) {
			cfg := testConfig()
			cfg.ReceiptQueue = 50
			hold := make(chan struct{})
			var mu sync.Mutex
			recorded := make(map[string]int)
			r := run(t, l, cfg, func(_ context.Context, got smpp.Receipt) error {
				<-hold
				mu.Lock()
				defer mu.Unlock()
				recorded[got.MessageID]++
				return nil
			})
			p := r.bound()
			const receipts = 1000
			released := make(chan struct{})
			go func() { // the disk is slow until all have come
				defer close(released)
				r.until("all receipts", func() bool { return r.count("pdus_total", "dir", "in", "command", "deliver_sm") == receipts })
				close(hold)
			}()
			left, _ := flooded(r, p, all[:receipts])
			<-released
			if taken := receipts - len(left); taken > 200 {
				t.Errorf("%d taken while none could be recorded: the queue has no bound", taken)
			}
			for range receipts {
				if len(left) > 0 {
					left, _ = flooded(r, p, left)
				}
			}
			if len(left) > 0 || len(recorded) != receipts {
				t.Errorf("%d of %d recorded, %d left", len(recorded), receipts, len(left))
			}
			for id, times := range recorded {
				if times != 1 {
					t.Errorf("%s recorded %d times although it was refused", id, times)
				}
			}
			r.up(p)
			r.stop(p)
		})
	})
}

// TestQuirk37ReceiptsNobodyWaitsFor: of a message that was refused, of one that was never sent, and of one that was to
// have none. They are acknowledged, or they would come for ever, and handed on, and change nothing else.
func TestQuirk37ReceiptsNobodyWaitsFor(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		c := r.send(t.Context(), hello)
		p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvDstAdr, &pdu.MessageResp{MessageID: "refused"})
		r.refused(c, pdu.StatusInvDstAdr, pdu.SubmitSMResp)
		for i, id := range []string{"refused", "never-sent", "never-sent"} {
			m := receiptFor(id)
			m.Text = []byte(strings.Replace(string(m.Text), "DELIVRD", "REJECTD", 1))
			p.deliver(uint32(i), m)
			if got := r.receipt(); got.MessageID != id || got.State != "REJECTD" {
				t.Errorf("receipt %+v, want that of %s", got, id)
			}
		}
		if n := r.count("submit_total", "result", "refused"); n != 1 {
			t.Errorf("%v refused, want 1", n)
		}
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk38WhatPeopleWrite: an answer to the sender's number is acknowledged, counted and dropped, however much it
// looks like a receipt.
func TestQuirk38WhatPeopleWrite(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		bodies := []pdu.Body{
			&pdu.ShortMessage{Text: []byte("STOP")},
			&pdu.ShortMessage{},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\x05\x00\x03\x2a\x02\x01first of two parts")},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\x06\x08\x04\x01\x2a\x02\x02second of two parts")},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\x00no elements")},
			&pdu.ShortMessage{ESMClass: 0x40, Text: []byte("\xffa length that lies")},
			&pdu.ShortMessage{ESMClass: 0x40},
			&pdu.ShortMessage{ESMClass: 0x40, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("\x05\x00\x03\x2a\x01\x01long")}}},
			&pdu.ShortMessage{DataCoding: 0x08, Text: wide(binary.BigEndian, "баста")},
			&pdu.ShortMessage{DataCoding: 0x04, Text: []byte{0, 1, 2, 3}},
			&pdu.ShortMessage{Text: []byte("what is id:7 ?")},
			&pdu.ShortMessage{Text: []byte("my stat:DELIVRD")},
			&pdu.ShortMessage{ESMClass: 0x10, Text: []byte("yes")},      // manual acknowledgement
			&pdu.ShortMessage{ESMClass: 0x18, Text: []byte("no more")},  // end of a dialogue
			&pdu.ShortMessage{ESMClass: 0x80, Text: []byte("and back")}, // reply path
			&pdu.DataMessage{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("STOP")}}},
			&pdu.DataMessage{},
		}
		for i, body := range bodies {
			command := pdu.DeliverSM
			if _, data := body.(*pdu.DataMessage); data {
				command = pdu.DataSM
			}
			p.send(pdu.Header{Command: command, Sequence: uint32(i)}, body)
			p.expectStatus(command.Response(), pdu.StatusOK, uint32(i))
		}
		if n := r.count("mo_total"); n != float64(len(bodies)) {
			t.Errorf("%v counted, want %d", n, len(bodies))
		}
		r.noReceipt()
		r.up(p)
		r.stop(p)
	})
}

// TestQuirk39NetworkErrorCode: three octets that are a network type and a number, or three digits.
func TestQuirk39NetworkErrorCode(t *testing.T) {
	onSocket(t, func(t *testing.T, l *link) {
		r := run(t, l, testConfig(), nil)
		p := r.bound()
		for octets, want := range map[string]string{
			"\x03\x00\x0b": "3:11",
			"\x01\x01\x00": "1:256",
			"\x03\xff\xff": "3:65535",
			"\x00\x00\x00": "0:0",
			"011":          "011",
			"000":          "000",
			"\x0b":         "0b",
			"":             "027", // what the text says
		} {
			m := receiptText("id:7 stat:UNDELIV err:027")
			m.TLVs = append(receiptTLVs("7", pdu.Undeliverable), pdu.TLV{Tag: pdu.TagNetworkErrorCode, Value: []byte(octets)})
			p.deliver(5, m)
			if got := r.receipt(); toldBy(got) != (told{"7", "UNDELIV", want}) {
				t.Errorf("%q: %+v, want %q", octets, got, want)
			}
		}
		r.stop(p)
	})
}
