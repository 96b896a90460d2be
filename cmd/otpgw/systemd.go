package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/uuid"

	"otpgw/httpapi/admin"
	"otpgw/otpstore"
)

// The names that the sockets of otpgw.socket have (FileDescriptorName=).
const (
	httpSocket  = "http"
	adminSocket = "admin"
)

// listener is the socket of that name that the service manager opened and holds across restarts, so that no connection is refused
// meanwhile; else a new one at address.
func listener(given map[string][]net.Listener, name, address string) (net.Listener, error) {
	switch sockets := given[name]; len(sockets) {
	case 0:
		return admin.Listen(address)
	case 1:
		if at := sockets[0].Addr(); !sameAddress(at, address) {
			return nil, fmt.Errorf("%q is not where the socket %q of the service manager listens, which is %v: one of the two has to change", address, name, at)
		}
		return sockets[0], nil
	default:
		return nil, fmt.Errorf("%d sockets of the name %q were handed over, one is wanted", len(sockets), name)
	}
}

// sameAddress says whether a listener at given is one at address, as net.Listen reads it: what was checked of address, that plain HTTP
// stays on this host above all, is true of given then. Whatever is no TCP is reached from this host only.
func sameAddress(given net.Addr, address string) bool {
	at, is := given.(*net.TCPAddr)
	if !is {
		return true
	}
	wanted, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || wanted.Port != at.Port {
		return false
	}
	everywhere := len(wanted.IP) == 0 || wanted.IP.IsUnspecified()
	return wanted.IP.Equal(at.IP) || everywhere && at.IP.IsUnspecified()
}

// sockets are those that the service manager handed over, by their names.
func sockets(log *slog.Logger) (map[string][]net.Listener, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets of the service manager: %w", err)
	}
	for name, list := range given {
		if name != httpSocket && name != adminSocket {
			return nil, fmt.Errorf("a socket of the name %q was handed over, %s and %s are known", name, httpSocket, adminSocket)
		}
		for _, l := range list {
			if l == nil {
				return nil, fmt.Errorf("what was handed over as %q is no stream socket", name)
			}
			log.Info("socket of the service manager", "name", name, "address", l.Addr().String())
		}
	}
	return given, nil
}

// notify tells systemd, where it started us, what we are doing.
func notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// statusEvery is how often systemd is told what systemctl status shows.
const statusEvery = 5 * time.Second

// runSystemd tells systemd until ctx ends that the daemon is alive, where it wants to know, and what it is at. The store is asked each
// time, through the queue of its commits: a daemon whose store hangs is not alive.
func (d *daemon) runSystemd(ctx context.Context) error {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		<-ctx.Done()
		return nil
	}
	every, alarmed := statusEvery, false
	if limit, err := systemd.SdWatchdogEnabled(false); err == nil && limit > 0 {
		every, alarmed = min(every, limit/3), true
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := d.alive(ctx, every); err != nil {
			d.log.Error("not alive: systemd is not told so", "error", err)
		} else if alarmed {
			notify(d.log, systemd.SdNotifyWatchdog)
		}
		notify(d.log, "STATUS="+d.oneLine())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// alive is nil when the store takes on work and ends it within a time, be it that the disk is full or read-only, which no restart would
// mend.
func (d *daemon) alive(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := d.store.Lookup(ctx, uuid.Must(uuid.NewV7()).String())
	if err == nil || errors.Is(err, otpstore.ErrNotFound) || errors.Is(err, otpstore.ErrFull) || errors.Is(err, otpstore.ErrReadOnly) || errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

// oneLine is what the daemon is at.
func (d *daemon) oneLine() string {
	bound, binds := 0, d.pool.Binds()
	for _, b := range binds {
		if b.State == "bound" {
			bound++
		}
	}
	state := "running"
	switch {
	case d.draining.Load():
		state = "draining"
	case d.pausing.Load():
		state = "paused, no new codes"
	}
	return fmt.Sprintf("%s, %d of %d binds bound", state, bound, len(binds))
}
