package pdu

// replacements are characters that the default alphabet lacks, and what says the same in it: typography, blanks of other
// widths, what nobody sees, and the other case of a letter. A letter never loses its accent here: in many languages that
// is another word.
var replacements = map[rune]string{
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '′': "'", '‹': "'", '›': "'",
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '″': `"`, '«': `"`, '»': `"`,
	'\u2010': "-", '\u2011': "-", '\u2012': "-", '–': "-", '—': "-", '―': "-", '−': "-",
	'…': "...",

	'\t': " ", '\u00A0': " ", '\u2000': " ", '\u2001': " ", '\u2002': " ", '\u2003': " ", '\u2004': " ", '\u2005': " ",
	'\u2006': " ", '\u2007': " ", '\u2008': " ", '\u2009': " ", '\u200A': " ", '\u202F': " ", '\u205F': " ", '\u3000': " ",

	'\u00AD': "", '\u200B': "", '\u2060': "", '\uFEFF': "", // soft hyphen, zero width space, word joiner, byte order mark

	'ç': "Ç", 'À': "à", 'È': "è", 'Ì': "ì", 'Ò': "ò", 'Ù': "ù",
}
