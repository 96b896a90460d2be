// Package otpstore owns what a code is and every rule about it, and keeps both durably.
//
// The aggregate is the number: one record holds a number's codes, their tries and receipts, and the number's failures, so
// that every rule is one atomic update of one record. The rules are pure functions (policy.go); a [Backend] makes one
// application of a rule atomic and durable; [Store] joins the two and is what the rest of the program uses. [Bolt] is the
// backend for one machine.
//
// Neither a code nor a number is ever written: codes are kept as a MAC bound to id and client, numbers as a keyed hash, and
// every record is sealed by a MAC of its own. The package sends nothing and knows nothing of HTTP or SMPP.
//
// Start reading at policy.go, then backend.go.
package otpstore
