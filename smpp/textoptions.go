package smpp

import "otpgw/smpp/pdu"

// The values of default_alphabet, national_language and concatenation.
var (
	alphabets = map[string]pdu.Alphabet{
		"gsm7": pdu.AlphabetGSM7, "gsm7_packed": pdu.AlphabetGSM7Packed, "ascii": pdu.AlphabetASCII, "latin1": pdu.AlphabetLatin1,
	}
	languages = map[string]pdu.Language{
		"": pdu.NoLanguage, "turkish": pdu.Turkish, "spanish": pdu.Spanish, "portuguese": pdu.Portuguese,
	}
	concatenations = map[string]pdu.Concat{
		"udh8": pdu.UDH8, "udh16": pdu.UDH16, "sar": pdu.SAR, "payload": pdu.Payload,
	}
)

// textOptions is how texts are written for this SMSC.
func (c Config) textOptions() pdu.TextOptions {
	return pdu.TextOptions{
		DefaultAlphabet: alphabets[c.DefaultAlphabet],
		GSM7DataCoding:  byte(c.GSM7DataCoding),
		Transliterate:   c.Transliterate,
		Language:        languages[c.NationalLanguage],
		Concatenation:   concatenations[c.Concatenation],
	}
}
