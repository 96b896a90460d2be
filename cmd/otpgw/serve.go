package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"otpgw/config"
)

// serve runs the daemon with the configuration in path until ctx ends. A value on reload makes it read path again.
func serve(ctx context.Context, path string, reload <-chan os.Signal) error {
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return invalidError{fmt.Errorf("invalid configuration, nothing was started\n%w", err)}
	}
	level := new(slog.LevelVar)
	level.Set(slogLevel(cfg.Log))
	log := newLogger(os.Stderr, cfg.Log.Format, level)

	warn(log, warnings)
	d, err := newDaemon(cfg, log, level)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version, "config", path,
		"http", d.apiListener.Addr().String(), "admin", d.adminListener.Addr().String())

	ran := make(chan error, 1)
	go func() { ran <- d.run(ctx) }() // ends with ctx or when a layer fails; awaited below
	notify(log, systemd.SdNotifyReady)
	for {
		select {
		case err := <-ran:
			log.Info("stopped")
			return err
		case <-ctx.Done():
			notify(log, systemd.SdNotifyStopping)
			log.Info("draining")
			err := <-ran
			log.Info("stopped")
			return err
		case <-reload:
			d.reloadFrom(path)
		}
	}
}

// reloadFrom reads the configuration again. A configuration that cannot be used changes nothing and is logged.
func (d *daemon) reloadFrom(path string) {
	notify(d.log, systemd.SdNotifyReloading)
	defer notify(d.log, systemd.SdNotifyReady)
	cfg, warnings, err := config.Load(path)
	if err == nil {
		warn(d.log, warnings)
		err = d.reload(cfg)
	}
	if err != nil {
		d.reloads.refused()
		d.log.Error("reload refused, the configuration in force stays", "error", err)
		return
	}
	d.reloads.loaded()
}

// warn logs what is valid in a configuration and still looks like a mistake.
func warn(log *slog.Logger, problems []config.Problem) {
	for _, p := range problems {
		log.Warn("configuration", "key", p.Key, "problem", p.Message, "file", p.File, "line", p.Line)
	}
}

// notify tells systemd, where it started us, what we are doing.
func notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}
