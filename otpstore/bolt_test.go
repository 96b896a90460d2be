package otpstore_test

import (
	"testing"

	"otpgw/otpstore"
	"otpgw/otpstore/storetest"
)

func TestBoltKeepsContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) otpstore.Backend {
		t.Helper()
		b, err := otpstore.OpenBolt(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
