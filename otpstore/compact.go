package otpstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// A file that is made anew holds what is live and nothing else: free pages keep what was removed until something takes their place. The new file is
// whole, checked and on the disk before it gets the name of the old one.

const (
	compactFrom  = 64 << 20  // octets of a file below which a start leaves it alone
	compactTimes = 4         // so many times as large as what is live a start lets it be
	compactMost  = 256 << 20 // live octets above which a start would take too long
	compactStep  = 16 << 20  // octets of one transaction
)

// A Compaction says what became of a file.
type Compaction struct {
	Before, After int64 // octets of its pages; After is 0 where it was not made anew
}

// Compact makes the file of the store in dir, which no process may have open, anew: of what was removed from it, nothing is left in it. It needs no key.
// The error wraps ErrCorrupt, ErrInUse or ErrNewer where that is the reason; the old file is as it was then.
func Compact(dir string) (Compaction, error) {
	path := filepath.Join(dir, boltFile)
	c, err := compactClosed(path)
	if err != nil {
		return Compaction{}, fmt.Errorf("store %s: %w", path, openError(err))
	}
	return c, nil
}

func compactClosed(path string) (Compaction, error) {
	if _, err := checkFile(path); err != nil {
		return Compaction{}, err
	}
	db, err := openDB(path)
	if err != nil {
		return Compaction{}, err
	}
	var c Compaction
	if err = db.View(func(tx *bbolt.Tx) error { _, err := readHead(tx); return err }); err == nil {
		c, err = compact(db)
	}
	return c, errors.Join(err, db.Close())
}

// compactBulky compacts the file of db, of which used octets are in use, where that is worth its while and quickly done. The error says why it
// was not done. Where After is not 0 there is a new file, whatever the error.
func compactBulky(db *bbolt.DB, used int64) (Compaction, error) {
	if worth, err := bulky(used, used-int64(db.Stats().FreePageN)*int64(db.Info().PageSize)); !worth {
		return Compaction{}, err
	}
	return compact(db)
}

// bulky reports whether a start should compact a file of which so many octets are in use and live. The error says why not, though it is worth its while.
func bulky(used, live int64) (bool, error) {
	switch {
	case used <= compactFrom || used <= compactTimes*live:
		return false, nil
	case live > compactMost:
		return false, fmt.Errorf("%d MiB of %d MiB are live: it would hold up the start too long", live>>20, used>>20)
	}
	return true, nil
}

// compact puts a new file in the place of that of db, whose lock is held all the time and which is of no use afterwards.
func compact(db *bbolt.DB) (c Compaction, err error) {
	fresh := db.Path() + freshSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was cut off
		return c, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(fresh) // the reason is told already
		}
	}()
	if err := copyLive(db, fresh); err != nil {
		return c, err
	}
	sound, err := checkFile(fresh)
	if err != nil {
		return c, err
	}
	if _, err := checkRecords(fresh); err != nil {
		return c, err
	}
	if err := sameOwner(db.Path(), fresh); err != nil {
		return c, err
	}
	if err := db.View(func(tx *bbolt.Tx) error { c.Before = tx.Size(); return nil }); err != nil {
		return c, err
	}
	if err := os.Rename(fresh, db.Path()); err != nil {
		return c, err
	}
	c.After = sound.used
	return c, syncDir(filepath.Dir(db.Path()))
}

// copyLive writes what db holds to a new file at path, and both heads of that say the same.
func copyLive(db *bbolt.DB, path string) error {
	options := fileOptions
	options.NoSync = true
	to, err := bbolt.Open(path, 0o600, &options)
	if err != nil {
		return err
	}
	to.AllocSize = growth
	err = db.View(func(from *bbolt.Tx) error { return copyRecords(to, from) })
	if err == nil { // one more commit: the head before the last is of all, too
		err = to.Update(func(tx *bbolt.Tx) error {
			meta := tx.Bucket(metaBucket)
			return meta.Put(versionKey, meta.Get(versionKey))
		})
	}
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// copyRecords writes what from holds to an empty file, the records as they are now: none of them has a patch there.
func copyRecords(to *bbolt.DB, from *bbolt.Tx) error {
	h, err := readHead(from)
	if err != nil {
		return err
	}
	h.patches = 0
	err = to.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(numbersBucket); err != nil {
			return err
		}
		if h.format >= patchVersion {
			if _, err := tx.CreateBucket(patchesBucket); err != nil {
				return err
			}
		}
		if err := from.Bucket(metaBucket).ForEach(meta.Put); err != nil || h.format < headVersion {
			return err
		}
		return h.put(tx)
	})
	if err != nil {
		return err
	}
	p := newPatches()
	if _, err := p.load(from); err != nil {
		return err
	}
	w := p.walk(from)
	for k, v := w.next(); k != nil; {
		err := to.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(numbersBucket)
			b.FillPercent = 1 // few of them will change in their place
			for size := 0; k != nil && size < compactStep; k, v = w.next() {
				if err := b.Put(k, v); err != nil {
					return err
				}
				size += len(k) + len(v)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sameOwner gives a file the owner of another, which it will take the place of: it may be root who compacts.
func sameOwner(as, path string) error {
	info, err := os.Stat(as)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() && int(owner.Gid) == os.Getegid() {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
