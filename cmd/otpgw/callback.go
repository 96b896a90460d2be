package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"otpgw/config"
	"otpgw/httpapi"
	"otpgw/httpapi/callbacks"
	"otpgw/otpstore"
)

// facts are what the clients of each sink are to be told of the codes that are issued from now on.
func facts(sinks []callbacks.Config) map[string]otpstore.Facts {
	all := map[string]otpstore.Facts{}
	for _, sink := range sinks {
		deliveries, outcomes := sink.Tells()
		for _, client := range sink.Clients {
			if deliveries {
				all[client] |= otpstore.Delivery
			}
			if outcomes {
				all[client] |= otpstore.Outcome
			}
		}
	}
	return all
}

// event is an event of the store as the callbacks see it.
func (o owed) event(e otpstore.Event) callbacks.Event {
	return callbacks.Event{ID: e.ID, Client: e.Client, Outcome: e.Fact == otpstore.Outcome, Name: e.Name, At: o.wall(e, e.At)}
}

// wall is a time of e by the system's clock, from which the store's may be off where that has leapt. Receipts have the system's time.
func (o owed) wall(e otpstore.Event, at time.Time) time.Time {
	if skew := time.Since(o.store.Now()); e.Fact == otpstore.Outcome && skew.Abs() > time.Minute {
		return at.Add(skew)
	}
	return at
}

func stored(e callbacks.Event) otpstore.Event {
	fact := otpstore.Delivery
	if e.Outcome {
		fact = otpstore.Outcome
	}
	return otpstore.Event{ID: e.ID, Client: e.Client, Fact: fact, Name: e.Name, At: e.At}
}

// owed is the store as the callbacks see it.
type owed struct{ store *otpstore.Store }

// untoldPart bounds the records that are read at once in search of what is untold.
const untoldPart = 4096

func (o owed) Untold(ctx context.Context, from string, visit func(callbacks.Event) bool) (string, error) {
	return o.store.Untold(ctx, from, untoldPart, func(e otpstore.Event) bool { return visit(o.event(e)) })
}

func (o owed) Describe(ctx context.Context, e callbacks.Event) (data []byte, at time.Time, untold bool, err error) {
	v, at, err := o.store.Owes(ctx, stored(e))
	if errors.Is(err, otpstore.ErrNotFound) {
		return nil, at, false, nil
	}
	if err != nil {
		return nil, at, false, err
	}
	data, err = httpapi.Describe(v, o.store.Now())
	return data, o.wall(stored(e), at), true, err
}

func (o owed) Told(ctx context.Context, e callbacks.Event, done func(error)) error {
	return o.store.Told(ctx, stored(e), done)
}

// toldOf takes down in its trace what became of an event.
func (d *daemon) toldOf(id, what, detail string, names ...string) {
	d.traces.Add(id, time.Time{}, what, detail, names...)
}

func newCallbackCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "callback", Short: "Try out where clients are told", Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	var path string
	test := &cobra.Command{
		Use:   "test SINK",
		Short: "Post a signed event of type test to [[sink]] SINK and print the answer",
		Long: `Post one event to the sink, signed as all are, with the type test and no data, and print how it was answered. The exit code
is 0 only if it was taken: any status 2xx.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := config.Load(path) // check-config tells the warnings
			if err != nil {
				return invalidError{err}
			}
			sink, err := sinkNamed(cfg, args[0])
			if err != nil {
				return invalidError{err}
			}
			answer, err := callbacks.Test(cmd.Context(), sink)
			if err != nil {
				return fmt.Errorf("sink %s: no answer: %w", sink.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s in %v\n", answer.Status, answer.Took.Round(10*time.Microsecond))
			if body := strings.TrimSpace(answer.Body); body != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "%.200q\n", body)
			}
			if answer.Code/100 != 2 {
				return fmt.Errorf("sink %s: not taken: %s", sink.Name, answer.Status)
			}
			return nil
		},
	}
	test.Flags().StringVar(&path, "config", defaultConfigFile, "configuration `file`")
	cmd.AddCommand(test)
	return cmd
}

// sinkNamed finds a sink of the configuration.
func sinkNamed(cfg config.Config, name string) (callbacks.Config, error) {
	var names []string
	for _, sink := range cfg.Sinks {
		if sink.Name == name {
			return sink, nil
		}
		names = append(names, sink.Name)
	}
	if len(names) == 0 {
		return callbacks.Config{}, errors.New("there is no [[sink]]")
	}
	return callbacks.Config{}, fmt.Errorf("there is no [[sink]] with name = %q: there are %s", name, strings.Join(names, ", "))
}
