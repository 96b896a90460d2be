package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"otpgw/config"
	"otpgw/httpapi/admin"
)

// serve runs the daemon with the configuration in path until ctx ends. A value on reload makes it read path again.
func serve(ctx context.Context, path string, reload <-chan os.Signal) error {
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return invalidError{fmt.Errorf("invalid configuration, nothing was started\n%w", err)}
	}
	level := new(slog.LevelVar)
	level.Set(slogLevel(cfg.Log))
	out, form, err := openLog(os.Stderr, cfg.Log.Format, journalPath)
	queue := newLogQueue(out, form.lost)
	defer queue.Close()
	log := newLogger(queue, form, level)
	if err != nil {
		log.Warn("the journal cannot be reached, the log goes to standard error", "error", err)
	}

	warn(log, warnings)
	d, err := newDaemon(cfg, log, level)
	if err != nil {
		return err
	}
	queue.register(d.registry)
	d.file, d.loaded = path, loadedNow(path, warnings)
	log = d.log
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
			_, _ = d.reloadFrom(path) // it is in the log
		}
	}
}

// reloadFrom reads the configuration again. A configuration that cannot be used changes nothing and is logged.
func (d *daemon) reloadFrom(path string) (admin.Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	notify(d.log, systemd.SdNotifyReloading)
	defer notify(d.log, systemd.SdNotifyReady)
	cfg, warnings, err := config.Load(path)
	done := admin.Reloaded{Changed: []string{}, Restart: []string{}, Warnings: []string{}}
	if err == nil {
		warn(d.log, warnings)
		var changed, restart []string
		changed, restart, err = d.reload(cfg)
		done.Changed, done.Restart = append(done.Changed, changed...), append(done.Restart, restart...)
	}
	for _, p := range warnings {
		done.Warnings = append(done.Warnings, p.String())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.loaded.Error = err.Error()
		d.reloads.refused()
		d.log.Error("reload refused, the configuration in force stays", "error", err)
		return admin.Reloaded{}, err
	}
	d.loaded = loadedNow(path, warnings)
	d.loaded.Restart = done.Restart
	d.reloads.loaded()
	return done, nil
}

// warn logs what is valid in a configuration and still looks like a mistake.
func warn(log *slog.Logger, problems []config.Problem) {
	for _, p := range problems {
		attrs := []any{"key", p.Key, "problem", p.Message, "file", p.File}
		if p.Line > 0 {
			attrs = append(attrs, "line", p.Line)
		}
		log.Warn("configuration", attrs...)
	}
}
