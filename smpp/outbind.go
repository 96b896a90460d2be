package smpp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"otpgw/config/secret"
	"otpgw/smpp/pdu"
)

const (
	maxCallers   = 16              // connections that have not sent outbind yet
	maxOutbind   = 16 + 16 + 9     // octets of an outbind (SMPP 3.4 §4.1.7.1)
	outbindRetry = 5 * time.Second // until a listener is tried again that cannot be had
)

// An outbind waits for the SMSC to connect and to ask for a receiver bind (SMPP 3.4 §2.2.1).
type outbind struct {
	listen   string
	password secret.Text
	patience time.Duration // for the outbind on a connection
	log      *slog.Logger
	calls    chan dialed // with a valid outbind read from it
	slots    chan struct{}
}

func newOutbind(cfg Config, log *slog.Logger) *outbind {
	return &outbind{
		listen: cfg.OutbindListen, password: cfg.OutbindPassword, patience: cfg.BindTimeout, log: log,
		calls: make(chan dialed), slots: make(chan struct{}, maxCallers),
	}
}

// next waits for the next call.
func (o *outbind) next(ctx context.Context) (dialed, error) {
	select {
	case d := <-o.calls:
		return d, nil
	case <-ctx.Done():
		return dialed{}, ctx.Err()
	}
}

// run listens until ctx ends.
func (o *outbind) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := o.serve(ctx); err != nil {
			o.log.Error("no outbind can be taken", "outbind_listen", o.listen, "error", err, "retry_in", outbindRetry)
			timer := time.NewTimer(outbindRetry)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	}
}

func (o *outbind) serve(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // Accept then fails
	defer listener.Close()
	var callers sync.WaitGroup
	defer callers.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case o.slots <- struct{}{}:
		default:
			_ = conn.Close() // nothing was said on it
			continue
		}
		callers.Go(func() {
			defer func() { <-o.slots }()
			o.receive(ctx, conn)
		})
	}
}

// receive reads the outbind, and hands the connection over where it is one of our SMSC.
func (o *outbind) receive(ctx context.Context, conn net.Conn) {
	closing := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err := o.check(conn)
	if !closing() || err != nil {
		_ = conn.Close() // we said nothing on it
		if ctx.Err() == nil {
			o.log.Warn("outbind refused", "peer", conn.RemoteAddr().String(), "error", err)
		}
		return
	}
	waiting, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	select {
	case o.calls <- dialed{conn, conn.RemoteAddr().String()}:
	case <-waiting.Done(): // the bind that it would get is up
		_ = conn.Close()
		o.log.Warn("outbind refused", "peer", conn.RemoteAddr().String(), "error", "the bind is up already")
	}
}

// check reads one PDU and not an octet more.
func (o *outbind) check(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(o.patience)); err != nil {
		return err
	}
	f, err := pdu.NewReader(io.LimitReader(oneByOne{conn}, maxOutbind)).Next()
	if err != nil {
		return fmt.Errorf("read outbind: %w", err)
	}
	if f.Command != pdu.Outbind {
		return fmt.Errorf("%v in place of outbind", f.Command)
	}
	body, err := pdu.Decode(f)
	if err != nil {
		return fmt.Errorf("read outbind: %w", err)
	}
	b, is := body.(*pdu.OutbindBody)
	if !is || subtle.ConstantTimeCompare([]byte(b.Password), []byte(o.password)) != 1 {
		return errors.New("wrong password")
	}
	return conn.SetReadDeadline(time.Time{})
}

// oneByOne gives an octet at a time, so that no buffer takes what belongs to whoever reads next.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.Reader.Read(p[:1])
}
