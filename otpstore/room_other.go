//go:build !linux

package otpstore

import (
	"errors"
	"math"
	"os"
)

// allocate cannot be had here: a full disk ends the daemon.
func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

// readOnly is not known here: the first write tells, and ends the daemon.
func readOnly(*os.File) bool { return false }

// freeSpace is not known here.
func freeSpace(*os.File) (int64, error) { return math.MaxInt64, nil }
