package smpp

import (
	"context"
	"strconv"
	"time"

	"otpgw/smpp/pdu"
)

// A receivedReceipt is a receipt with the forms of its id, to say later which of them it was.
type receivedReceipt struct {
	Receipt
	forms []idForm
}

// read reads a receipt from a deliver_sm or data_sm; false for what is none.
func (a *account) read(body pdu.Body) (pdu.Receipt, bool) {
	switch b := body.(type) {
	case *pdu.ShortMessage:
		return a.reader.Parse(b)
	case *pdu.DataMessage:
		return a.reader.ParseData(b)
	}
	return pdu.Receipt{}, false
}

// receipt is r as it is handed on.
func (a *account) receipt(r pdu.Receipt, now time.Time) receivedReceipt {
	forms, certain := a.config.receiptIDs(r.MessageID, a.converts)
	ids := make([]string, len(forms))
	for i, form := range forms {
		ids[i] = form.id
	}
	return receivedReceipt{forms: forms, Receipt: Receipt{
		SMSC:       a.config.Name,
		MessageID:  trimID(r.MessageID),
		MessageIDs: ids,
		Converted:  certain,
		Numbers:    numbersOf(r.Source, r.Destination),
		State:      r.State.String(),
		Final:      r.State.Final(),
		Delivered:  r.State == pdu.Delivered,
		Error:      trimID(r.Error),
		At:         now,
	}}
}

// deliver has a receipt recorded before ctx ends.
func (a *account) deliver(ctx context.Context, r receivedReceipt) error {
	match, err := a.hooks.Deliver(ctx, r.Receipt)
	if err != nil {
		return err
	}
	a.metrics.receipts.WithLabelValues(r.State).Inc()
	forms, how := r.forms, howOrphan
	if match.Found && match.Form >= 0 && match.Form < len(forms) {
		forms = forms[match.Form : match.Form+1]
		how = forms[0].how
		a.advise(how)
	}
	a.metrics.matches.WithLabelValues(how).Inc()
	x, known := a.expected.settle(r.Receipt, forms, match.Found)
	if known && r.Final && !r.Delivered && x.message.replaces {
		a.stubborn.add(x.message.to, r.At)
	}
	return nil
}

// converts says that a receipt has matched after such a conversion.
func (a *account) converts(how string) bool {
	if how == howHexToDec {
		return a.hexToDec.Load()
	}
	return a.decToHex.Load()
}

// advise takes note of a conversion that was right, and tells the operator once which form the ids of this SMSC have.
func (a *account) advise(how string) {
	if a.config.MessageIDFormat != idAuto || how == howSame {
		return
	}
	format, seen := idHexAnswer, &a.decToHex
	if how == howHexToDec {
		format, seen = idDecAnswer, &a.hexToDec
	}
	if seen.Swap(true) {
		return
	}
	a.log.Warn("receipts match only after conversion of their ids", "message_id_format", format)
}

// queryError is error_code of a query_sm_resp, "" for none.
func queryError(code byte) string {
	if code == 0 {
		return ""
	}
	return strconv.Itoa(int(code))
}
