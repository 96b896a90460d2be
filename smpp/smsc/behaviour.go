package smsc

import "strings"

// A Behaviour is what the simulator does with messages to certain numbers.
type Behaviour struct {
	Suffix      string // the last digits of the destination; "" is every other number
	Name        string
	Description string
}

// Names of behaviours.
const (
	delivered      = "delivered"
	undelivered    = "undelivered"
	noReceipt      = "no-receipt"
	earlyReceipt   = "early-receipt"
	doubleReceipt  = "double-receipt"
	lateReceipt    = "late-receipt"
	sameSequence   = "same-sequence"
	intermediate   = "intermediate"
	badDestination = "bad-destination"
	throttled      = "throttled"
	throttledOnce  = "throttled-once"
	systemError    = "system-error"
	noAnswer       = "no-answer"
	dropBefore     = "drop-before"
	dropAfter      = "drop-after"
	garbage        = "garbage"
	lateAnswer     = "late-answer"
	unbindAfter    = "unbind"
	strangers      = "strangers"
)

// Behaviours are all there are, the ordinary one first. No suffix ends in 0.
func Behaviours() []Behaviour {
	return []Behaviour{
		{"", delivered, "accepted, then a receipt DELIVRD"},
		{"9901", undelivered, "accepted, then a receipt UNDELIV with err:011"},
		{"9902", noReceipt, "accepted, and no receipt ever"},
		{"9903", earlyReceipt, "the receipt is written before submit_sm_resp"},
		{"9904", doubleReceipt, "the receipt comes twice"},
		{"9905", lateReceipt, "the receipt comes 5 s later than others"},
		{"9906", sameSequence, "before the answer comes a receipt whose deliver_sm has the sequence number of the submit_sm"},
		{"9907", intermediate, "a receipt ENROUTE, then DELIVRD, then UNDELIV"},
		{"9911", badDestination, "refused with ESME_RINVDSTADR"},
		{"9912", throttled, "refused with ESME_RTHROTTLED"},
		{"9913", systemError, "refused with ESME_RSYSERR"},
		{"9914", noAnswer, "accepted, but submit_sm_resp never comes"},
		{"9915", dropBefore, "the connection is dropped, the message not accepted"},
		{"9916", dropAfter, "the message is accepted, the connection dropped before submit_sm_resp"},
		{"9917", garbage, "octets that are no PDU come in place of submit_sm_resp"},
		{"9918", lateAnswer, "submit_sm_resp comes after 15 s"},
		{"9919", unbindAfter, "accepted, then the SMSC unbinds"},
		{"9921", throttledOnce, "the first try is refused with ESME_RTHROTTLED, the second accepted"},
		{"9922", strangers, "before the answer come alert_notification, an unknown request, an unknown response and a malformed deliver_sm"},
	}
}

// behaviourOf is the name of what happens to messages to that number.
func behaviourOf(number string) string {
	for _, b := range Behaviours()[1:] {
		if strings.HasSuffix(number, b.Suffix) {
			return b.Name
		}
	}
	return delivered
}
