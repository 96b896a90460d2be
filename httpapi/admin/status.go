package admin

import "time"

// A Status is what the daemon is at, for the operator: neither secrets nor numbers are in it.
type Status struct {
	Version string    `json:"version"`
	State   string    `json:"state"` // "running", "paused" (no new codes) or "draining"
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Failing []Failing `json:"failing,omitempty"` // why it is not ready
	Config  Loaded    `json:"config"`
	Level   string    `json:"logLevel"`
	Binds   []Bind    `json:"binds"`
	Stopped []string  `json:"stoppedSmscs,omitempty"` // accounts that were stopped by hand
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
