// Package smpp keeps binds up to accounts on operators' SMSCs, sends messages over them and reports receipts.
//
// A message goes in, and one of four outcomes comes out: accepted, refused with a status (*StatusError), certainly not
// sent (ErrUnavailable), or unknown (ErrUnknown), which is never reported as any of the others. Receipts leave through a
// func; one is acknowledged to the SMSC after that func has returned, so that the SMSC keeps what could not be recorded.
//
// The package knows nothing of codes and stores nothing: no queue outlives the wait of a caller, and nothing is sent
// again once it may have been accepted, unless that is configured.
//
// Start reading at Pool.Send in pool.go. A pool has accounts (account.go), chosen for a message in route.go; send.go is
// the way of a message over one of them. gate.go lets messages onto connections: windows, pace, suspicion and the line of
// those who wait. A bind (bind.go) has one session (session.go) after the other: one connection with a goroutine that
// reads and one that writes. Receipts on their way to the func are in receipts.go, messages whose receipts are waited
// for in expected.go.
package smpp
