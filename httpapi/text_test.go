package httpapi_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"otpgw/httpapi"
	"otpgw/smpp"
)

func textOf(t testing.TB, text string) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{"phoneNumber": theNumber, "message": text})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reason is why the last requests were refused.
func (p *plant) reasons() (all []string) {
	for _, m := range regexp.MustCompile(`"reason":"([a-z_]+)"`).FindAllStringSubmatch(p.logged.String(), -1) {
		all = append(all, m[1])
	}
	return all
}

func TestTextRules(t *testing.T) {
	strict := func(c *httpapi.Client) { c.Text = "strict" }
	agreed := func(c *httpapi.Client) {
		c.Text = "templates"
		c.Templates = []string{
			"{{code}} is your code for Example Bank",
			"Pay {{digits:6}} EUR to {{text:20}}: {{code}}. Call us? (Never!) [a-z]+",
		}
	}
	for _, row := range []struct {
		rule       func(*httpapi.Client)
		text, want string // want is the reason of the refusal
	}{
		{nil, "{{code}} https://example.com {{code}} 123456", ""},
		{nil, "{{code}}\r\nline", ""},
		{nil, "{{code}}\x00", "text_control"},
		{nil, "{{code}}\x1b", "text_control"},
		{nil, "\t{{code}}", "text_control"},
		{nil, "{{code}}\u0085", "text_control"},
		{nil, "{{code}}\x7f", "text_control"},

		{strict, "{{code}} is your code for Example Bank. It is good for 5 minutes.", ""},
		{strict, "{{code}} ist dein Code für Müller & Söhne, gültig 10 Min.", ""},
		{strict, "Código {{code}}. ¡No lo compartas! Cancel·lar: 123", ""},
		{strict, "Ваш код {{code}}. Никому не говорите его", ""},
		{strict, "您的验证码是{{code}}。请勿告诉他人", ""},
		{strict, "رمزك هو {{code}}", ""},
		{strict, "{{code}} {{code}}", "text_placeholder"},
		{strict, "{{code}} http://evil.example", "text_link"},
		{strict, "{{code}} hxxp evil", "text_link"},
		{strict, "{{code}} HTTPS", "text_link"},
		{strict, "{{code}} evil.example/x", "text_link"},
		{strict, "{{code}} EVIL.EXAMPLE", "text_link"},
		{strict, "{{code}} ｅｖｉｌ．ｃｏｍ", "text_link"},
		{strict, "{{code}} evil。com", "text_link"},
		{strict, "{{code}} еvіl", "text_mixed_scripts"},                   // Cyrillic е, і among Latin letters
		{strict, "{{code}} \u0435\u0445\u0430.\u0441\u043e", "text_link"}, // all Cyrillic twins: exa.co
		{strict, "{{code}} evil[.]com", "text_link"},
		{strict, "{{code}} evil (dot) com", "text_link"},
		{strict, "{{code}} www evil", "text_link"},
		{strict, "{{code}} me@example", "text_link"},
		{strict, "{{code}} 192.168.1.1", "text_link"},
		{strict, "{{code}} ∕∕ h\u0301ttp", "text_link"},
		{strict, "{{code}} 1234", "text_digits"},
		{strict, "1234{{code}}", "text_digits"},
		{strict, "{{code}} ١٢٣٤", "text_digits"},
		{strict, "{{code}} １２３４", "text_digits"},
		{strict, "{{code}} call +34 600 123", "text_digits"},
		{strict, "{{code}} 1-2-3-4-5-6-7", "text_digits"},
		{strict, "{{code}} 123 Example Street", ""},
		{strict, "{{code}} a\u200bb", "text_hidden"},
		{strict, "{{code}} \u202eb", "text_hidden"},
		{strict, "{{code}} \u2066b", "text_hidden"},
		{strict, "{{code}} \ufeff", "text_hidden"},
		{strict, "{{code}} \u00ad", "text_hidden"},
		{strict, "{{code}} \u3164", "text_hidden"},
		{strict, "{{code}} \ufe0f", "text_hidden"},
		{strict, "{{code}} \ue000", "text_hidden"},
		{strict, "{{code}} \u2028x", "text_hidden"},

		{agreed, "{{code}} is your code for Example Bank", ""},
		{agreed, "{{code}} is your code for Example Bank ", "text_template"},
		{agreed, "x{{code}} is your code for Example Bank", "text_template"},
		{agreed, "{{code}} is your code for Example Bank\n", "text_template"},
		{agreed, "Pay 100 EUR to Ann: {{code}}. Call us? (Never!) [a-z]+", ""},
		{agreed, "Pay 123456 EUR to Ann: {{code}}. Call us? (Never!) [a-z]+", ""},
		{agreed, "Pay 1234567 EUR to Ann: {{code}}. Call us? (Never!) [a-z]+", "text_template"},
		{agreed, "Pay 1 EUR to evil.example: {{code}}. Call us? (Never!) [a-z]+", "text_link"},
		{agreed, "Pay 1 EUR to 777777: {{code}}. Call us? (Never!) [a-z]+", "text_digits"},
		{agreed, "Pay 1 EUR to " + strings.Repeat("a", 21) + ": {{code}}. Call us? (Never!) [a-z]+", "text_template"},
		{agreed, "Pay 1 EUR to a\nb: {{code}}. Call us? (Never!) [a-z]+", "text_template"},
		{agreed, "Pay 1 EUR to {{code}}: {{code}}. Call us? (Never!) [a-z]+", ""}, // blanks take any text; the code goes into both
		{agreed, "Pay 1 EUR to Ann: {{code}}. Call us (Never!) x", "text_template"},
	} {
		p := newPlant(t, func(p *plant) {
			if row.rule != nil {
				row.rule(&p.live.Clients[0])
			}
			if err := p.live.Clients[0].Validate(); err != nil {
				t.Fatal(err)
			}
		})
		a := p.post(sendPath, textOf(t, row.text))
		switch {
		case row.want == "" && a.status != 200:
			t.Errorf("%q: %d %s", row.text, a.status, a.body)
		case row.want != "" && (!a.is(400, "INVALID_ARGUMENT") || strings.Join(p.reasons(), " ") != row.want):
			t.Errorf("%q: %d %q, want %s", row.text, a.status, p.reasons(), row.want)
		}
	}
}

