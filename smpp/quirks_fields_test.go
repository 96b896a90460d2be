package smpp_test

import (
	"testing"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

// TestQuirk40ValidityPeriod: validity_period is written as the SMSC wants it, and a message that is refused for it is tried
// once without.
func TestQuirk40ValidityPeriod(t *testing.T) {
	for _, format := range []string{"relative", "absolute", "none"} {
		t.Run(format, func(t *testing.T) {
			onSocket(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				cfg.ValidityPeriod = format
				r := run(t, l, cfg, nil)
				p := r.bound()
				m := hello
				m.Validity = 5 * time.Minute
				began := time.Now()
				c := r.send(within(t, l.patience), m)
				f, body := p.submitted()
				switch format {
				case "relative": // needs no clock in common
					if body.ValidityPeriod != "000000000500000R" {
						t.Errorf("validity_period %q", body.ValidityPeriod)
					}
				case "absolute":
					at, err := time.Parse("060102150405000+", body.ValidityPeriod)
					if left := at.Sub(began.UTC()); err != nil || left < 5*time.Minute-time.Second || left > 5*time.Minute+10*time.Second {
						t.Errorf("validity_period %q is %v ahead, %v, want 5m in UTC", body.ValidityPeriod, left, err)
					}
				case "none":
					if body.ValidityPeriod != "" {
						t.Errorf("validity_period %q", body.ValidityPeriod)
					}
				}
				if format == "none" {
					p.answer(f, pdu.StatusInvExpiry, nil) // what for?
				} else {
					p.answer(f, pdu.StatusInvExpiry, nil)
					f, body = p.submitted()
					if body.ValidityPeriod != "" {
						t.Errorf("validity_period %q in the second try", body.ValidityPeriod)
					}
					p.accept(f, "blunt")
					r.accepted(c, "blunt")
					if n := r.count("submit_retries_total", "class", "validity"); n != 1 {
						t.Errorf("%v tried again, want 1", n)
					}
					c = r.send(within(t, l.patience), m) // the next one is not known to be refused
					f, body = p.submitted()
					if body.ValidityPeriod == "" {
						t.Error("no validity_period")
					}
					p.answer(f, pdu.StatusInvExpiry, nil)
					p.answer(p.expect(pdu.SubmitSM), pdu.StatusInvExpiry, nil)
				}
				if refused := r.refused(c, pdu.StatusInvExpiry, pdu.SubmitSMResp); refused.Class != smpp.ClassRequest {
					t.Errorf("class %q, want request", refused.Class)
				}
				r.up(p)
				r.stop(p)
			})
		})
	}
}

// TestQuirk41DefaultAlphabet: data_coding 0 is what the SMSC takes it for, and a text that its alphabet cannot say goes as
// UCS-2.
func TestQuirk41DefaultAlphabet(t *testing.T) {
	for name, tc := range map[string]struct {
		alphabet       string
		coding         int // gsm7_data_coding
		text           string
		octets         string
		want, encoding string // data_coding as an octet
	}{
		"gsm7":                    {"gsm7", 0, "12@é_", "12\x00\x05\x11", "\x00", "GSM-7"},
		"gsm7, extension":         {"gsm7", 0, "[€]", "\x1b\x3c\x1b\x65\x1b\x3e", "\x00", "GSM-7"},
		"gsm7 as 0xF1":            {"gsm7", 0xF1, "12@é_", "12\x00\x05\x11", "\xf1", "GSM-7"},
		"gsm7, not in it":         {"gsm7", 0, "ж", "\x04\x36", "\x08", "UCS-2"},
		"gsm7_packed":             {"gsm7_packed", 0, "hellohello", "\xe8\x32\x9b\xfd\x46\x97\xd9\xec\x37", "\x00", "GSM-7"}, // 3GPP TS 23.038 §6.1.2
		"latin1":                  {"latin1", 0, "12@é_", "12@\xe9_", "\x00", "GSM-7"},
		"latin1 as 3":             {"latin1", 3, "12@é_", "12@\xe9_", "\x03", "GSM-7"},
		"latin1, not in it":       {"latin1", 0, "Δ1", "\x03\x94\x001", "\x08", "UCS-2"}, // which is GSM-7
		"latin1, not in GSM-7":    {"latin1", 0, "ê1", "\x00\xea\x001", "\x08", "UCS-2"},
		"ascii":                   {"ascii", 0, "12@_$", "12@_$", "\x00", "GSM-7"},
		"ascii as 1":              {"ascii", 1, "12@_$", "12@_$", "\x01", "GSM-7"},
		"ascii, not in it":        {"ascii", 0, "é1", "\x00\xe9\x001", "\x08", "UCS-2"},
		"ascii, not in GSM-7":     {"ascii", 0, "`1", "\x00`\x001", "\x08", "UCS-2"},
		"other coding, not in it": {"gsm7", 0xF1, "ж", "\x04\x36", "\x08", "UCS-2"},
	} {
		t.Run(name, func(t *testing.T) {
			onSocket(t, func(t *testing.T, l *link) {
				cfg := testConfig()
				cfg.DefaultAlphabet, cfg.GSM7DataCoding = tc.alphabet, tc.coding
				r := run(t, l, cfg, nil)
				p := r.bound()
				m := hello
				m.Text = tc.text
				c := r.send(t.Context(), m)
				f, body := p.submitted()
				if string(body.Text) != tc.octets || body.DataCoding != tc.want[0] || body.ESMClass != 0 {
					t.Errorf("%q under data_coding %#x, esm_class %#x, want %q under %#x", body.Text, body.DataCoding, body.ESMClass, tc.octets, tc.want[0])
				}
				p.accept(f, "id")
				if got := r.result(c); got.Encoding != tc.encoding || got.Segments != 1 {
					t.Errorf("told %s in %d segments, want %s", got.Encoding, got.Segments, tc.encoding)
				}
				r.stop(p)
			})
		})
	}
}
