package pdu

// A TLV is an optional parameter (SMPP 3.4 §3.2.4). Value has at most 65,535 octets, in network byte order.
type TLV struct {
	Tag   uint16
	Value []byte
}

// TLVs are optional parameters in the order of the wire.
type TLVs []TLV

// Get returns the value of the last parameter with that tag, and whether there is one.
func (t TLVs) Get(tag uint16) ([]byte, bool) {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].Tag == tag {
			return t[i].Value, true
		}
	}
	return nil, false
}

// Tags of optional parameters (SMPP 3.4 §5.3.2).
const (
	TagReceiptedMessageID   = 0x001E
	TagUserMessageReference = 0x0204
	TagSarMsgRefNum         = 0x020C
	TagSarTotalSegments     = 0x020E
	TagSarSegmentSeqnum     = 0x020F
	TagSCInterfaceVersion   = 0x0210
	TagMSAvailabilityStatus = 0x0422
	TagNetworkErrorCode     = 0x0423
	TagMessagePayload       = 0x0424
	TagMessageState         = 0x0427
	TagCongestionState      = 0x0428 // SMPP 5.0 §4.8.4.18
)
