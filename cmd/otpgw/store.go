package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"otpgw/config"
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
			dir := config.Default().Store.Dir
			if len(args) == 1 {
				dir = args[0]
			}
			records, err := otpstore.Check(dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "store %s: whole, %s\n", dir, count(records, "record"))
			return nil
		},
	}
	cmd.AddCommand(stats, check)
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
