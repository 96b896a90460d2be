// Package smpp keeps binds up to one account on an operator's SMSC, sends messages over them and reports receipts.
//
// A message goes in, and one of four outcomes comes out: accepted, refused with a status (*StatusError), certainly not
// sent (ErrUnavailable), or unknown (ErrUnknown), which is never reported as any of the others. Receipts leave through a
// func; one is acknowledged to the SMSC after that func has returned, so that the SMSC keeps what could not be recorded.
//
// The package knows nothing of codes and stores nothing: no queue outlives the wait of a caller, and nothing is sent
// again once it may have been accepted.
//
// Start reading at Pool.Send in pool.go. A bind (bind.go) has one session (session.go) after the other: one connection
// with a goroutine that reads and one that writes. The windows of all bound sessions stand in window.go, receipts on
// their way to the func in receipts.go.
package smpp
