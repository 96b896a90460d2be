package admin

import "time"

// A Status is what the daemon is at, for the operator: neither secrets nor numbers are in it.
type Status struct {
	Version string         `json:"version"`
	State   string         `json:"state"` // "running", "paused" (no new codes) or "draining"
	Started time.Time      `json:"started"`
	Ready   bool           `json:"ready"`
	Failing []Failing      `json:"failing,omitempty"` // why it is not ready
	Trouble []string       `json:"trouble,omitempty"` // what is amiss though it may be ready, a line each
	Config  Loaded         `json:"config"`
	Level   string         `json:"logLevel"`
	Binds   []Bind         `json:"binds"`
	Stopped []string       `json:"stoppedSmscs,omitempty"` // accounts that were stopped by hand
	Clients []ClientStatus `json:"clients"`
	Auth    Auth           `json:"auth"`
	Sinks   []Sink         `json:"sinks"`
	Store   Store          `json:"store"`
	Events  []Event        `json:"events"`           // the latest changes of state, the newest first
	Tables  *Tables        `json:"tables,omitempty"` // what was counted, up to a second ago
}

// A ClientStatus is one that is configured.
type ClientStatus struct {
	ID       string  `json:"id"`
	Enabled  bool    `json:"enabled"`
	Rate     float64 `json:"rate"`     // requests a second; 0: no limit
	DayLimit int     `json:"dayLimit"` // codes within 24 hours; 0: no limit
}

// Auth is what clients and the API show each other.
type Auth struct {
	Tokens     int       `json:"tokens"`               // of the token file
	Expired    int       `json:"expired"`              // of them, too old
	NextExpiry time.Time `json:"nextExpiry,omitzero"`  // of those that are not
	Identity   time.Time `json:"certificate,omitzero"` // until when the certificate of the API is valid
	Issuers    []Issuer  `json:"issuers"`
}

// An Issuer is one whose access tokens are taken.
type Issuer struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`             // as in the configuration
	Usable  bool      `json:"usable"`           // its tokens can be verified
	Keys    int       `json:"keys,omitempty"`   // that are known
	Fetched time.Time `json:"fetched,omitzero"` // when they were
	Away    time.Time `json:"away,omitzero"`    // since when it does not answer
	Error   string    `json:"error,omitempty"`  // why
}

// A Sink is one that is told of verifications.
type Sink struct {
	Name    string    `json:"name"`
	Waiting int       `json:"waiting"` // callbacks in memory
	Oldest  time.Time `json:"oldest,omitzero"`
	Stopped bool      `json:"stopped"`       // by its answer 410, until the next reload
	Failing int       `json:"failing"`       // calls one after the other that it did not take
	Away    time.Time `json:"away,omitzero"` // since when it takes nothing
}

// Store is where the codes are.
type Store struct {
	Dir  string `json:"dir"`
	Size int64  `json:"size"` // octets of its files
	Free int64  `json:"free"` // octets that its disk has left
	Disk int64  `json:"disk"` // octets of the disk
}

// Sent is how a test code was answered, as an application would have been.
type Sent struct {
	ID         string `json:"authenticationId,omitempty"` // where it was sent
	Correlator string `json:"correlator"`
	Status     int    `json:"status"` // of HTTP
	Code       string `json:"code,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Detail     string `json:"detail,omitempty"`
	Test       bool   `json:"testNumber"` // no message goes to the number, whatever the status
}

// Pending is what a reload would change.
type Pending struct {
	File     string   `json:"file"`
	Changes  []Change `json:"changes"`
	Warnings []string `json:"warnings"`
}

// A Change is one key that has another value; a secret shows only that it changed.
type Change struct {
	Key    string `json:"key"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Reload string `json:"reload"` // "hot" or "restart"
}

// A Failing is one part that is not ready.
type Failing struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Loaded says which configuration is in force.
type Loaded struct {
	File     string    `json:"file"`
	At       time.Time `json:"loadedAt"`
	Error    string    `json:"error,omitempty"`        // of the last reload, when it was refused
	Restart  []string  `json:"needsRestart,omitempty"` // keys that changed and are not in force
	Warnings int       `json:"warnings"`
}

// A Bind is one bind to an SMSC.
type Bind struct {
	SMSC      string    `json:"smsc"`
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Peer      string    `json:"peer,omitempty"`
	InFlight  int       `json:"inFlight"`
	Window    int       `json:"window"`
	LastError string    `json:"lastError,omitempty"`
}

// Reloaded is what a reload put in force.
type Reloaded struct {
	Changed  []string `json:"changed"`
	Restart  []string `json:"needsRestart"`
	Warnings []string `json:"warnings"`
}
