package otpstore_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"otpgw/otpstore"
	"otpgw/otpstore/storetest"
)

// bolt is the engine as it is.
var bolt = storetest.Engine{
	Open: func(t testing.TB, dir string) otpstore.Backend {
		t.Helper()
		b, err := otpstore.OpenBolt(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	},
	Fill: func(t testing.TB, b otpstore.Backend) func() {
		t.Helper()
		free, err := otpstore.Fill(b.(*otpstore.Bolt))
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := free(); err != nil {
				t.Error(err)
			}
		}
	},
	Lose: func(t testing.TB, dir string) {
		t.Helper()
		if err := otpstore.SetAside(dir); err != nil {
			t.Fatal(err)
		}
	},
	SetBack: func(t testing.TB, dir string) time.Time {
		t.Helper()
		latest := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		if err := otpstore.NoteTime(filepath.Join(dir, otpstore.BoltFile), latest); err != nil {
			t.Fatal(err)
		}
		return latest
	},
}

func TestBoltKeepsContract(t *testing.T) { storetest.Run(t, bolt) }

// wrongly is bolt but for what f makes of each backend that is opened.
func wrongly(f func(b otpstore.Backend) otpstore.Backend) storetest.Engine {
	e := bolt
	e.Open = func(t testing.TB, dir string) otpstore.Backend { return f(bolt.Open(t, dir)) }
	e.Fill = func(t testing.TB, b otpstore.Backend) func() { return bolt.Fill(t, b.(crooked).right()) }
	return e
}

// A crooked backend keeps one that is not.
type crooked interface{ right() otpstore.Backend }

type inner struct{ otpstore.Backend }

func (i inner) right() otpstore.Backend { return i.Backend }

// otherNow tells another time than it goes by.
type otherNow struct {
	inner
	now func(time.Time) time.Time
}

func (o otherNow) Now() time.Time { return o.now(o.Backend.Now()) }

// otherClock goes by another time, too.
type otherClock struct{ otherNow }

func (o otherClock) Scan(ctx context.Context, step otpstore.Step) error {
	return o.Backend.Scan(ctx, func(now time.Time, r otpstore.Record) (otpstore.Record, bool) { return step(o.now(now), r) })
}

func (o otherClock) Update(ctx context.Context, ref otpstore.Ref, step otpstore.Step) error {
	return o.Backend.Update(ctx, ref, func(now time.Time, r otpstore.Record) (otpstore.Record, bool) { return step(o.now(now), r) })
}

func (o otherClock) Choose(ctx context.Context, refs []otpstore.Ref, choice otpstore.Choice) error {
	return o.Backend.Choose(ctx, refs, func(now time.Time, r []otpstore.Record) (int, otpstore.Record, bool) { return choice(o.now(now), r) })
}

// rightNow tells the right time, and goes by another.
type rightNow struct{ otherClock }

func (r rightNow) Now() time.Time { return r.Backend.Now() }

type otherLost struct {
	inner
	lost time.Time
}

func (o otherLost) Lost() time.Time { return o.lost }

type otherTrouble struct {
	inner
	trouble func([]string) []string
}

func (o otherTrouble) Trouble() []string { return o.trouble(o.Backend.Trouble()) }

// otherUpdate does f with every Update, which has what the right one gives.
type otherUpdate struct {
	inner
	f func(ctx context.Context, b otpstore.Backend, ref otpstore.Ref, step otpstore.Step) error
}

func (o otherUpdate) Update(ctx context.Context, ref otpstore.Ref, step otpstore.Step) error {
	return o.f(ctx, o.Backend, ref, step)
}

type otherReady struct{ inner }

func (o otherReady) Ready() error {
	if len(o.Trouble()) > 0 {
		return otpstore.ErrFull
	}
	return o.Backend.Ready()
}

