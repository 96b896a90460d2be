package httpapi

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// What a client may write: Client.Text.
const (
	textFree      = "free"      // anything but control characters
	textStrict    = "strict"    // one {{code}}, and nothing that a reader could follow or mistake for the code
	textTemplates = "templates" // one of Client.Templates
)

// Problems of a message's text, each a row of the table of errors.
var (
	controlInText  = invalid("text_control", "message has a control character other than a line feed")
	placeholderTwo = invalid("text_placeholder", "message must have {{code}} exactly once for this client")
	hiddenInText   = invalid("text_hidden", "message has characters that cannot be seen or that turn the direction of text")
	mixedInText    = invalid("text_mixed_scripts", "message has a word of letters from several scripts")
	linkInText     = invalid("text_link", "message has something that looks like a link, an address or a domain")
	digitsInText   = invalid("text_digits", "message has digits besides the code that look like a code or a phone number")
	noTemplateFits = invalid("text_template", "message is none of the texts that were agreed for this client")
)

// A textRule is what a client may write, made ready. It does not change.
type textRule struct {
	mode      string
	templates []*regexp.Regexp
	lastLine  string // what is put under every text: "" or that of WebOTP
}

// newTextRule makes the rule of a valid client.
func newTextRule(c Client) (textRule, error) {
	rule := textRule{mode: c.Text}
	for _, t := range c.Templates {
		compiled, err := compileTemplate(t)
		if err != nil {
			return textRule{}, err
		}
		rule.templates = append(rule.templates, compiled)
	}
	if c.WebOTPDomain != "" { // the form that browsers look for in the last line of a message
		rule.lastLine = "\n@" + c.WebOTPDomain + " #" + placeholder
	}
	return rule, nil
}

// judge says what is wrong with a text, or nil. The text has {{code}} in it.
func (r textRule) judge(text string) *problem {
	for _, c := range text {
		if unicode.IsControl(c) && c != '\n' && c != '\r' {
			return controlInText
		}
	}
	switch r.mode {
	case textStrict:
		if strings.Count(text, placeholder) != 1 {
			return placeholderTwo
		}
		return judgeWords(strings.Replace(text, placeholder, " ", 1))
	case textTemplates:
		return r.match(text)
	}
	return nil
}

// match finds the template that text was made from. What stands in its blanks is judged as strictly as a strict text.
func (r textRule) match(text string) *problem {
	for _, t := range r.templates {
		found := t.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		for i, name := range t.SubexpNames() {
			if name == "text" {
				if p := judgeWords(found[i]); p != nil {
					return p
				}
			}
		}
		return nil
	}
	return noTemplateFits
}

var blank = regexp.MustCompile(`\{\{([a-z]+)(?::([0-9]{1,3}))?\}\}`)

// compileTemplate reads a template: the text as it is, with {{code}} exactly once, and blanks: {{text:N}} for 1 to N characters
// of one line, {{digits:N}} for 1 to N digits. The text around them stands for itself.
func compileTemplate(template string) (*regexp.Regexp, error) {
	bad := func(why string) (*regexp.Regexp, error) { return nil, fmt.Errorf("%q: %s", template, why) }
	if strings.Count(template, placeholder) != 1 {
		return bad("must have {{code}} exactly once")
	}
	if !between(template, 1, 2*maxMessage) {
		return bad("must have 1 to 320 characters")
	}
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	rest := template
	for {
		at := blank.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		if before := rest[:at[0]]; strings.Contains(before, "{{") || strings.Contains(before, "}}") {
			return bad("its blanks must be {{code}}, {{text:N}} or {{digits:N}} with N from 1 to 160")
		}
		pattern.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		kind, length := rest[at[2]:at[3]], 0
		if at[4] >= 0 {
			length, _ = strconv.Atoi(rest[at[4]:at[5]]) // three digits at most
		}
		switch {
		case kind == "code" && at[4] < 0:
			pattern.WriteString(regexp.QuoteMeta(placeholder))
		case kind == "text" && length >= 1 && length <= maxMessage:
			fmt.Fprintf(&pattern, `(?P<text>[^\n]{1,%d})`, length)
		case kind == "digits" && length >= 1 && length <= maxMessage:
			fmt.Fprintf(&pattern, `[0-9]{1,%d}`, length)
		default:
			return bad("its blanks must be {{code}}, {{text:N}} or {{digits:N}} with N from 1 to 160")
		}
		rest = rest[at[1]:]
	}
	if strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		return bad("its blanks must be {{code}}, {{text:N}} or {{digits:N}} with N from 1 to 160")
	}
	pattern.WriteString(regexp.QuoteMeta(rest) + `\z`)
	return regexp.Compile(pattern.String())
}

