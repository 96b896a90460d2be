package pdu_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"otpgw/smpp/pdu"
)

// A receiptCase is one file of testdata/receipts: what an SMSC sends, and what has to be read in it.
type receiptCase struct {
	Why         string            `json:"why"`
	Command     string            `json:"command"` // deliver_sm where it is not given
	ESMClass    byte              `json:"esm_class"`
	DataCoding  byte              `json:"data_coding"`
	Source      string            `json:"source"`
	Destination string            `json:"destination"`
	Text        string            `json:"text"` // short_message
	Hex         string            `json:"hex"`  // or its octets
	TLVs        map[string]string `json:"tlvs"` // octets by tag, all in hexadecimal
	Pattern     string            `json:"pattern"`
	Want        *struct {         // null where it is no receipt
		ID        string `json:"id"`
		State     string `json:"state"`
		Err       string `json:"err"`
		Submitted string `json:"submitted"`
		Done      string `json:"done"`
	} `json:"want"`
}

func (c *receiptCase) octets(t *testing.T) []byte {
	t.Helper()
	var tlvs pdu.TLVs
	for tag, value := range c.TLVs {
		number, err := strconv.ParseUint(tag, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		tlvs = append(tlvs, pdu.TLV{Tag: uint16(number), Value: unhex(t, value)})
	}
	text := []byte(c.Text)
	if c.Hex != "" {
		text = unhex(t, c.Hex)
	}
	source, destination := pdu.Address{TON: 1, NPI: 1, Number: c.Source}, pdu.Address{TON: 5, Number: c.Destination}
	if c.Command == "data_sm" {
		return encode(t, pdu.Header{Command: pdu.DataSM, Sequence: 1}, &pdu.DataMessage{
			Source: source, Destination: destination, ESMClass: c.ESMClass, DataCoding: c.DataCoding, TLVs: tlvs,
		})
	}
	return encode(t, pdu.Header{Command: pdu.DeliverSM, Sequence: 1}, &pdu.ShortMessage{
		Source: source, Destination: destination, ESMClass: c.ESMClass, DataCoding: c.DataCoding, Text: text, TLVs: tlvs,
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	octets, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func receiptCases(t testing.TB) map[string]*receiptCase {
	t.Helper()
	files, err := filepath.Glob("testdata/receipts/*.json")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	all := make(map[string]*receiptCase)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		c := &receiptCase{}
		if err := d.Decode(c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = c
	}
	return all
}

func TestReceiptsOfTheField(t *testing.T) {
	for name, c := range receiptCases(t) {
		t.Run(name, func(t *testing.T) {
			var reader pdu.ReceiptReader
			if c.Pattern != "" {
				reader.Pattern = regexp.MustCompile(c.Pattern)
			}
			body, err := pdu.Decode(frameOf(t, c.octets(t)))
			if err != nil {
				t.Fatal(err)
			}
			var got pdu.Receipt
			var ok bool
			switch b := body.(type) {
			case *pdu.ShortMessage:
				got, ok = reader.Parse(b)
			case *pdu.DataMessage:
				got, ok = reader.ParseData(b)
			}
			if c.Want == nil {
				if ok {
					t.Fatalf("%s: %+v", c.Why, got)
				}
				return
			}
			w := c.Want
			if !ok || got.MessageID != w.ID || got.State.String() != w.State || got.Error != w.Err || got.Submitted != w.Submitted || got.Done != w.Done {
				t.Errorf("%s: %+v, %v; want %+v", c.Why, got, ok, *w)
			}
			if got.Source.Number != c.Source || got.Destination.Number != c.Destination {
				t.Errorf("%s: from %v to %v", c.Why, got.Source, got.Destination)
			}
		})
	}
}

// TestZeroReaderIsTheFunctions holds that the functions of the package read as a ReceiptReader does.
func TestZeroReaderIsTheFunctions(t *testing.T) {
	for name, c := range receiptCases(t) {
		body, err := pdu.Decode(frameOf(t, c.octets(t)))
		if err != nil {
			t.Fatal(err)
		}
		var got, want pdu.Receipt
		var ok, wantOK bool
		switch b := body.(type) {
		case *pdu.ShortMessage:
			got, ok = pdu.ParseReceipt(b)
			want, wantOK = pdu.ReceiptReader{}.Parse(b)
		case *pdu.DataMessage:
			got, ok = pdu.ParseDataReceipt(b)
			want, wantOK = pdu.ReceiptReader{}.ParseData(b)
		}
		if got != want || ok != wantOK {
			t.Errorf("%s: %+v, %v; the reader has %+v, %v", name, got, ok, want, wantOK)
		}
	}
}

// TestEveryStateIsReadInTheCorpus keeps the files from being all of one kind.
func TestEveryStateIsReadInTheCorpus(t *testing.T) {
	var states []string
	none := 0
	for _, c := range receiptCases(t) {
		if c.Want == nil {
			none++
		} else if !slices.Contains(states, c.Want.State) {
			states = append(states, c.Want.State)
		}
	}
	if len(states) != 10 || none < 10 {
		t.Errorf("states %v, and %d that are no receipts", states, none)
	}
}