// Each of these is wrong in one way, and the suite must find it out.
func TestTheSuiteFindsOutWrongBackends(t *testing.T) {
	now := func(f func(time.Time) time.Time) func(otpstore.Backend) otpstore.Backend {
		return func(b otpstore.Backend) otpstore.Backend { return otherNow{inner{b}, f} }
	}
	clock := func(f func(time.Time) time.Time) func(otpstore.Backend) otpstore.Backend {
		return func(b otpstore.Backend) otpstore.Backend { return otherClock{otherNow{inner{b}, f}} }
	}
	trouble := func(f func([]string) []string) func(otpstore.Backend) otpstore.Backend {
		return func(b otpstore.Backend) otpstore.Backend { return otherTrouble{inner{b}, f} }
	}
	update := func(f func(context.Context, otpstore.Backend, otpstore.Ref, otpstore.Step) error) func(otpstore.Backend) otpstore.Backend {
		return func(b otpstore.Backend) otpstore.Backend { return otherUpdate{inner{b}, f} }
	}
	lost := func(f func(was time.Time) time.Time) func(otpstore.Backend) otpstore.Backend {
		return func(b otpstore.Backend) otpstore.Backend { return otherLost{inner{b}, f(b.Lost())} }
	}
	began := time.Now().UTC()
	var calls sync.Mutex
	even := 0
	for name, test := range map[string]struct {
		part string
		open func(otpstore.Backend) otpstore.Backend
	}{
		"local time":          {"ClockRunsAndNeverGoesBack", clock(func(now time.Time) time.Time { return now.In(time.FixedZone("x", 3600)) })},
		"nanoseconds":         {"ClockRunsAndNeverGoesBack", clock(func(now time.Time) time.Time { return now.Add(7) })},
		"half as fast":        {"ClockRunsAndNeverGoesBack", clock(func(now time.Time) time.Time { return began.Add(now.Sub(began) / 2).Truncate(time.Microsecond) })},
		"steps go by another": {"ClockRunsAndNeverGoesBack", now(func(now time.Time) time.Time { return now.Add(time.Minute) })},
		"goes back and forth": {"ClockRunsAndNeverGoesBack", clock(func(now time.Time) time.Time {
			calls.Lock()
			defer calls.Unlock()
			even++
			return now.Add(time.Duration(even%2) * time.Second)
		})},
		"begins anew by the system's clock": {"ClockOutlivesRestart", clock(func(time.Time) time.Time { return time.Now().UTC().Truncate(time.Microsecond) })},
		"tells the right time, and steps go by the system's": {"ClockOutlivesRestart", func(b otpstore.Backend) otpstore.Backend {
			return rightNow{otherClock{otherNow{inner{b}, func(time.Time) time.Time { return time.Now().UTC().Truncate(time.Microsecond) }}}}
		}},
		"never lost anything":   {"LossIsRemembered", lost(func(time.Time) time.Time { return time.Time{} })},
		"always lost something": {"LossIsRemembered", lost(func(time.Time) time.Time { return began })},
		"lost it at each start": {"LossIsRemembered", lost(func(was time.Time) time.Time {
			if was.IsZero() {
				return was
			}
			return time.Now().UTC()
		})},
		"lost it in the future": {"LossIsRemembered", lost(func(was time.Time) time.Time {
			if was.IsZero() {
				return was
			}
			return was.Add(time.Hour)
		})},
		"never tells": {"TroubleIsToldWhileItLasts", trouble(func([]string) []string { return nil })},
		"tells on": {"TroubleIsToldWhileItLasts", func(b otpstore.Backend) otpstore.Backend {
			var all []string
			return otherTrouble{inner{b}, func(list []string) []string { all = append(all, list...); return slices.Clone(all) }}
		}},
		"tells in two lines": {"TroubleIsToldWhileItLasts", trouble(func(list []string) []string {
			for i := range list {
				list[i] += "\n"
			}
			return list
		})},
		"takes all": {"FullRefusesNewRecordsOnly", update(func(ctx context.Context, b otpstore.Backend, ref otpstore.Ref, step otpstore.Step) error {
			if err := b.Update(ctx, ref, step); !errors.Is(err, otpstore.ErrFull) {
				return err
			}
			return nil
		})},
		"refuses without a reason": {"FullRefusesNewRecordsOnly", update(func(ctx context.Context, b otpstore.Backend, ref otpstore.Ref, step otpstore.Step) error {
			if err := b.Update(ctx, ref, step); !errors.Is(err, otpstore.ErrFull) {
				return err
			}
			return otpstore.ErrUnavailable
		})},
		"refuses all": {"FullRefusesNewRecordsOnly", update(func(ctx context.Context, b otpstore.Backend, ref otpstore.Ref, step otpstore.Step) error {
			if len(b.Trouble()) > 0 {
				ref.By = otpstore.ByNumber
			}
			return b.Update(ctx, ref, step)
		})},
		"keeps what it refuses": {"FullRefusesNewRecordsOnly", update(func(ctx context.Context, b otpstore.Backend, ref otpstore.Ref, step otpstore.Step) error {
			err := b.Update(ctx, ref, step)
			if errors.Is(err, otpstore.ErrFull) {
				kept := b.Choose(ctx, []otpstore.Ref{ref}, func(now time.Time, r []otpstore.Record) (int, otpstore.Record, bool) {
					if len(r) == 0 {
						return 0, nil, false
					}
					next, changed := step(now, bytes.Clone(r[0]))
					return 0, next, changed
				})
				err = errors.Join(err, kept)
			}
			return err
		})},
		"is not ready": {"FullRefusesNewRecordsOnly", func(b otpstore.Backend) otpstore.Backend { return otherReady{inner{b}} }},
	} {
		t.Run(name, func(t *testing.T) {
			said := storetest.Objections(t, test.part, wrongly(test.open))
			if len(said) == 0 {
				t.Fatalf("%s has nothing against it", test.part)
			}
			t.Logf("%s: %s", test.part, said[0])
		})
	}
	for _, part := range []string{"ClockRunsAndNeverGoesBack", "ClockOutlivesRestart", "LossIsRemembered", "TroubleIsToldWhileItLasts", "FullRefusesNewRecordsOnly"} {
		if said := storetest.Objections(t, part, wrongly(func(b otpstore.Backend) otpstore.Backend { return inner{b} })); len(said) > 0 {
			t.Errorf("%s is against one that is right: %q", part, said)
		}
	}
}
