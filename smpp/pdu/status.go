package pdu

import (
	"fmt"
	"strconv"
	"strings"
)

// A Status is a command_status (SMPP 3.4 §5.1.3).
type Status uint32

// The statuses of SMPP 3.4 (§5.1.3, table 5-2).
const (
	StatusOK              Status = 0x00
	StatusInvMsgLen       Status = 0x01
	StatusInvCmdLen       Status = 0x02
	StatusInvCmdID        Status = 0x03
	StatusInvBndSts       Status = 0x04
	StatusAlyBnd          Status = 0x05
	StatusInvPrtFlg       Status = 0x06
	StatusInvRegDlvFlg    Status = 0x07
	StatusSysErr          Status = 0x08
	StatusInvSrcAdr       Status = 0x0A
	StatusInvDstAdr       Status = 0x0B
	StatusInvMsgID        Status = 0x0C
	StatusBindFail        Status = 0x0D
	StatusInvPaswd        Status = 0x0E
	StatusInvSysID        Status = 0x0F
	StatusCancelFail      Status = 0x11
	StatusReplaceFail     Status = 0x13
	StatusMsgQFul         Status = 0x14
	StatusInvSerTyp       Status = 0x15
	StatusInvNumDests     Status = 0x33
	StatusInvDLName       Status = 0x34
	StatusInvDestFlag     Status = 0x40
	StatusInvSubRep       Status = 0x42
	StatusInvEsmClass     Status = 0x43
	StatusCntSubDL        Status = 0x44
	StatusSubmitFail      Status = 0x45
	StatusInvSrcTON       Status = 0x48
	StatusInvSrcNPI       Status = 0x49
	StatusInvDstTON       Status = 0x50
	StatusInvDstNPI       Status = 0x51
	StatusInvSysTyp       Status = 0x53
	StatusInvRepFlag      Status = 0x54
	StatusInvNumMsgs      Status = 0x55
	StatusThrottled       Status = 0x58
	StatusInvSched        Status = 0x61
	StatusInvExpiry       Status = 0x62
	StatusInvDftMsgID     Status = 0x63
	StatusRxTAppn         Status = 0x64
	StatusRxPAppn         Status = 0x65
	StatusRxRAppn         Status = 0x66
	StatusQueryFail       Status = 0x67
	StatusInvOptParStream Status = 0xC0
	StatusOptParNotAllwd  Status = 0xC1
	StatusInvParLen       Status = 0xC2
	StatusMissingOptParam Status = 0xC3
	StatusInvOptParamVal  Status = 0xC4
	StatusDeliveryFailure Status = 0xFE
	StatusUnknownErr      Status = 0xFF
)

// String is the name in the standard, or the number in hexadecimal where it has none: vendors use 0x400 to 0x4FF.
func (s Status) String() string {
	if name := s.name(); name != "" {
		return "ESME_" + name
	}
	return fmt.Sprintf("0x%08x", uint32(s))
}

// ParseStatus reads a command_status: its name, as ESME_RALYBND or RALYBND, or its number, as 0x05.
func ParseStatus(s string) (Status, error) {
	if n, err := strconv.ParseUint(s, 0, 32); err == nil {
		return Status(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "ESME_")
	for status := StatusOK; name != "" && status <= StatusUnknownErr; status++ { // all that have a name
		if status.name() == name {
			return status, nil
		}
	}
	return 0, fmt.Errorf("%q is neither the name nor the number of a command_status", s)
}

func (s Status) name() string {
	switch s {
	case StatusOK:
		return "ROK"
	case StatusInvMsgLen:
		return "RINVMSGLEN"
	case StatusInvCmdLen:
		return "RINVCMDLEN"
	case StatusInvCmdID:
		return "RINVCMDID"
	case StatusInvBndSts:
		return "RINVBNDSTS"
	case StatusAlyBnd:
		return "RALYBND"
	case StatusInvPrtFlg:
		return "RINVPRTFLG"
	case StatusInvRegDlvFlg:
		return "RINVREGDLVFLG"
	case StatusSysErr:
		return "RSYSERR"
	case StatusInvSrcAdr:
		return "RINVSRCADR"
	case StatusInvDstAdr:
		return "RINVDSTADR"
	case StatusInvMsgID:
		return "RINVMSGID"
	case StatusBindFail:
		return "RBINDFAIL"
	case StatusInvPaswd:
		return "RINVPASWD"
	case StatusInvSysID:
		return "RINVSYSID"
	case StatusCancelFail:
		return "RCANCELFAIL"
	case StatusReplaceFail:
		return "RREPLACEFAIL"
	case StatusMsgQFul:
		return "RMSGQFUL"
	case StatusInvSerTyp:
		return "RINVSERTYP"
	case StatusInvNumDests:
		return "RINVNUMDESTS"
	case StatusInvDLName:
		return "RINVDLNAME"
	case StatusInvDestFlag:
		return "RINVDESTFLAG"
	case StatusInvSubRep:
		return "RINVSUBREP"
	case StatusInvEsmClass:
		return "RINVESMCLASS"
	case StatusCntSubDL:
		return "RCNTSUBDL"
	case StatusSubmitFail:
		return "RSUBMITFAIL"
	case StatusInvSrcTON:
		return "RINVSRCTON"
	case StatusInvSrcNPI:
		return "RINVSRCNPI"
	case StatusInvDstTON:
		return "RINVDSTTON"
	case StatusInvDstNPI:
		return "RINVDSTNPI"
	case StatusInvSysTyp:
		return "RINVSYSTYP"
	case StatusInvRepFlag:
		return "RINVREPFLAG"
	case StatusInvNumMsgs:
		return "RINVNUMMSGS"
	case StatusThrottled:
		return "RTHROTTLED"
	case StatusInvSched:
		return "RINVSCHED"
	case StatusInvExpiry:
		return "RINVEXPIRY"
	case StatusInvDftMsgID:
		return "RINVDFTMSGID"
	case StatusRxTAppn:
		return "RX_T_APPN"
	case StatusRxPAppn:
		return "RX_P_APPN"
	case StatusRxRAppn:
		return "RX_R_APPN"
	case StatusQueryFail:
		return "RQUERYFAIL"
	case StatusInvOptParStream:
		return "RINVOPTPARSTREAM"
	case StatusOptParNotAllwd:
		return "ROPTPARNOTALLWD"
	case StatusInvParLen:
		return "RINVPARLEN"
	case StatusMissingOptParam:
		return "RMISSINGOPTPARAM"
	case StatusInvOptParamVal:
		return "RINVOPTPARAMVAL"
	case StatusDeliveryFailure:
		return "RDELIVERYFAILURE"
	case StatusUnknownErr:
		return "RUNKNOWNERR"
	}
	return ""
}
