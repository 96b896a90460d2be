package otpstore_test

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLookupByNumberAndMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy()
		p.SendLimit, p.NumberLimit, p.DayLimit, p.NumberDayLimit, p.ResendAfter = 10, 10, 0, 0, 0
		dir := t.TempDir()
		s := open(t, dir, p, nil)
		first := s.send(phone)
		time.Sleep(time.Second)
		second := s.send(phone)
		if first.Used != 1 || second.Used != 2 {
			t.Errorf("used %d and %d of the limit", first.Used, second.Used)
		}
		s.close()
		s = open(t, dir, p, nil) // it is in the store, not in memory
		ctx := t.Context()
		found, err := s.LookupNumber(ctx, phone)
		if err != nil || len(found) != 2 || found[0].ID != second.ID || found[1].ID != first.ID || found[1].State != "replaced" {
			t.Errorf("by number: %+v, %v", found, err)
		}
		if found, err := s.LookupNumber(ctx, phone+"0"); err != nil || len(found) != 0 {
			t.Errorf("another number: %+v, %v", found, err)
		}
		found, err = s.LookupMessage(ctx, "main", "m-"+first.ID)
		if err != nil || len(found) != 1 || found[0].ID != first.ID {
			t.Errorf("by message: %+v, %v", found, err)
		}
		for smsc, id := range map[string]string{"other": "m-" + first.ID, "main": "m-x"} {
			if found, err := s.LookupMessage(ctx, smsc, id); err != nil || len(found) != 0 {
				t.Errorf("%s %s: %+v, %v", smsc, id, found, err)
			}
		}
	})
}
