package numbers

// A Verdict is whether a number may be sent to, or why not.
type Verdict uint8

const (
	Served     Verdict = iota // may be sent to
	Foreign                   // not one of the operator's, ported out included
	NotAllowed                // not sent to for business reasons
	Landline                  // takes no SMS
	Blocked                   // SMS is barred
	Refused                   // the SMSC refused it as permanent a short while ago
)

var verdictNames = [...]string{"served", "foreign", "not_allowed", "landline", "blocked", "refused"}

// String is the verdict's word in metrics, logs and the look-up: "served", "not_allowed".
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "unknown"
}

// denies says that a number is not sent to whoever's it is.
func (v Verdict) denies() bool { return v != Served && v != Foreign }
