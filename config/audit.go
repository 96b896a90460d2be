package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkAudit looks at where the audit log is to be.
func (l *loader) checkAudit(cfg Config) {
	const key = "log.audit"
	if l.document.failed[key] || !filepath.IsAbs(cfg.Log.Audit) {
		return
	}
	if fault, sure := cfg.Log.AuditFault(); fault != nil {
		l.report(finding{key: key, message: fmt.Sprintf("%s = %q: %v", key, cfg.Log.Audit, fault), warning: !sure})
	}
}

// AuditFault says why nothing can be appended to the file Audit, as far as that can be told without a change. It is not sure where
// another user may be able to, or the service manager may make the directory first.
func (l Log) AuditFault() (fault error, sure bool) {
	info, err := os.Stat(l.Audit)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("must be a regular file, is %v", info.Mode()), true
	case err == nil && info.Mode().Perm()&0o007 != 0:
		return fmt.Errorf("has mode %04o, must be closed to others: 0600 or 0640", info.Mode().Perm()), true
	case err == nil:
		return access("cannot be written", l.Audit, unix.W_OK), false
	case !errors.Is(err, fs.ErrNotExist):
		return cause(err), errors.Is(err, unix.ENOTDIR)
	}
	dir := filepath.Dir(l.Audit)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return errors.New("its directory does not exist, and the daemon makes none"), false
	}
	return access("its directory cannot be written", dir, unix.W_OK|unix.X_OK), false
}

func access(what, path string, mode uint32) error {
	if err := unix.Access(path, mode); err != nil {
		return fmt.Errorf("%s by the user of this command: %w", what, err)
	}
	return nil
}
