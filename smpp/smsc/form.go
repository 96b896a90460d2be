package smsc

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"

	"otpgw/smpp/pdu"
)

// edited is the ordinary receipt with a change.
func edited(edit func(r *receipt, m *pdu.ShortMessage)) form {
	return func(r *receipt, m *pdu.ShortMessage) (pdu.Command, pdu.Body) {
		edit(r, m)
		return pdu.DeliverSM, m
	}
}

// said is a receipt without TLVs that has another text.
func said(text func(f pdu.Receipt) string) form {
	return edited(func(r *receipt, m *pdu.ShortMessage) { m.TLVs, m.Text = nil, []byte(text(r.fields())) })
}

var (
	tlvsOnly = edited(func(_ *receipt, m *pdu.ShortMessage) { m.Text = nil })
	textOnly = edited(func(_ *receipt, m *pdu.ShortMessage) { m.TLVs = nil })
	textLies = edited(func(r *receipt, m *pdu.ShortMessage) {
		f := r.fields()
		f.State, f.Error = pdu.Undeliverable, "011"
		m.Text = []byte(pdu.FormatReceipt(f, ""))
	})
	inPayload = edited(func(_ *receipt, m *pdu.ShortMessage) {
		m.TLVs, m.Text = pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: m.Text}}, nil
	})
	ucs2Label = edited(func(_ *receipt, m *pdu.ShortMessage) { m.TLVs, m.DataCoding = nil, 0x08 })
	utf16Text = edited(func(_ *receipt, m *pdu.ShortMessage) {
		var octets []byte
		for _, unit := range utf16.Encode([]rune(string(m.Text))) {
			octets = binary.BigEndian.AppendUint16(octets, unit)
		}
		m.TLVs, m.DataCoding, m.Text = nil, 0x08, octets
	})
	unmarked   = edited(func(_ *receipt, m *pdu.ShortMessage) { m.TLVs, m.ESMClass = nil, 0 })
	otherClass = func(class byte) form {
		return edited(func(_ *receipt, m *pdu.ShortMessage) { m.ESMClass = class })
	}
	withUDH = edited(func(_ *receipt, m *pdu.ShortMessage) {
		m.TLVs, m.ESMClass, m.Text = nil, 0x44, append([]byte(oneOfOne), m.Text...)
	})
	notTurned = edited(func(_ *receipt, m *pdu.ShortMessage) { m.Source, m.Destination = m.Destination, m.Source })
	national  = edited(func(_ *receipt, m *pdu.ShortMessage) {
		m.Source.TON = 2
		m.Source.Number = m.Source.Number[max(0, len(m.Source.Number)-9):] // subscribers have nine digits here
	})
	withPlus   = edited(func(_ *receipt, m *pdu.ShortMessage) { m.Source.Number = "+" + m.Source.Number })
	errorTyped = edited(func(r *receipt, m *pdu.ShortMessage) { // three digits in place of three octets
		for i := range m.TLVs {
			if m.TLVs[i].Tag == pdu.TagNetworkErrorCode {
				m.TLVs[i].Value = []byte(r.fields().Error)
			}
		}
	})
)

// oneOfOne is a UDH: part 1 of 1 of message 42 (3GPP TS 23.040 §9.2.3.24.1).
const oneOfOne = "\x05\x00\x03\x2a\x01\x01"

// asDataSM is the receipt as data_sm, its text in message_payload (SMPP 3.4 §4.7).
func asDataSM(r *receipt, m *pdu.ShortMessage) (pdu.Command, pdu.Body) {
	return pdu.DataSM, &pdu.DataMessage{
		Source: m.Source, Destination: m.Destination, ESMClass: m.ESMClass,
		TLVs: append(m.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: m.Text}),
	}
}

func lowerCase(f pdu.Receipt) string {
	return fmt.Sprintf("id:%s sub:001 dlvrd:001 submit date:%s done date:%s stat:%s err:%s text:",
		f.MessageID, f.Submitted, f.Done, strings.ToLower(f.State.String()), f.Error)
}

func upperCase(f pdu.Receipt) string {
	return fmt.Sprintf("ID:%s SUB:001 DLVRD:001 SUBMIT DATE:%s DONE DATE:%s STAT:%s ERR:%s TEXT:",
		f.MessageID, f.Submitted, f.Done, f.State, f.Error)
}

func otherOrder(f pdu.Receipt) string {
	return fmt.Sprintf("stat:%s err:%s id:%s done date:%s00000+ submit date:%s00000+ dlvrd:001 sub:001 Text: ",
		f.State, f.Error, f.MessageID, f.Done, f.Submitted)
}

func bare(f pdu.Receipt) string {
	return fmt.Sprintf("id:%s submit date:%s done date:%s stat:%s text:", f.MessageID, f.Submitted, f.Done, f.State)
}

// otherWords has those that some SMSCs write in place of those of appendix B, and dates of 14 digits.
func otherWords(f pdu.Receipt) string {
	word := map[pdu.State]string{pdu.Enroute: "BUFFRED", pdu.Delivered: "DELIVERED"}[f.State]
	return fmt.Sprintf("id:%s sub:001 dlvrd:001 submit date:20%s00 done date:20%s00 stat:%s err:0A1 text:",
		f.MessageID, f.Submitted, f.Done, word)
}

// misleading ends in what a person may have written.
func misleading(f pdu.Receipt) string { return pdu.FormatReceipt(f, "id:0 stat:UNDELIV") }
