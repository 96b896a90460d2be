package smpp

import "time"

// A Message is one SMS to send.
type Message struct {
	// From is the sender shown on the phone: alphanumeric of up to 11 characters, a short code of up to 8 digits, or
	// a number as +E.164.
	From string
	// To is the number to send to, as +E.164.
	To string
	// Text is the text, in UTF-8.
	Text string
	// Validity is how long the SMSC may try to deliver, rounded up to a second; 0 leaves it to the SMSC.
	Validity time.Duration
	// Ref is the caller's name of the message, for Hooks.Late and Cancel; "" where none is needed.
	Ref string
	// Client is on whose behalf it is sent, to choose the account by; "" is nobody's.
	Client string
	// Replace asks that it overwrite the sender's older one, on the phone or in the SMSC, as the account is configured.
	Replace bool
}

// Accepted is what is known of a message that the SMSC took.
type Accepted struct {
	// SMSC is the configured name of the account, Bind the name of the bind that carried the message.
	SMSC, Bind string
	// MessageIDs are the SMSC's ids, one a segment, in the form that Receipt.MessageIDs has; "" where the SMSC gave none.
	MessageIDs []string
	// Encoding is "GSM-7" or "UCS-2".
	Encoding string
	// Segments is the number of short messages that the text took.
	Segments int
	// SubmittedAt is when the first segment was handed to the connection, AnsweredAt when the last answer came.
	SubmittedAt, AnsweredAt time.Time
	// Sequence is the sequence_number of the first segment; InFlight how many messages were on the bind with it, of Window.
	Sequence         uint32
	InFlight, Window int
	// Tries is how many times it was submitted, 1 where the first did.
	Tries int

	raw []string // MessageIDs as received, where they are needed
}

// A Receipt is what the SMSC says became of one short message.
type Receipt struct {
	// SMSC is the configured name of the account; MessageID the SMSC's id as it stands in the receipt.
	SMSC, MessageID string
	// MessageIDs are the forms in which Accepted may have the id, the likeliest first. Those from index Converted on are
	// conversions, which may be another message's id: they count only where one of Numbers is the message's.
	MessageIDs []string
	Converted  int
	// Numbers are the numbers, as +E.164, that the addresses of the receipt may mean; an address may be in another form.
	Numbers []string
	// State is the state's name in a receipt text: "DELIVRD", "UNDELIV", …
	State string
	// Final says that no other state follows; Delivered that the phone has the message.
	Final, Delivered bool
	// Error is the SMSC's or network's error code as received; "" where none came.
	Error string
	// At is when the receipt arrived here.
	At time.Time
}

// A Match says which message a receipt was for.
type Match struct {
	// Found says that there is one, Form under which of Receipt.MessageIDs.
	Found bool
	Form  int
}
