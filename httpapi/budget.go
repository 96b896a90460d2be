package httpapi

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"otpgw/otpstore"
)

// A Budget bounds how many codes are sent to a part of the world, against traffic that somebody earns by: [[budget]].
type Budget struct {
	Name       string        `toml:"name" comment:"Name of the budget in logs and metrics: 1 to 32 small letters, digits and _" reload:"hot"`
	Prefixes   []string      `toml:"prefixes" comment:"Beginnings of the numbers that count, such as \"+34\". Empty: all." reload:"hot"`
	Clients    []string      `toml:"clients" comment:"Ids of the clients whose codes count. Empty: all." reload:"hot"`
	EachClient bool          `toml:"each_client" comment:"Every client has the whole limit for itself." reload:"hot"`
	Limit      int           `toml:"limit" comment:"Codes sent within window, 1..1000000000. What exceeds it is answered 429 QUOTA_EXCEEDED." reload:"hot"`
	Window     time.Duration `toml:"window" comment:"Length of the sliding window, 1m to 24h." reload:"hot"`
}

// DefaultBudget is over an hour and has no limit yet.
func DefaultBudget() Budget { return Budget{Window: time.Hour} }

var prefixForm = regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`)

var budgetName = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// Validate joins one error for every key that cannot be served; each begins with the key.
func (b Budget) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !budgetName.MatchString(b.Name) || b.Name == clientDay {
		bad("name = %q: must be 1 to 32 small letters, digits and _, and not %s", b.Name, clientDay)
	}
	for _, prefix := range b.Prefixes {
		if !prefixForm.MatchString(prefix) {
			bad("prefixes = %q: must be + and 1 to 15 digits, the first not 0", prefix)
		}
	}
	if b.Limit < 1 || b.Limit > 1_000_000_000 {
		bad("limit = %d: must be 1..1000000000", b.Limit)
	}
	if b.Window < time.Minute || b.Window > 24*time.Hour {
		bad("window = %q: must be 1m..24h", b.Window)
	}
	return errors.Join(errs...)
}

// clientDay is the limit of Client.DayLimit.
const clientDay = "client_day"

// budgets are those that a code of client for number counts in.
func (t *liveTables) budgetsFor(client *caller, number string) []otpstore.Budget {
	var all []otpstore.Budget
	if client.DayLimit > 0 {
		all = append(all, otpstore.Budget{Limit: clientDay, Scope: "client/" + client.ID, Max: client.DayLimit, Window: 24 * time.Hour})
	}
	for _, b := range t.budgets {
		if len(b.Clients) > 0 && !slices.Contains(b.Clients, client.ID) {
			continue
		}
		if len(b.Prefixes) > 0 && !slices.ContainsFunc(b.Prefixes, func(p string) bool { return strings.HasPrefix(number, p) }) {
			continue
		}
		scope := "budget/" + b.Name
		if b.EachClient {
			scope += "/" + client.ID
		}
		all = append(all, otpstore.Budget{Limit: b.Name, Scope: scope, Max: b.Limit, Window: b.Window})
	}
	return all
}
