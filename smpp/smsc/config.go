package smsc

import "time"

// A Config says how the SMSC behaves where the number does not. Its zero value accepts everybody and answers at once.
type Config struct {
	SystemID       string        // the only system_id that may bind; "" admits all
	Password       string        // its password; "" admits all
	Latency        time.Duration // from submit_sm to its answer
	ReceiptDelay   time.Duration // from the answer to the receipt
	Rate           float64       // submit_sm a second, above which the answer is ESME_RTHROTTLED; 0 is no limit
	ThrottledShare float64       // of submit_sm that are answered with ESME_RTHROTTLED, 0 to 1
	LostReceipts   float64       // share of receipts that are never sent, 0 to 1
	HexIDs         bool          // message ids are hexadecimal in answers and decimal in receipts
	Silent         bool          // binds are answered, nothing else
	DropEvery      int           // the connection is dropped at each such submit_sm, not accepted; 0 is never
	KeepMessages   int           // how many messages are kept, the oldest go first; 0 is 10,000
	FirstID        uint64        // of the first message; 0 is 1
}

// A Profile is a Config that has a name.
type Profile struct {
	Name        string
	Description string
	Config      Config
}

// Profiles are the ways of behaving that have a name.
func Profiles() []Profile {
	const normalDelay = 50 * time.Millisecond
	return []Profile{
		{"normal", "accepts at once, receipts after 50 ms", Config{ReceiptDelay: normalDelay}},
		{"slow", "answers after 2 s, receipts after 10 s", Config{Latency: 2 * time.Second, ReceiptDelay: 10 * time.Second}},
		{"throttle", "accepts 10 messages a second, refuses the rest with ESME_RTHROTTLED", Config{Rate: 10, ReceiptDelay: normalDelay}},
		{"busy", "refuses every third message with ESME_RTHROTTLED", Config{ThrottledShare: 1.0 / 3, ReceiptDelay: normalDelay}},
		{"silent", "answers binds, and nothing else", Config{Silent: true}},
		{"hex-ids", "message ids are hexadecimal in answers, decimal in receipts", Config{HexIDs: true, ReceiptDelay: normalDelay}},
		{"drop-dlr", "half of the receipts never come", Config{LostReceipts: 0.5, ReceiptDelay: normalDelay}},
		{"flap", "drops the connection at each tenth message", Config{DropEvery: 10, ReceiptDelay: normalDelay}},
	}
}
