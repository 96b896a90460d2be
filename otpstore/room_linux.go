package otpstore

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// allocate has the file system set blocks aside for length octets of f from offset on. It makes f no longer.
func allocate(f *os.File, offset, length int64) error {
	return uninterrupted(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, length) })
}

// freeSpace is what the file system of f has left for us, in octets.
func freeSpace(f *os.File) (int64, error) {
	var s unix.Statfs_t
	if err := uninterrupted(func() error { return unix.Fstatfs(int(f.Fd()), &s) }); err != nil {
		return 0, err
	}
	if s.Blocks == 0 { // a file system that does not say
		return math.MaxInt64, nil
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// readOnly reports whether the file system of f takes no writes, be it for all or where f was opened.
func readOnly(f *os.File) bool {
	var s unix.Statfs_t
	err := uninterrupted(func() error { return unix.Fstatfs(int(f.Fd()), &s) })
	return err == nil && s.Flags&unix.ST_RDONLY != 0
}

func uninterrupted(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
