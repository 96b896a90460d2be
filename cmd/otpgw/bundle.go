package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi/admin"
)

func newDebugCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "debug", Short: "Collect what is needed to find a fault", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	var output, path string
	bundle := &cobra.Command{
		Use:   "bundle",
		Short: "Write status, configuration, metrics, goroutines and heap of the daemon into one file",
		Long: `Write what the daemon is at into a .tar.gz to be sent to whoever mends it: status, configuration (secrets only by their places), metrics,
goroutines and a heap profile. There are no codes, texts or numbers in it, but for those that stand in the configuration.`,
		Args: usage(cobra.NoArgs),
	}
	at := socket(bundle)
	bundle.Flags().StringVarP(&output, "output", "o", "", "`file` to write; empty: otpgw-bundle-TIME.tar.gz here")
	bundle.Flags().StringVar(&path, "config", "", "configuration `file`; empty: the one that the daemon reads")
	bundle.RunE = func(cmd *cobra.Command, _ []string) error {
		client := at.client()
		var s admin.Status
		if err := client.Get(cmd.Context(), "/status", nil, &s); err != nil {
			return told(err)
		}
		status, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		files := []bundled{{"version.txt", []byte(versionLine() + "\n")}, {"status.json", status}}
		for _, what := range []struct{ name, file string }{{"metrics", "metrics.txt"}, {"goroutines", "goroutines.txt"}, {"heap", "heap.pprof"}} {
			var content []byte
			if err := client.Get(cmd.Context(), "/inspect", url.Values{"what": {what.name}}, &content); err != nil {
				content = []byte(err.Error() + "\n")
			}
			files = append(files, bundled{what.file, content})
		}
		if path = cmp.Or(path, s.Config.File); path != "" {
			text, problems := config.Show(path, false)
			for _, p := range problems {
				text += p.String() + "\n"
			}
			files = append(files, bundled{"config.txt", []byte(text)})
		}
		name := cmp.Or(output, "otpgw-bundle-"+time.Now().UTC().Format("20060102-150405")+".tar.gz")
		if err := writeBundle(name, files); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), name)
		return nil
	}
	cmd.AddCommand(bundle)
	return cmd
}

// A bundled file is one of a bundle.
type bundled struct {
	name    string
	content []byte
}

// writeBundle writes files into a new archive that only its owner can read.
func writeBundle(name string, files []bundled) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	zipped := gzip.NewWriter(f)
	archive := tar.NewWriter(zipped)
	for _, file := range files {
		header := &tar.Header{Name: "otpgw/" + file.name, Mode: 0o600, Size: int64(len(file.content)), ModTime: time.Now()}
		if err = archive.WriteHeader(header); err == nil {
			_, err = archive.Write(file.content)
		}
		if err != nil {
			break
		}
	}
	return errors.Join(err, archive.Close(), zipped.Close(), f.Close())
}
