package otpstore

import (
	"log/slog"
	"time"
)

// InspectFile has the file at path checked by that program, as an opening does.
func InspectFile(path string, command []string, within, busy time.Duration, log *slog.Logger) error {
	_, err := inspectFile(path, inspector{command: command, within: within, busy: busy, log: log}.inspect)
	return err
}

// BoundMemory bounds what this process may take, as one that inspects does.
func BoundMemory() { boundMemory(inspectMemory) }
