package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi/admin"
	"otpgw/otpstore"
)

// The commands about the store and its keys.

// storeStats is what the daemon says of its store: neither numbers nor keys.
type storeStats struct {
	otpstore.Stats
	Keys []keyStats `json:"keys"` // newest first, then those that are no longer in the ring
}

// keyStats tells of one key, by its id.
type keyStats struct {
	ID      string `json:"id"` // "" for the records of an older format, which do not say
	Ring    bool   `json:"inRing"`
	Records int    `json:"records"` // that it seals
}

// storeStats counts; it reads every record.
func (d *daemon) storeStats(ctx context.Context) (storeStats, error) {
	seals, err := d.store.Seals(ctx)
	if err != nil {
		return storeStats{}, err
	}
	s := storeStats{Stats: d.store.Stats()}
	for _, id := range d.store.Keys() {
		s.Keys = append(s.Keys, keyStats{id.String(), true, seals[id]})
		delete(seals, id)
	}
	for id, n := range seals {
		k := keyStats{ID: id.String(), Records: n}
		if id == (otpstore.KeyID{}) {
			k.ID = ""
		}
		s.Keys = append(s.Keys, k)
	}
	return s, nil
}

// askStats asks the daemon.
func askStats(cmd *cobra.Command, at *socketFlag) (s storeStats, err error) {
	var content []byte
	if err := at.client().Get(cmd.Context(), "/inspect", url.Values{"what": {"store"}}, &content); err != nil {
		return s, told(err)
	}
	return s, json.Unmarshal(content, &s)
}

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Look at the store", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	var asJSON bool
	stats := &cobra.Command{
		Use:   "stats",
		Short: "Print what the running daemon's store holds, how large it is and what is amiss",
		Args:  usage(cobra.NoArgs),
	}
	at := socket(stats)
	stats.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	stats.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := askStats(cmd, at)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if asJSON {
			return json.NewEncoder(out).Encode(s)
		}
		fmt.Fprintf(out, "records %d, in use %d MiB of %d MiB, free on the disk %d MiB\n", s.Records, (s.Used-s.Free)>>20, s.Used>>20, s.DiskFree>>20)
		for _, line := range s.Trouble {
			fmt.Fprintf(out, "  trouble: %s\n", line)
		}
		return nil
	}
	check := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Check the store of a daemon that is down, without changing it",
		Long: `Check the store in DIR, or in the default directory, of a daemon that is down: the structure of the file, and that every record is there as it
was written last. The exit code is 0 when it is whole, 1 when it is damaged or in use. The daemon does the same at each start, and checks the seal of every record, too.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := storeDir(args)
			records, err := otpstore.Check(dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "store %s: whole, %s\n", dir, count(records, "record"))
			return nil
		},
	}
	cmd.AddCommand(stats, check, newCompactCommand(), newForgetCommand(), newBackupCommand())
	return cmd
}

func newCompactCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compact [DIR]",
		Short: "Make the file of the store anew, of a daemon that is down, without what was removed",
		Long: `Make the file of the store in DIR, or in the default directory, anew, of a daemon that is down: it holds what is live, and nothing of what was
removed, forgotten or swept. The new file is checked before it takes the place of the old one; there must be room for both.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := storeDir(args)
			c, err := otpstore.Compact(dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "store %s: compacted, %d KiB of %d KiB\n", dir, c.After>>10, c.Before>>10)
			return nil
		},
	}
}

// storeDir is the directory that was named, or the default.
func storeDir(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return config.Default().Store.Dir
}

func newBackupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of the running daemon's store, as it is at one moment",
		Long: `Write a copy of the running daemon's store to FILE, which must not be there, of mode 0600. It is of use with the store's key only. A daemon that
starts with it in the place of otp.db expires all codes that were out and halves the limits for one of their windows each: what was tried and sent since is
not in it.`,
		Args: usage(cobra.ExactArgs(1)),
	}
	at := socket(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		records, err := otpstore.SaveBackup(args[0], func(w io.Writer) error { return at.client().Stream(cmd.Context(), "backup", w) })
		if errors.Is(err, fs.ErrExist) {
			return invalidError{err}
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "backup %s: whole, %s\n", args[0], count(records, "record"))
		return nil
	}
	return cmd
}

func newForgetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget NUMBER",
		Short: "Erase what the running daemon knows of a phone number",
		Long: `Erase what the running daemon knows of a phone number, +E.164: ids of its verifications, masked number, message ids, receipts, traces. Codes
that are live end. When codes were issued, for which clients, and how many wrong ones came in a row stays under a keyed hash until it counts no longer, so that
no limit reopens. The exit code is 2 when nothing is known of the number.`,
		Args: usage(cobra.ExactArgs(1)),
	}
	at := socket(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var done admin.Forgotten
		if err := at.client().Do(cmd.Context(), "forget", url.Values{"number": {args[0]}}, &done); err != nil {
			return told(err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "forgotten: %s, %d of them live, %s in memory; limits still count\n",
			count(done.Verifications, "verification"), done.Live, count(done.Traces, "trace"))
		return nil
	}
	return cmd
}

func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make and list the keys of the store", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	fresh := &cobra.Command{
		Use:   "new",
		Short: "Print a new key, as a line for the top of the file that store.key refers to",
		Long: `Print a new key of 256 random bits. Put it above the lines that are there: the newest key seals, all read. After a restart records are
sealed with it as they change. An older line may go once the longest of otp.retention and the windows has passed since that restart.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), otpstore.NewKey())
			return err
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "Print the ids of the running daemon's keys, newest first, and how many records each seals",
		Args:  usage(cobra.NoArgs),
	}
	at := socket(list)
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := askStats(cmd, at)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KEY\tRECORDS\tUSE")
		for i, k := range s.Keys {
			use := "reads"
			switch {
			case k.ID == "":
				k.ID, use = "-", "of an older format, which names no key"
			case !k.Ring:
				use = "not in the ring"
			case i == 0:
				use = "seals and reads"
			}
			fmt.Fprintf(table, "%s\t%d\t%s\n", k.ID, k.Records, use)
		}
		return table.Flush()
	}
	cmd.AddCommand(fresh, list)
	return cmd
}
