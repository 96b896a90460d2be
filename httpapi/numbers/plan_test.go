package numbers_test

import (
	"testing"

	"otpgw/httpapi/numbers"
)

func TestEveryRule(t *testing.T) {
	plan := load(t, config(func(c *numbers.Config) {
		c.Own = []string{"+346", "+3460099", "+34912000", "+34800123456"}
		c.NotAllowed = []string{"+34", "+34609", "+34800"}
		c.Landline = []string{"+349"}
		c.Blocked = []string{"+346008", "+346099"}
		c.OwnFile = file(t, "own", "+34700000001", "+34710000000-+34710000999", "+4915*", "+34911111111", "+34600800001", "+34600000005", "+4917012345")
		c.NotAllowedFile = file(t, "not_allowed", "+34600000001", "+34600000002", "+34611*", "+34622*")
		c.LandlineFile = file(t, "landline", "+34600000002", "+34600000003", "+34622*", "+34600000011")
		c.BlockedFile = file(t, "blocked", "+34600000003", "+34600000004", "+34622*", "+34640000000-+34640000099", "+34650*")
		c.PortedOutFile = file(t, "ported_out", "+34600000004", "+34600000005", "+34600000006", "+34600800002", "+34660000000-+34660000009", "+34670*", "+346*")
		c.PortedInFile = file(t, "ported_in", "+34600000006", "+33612345678", "+34912345678", "+34670000001", "+3368*", "+34710000000-+34710001999")
	}), nil)

	for _, test := range []struct {
		number string
		want   numbers.Verdict
		why    string
	}{
		{"+34600123456", numbers.Foreign, "the same prefix in ported_out is the stricter"},
		{"+34600990000", numbers.Served, "a longer own prefix"},
		{"+34609000000", numbers.NotAllowed, "a denied prefix that is longer than own"},
		{"+34609900000", numbers.Blocked, "the longest of two denied prefixes"},
		{"+34600800000", numbers.Blocked, "a blocked prefix"},
		{"+34600800001", numbers.Blocked, "a blocked prefix beats own_file"},
		{"+34600800002", numbers.Foreign, "ported out beats a blocked prefix"},
		{"+34800000000", numbers.NotAllowed, "a denied prefix"},
		{"+34800123456", numbers.Served, "a whole number in own is a prefix that beats a shorter one"},
		{"+34912000999", numbers.Served, "a longer own prefix beats landline"},
		{"+34912345678", numbers.Landline, "ported in makes no mobile of a landline"},
		{"+34911111111", numbers.Landline, "own_file makes no mobile of a landline"},
		{"+34700000001", numbers.NotAllowed, "own_file does not beat a denied prefix"},
		{"+4917012345", numbers.Served, "own_file without any prefix"},
		{"+4917012346", numbers.Foreign, "beside a number of own_file"},
		{"+49170123456", numbers.Foreign, "a longer number that begins like one of own_file"},
		{"+491701234", numbers.Foreign, "a shorter number than one of own_file"},
		{"+4915123456", numbers.Served, "a prefix in own_file"},
		{"+34600000001", numbers.NotAllowed, "not_allowed_file beats own"},
		{"+34600000002", numbers.NotAllowed, "not_allowed_file beats landline_file"},
		{"+34600000003", numbers.Blocked, "blocked_file beats landline_file"},
		{"+34600000004", numbers.Blocked, "blocked_file beats ported_out_file"},
		{"+34600000005", numbers.Foreign, "ported_out_file beats own_file"},
		{"+34600000006", numbers.Foreign, "ported_out_file beats ported_in_file"},
		{"+34600000011", numbers.Landline, "landline_file"},
		{"+34611000000", numbers.NotAllowed, "a prefix in not_allowed_file"},
		{"+34622000000", numbers.Blocked, "of one prefix in three files the stricter"},
		{"+34639999999", numbers.Foreign, "before a range"},
		{"+34640000000", numbers.Blocked, "the first of a range"},
		{"+34640000050", numbers.Blocked, "in a range"},
		{"+34640000099", numbers.Blocked, "the last of a range"},
		{"+34640000100", numbers.Foreign, "after a range"},
		{"+346400000500", numbers.Foreign, "a longer number is in no range"},
		{"+34650000000", numbers.Blocked, "a prefix in blocked_file"},
		{"+34660000009", numbers.Foreign, "a range in ported_out_file"},
		{"+34670000000", numbers.Foreign, "a prefix in ported_out_file"},
		{"+34670000001", numbers.Served, "ported in as itself beats a prefix of ported_out"},
		{"+33612345678", numbers.Served, "ported in from a foreign prefix"},
		{"+33612345679", numbers.Foreign, "nothing speaks of it"},
		{"+33681234567", numbers.Served, "a prefix in ported_in_file"},
		{"", numbers.Foreign, "no number"},
		{"+", numbers.Foreign, "no number"},
		{"34600990000", numbers.Foreign, "no +"},
		{"+04600990000", numbers.Foreign, "leading 0"},
		{"+3460099000a", numbers.Foreign, "a letter"},
		{"+3460099 000", numbers.Foreign, "a space"},
		{"+34600990000\x00", numbers.Foreign, "a NUL"},
		{"+346009900000000", numbers.Served, "15 digits"},
		{"+3460099000000000", numbers.Foreign, "16 digits"},
	} {
		if got := plan.Judge(test.number); got != test.want {
			t.Errorf("Judge(%q) = %v, want %v: %s", test.number, got, test.want, test.why)
		}
	}
}

