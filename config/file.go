package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	maxFile   = 1 << 20  // octets of a configuration or token file
	maxSecret = 64 << 10 // octets of a secret
)

// readFile reads a regular file of at most limit octets that permitted does not object to. Its errors do not repeat path.
func readFile(path string, limit int64, permitted func(fs.FileInfo) error) ([]byte, error) {
	// Asked before it is opened: to open a pipe can take for ever, and to open a device can do something.
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	switch {
	case info.IsDir():
		return nil, errors.New("is a directory, must be a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // of what was opened, should the name now stand for another file
		return nil, cause(err)
	}
	if err := permitted(info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("is larger than %d KiB", limit>>10)
	}
	return text, nil
}

// cause is err without the operation and the path.
func cause(err error) error {
	if of := new(fs.PathError); errors.As(err, &of) {
		return of.Err
	}
	return err
}

// trusted objects to a file that anybody could change.
func trusted(info fs.FileInfo) error {
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("has mode %#o: must not be writable by others", info.Mode().Perm())
	}
	return nil
}

// private objects to a file whose secret others can read or change. The group may read it if root owns it: so systemd
// hands out credentials (0440), and so a package keeps a secret for the service's group (0640).
func private(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	owner := uint32(os.Geteuid())
	if stat, is := info.Sys().(*syscall.Stat_t); is {
		owner = stat.Uid
	}
	switch {
	case owner != 0 && int(owner) != os.Geteuid():
		return fmt.Errorf("belongs to user %d: must belong to root or to the user of otpgw", owner)
	case mode&0o027 != 0 || mode&0o040 != 0 && owner != 0:
		return fmt.Errorf("has mode %#o: must be 0600 or 0400, or 0640 or 0440 if root owns it", mode)
	}
	return nil
}
