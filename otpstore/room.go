package otpstore

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	roomReserve = 6 << 20  // octets of the file that are kept for what must go on: some commits of the largest kind
	roomAhead   = 8 << 20  // so far ahead of what is used the file is made, so that not every commit asks
	roomStep    = 1 << 18  // the least that is asked for
	roomLeast   = 5 << 19  // below this no commit is begun: one may need as much
	roomLow     = 64 << 20 // free octets of the file system below which an operator is told
	roomRetry   = 500 * time.Millisecond
)

// A room sees to it that bbolt never finds the disk full. Ahead of every commit it has the file system set blocks aside for what the commit may
// write. Where there are none left, records that would come into being are refused and the reserve serves the rest. One goroutine at a time
// may call prepare; the rest is safe for concurrent use.
type room struct {
	file  *os.File // the store, besides bbolt
	end   int64    // up to here the file has its blocks
	tried time.Time
	state atomic.Int32 // a roomState
}

type roomState int32

const (
	roomy  roomState = iota
	short            // only the reserve is left
	packed           // not even that
)

// openRoom opens the store's file, of which used octets are in use. It takes no lock.
func openRoom(path string, used int64) (*room, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &room{file: f, end: used}, nil
}

// prepare sets blocks aside behind the used octets of the file, of which spare lie in free pages, and says how much may be done. An error is
// one of the disk, but never that it is full.
func (r *room) prepare(used, spare int64) (roomState, error) {
	if r.end >= used+roomReserve {
		r.state.Store(int32(roomy))
		return roomy, nil
	}
	if roomState(r.state.Load()) == roomy || time.Since(r.tried) >= roomRetry {
		r.tried = time.Now()
		if err := r.extend(used); err != nil {
			return packed, err
		}
	}
	state := roomy
	switch left := r.end - used; {
	case left >= roomReserve:
	case left+spare >= roomLeast:
		state = short
	default:
		state = packed
	}
	r.state.Store(int32(state))
	return state, nil
}

// extend moves end as far as there is space, roomAhead at most.
func (r *room) extend(used int64) error {
	for step := int64(roomAhead); step >= roomStep && r.end < used+roomAhead; {
		at := max(r.end, used)
		err := allocate(r.file, at, step)
		switch {
		case err == nil:
			r.end = at + step
		case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG):
			step /= 2
		case errors.Is(err, errors.ErrUnsupported): // a file system that allocates when it is written to
			free, err := freeSpace(r.file)
			if err != nil {
				return fmt.Errorf("free space: %w", err)
			}
			r.end = used + min(free, roomAhead)
			return nil
		default:
			return fmt.Errorf("set space aside: %w", err)
		}
	}
	return nil
}

// trouble says what an operator should know of the space, "" for nothing.
func (r *room) trouble() string {
	switch roomState(r.state.Load()) {
	case short:
		return "no space left: no new codes; codes that were sent can be checked"
	case packed:
		return "no space left: nothing can be stored"
	}
	if free, err := freeSpace(r.file); err == nil && free < roomLow {
		return fmt.Sprintf("low space: %d MiB free for the store", free>>20)
	}
	return ""
}

func (r *room) close() error { return r.file.Close() }
