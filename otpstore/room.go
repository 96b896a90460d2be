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
	roomReserve = 6 << 20  // octets of the file that are kept for what must go on: some commits
	roomAhead   = 8 << 20  // so far ahead of what is used the file is made, so that not every commit asks
	roomStep    = 1 << 18  // the least that is asked for
	roomMost    = 16 << 20 // octets that one commit may need
	roomTail    = 1 << 16  // of them behind what is used, whatever is free within it: a record may need several pages in a row
	roomLow     = 64 << 20 // free octets of the file system below which an operator is told
	roomRetry   = 500 * time.Millisecond
)

// A room sees to it that bbolt never finds the disk full. Ahead of every commit it has the file system set blocks aside for what the commit may
// write. Where there are none left, records that would come into being are refused and the reserve serves the rest. One goroutine at a time
// may call prepare; the rest is safe for concurrent use.
type room struct {
	file     *os.File                                 // the store, besides bbolt
	fixed    func(*os.File) bool                      // readOnly, replaced by tests
	allocate func(f *os.File, at, octets int64) error // replaced by tests
	end      int64                                    // up to here the file has its blocks
	tried    time.Time
	state    atomic.Int32 // a roomState
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
	return &room{file: f, fixed: readOnly, allocate: allocate, end: used}, nil
}

// writable gives ErrReadOnly where the file system is read-only. It is asked anew each time: one that is writable again is so at once.
func (r *room) writable() error {
	if r.fixed(r.file) {
		return ErrReadOnly
	}
	return nil
}

// prepare sets blocks aside behind the used octets of the file, of which spare lie in free pages, and says how much may be done, of which nothing
// needs less than least. An error is one of the disk, but never that it is full.
func (r *room) prepare(used, spare, least int64) (roomState, error) {
	reserve := max(roomReserve, least)
	if r.end >= used+reserve {
		r.state.Store(int32(roomy))
		return roomy, nil
	}
	if roomState(r.state.Load()) == roomy || time.Since(r.tried) >= roomRetry {
		r.tried = time.Now()
		if err := r.extend(used, max(roomAhead, reserve)); err != nil {
			return packed, err
		}
	}
	state := roomy
	switch left := r.end - used; {
	case left >= reserve:
	case r.holds(used, spare, least):
		state = short
	default:
		state = packed
	}
	r.state.Store(int32(state))
	return state, nil
}

// holds reports whether so many octets have their blocks.
func (r *room) holds(used, spare, need int64) bool {
	left := r.end - used
	return left+spare >= need && (left >= roomTail || need < roomTail) // so little is no record
}

// covers reports whether a commit that is under way may need so many octets. Where there is space it sees to it that it may.
func (r *room) covers(used, spare, need int64) (bool, error) {
	if r.holds(used, spare, need) {
		return true, nil
	}
	if need > roomMost || roomState(r.state.Load()) != roomy {
		return false, nil
	}
	err := r.extend(used, need)
	return r.holds(used, spare, need), err
}

// extend moves end as far as there is space, and no further than ahead needs.
func (r *room) extend(used, ahead int64) error {
	for step := int64(roomAhead); step >= roomStep && r.end < used+ahead; {
		at := max(r.end, used)
		err := r.allocate(r.file, at, step)
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
			r.end = used + min(free, ahead)
			return nil
		default:
			return fmt.Errorf("set space aside: %w", err)
		}
	}
	return nil
}

const readOnlyTrouble = "read-only file system: nothing can be stored or checked"

// trouble says what an operator should know of the space, "" for nothing.
func (r *room) trouble() string {
	if r.writable() != nil {
		return readOnlyTrouble
	}
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
