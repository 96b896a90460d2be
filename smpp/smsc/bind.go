package smsc

import (
	"fmt"
	"time"

	"otpgw/smpp/pdu"
)

// systemID is the SMSC's own.
const systemID = "smscsim"

// bind answers bind_receiver, bind_transmitter and bind_transceiver (SMPP 3.4 §4.1).
func (c *session) bind(h pdu.Header, b *pdu.Bind) error {
	cfg := c.server.config()
	if h.Command == pdu.BindTransceiver && (cfg.SilentTransceivers || cfg.NoTransceivers) {
		if !cfg.SilentTransceivers {
			c.nack(h, pdu.StatusInvCmdID)
		}
		return nil
	}
	status := pdu.StatusOK
	switch {
	case c.account != nil:
		status = pdu.StatusAlyBnd
	case cfg.refuseBind():
		status = cfg.BindStatus
	case cfg.SystemID != "" && b.SystemID != cfg.SystemID:
		status = pdu.StatusInvSysID
	case cfg.Password != "" && b.Password != cfg.Password:
		status = pdu.StatusInvPaswd
	}
	if status != pdu.StatusOK {
		c.respond(h, status, nil)
		return nil
	}
	account := c.server.account(b.SystemID)
	if account == nil {
		c.respond(h, pdu.StatusBindFail, nil)
		return nil
	}
	c.transmit = h.Command != pdu.BindReceiver
	c.receives = h.Command != pdu.BindTransmitter
	c.since = time.Now()
	older, ok := account.join(c, cfg.MaxBinds, cfg.KickOlder, func() { c.greet(h, cfg) })
	if !ok {
		c.respond(h, pdu.StatusAlyBnd, nil)
		return nil
	}
	c.account = account
	if older != nil {
		older.close()
	}
	if cfg.HalfOpen {
		c.deaf.Store(true)
		return nil
	}
	if cfg.EnquireEvery > 0 {
		c.later.Go(func() { c.enquireEvery(cfg.EnquireEvery) })
	}
	if c.receives {
		account.schedule(c.strangersReceipts(cfg.ReceiptsAtBind))
	}
	return nil
}

// greet writes the response to a bind, with what goes along with it.
func (c *session) greet(h pdu.Header, cfg *settings) {
	p := c.packet(pdu.Header{Command: h.Command.Response(), Sequence: h.Sequence}, bindBody(cfg))
	if cfg.Eager {
		enquire := func() packet {
			return c.packet(pdu.Header{Command: pdu.EnquireLink, Sequence: c.nextSequence()}, nil)
		}
		before := enquire().octets
		if c.receives {
			early := c.strangersReceipts(1)[0]
			octets, err := early.encode(c.nextSequence(), cfg.withTLVs())
			if err != nil {
				c.server.log.Error("a receipt cannot be written", "error", err)
			}
			before = append(before, octets...)
		}
		p.octets = append(append(before, p.octets...), enquire().octets...)
	}
	switch {
	case cfg.HalfOpen:
		p.last = fallMute
	case cfg.ResetBinds:
		p.last = reset
	}
	c.put(p)
}

func bindBody(cfg *settings) pdu.Body {
	switch {
	case cfg.NoBindBody:
		return nil
	case cfg.BindWithoutNUL:
		raw := pdu.Raw(systemID)
		return &raw
	case !cfg.withTLVs():
		return &pdu.BindResp{SystemID: systemID}
	}
	version := cfg.InterfaceVersion
	if version == 0 {
		version = 0x34
	}
	return &pdu.BindResp{SystemID: systemID, TLVs: pdu.TLVs{{Tag: pdu.TagSCInterfaceVersion, Value: []byte{version}}}}
}

// strangersReceipts are n receipts of messages that nobody sent.
func (c *session) strangersReceipts(n int) []*receipt {
	all := make([]*receipt, n)
	for i := range all {
		all[i] = &receipt{
			id: strangersID(c.server.strangers.Add(1)), state: pdu.Delivered, submitted: time.Now(),
			source: pdu.Address{TON: 1, NPI: 1, Number: "34600000000"}, destination: pdu.Address{Number: systemID},
		}
	}
	return all
}

// strangersID is a message id that the SMSC never gave.
func strangersID(n uint64) string { return fmt.Sprintf("404%07d", n%10_000_000) }

// enquireEvery asks the client for signs of life until the session ends.
func (c *session) enquireEvery(interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.send(pdu.Header{Command: pdu.EnquireLink, Sequence: c.nextSequence()}, nil)
		case <-c.ended:
			return
		}
	}
}
