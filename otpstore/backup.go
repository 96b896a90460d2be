package otpstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// A backup is a store of an earlier time. Whoever opens one would give back tries, codes and limits that were spent since, so it is marked, and the
// start that finds the mark takes it for a loss (loss.go): codes that were out are expired and limits are halved.

// backupKey marks a backup, beside the head.
var backupKey = []byte("backup")

// Backup writes the file of the store to w as it is at one moment. The file keeps all that is removed meanwhile, and where it grows past a multiple
// of 1 GiB, commits wait for the end; else it holds up nobody.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	b, ok := s.bolt()
	if !ok {
		return errors.New("backup: there is no file that is open")
	}
	err := b.view(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(bounded{ctx, w})
		return err
	})
	if err != nil { // of which bbolt keeps the text alone
		return fmt.Errorf("backup: %w", cmp.Or(ctx.Err(), err))
	}
	return nil
}

// bounded writes until ctx ends.
type bounded struct {
	ctx context.Context
	io.Writer
}

func (b bounded) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Writer.Write(p)
}

// SaveBackup makes a file at path, which must not be there, of what write writes, which is what [Store.Backup] wrote. It is checked and marked as
// a backup; where anything of that fails there is no file. records is how many are in it.
func SaveBackup(path string, write func(io.Writer) error) (records int, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := errors.Join(write(f), f.Close()); err != nil {
		return 0, err
	}
	if records, err = saved(path); err != nil {
		return 0, fmt.Errorf("%s: %w", path, openError(err))
	}
	return records, syncDir(filepath.Dir(path))
}

// saved checks and marks the file at path.
func saved(path string) (records int, err error) {
	if _, err := checkFile(path); err != nil {
		return 0, err
	}
	if records, err = checkRecords(path); err != nil {
		return 0, err
	}
	db, err := openDB(path)
	if err != nil {
		return 0, err
	}
	for range 2 { // in both heads
		err = errors.Join(err, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(backupKey, []byte{1}) }))
	}
	return records, errors.Join(err, db.Close())
}

// outdated ends the codes of n that were live when what is known of them was lost: how often they were tried is not known.
func outdated(now, lost time.Time, n number) (number, bool) {
	changed := false
	for i, c := range n.codes {
		if c.state == live && !c.issued.After(lost) {
			n, changed = n.with(i, c.finish(elapsed, now)), true
		}
	}
	return n, changed
}
