package smpp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"otpgw/smpp/pdu"
)

func TestSequenceNumbersStayInTheirRange(t *testing.T) {
	for n, want := range map[uint32]uint32{0: 1, 1: 2, 0x7FFFFFFE: 0x7FFFFFFF, 0x7FFFFFFF: 1} {
		if got := nextSequence(n); got != want {
			t.Errorf("after %#x comes %#x, want %#x", n, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	lost := errors.New("lost")
	b := backoff{min: time.Second, max: 30 * time.Second}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		if got := b.next(lost, 29*time.Second, 0.5); got != want*time.Second/2 {
			t.Errorf("attempt %d after %v, want %v", i, got, want*time.Second/2)
		}
	}
	for range 100 {
		if got := b.next(lost, 0, 0.5); got != 15*time.Second {
			t.Fatalf("later attempt after %v, want 15s", got)
		}
	}
	if got := b.next(lost, 30*time.Second, 0.5); got != time.Second/2 {
		t.Errorf("after a steady session %v, want 0.5s", got)
	}
	for status, want := range map[pdu.Status]time.Duration{
		pdu.StatusInvPaswd: time.Minute, pdu.StatusInvSysID: time.Minute, pdu.StatusInvSysTyp: time.Minute,
		pdu.StatusBindFail: time.Minute, pdu.StatusAlyBnd: 5 * time.Second, pdu.StatusSysErr: 0, pdu.StatusThrottled: 0,
	} {
		if got := b.next(&bindError{status: status}, 0, 0); got != want {
			t.Errorf("after %v %v, want %v", status, got, want)
		}
	}
	if got := b.next(errPeerUnbind, time.Hour, 0); got != time.Second {
		t.Errorf("after the peer's unbind %v, want 1s", got)
	}
}

func TestSeatRemembersSlowAnswers(t *testing.T) {
	now := time.Unix(0, 0)
	s := seat{sampled: now}
	s.sample(1, now)
	if s.latency != 1 {
		t.Errorf("latency %v after the first answer, want 1", s.latency)
	}
	s.sample(0.1, now.Add(time.Second))
	if s.latency < 0.9 || s.latency >= 1 {
		t.Errorf("latency %v a second later, want a little less than 1", s.latency)
	}
	s.sample(0.1, now.Add(time.Minute))
	if s.latency > 0.11 {
		t.Errorf("latency %v a minute later, want 0.1", s.latency)
	}
	s.sample(5, now.Add(time.Minute))
	if s.latency != 5 {
		t.Errorf("latency %v after a slow answer, want 5", s.latency)
	}
}

func TestClassOfAStatus(t *testing.T) {
	for want, statuses := range map[string][]pdu.Status{
		ClassThrottled:   {0x58, 0x14},
		ClassTemporary:   {0x08, 0x64, 0xFE, 0x45},
		ClassUnavailable: {0x04},
		ClassDestination: {0x0B, 0x50, 0x51, 0x4A, 0x4B},
		ClassSender:      {0x0A, 0x48, 0x49},
		ClassRequest:     {0x01, 0x02, 0x03, 0x06, 0x07, 0x15, 0x43, 0x54, 0x61, 0x62, 0x63, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4},
		ClassRejected:    {0x65, 0x66, 0x11, 0x13, 0x33, 0x34, 0x40, 0x42, 0x44, 0x55, 0x67, 0xFF, 0x400, 0x422, 0xFFFFFFFF},
	} {
		for _, status := range statuses {
			if got := (classes)(nil).of(status); got != want {
				t.Errorf("%v is %s, want %s", status, got, want)
			}
		}
	}
	c, err := newClasses([]string{"0x00000422=throttled", "ESME_RSUBMITFAIL=rejected", "11=sender"})
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[pdu.Status]string{0x422: ClassThrottled, 0x45: ClassRejected, 0x0B: ClassSender, 0x08: ClassTemporary} {
		if got := c.of(status); got != want {
			t.Errorf("%v is %s, want %s", status, got, want)
		}
	}
}

// TestMessageIDsOfReceipts: the form under which an answer is known must be among those of its receipt.
func TestMessageIDsOfReceipts(t *testing.T) {
	const beyond64 = "18446744073709551626" // 2^64 + 10
	for _, tc := range []struct {
		format, answer, receipt string
		how                     string // "" where they must not meet
	}{
		{"auto", "abc", "abc", howSame},
		{"auto", "ABCDEF01", "abcdef01", howSame},
		{"auto", "0000123456", "123456", howSame},
		{"auto", "123456", "0000123456", howSame},
		{"auto", " 42\x00", "42", howSame},
		{"auto", "6c7d5e64", "1820155492", howDecToHex},
		{"auto", "0x6C7D5E64", "1820155492", ""}, // its prefix is no zero
		{"auto", "1820155492", "6C7D5E64", howHexToDec},
		{"auto", "1000000000000000a", beyond64, howDecToHex},
		{"auto", beyond64, "1000000000000000a", howHexToDec},
		{"auto", "0", "0000", howSame},
		{"auto", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "3F2504E0-4F89-41D3-9A0C-0305E82C3301", howSame},
		{"auto", "a_b", "a_b", howSame},
		{"as_is", "0042", "0042", howSame},
		{"as_is", "0042", "42", ""},
		{"as_is", "A", "a", ""},
		{"resp_hex_dlr_dec", "6C7D5E64", "1820155492", howSame},
		{"resp_hex_dlr_dec", "0x6C7D5E64", "1820155492", howSame},
		{"resp_hex_dlr_dec", "10", "16", howSame},
		{"resp_hex_dlr_dec", "10", "10", ""},
		{"resp_hex_dlr_dec", "no-number", "NO-NUMBER", howSame},
		{"resp_dec_dlr_hex", "1820155492", "6C7D5E64", howHexToDec},
		{"resp_dec_dlr_hex", "0000000016", "10", howHexToDec},
		{"resp_dec_dlr_hex", "10", "10", ""},
	} {
		c := Config{MessageIDFormat: tc.format}
		forms, _ := c.receiptIDs(tc.receipt, func(string) bool { return false })
		how := ""
		for _, form := range forms {
			if form.id == c.answeredID(tc.answer) {
				how = form.how
				break
			}
		}
		if how != tc.how {
			t.Errorf("%s: %q and %q meet by %q, want %q", tc.format, tc.answer, tc.receipt, how, tc.how)
		}
	}
}

// TestConversionsNeedMoreProof: only what is the same but for case and zeros counts by itself.
func TestConversionsNeedMoreProof(t *testing.T) {
	c := Config{MessageIDFormat: "auto"}
	if forms, _ := c.receiptIDs("16", func(string) bool { return false }); len(forms) != 1 {
		t.Errorf("forms %v of an id that may always be decimal", forms)
	}
	forms, certain := c.receiptIDs("16", func(string) bool { return true })
	if certain != 1 || len(forms) != 3 || forms[0] != (idForm{"16", howSame}) || forms[1] != (idForm{"10", howDecToHex}) || forms[2] != (idForm{"22", howHexToDec}) {
		t.Errorf("forms %v, %d certain", forms, certain)
	}
	long := strings.Repeat("9", 65)
	if forms, _ := c.receiptIDs(long, func(string) bool { return true }); len(forms) != 1 || forms[0].id != long {
		t.Errorf("forms of a long id: %v", forms)
	}
}
