// Package numbers says which phone numbers may be sent to.
//
// Three sources speak, in this order, and the first that does not say Served decides:
//
//  1. the numbering plan of the configuration, prefixes and files (Plan),
//  2. what the SMSC refused as permanent a short while ago (Directory.Refused),
//  3. the operator's own look-up service, where lookup_url is set.
//
// # The plan
//
// Whose a number is and whether it may be sent to are two questions. A list of subscribers or of ported numbers
// answers the first only; that a landline was ported in makes no mobile of it, and a block of numbers that is barred in haste
// is barred whoever stands in own_file. So the rules are, the first that holds deciding:
//
//  1. The number stands in blocked_file, then not_allowed_file, then landline_file, as itself or within a range: that.
//  2. It stands so in ported_out_file: Foreign.
//  3. The longest prefix that it begins with, of every key and file, is one of blocked, not_allowed or landline: that.
//  4. It stands as itself or within a range in ported_in_file or own_file: Served.
//  5. The longest prefix is of own, own_file or ported_in_file: Served; of ported_out_file: Foreign.
//  6. Nothing speaks of it: Served where neither own nor own_file is set, else Foreign.
//
// The same prefix in two places counts as the stricter: blocked, not_allowed, landline, ported_out, own. To except a number
// from a barred prefix, put a longer prefix in own, if need be the whole number.
//
// # Files
//
// One entry a line, in any order, twice does no harm; gzip where the name ends in .gz:
//
//	# comment; blank lines and CRLF do no harm
//	+34600123456                  a number: 5 to 15 digits
//	+34600000000-+34600999999     a range: both ends belong to it and have as many digits
//	+3460*                        a prefix: 1 to 15 digits
//
// Replace a file by renaming the new one over it: a file that changes while it is read is refused. A file with a bad
// line is refused whole, and a refused file leaves all that was loaded before in force. A number takes about 4 bytes.
//
// # The look-up
//
// One request for each number that the plan serves and no cache knows:
//
//	POST lookup_url
//	Authorization: Bearer lookup_token
//	Content-Type: application/json
//
//	{"phoneNumber":"+34600123456"}
//
// and its one good answer, in at most 4 KiB:
//
//	200 OK
//
//	{"verdict":"served"}
//
// where verdict is served, foreign, not_allowed, landline or blocked. Everything else, another status, a redirect, another
// member or none, counts as no answer, and lookup_fail decides. The request changes nothing on the other side: it may be sent again
// over a new connection when the other side closed the old one.
//
// Start reading at Plan.Judge and Directory.Judge.
package numbers
