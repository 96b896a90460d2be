package smpp_test

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"otpgw/smpp"
	"otpgw/smpp/pdu"
)

func TestStoppedAccountStaysDownUntilItIsStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, backup := account("main", nil), account("backup", func(c *smpp.Config) { c.Tier = 2 })
		f := runFleet(t, main, backup)
		pm, pb := f.bound("main"), f.bound("backup")
		if err := f.Stop("main"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		pm.answer(pm.expect(pdu.Unbind), pdu.StatusOK, nil)
		pm.eof()
		f.over(pb, hello)
		if got := f.Stopped(); !reflect.DeepEqual(got, []string{"main"}) {
			t.Errorf("stopped: %q", got)
		}

		change, err := f.Prepare([]smpp.Config{main, backup})
		if err != nil {
			t.Fatal(err)
		}
		f.Apply(change)
		select {
		case <-f.doors["main"]:
			t.Error("a reload brought it back")
		case <-time.After(5 * time.Second):
		}

		if err := f.Start("main"); err != nil {
			t.Fatal(err)
		}
		pm = f.bound("main")
		time.Sleep(time.Second) // it has to be up for a moment before the backup gives back
		f.over(pm, hello)
		if err := f.Stop("other"); err == nil {
			t.Error("stopped an account that is none")
		}
		f.stopAll(pm, pb)
	})
}

// What a stopped account would take is unavailable, not a mistake of the message.
func TestMessageForAStoppedAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := runFleet(t, account("main", func(c *smpp.Config) { c.Prefixes = []string{"+34"} }))
		p := f.bound("main")
		if err := f.Stop("main"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		p.answer(p.expect(pdu.Unbind), pdu.StatusOK, nil)
		p.eof()
		if err := f.Check(hello); err != nil {
			t.Errorf("Check: %v", err)
		}
		_, err := f.Send(within(t, time.Minute), hello)
		isUnavailable(t, err)
		abroad := hello
		abroad.To = "+351900000000"
		if err := f.Check(abroad); err == nil {
			t.Error("a number that no account serves")
		}
		f.stopAll()
	})
}
