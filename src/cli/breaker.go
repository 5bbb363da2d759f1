package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"quotes/src/quote"
)

// maxAdminAnswer bounds what an admin listener may answer, in bytes.
const maxAdminAnswer = 4 << 20

// admins are the admin listeners of the processes that have breakers.
type admins struct{ core, aggregator string }

func (a *app) breakerCommand() *cobra.Command {
	var at admins
	cmd := &cobra.Command{
		Use:   "breaker [PROCESS/NAME trip|disable|reset]",
		Short: "List the circuit breakers, or overrule one",
		Long: `Lists the circuit breakers of core and the aggregator, or overrules one: trip forces it open, disable lets everything
through, and both last until reset. It speaks to the admin listeners, which are on loopback unless told otherwise.`,
		Example: `  quotectl breaker
  quotectl breaker core/exchange trip
  quotectl breaker core/exchange reset`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return usagef("want nothing, or PROCESS/NAME and trip, disable or reset, not %d arguments", len(args))
			}
			return nil
		},
		ValidArgs: []string{"core/exchange", "trip", "disable", "reset"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.breakers(cmd.Context(), at)
			}
			return a.overrule(cmd.Context(), at, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&at.core, "core-admin", "127.0.0.1:18082", "core's admin listener, `HOST:PORT`")
	cmd.Flags().StringVar(&at.aggregator, "aggregator-admin", "127.0.0.1:18000", "the aggregator's admin listener, `HOST:PORT`")
	return cmd
}

// peers returns the processes that have breakers, with their admin listeners.
func (at admins) peers() []peer { return []peer{{"core", at.core}, {"aggregator", at.aggregator}} }

// breakerState is what of a breaker's snapshot is shown in tables.
type breakerState struct {
	Name   string     `json:"name"`
	State  string     `json:"state"`
	Since  quote.Time `json:"since"`
	Counts struct {
		Calls    uint64 `json:"calls"`
		Failures uint64 `json:"failures"`
		Slow     uint64 `json:"slow"`
		Refused  uint64 `json:"refused"`
	} `json:"counts"`
	Totals struct {
		Opened uint64 `json:"opened"`
		Late   uint64 `json:"late"`
	} `json:"totals"`
	ProbeError  string `json:"probe_error"`
	Transitions []struct {
		Rule string `json:"rule"`
	} `json:"transitions"`
}

// breakers lists those of all processes that answer; one that does not is an error at the end.
func (a *app) breakers(ctx context.Context, at admins) error {
	all := map[string][]json.RawMessage{}
	var errs []error
	for _, p := range at.peers() {
		raw, err := a.admin(ctx, p, http.MethodGet, "/breakers")
		var list []json.RawMessage
		if err == nil {
			err = json.Unmarshal(raw, &list)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all[p.name] = list
	}
	if err := a.showBreakers(at, all); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// overrule changes one breaker and shows it.
func (a *app) overrule(ctx context.Context, at admins, which, word string) error {
	process, name, ok := strings.Cut(which, "/")
	i := slices.IndexFunc(at.peers(), func(p peer) bool { return p.name == process })
	if !ok || i < 0 || name == "" {
		return usagef("%q: want core/NAME or aggregator/NAME; quotectl breaker lists them", which)
	}
	if word != "trip" && word != "disable" && word != "reset" {
		return usagef("%q: want trip, disable or reset", word)
	}
	raw, err := a.admin(ctx, at.peers()[i], http.MethodPost, "/-/breaker/"+url.PathEscape(name)+"/"+word)
	if err != nil {
		return err
	}
	return a.showBreakers(at, map[string][]json.RawMessage{process: {raw}})
}

func (a *app) showBreakers(at admins, all map[string][]json.RawMessage) error {
	if !a.out.tabular() {
		var lines []json.RawMessage
		for _, p := range at.peers() {
			for _, raw := range all[p.name] {
				line, err := json.Marshal(map[string]any{"process": p.name, "breaker": raw})
				if err != nil {
					return fmt.Errorf("%s: answer can't be read: %w", p.name, err)
				}
				lines = append(lines, line)
			}
		}
		return a.out.items(lines, false)
	}
	t := a.out.newTable(column{name: "BREAKER"}, column{name: "STATE"}, column{name: "SINCE"}, column{name: "RULE"},
		column{name: "CALLS", right: true}, column{name: "FAILED", right: true}, column{name: "SLOW", right: true},
		column{name: "REFUSED", right: true}, column{name: "OPENED", right: true}, column{name: "LATE", right: true, wide: true},
		column{name: "PROBE", wide: true})
	for _, p := range at.peers() {
		states, err := decode[breakerState](all[p.name])
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, b := range states {
			rule := ""
			if n := len(b.Transitions); n > 0 {
				rule = b.Transitions[n-1].Rule
			}
			t.add(text(p.name+"/"+b.Name), stateCell(b.State), text(b.Since.String()), text(rule), number(b.Counts.Calls),
				number(b.Counts.Failures), number(b.Counts.Slow), number(b.Counts.Refused), number(b.Totals.Opened),
				number(b.Totals.Late), text(b.ProbeError))
		}
	}
	if len(t.rows) < 2 {
		return nil // nobody answered, and why is told
	}
	return t.flush()
}

// admin asks an admin listener. Errors say what it said.
func (a *app) admin(ctx context.Context, p peer, method, path string) ([]byte, error) {
	if _, _, err := net.SplitHostPort(p.addr); err != nil {
		return nil, usagef("--%s-admin %q: want HOST:PORT such as 127.0.0.1:18082", p.name, p.addr)
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.addr+path, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is a listener of ours
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s's admin listener at %s does not answer: %w (is it running? --%s-admin chooses another address)", p.name, p.addr, innermost(err), p.name)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(clean(strings.TrimSpace(string(body))))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return body, nil
}
