package otpstore

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// lateEvery is how often a file system that was read-only is tried again.
const lateEvery = time.Second

// isReadOnly reports whether err comes of a file system that is read-only.
func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) || errors.Is(err, ErrReadOnly) }

// A lateBolt stands in for a [Bolt] that cannot be opened, since its file system is read-only. It refuses all with ErrReadOnly, until Run
// could open it.
type lateBolt struct {
	open func() (*Bolt, error) // claims and scans, too
	bolt atomic.Pointer[Bolt]
}

func (l *lateBolt) is() Backend {
	if b := l.bolt.Load(); b != nil {
		return b
	}
	return refusing{}
}

// Run implements [Backend]. An error of the opening that has another reason ends it.
func (l *lateBolt) Run(ctx context.Context) error {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		b, err := l.open()
		if err == nil {
			l.bolt.Store(b)
			return b.Run(ctx)
		}
		if !isReadOnly(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *lateBolt) Claim(ctx context.Context, ids []KeyID) (KeyID, error) {
	return l.is().Claim(ctx, ids)
}
func (l *lateBolt) Lost() time.Time                           { return l.is().Lost() }
func (l *lateBolt) Scan(ctx context.Context, step Step) error { return l.is().Scan(ctx, step) }
func (l *lateBolt) Now() time.Time                            { return l.is().Now() }
func (l *lateBolt) Ready() error                              { return l.is().Ready() }
func (l *lateBolt) Trouble() []string                         { return l.is().Trouble() }
func (l *lateBolt) Close() error                              { return l.is().Close() }

func (l *lateBolt) Update(ctx context.Context, ref Ref, step Step) error {
	return l.is().Update(ctx, ref, step)
}

func (l *lateBolt) Choose(ctx context.Context, refs []Ref, choice Choice) error {
	return l.is().Choose(ctx, refs, choice)
}

func (l *lateBolt) Note(ctx context.Context, ref Ref, step Step, done func(error)) error {
	return l.is().Note(ctx, ref, step, done)
}

func (l *lateBolt) Sweep(ctx context.Context, after Name, before time.Time, limit int, step Step) (Name, bool, error) {
	return l.is().Sweep(ctx, after, before, limit, step)
}

func (l *lateBolt) Page(ctx context.Context, from Name, limit int, visit func(r Record) bool) (Name, bool, error) {
	return l.is().Page(ctx, from, limit, visit)
}

// refusing is the backend of a file system that is read-only.
type refusing struct{}

func (refusing) Claim(context.Context, []KeyID) (KeyID, error)      { return KeyID{}, ErrReadOnly }
func (refusing) Lost() time.Time                                    { return time.Time{} }
func (refusing) Scan(context.Context, Step) error                   { return ErrReadOnly }
func (refusing) Update(context.Context, Ref, Step) error            { return ErrReadOnly }
func (refusing) Choose(context.Context, []Ref, Choice) error        { return ErrReadOnly }
func (refusing) Note(context.Context, Ref, Step, func(error)) error { return ErrReadOnly }
func (refusing) Now() time.Time                                     { return time.Now().UTC().Truncate(time.Microsecond) }
func (refusing) Ready() error                                       { return ErrReadOnly }
func (refusing) Trouble() []string                                  { return []string{readOnlyTrouble} }
func (refusing) Run(context.Context) error                          { return ErrReadOnly }
func (refusing) Close() error                                       { return nil }
func (refusing) Page(context.Context, Name, int, func(Record) bool) (Name, bool, error) {
	return Name{}, false, ErrReadOnly
}

func (refusing) Sweep(context.Context, Name, time.Time, int, Step) (Name, bool, error) {
	return Name{}, false, ErrReadOnly
}