var (
	// looksLikeLink is a scheme, a domain, an address of the internet or of mail, in a text that was folded.
	looksLikeLink = regexp.MustCompile(`://|h(tt|xx)ps?|www|[a-z0-9_-]\.[a-z]{2,}|[a-z0-9]\s*[\[({]\s*(\.|dot|punto|at)\s*[\])}]|[0-9]+\.[0-9]+\.[0-9]+|\S@|@\S`)
	// looksLikeNumber is 4 digits together, or 7 with no more than one character that is neither letter nor line feed between them.
	looksLikeNumber = regexp.MustCompile(`[0-9]{4}|([0-9][^a-z0-9\n]{0,2}){7}`)
)

// judgeWords finds in the words of a strict text what is not to be in them.
func judgeWords(words string) *problem {
	for _, c := range words {
		if unicode.In(c, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp) || !unicode.IsGraphic(c) && c != '\n' && c != '\r' || variation(c) {
			return hiddenInText
		}
	}
	if mixesScripts(words) {
		return mixedInText
	}
	folded := fold(words)
	switch {
	case looksLikeLink.MatchString(folded):
		return linkInText
	case looksLikeNumber.MatchString(folded):
		return digitsInText
	}
	return nil
}

// variation says whether c is seen only in what stands before it, or not at all.
func variation(c rune) bool {
	return c == 0x034F || c == 0x115F || c == 0x1160 || c == 0x3164 || c == 0xFFA0 || unicode.Is(unicode.Variation_Selector, c)
}

// twins are letters of other scripts that look like one of a to z.
var twins = func() map[rune]rune {
	m := map[rune]rune{}
	pairs := []struct{ like, letters string }{
		{"a", "аαɑ"}, {"b", "ЬВΒв"}, {"c", "сϲⅽ"}, {"d", "ԁⅾ"}, {"e", "еє℮εΕ"}, {"g", "ɡց"}, {"h", "һΗНհ"}, {"i", "іιıΙІ"}, {"j", "јϳ"}, {"k", "кκΚК"},
		{"l", "ӏⅼǀΙ"}, {"m", "мΜМⅿ"}, {"n", "ոΝп"}, {"o", "оοσօΟО"}, {"p", "рρΡР"}, {"q", "ԛ"}, {"r", "гᴦ"}, {"s", "ѕ"}, {"t", "тτΤТ"}, {"u", "υսц"},
		{"v", "ѵνⅴ"}, {"w", "ԝωш"}, {"x", "хχⅹΧХ"}, {"y", "уүγΥУ"}, {"z", "ᴢΖ"}, {".", "。․٫۔"}, {"/", "∕⁄⧸"}, {":", "∶ː։"}, {"@", "＠﹫"},
	}
	for _, p := range pairs {
		for _, c := range p.letters {
			m[c] = rune(p.like[0])
		}
	}
	return m
}()

// fold is text in compatibility form, in small letters without marks, with twins as what they look like and 0 for every digit.
func fold(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.Is(unicode.Mn, c):
			return -1
		case unicode.Is(unicode.Nd, c):
			return '0'
		}
		if twin, ok := twins[c]; ok {
			return twin
		}
		c = unicode.ToLower(c)
		if twin, ok := twins[c]; ok {
			return twin
		}
		return c
	}, norm.NFKD.String(text))
}

// scripts are those whose letters can be taken for those of another.
var scripts = []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee}

// mixesScripts says whether a word has letters of two scripts that look alike.
func mixesScripts(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.Is(unicode.Mn, c) }) {
		seen := -1
		for _, c := range word {
			for i, script := range scripts {
				if unicode.Is(script, c) {
					if seen >= 0 && seen != i {
						return true
					}
					seen = i
				}
			}
		}
	}
	return false
}

var domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)

// validateText joins one error for every key of c about its texts that cannot be served.
func (c Client) validateText() error {
	var errs []error
	switch c.Text {
	case textFree, textStrict, textTemplates:
	default:
		errs = append(errs, fmt.Errorf("text = %q: must be free, strict or templates", c.Text))
	}
	if (c.Text == textTemplates) != (len(c.Templates) > 0) {
		errs = append(errs, fmt.Errorf("templates = %q: must be given with text = %q and only then", c.Templates, textTemplates))
	}
	for _, t := range c.Templates {
		if _, err := compileTemplate(t); err != nil {
			errs = append(errs, fmt.Errorf("templates = %w", err))
		}
	}
	if c.WebOTPDomain != "" && (len(c.WebOTPDomain) > 100 || !domainForm.MatchString(c.WebOTPDomain)) {
		errs = append(errs, fmt.Errorf("webotp_domain = %q: must be a domain name in small letters, at most 100 characters", c.WebOTPDomain))
	}
	return errors.Join(errs...)
}
