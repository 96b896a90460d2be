package smsc

import (
	"time"

	"otpgw/smpp/pdu"
)

// A Behaviour is what the simulator does with messages to certain numbers.
type Behaviour struct {
	Suffix      string // the last digits of the destination; "" is every other number
	Name        string
	Description string
	quirk       quirk
}

// Behaviours are all there are, the ordinary one first. No suffix ends in 0.
func Behaviours() []Behaviour {
	zero, highest := uint32(0), uint32(0xFFFFFFFF)
	const shorter = 4 // octets, as much as a client misses when it waits for what was promised
	return []Behaviour{
		{"", "delivered", "accepted, then a receipt DELIVRD", quirk{}},

		{"9901", "undelivered", "accepted, then a receipt UNDELIV with err:011", quirk{states: []pdu.State{pdu.Undeliverable}}},
		{"9902", "no-receipt", "accepted, and no receipt ever", quirk{noReceipt: true}},
		{"9903", "early-receipt", "the receipt is written before submit_sm_resp", quirk{early: true, answer: receiptFirst}},
		{"9904", "double-receipt", "the receipt comes twice", quirk{states: []pdu.State{pdu.Delivered, pdu.Delivered}}},
		{"9905", "late-receipt", "the receipt comes 5 s later than others", quirk{delay: 5 * time.Second}},
		{"9906", "same-sequence", "before the answer comes a receipt whose deliver_sm has the sequence number of the submit_sm", quirk{early: true, answer: sameSequence}},
		{"9907", "intermediate", "a receipt ENROUTE, then DELIVRD, then UNDELIV", quirk{states: []pdu.State{pdu.Enroute, pdu.Delivered, pdu.Undeliverable}}},
		{"9908", "unbind-close", "accepted, but in place of submit_sm_resp comes unbind, and the connection is closed", quirk{answer: unbindAndClose}},
		{"9909", "unbind-first", "accepted, but unbind comes before submit_sm_resp", quirk{answer: unbindFirst}},

		{"9911", "bad-destination", "refused with ESME_RINVDSTADR", quirk{refuse: refused(pdu.StatusInvDstAdr)}},
		{"9912", "throttled", "refused with ESME_RTHROTTLED", quirk{refuse: refused(pdu.StatusThrottled)}},
		{"9913", "system-error", "refused with ESME_RSYSERR", quirk{refuse: refused(pdu.StatusSysErr)}},
		{"9914", "no-answer", "accepted, but submit_sm_resp never comes", quirk{answer: noAnswer}},
		{"9915", "drop-before", "the connection is dropped, the message not accepted", quirk{dropped: true}},
		{"9916", "drop-after", "the message is accepted, the connection dropped before submit_sm_resp", quirk{answer: dropAfter}},
		{"9917", "garbage", "octets that are no PDU come in place of submit_sm_resp", quirk{answer: garbage}},
		{"9918", "late-answer", "submit_sm_resp comes after 15 s", quirk{latency: 15 * time.Second}},
		{"9919", "unbind", "accepted, then the SMSC unbinds", quirk{answer: unbindAfter}},
		{"9921", "throttled-once", "the first try is refused with ESME_RTHROTTLED, the second accepted", quirk{refuse: refusedOnce(pdu.StatusThrottled)}},
		{"9922", "strangers", "before the answer come alert_notification, an unknown request, an unknown response and a malformed deliver_sm", quirk{answer: strangers}},
		{"9923", "foreigners", "before the answer come broadcast_sm, its response, outbind and a data_sm", quirk{answer: foreigners}},

		{"9924", "queue-full", "refused with ESME_RMSGQFUL", quirk{refuse: refused(pdu.StatusMsgQFul)}},
		{"9925", "system-error-once", "the first try is refused with ESME_RSYSERR, the second accepted", quirk{refuse: refusedOnce(pdu.StatusSysErr)}},
		{"9926", "not-bound", "refused with ESME_RINVBNDSTS", quirk{refuse: refused(pdu.StatusInvBndSts)}},
		{"9927", "vendor-status", "refused with 0x00000422", quirk{refuse: refused(0x0422)}},
		{"9928", "no-validity", "refused with ESME_RINVEXPIRY where validity_period is set", quirk{refuse: refusedValidity("R+-")}},
		{"9929", "no-relative-validity", "refused with ESME_RINVEXPIRY where validity_period is relative", quirk{refuse: refusedValidity("R")}},
		{"9931", "no-absolute-validity", "refused with ESME_RINVEXPIRY where validity_period is absolute", quirk{refuse: refusedValidity("+-")}},
		{"9932", "error-with-body", "refused with ESME_RINVDSTADR and a message_id", quirk{refuse: refused(pdu.StatusInvDstAdr), refusal: refusalBody(pdu.Raw("0000000000\x00"))}},
		{"9933", "error-with-tlvs", "refused with ESME_RINVDSTADR and TLVs without message_id", quirk{refuse: refused(pdu.StatusInvDstAdr), refusal: refusalBody(pdu.Raw("\x00\x1d\x00\x08no route"))}},
		{"9934", "nack", "refused with generic_nack and ESME_RINVCMDLEN", quirk{refuse: refused(pdu.StatusInvCmdLen), refusal: nacked(true)}},
		{"9935", "nack-0", "refused with generic_nack, ESME_RINVCMDLEN and sequence number 0", quirk{refuse: refused(pdu.StatusInvCmdLen), refusal: nacked(false)}},
		{"9936", "receipt-of-refusal", "refused with ESME_RINVDSTADR, then a receipt REJECTD of an id that nobody knows", quirk{refuse: refused(pdu.StatusInvDstAdr), wake: rejectedReceipt}},

		{"9937", "empty-id", "accepted with an empty message_id; the receipt has one", quirk{id: emptyID}},
		{"9938", "id-without-nul", "accepted, message_id has no NUL behind it", quirk{body: withoutNUL}},
		{"9939", "long-id", "accepted, message_id has 70 characters", quirk{id: longID, body: withNUL}},
		{"9941", "uuid-id", "accepted, message_id is a UUID", quirk{id: uuid}},
		{"9942", "blank-id", "accepted, message_id has blanks around it; in the receipt it has none", quirk{id: blankID}},
		{"9943", "double-answer", "submit_sm_resp comes twice", quirk{answer: answerTwice}},
		{"9944", "wrong-number", "before submit_sm_resp comes one with a sequence number of no message", quirk{answer: wrongNumberFirst}},
		{"9945", "out-of-order", "submit_sm_resp comes behind the next one, after 1 s at the latest", quirk{answer: outOfOrder}},
		{"9946", "congestion", "submit_sm_resp has congestion_state 100", quirk{body: congested}},
		{"9947", "one-segment", "the receipt and, behind it, submit_sm_resp come in one write", quirk{early: true, answer: oneSegment}},
		{"9948", "short-length", "command_length of submit_sm_resp is 4 too low", quirk{answer: lostFraming(func(n uint32) uint32 { return n - shorter })}},
		{"9949", "long-length", "command_length of submit_sm_resp is 4 too high", quirk{answer: lostFraming(func(n uint32) uint32 { return n + shorter })}},

		{"9951", "receipt-tlvs", "the receipt has TLVs and no text", quirk{form: tlvsOnly}},
		{"9952", "receipt-text", "the receipt has a text and no TLVs", quirk{form: textOnly}},
		{"9953", "receipt-disagrees", "the receipt is DELIVRD in its TLVs, UNDELIV in its text", quirk{form: textLies}},
		{"9954", "receipt-payload", "the text of the receipt is in message_payload", quirk{form: inPayload}},
		{"9955", "receipt-data-sm", "the receipt is a data_sm", quirk{form: asDataSM}},
		{"9956", "receipt-ucs2-label", "the text of the receipt is ASCII, its data_coding 8", quirk{form: ucs2Label}},
		{"9957", "receipt-utf16", "the text of the receipt is UTF-16", quirk{form: utf16Text}},
		{"9958", "receipt-unmarked", "the receipt has esm_class 0", quirk{form: unmarked}},
		{"9959", "receipt-udh", "the text of the receipt begins with a UDH, its esm_class is 0x44", quirk{form: withUDH}},
		{"9961", "receipt-lower-case", "the receipt has stat:delivrd", quirk{form: said(lowerCase)}},
		{"9962", "receipt-upper-case", "the receipt has ID: and STAT:", quirk{form: said(upperCase)}},
		{"9963", "receipt-other-order", "the receipt has stat: first, and SMPP times", quirk{form: said(otherOrder)}},
		{"9964", "receipt-bare", "the receipt has no sub:, dlvrd: and err:", quirk{form: said(bare)}},
		{"9965", "receipt-words", "a receipt BUFFRED, then DELIVERED, with err:0A1 and dates of 14 digits", quirk{states: []pdu.State{pdu.Enroute, pdu.Delivered}, form: said(otherWords)}},
		{"9966", "receipt-misleads", "the text in the receipt says id: and stat: too", quirk{form: said(misleading)}},
		{"9967", "receipt-not-turned", "the receipt has the addresses of the message, not turned around", quirk{form: notTurned}},
		{"9968", "receipt-national", "the receipt has the last nine digits of the number", quirk{form: national}},
		{"9969", "receipt-plus", "the receipt has the number with +", quirk{form: withPlus}},
		{"9971", "regret", "a receipt DELIVRD, then UNDELIV", quirk{states: []pdu.State{pdu.Delivered, pdu.Undeliverable}}},
		{"9972", "after-final", "a receipt DELIVRD, then ENROUTE", quirk{states: []pdu.State{pdu.Delivered, pdu.Enroute}}},
		{"9973", "notification", "a receipt ENROUTE with esm_class 0x20", quirk{states: []pdu.State{pdu.Enroute}, form: otherClass(0x20)}},
		{"9974", "acknowledgement", "a receipt DELIVRD with esm_class 0x08", quirk{form: otherClass(0x08)}},
		{"9975", "expired", "a receipt EXPIRED", quirk{states: []pdu.State{pdu.Expired}}},
		{"9976", "rejected", "a receipt REJECTD", quirk{states: []pdu.State{pdu.Rejected}}},
		{"9977", "unknown-state", "a receipt UNKNOWN", quirk{states: []pdu.State{pdu.UnknownState}}},
		{"9978", "error-digits", "a receipt UNDELIV whose network_error_code is three digits", quirk{states: []pdu.State{pdu.Undeliverable}, form: errorTyped}},
		{"9979", "unknown-receipt", "a receipt DELIVRD, and one of an id that nobody knows", quirk{wake: unknownReceipt}},
		{"9981", "unasked-receipt", "a receipt DELIVRD, also where none was asked for", quirk{unasked: true}},
		{"9982", "receipt-sequence-0", "the receipt has sequence number 0", quirk{sequence: &zero}},
		{"9983", "receipt-sequence-max", "the receipt has sequence number 0xFFFFFFFF", quirk{sequence: &highest}},
		{"9984", "receipt-elsewhere", "the receipt comes on another bind of the system_id where there is one", quirk{elsewhere: true}},
		{"9985", "reply", "a receipt DELIVRD, then a message from the phone", quirk{wake: reply("")}},
		{"9986", "reply-udh", "a receipt DELIVRD, then a message from the phone that has a UDH", quirk{wake: reply(oneOfOne)}},
	}
}
