package otpstore

import (
	"errors"
	"fmt"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Stats is what an operator may ask of a store.
type Stats struct {
	Records  int      `json:"records"`
	Used     int64    `json:"usedOctets"`     // of the file, free pages among them
	Free     int64    `json:"freeOctets"`     // in pages of the file that hold nothing
	DiskFree int64    `json:"diskFreeOctets"` // of the file system
	Trouble  []string `json:"trouble,omitempty"`
}

// Stats tells how large the store is. What its backend does not know is 0.
func (s *Store) Stats() Stats {
	stats := Stats{Trouble: s.Trouble()}
	if b, ok := s.bolt(); ok {
		b.measure(&stats)
	}
	return stats
}

// measure fills in what b knows.
func (b *Bolt) measure(s *Stats) {
	_ = b.view(func(tx *bbolt.Tx) error { // its error ends Run
		s.Used = tx.Size()
		if h, err := readHead(tx); err == nil {
			s.Records = int(h.count)
		}
		return nil
	})
	s.Free = int64(b.db.Stats().FreePageN) * int64(b.db.Info().PageSize)
	s.DiskFree, _ = freeSpace(b.room.file) // 0 where it cannot be had
}

// Check checks the store in dir, which no process may have open, and changes nothing: its structure, and that the records are those which were
// written last. It gives how many there are. It needs no key, and does not check the seals. The error wraps ErrCorrupt, ErrInUse or ErrNewer
// where that is the reason.
func Check(dir string) (records int, err error) {
	path := filepath.Join(dir, boltFile)
	if _, err := checkFile(path); err != nil {
		return 0, fmt.Errorf("store %s: %w", path, openError(err))
	}
	if records, err = checkRecords(path); err != nil {
		return 0, fmt.Errorf("store %s: %w", path, openError(err))
	}
	return records, nil
}

// checkRecords counts the records in the file at path, whose structure is sound, and says whether they are those that its head speaks of.
func checkRecords(path string) (records int, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return 0, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		p := newPatches()
		patches, err := p.load(tx)
		if err != nil {
			return err
		}
		w := p.walk(tx)
		count, sum := sumRecords(w)
		records = int(count)
		if h.format >= headVersion && (h.count != count || h.patches != patches || h.sum != sum) {
			return fmt.Errorf("%w: %d records and %d patches, %d and %d were written, or some are not as they were",
				ErrCorrupt, records, patches, h.count, h.patches)
		}
		return w.complete()
	})
	return records, errors.Join(err, db.Close())
}
