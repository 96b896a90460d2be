package smsc_test

import (
	"testing"

	"otpgw/smpp/pdu"
	"otpgw/smpp/smsc"
)

func TestStatusHasNameAndNumber(t *testing.T) {
	for s, want := range map[string]pdu.Status{
		"ESME_RALYBND": pdu.StatusAlyBnd, "ralybnd": pdu.StatusAlyBnd, "0x05": pdu.StatusAlyBnd, "5": pdu.StatusAlyBnd,
		"ESME_RX_T_APPN": pdu.StatusRxTAppn, "0x00000422": 0x422, "ESME_RUNKNOWNERR": pdu.StatusUnknownErr,
	} {
		if got, err := smsc.ParseStatus(s); err != nil || got != want {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"", "ESME_", "ESME_NONESUCH", "-1", "0x100000000"} {
		if got, err := smsc.ParseStatus(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