func TestBadTemplates(t *testing.T) {
	for _, text := range []string{"", "no code", "{{code}}{{code}}", "{{code}} {{", "{{code}} }}", "{{code}} {{text}}", "{{code}} {{text:0}}", "{{code}} {{text:161}}",
		"{{code}} {{word:3}}", "{{code:3}}", "{{code}} {{text:1000}}", "{{code}}" + strings.Repeat("a", 400)} {
		c := httpapi.Client{ID: "acme", Sender: "ACME", Burst: 1, Text: "templates", Templates: []string{text}}
		expect(t, c.Validate(), "templates")
	}
	expect(t, httpapi.Client{ID: "acme", Sender: "ACME", Burst: 1, Text: "templates"}.Validate(), "templates")
	expect(t, httpapi.Client{ID: "acme", Sender: "ACME", Burst: 1, Text: "free", Templates: []string{"{{code}}"}}.Validate(), "templates")
	expect(t, httpapi.Client{ID: "acme", Sender: "ACME", Burst: 1, Text: "loose"}.Validate(), "text")
}

func TestWebOTPIsTheLastLine(t *testing.T) {
	p := newPlant(t, func(p *plant) { p.live.Clients[0].WebOTPDomain = "login.example.com" })
	var checked, sent string
	p.sender.check = func(m smpp.Message) error { checked = m.Text; return nil }
	inner := p.sender.send
	p.sender.send = sendRecording(&sent, inner)
	p.post(sendPath, textOf(t, "{{code}} is your code"))
	if want := theCode + " is your code\n@login.example.com #" + theCode; sent != want || len(checked) != len(want) {
		t.Errorf("sent %q, checked %q", sent, checked)
	}
	for _, domain := range []string{"localhost", "a..b", "Login.example.com", "https://example.com", "example.com/x", "-a.com", "exa mple.com"} {
		c := httpapi.DefaultClient()
		c.ID, c.Sender, c.WebOTPDomain = "acme", "ACME", domain
		expect(t, c.Validate(), "webotp_domain")
	}
}

// What is refused stays refused however it is written.
func FuzzStrictText(f *testing.F) {
	for _, s := range []string{"Your code", "evil.example", "1234", "a\u200bb", "ｗｗｗ", "h\u0301ttp", "é.com"} {
		f.Add(s)
	}
	p := newPlant(f, func(p *plant) { p.live.Clients[0].Text = "strict" })
	plain := regexp.MustCompile(`(?i)https?:|www\.|[a-z]\.[a-z]{2}|[0-9]{4}|\x{200b}|\x{202e}`)
	f.Fuzz(func(t *testing.T, s string) {
		body, err := json.Marshal(map[string]string{"phoneNumber": theNumber, "message": s + "{{code}}"})
		if err != nil {
			t.Skip()
		}
		p.t = t
		a := p.post(sendPath, string(body))
		if a.status != 200 && !a.is(400, "INVALID_ARGUMENT") {
			t.Fatalf("%q: %d %s", s, a.status, a.body)
		}
		if a.status == 200 && plain.MatchString(s) {
			t.Fatalf("%q passed", s)
		}
	})
}