func TestWithoutOwnEveryNumberIsServed(t *testing.T) {
	if got := load(t, config(nil), nil).Judge("+491701234567"); got != numbers.Served {
		t.Errorf("nothing configured: %v", got)
	}
	plan := load(t, config(func(c *numbers.Config) {
		c.Blocked = []string{"+4917"}
		c.PortedInFile = file(t, "in", "+34600000001")
		c.PortedOutFile = file(t, "out", "+34600000002")
	}), nil)
	for number, want := range map[string]numbers.Verdict{
		"+491701234567": numbers.Blocked, "+491601234567": numbers.Served, "+34600000001": numbers.Served,
		"+34600000002": numbers.Foreign, "nonsense": numbers.Foreign,
	} {
		if got := plan.Judge(number); got != want {
			t.Errorf("Judge(%q) = %v, want %v", number, got, want)
		}
	}
}

func TestGroupIsTheLongestOwnPrefixOfTheConfiguration(t *testing.T) {
	plan := load(t, config(func(c *numbers.Config) {
		c.Own = []string{"+346", "+34600", "+4917"}
		c.Blocked = []string{"+3460012"}
		c.OwnFile = file(t, "own", "+34600123*", "+33612345678")
	}), nil)
	for number, want := range map[string]string{
		"+34600123456": "+34600", "+34612345678": "+346", "+4917012345": "+4917", "+33612345678": "", "+34": "", "+346": "+346", "x": "", "": "",
	} {
		if got := plan.Group(number); got != want {
			t.Errorf("Group(%q) = %q, want %q", number, got, want)
		}
	}
}

func TestEntriesCountsWhatStoodTwiceOnce(t *testing.T) {
	plan := load(t, config(func(c *numbers.Config) {
		c.OwnFile = file(t, "own", "+34600000001", "+34600000002", "+34600000001", "+346*", "+34610000000-+34610000009", "+34610000005-+34610000020", "+34610000021-+34610000030")
	}), nil)
	if got := plan.Entries(); got["own"] != 4 || got["blocked"] != 0 || len(got) != 6 {
		t.Errorf("entries = %v, want 4 of own among six lists", got)
	}
}

func TestVerdictsHaveTheirWords(t *testing.T) {
	for v, want := range map[numbers.Verdict]string{
		numbers.Served: "served", numbers.Foreign: "foreign", numbers.NotAllowed: "not_allowed", numbers.Landline: "landline",
		numbers.Blocked: "blocked", numbers.Refused: "refused", 200: "unknown",
	} {
		if got := v.String(); got != want {
			t.Errorf("%d = %q, want %q", v, got, want)
		}
	}
}
