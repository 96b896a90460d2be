package smpp

import (
	"fmt"
	"slices"
	"strings"

	"otpgw/smpp/pdu"
)

// Classes of command_status in answers to messages: what it says, and so what is done about it.
const (
	// ClassThrottled asks for a slower pace. The message is tried again in order while its deadline allows.
	ClassThrottled = "throttled"
	// ClassTemporary is a passing fault of the SMSC. The message is tried once more.
	ClassTemporary = "temporary"
	// ClassUnavailable says that the bind is none any more. It is opened again, and the message tried on another.
	ClassUnavailable = "unavailable"
	// ClassDestination refuses the number.
	ClassDestination = "destination"
	// ClassSender refuses the sender: the configuration is wrong, or the contract.
	ClassSender = "sender"
	// ClassRequest refuses the way in which we ask: the configuration is wrong.
	ClassRequest = "request"
	// ClassRejected is every other refusal for good.
	ClassRejected = "rejected"
)

var allClasses = []string{ClassThrottled, ClassTemporary, ClassUnavailable, ClassDestination, ClassSender, ClassRequest, ClassRejected}

// classes says what statuses mean at one SMSC, where that is not what they mean at most.
type classes map[pdu.Status]string

// newClasses reads status_overrides.
func newClasses(overrides []string) (classes, error) {
	c := make(classes, len(overrides))
	for _, o := range overrides {
		name, class, _ := strings.Cut(o, "=")
		status, err := pdu.ParseStatus(name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("status_overrides = [%q]: %w", o, err)
		case (name[0] < '0' || name[0] > '9') && name != status.String(): // a configuration has one word for one thing
			return nil, fmt.Errorf("status_overrides = [%q]: %q must be written %v", o, name, status)
		case status == pdu.StatusOK:
			return nil, fmt.Errorf("status_overrides = [%q]: ESME_ROK means accepted", o)
		case !slices.Contains(allClasses, class):
			return nil, fmt.Errorf("status_overrides = [%q]: the class must be one of %s", o, strings.Join(allClasses, ", "))
		}
		if _, twice := c[status]; twice {
			return nil, fmt.Errorf("status_overrides = [%q]: %v has a class already", o, status)
		}
		c[status] = class
	}
	return c, nil
}

// of is the class of a status that refuses a message (SMPP 3.4 §5.1.3). What no standard knows is for good: vendors
// use 0x400 to 0x4FF, and most of them for what will not pass.
func (c classes) of(status pdu.Status) string {
	if class, found := c[status]; found {
		return class
	}
	switch status {
	case pdu.StatusThrottled, pdu.StatusMsgQFul:
		return ClassThrottled
	case pdu.StatusSysErr, pdu.StatusRxTAppn, pdu.StatusDeliveryFailure, pdu.StatusSubmitFail:
		return ClassTemporary
	case pdu.StatusInvBndSts:
		return ClassUnavailable
	case pdu.StatusInvDstAdr, pdu.StatusInvDstTON, pdu.StatusInvDstNPI, 0x4A, 0x4B: // the last two have been seen for the same
		return ClassDestination
	case pdu.StatusInvSrcAdr, pdu.StatusInvSrcTON, pdu.StatusInvSrcNPI:
		return ClassSender
	case pdu.StatusInvMsgLen, pdu.StatusInvCmdLen, pdu.StatusInvCmdID, pdu.StatusInvPrtFlg, pdu.StatusInvRegDlvFlg,
		pdu.StatusInvSerTyp, pdu.StatusInvEsmClass, pdu.StatusInvRepFlag, pdu.StatusInvSched, pdu.StatusInvExpiry, pdu.StatusInvDftMsgID,
		pdu.StatusInvOptParStream, pdu.StatusOptParNotAllwd, pdu.StatusInvParLen, pdu.StatusMissingOptParam, pdu.StatusInvOptParamVal:
		return ClassRequest
	}
	return ClassRejected
}
