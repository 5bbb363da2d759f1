package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"quotes/src/quote"
	"quotes/src/wire"
)

// subjects returns what status can be asked about, with how the names of its peers and breakers begin.
func subjects() map[string][]string {
	return map[string][]string{
		"all":      {""},
		"external": {"external", "exchange"},
		"core":     {"core"},
		"shards":   {"shard-"},
	}
}

func (a *app) statusCommand() *cobra.Command {
	names := slices.Sorted(maps.Keys(subjects()))
	return &cobra.Command{
		Use:   "status [external|core|shards|all]",
		Short: "Who is up, the breakers, and how many prices are live",
		Long: `Who is up, the breakers, and how many prices are live, as the broker and the aggregator see it.
The exit code is 0 when both answered, whatever they say of others.`,
		Example: `  quotectl status
  quotectl status shards
  quotectl status -o json | jq .aggregator.breakers`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			about := "all"
			if len(args) > 0 {
				about = args[0]
			}
			return a.status(cmd.Context(), about)
		},
	}
}

// seen is what one of the two servers answered.
type seen struct {
	peer   peer
	status *wire.Status // nil where it did not answer
	err    error
}

func (a *app) status(ctx context.Context, about string) error {
	all := []seen{{peer: a.brokerPeer()}, {peer: a.aggregatorPeer()}}
	var prices map[string]int
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].status, all[i].err = a.statusOf(ctx, all[i].peer, about) })
	}
	if about == "all" || about == "external" {
		wg.Go(func() { prices = a.prices(ctx) })
	}
	wg.Wait()
	var err error
	if a.out.tabular() {
		err = a.statusTables(all, prices, about == "all")
	} else {
		err = a.statusJSON(all, prices)
	}
	if err != nil {
		return err
	}
	if all[0].err != nil && all[1].err != nil {
		a.note("%v", all[0].err)
		return all[1].err
	}
	return cmp.Or(all[0].err, all[1].err)
}

// statusOf asks one server and keeps what is about the subject.
func (a *app) statusOf(ctx context.Context, p peer, about string) (*wire.Status, error) {
	raws, err := a.ask(ctx, p, wire.Frame{Type: wire.TypeReqStatus})
	if err != nil {
		return nil, err
	}
	all, err := decode[wire.Status](raws[:1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	names := subjects()[about]
	other := func(name string) bool {
		return !slices.ContainsFunc(names, func(s string) bool { return strings.HasPrefix(name, s) })
	}
	s := all[0]
	s.Peers = slices.DeleteFunc(s.Peers, func(p wire.Peer) bool { return other(p.Name) })
	s.Breakers = slices.DeleteFunc(s.Breakers, func(b wire.BreakerStatus) bool { return other(b.Name) })
	return &s, nil
}

// prices counts the prices by quality: it shows how the exchange is, which only core speaks to.
// It is nil where the aggregator can't say; the status proper says why.
func (a *app) prices(ctx context.Context) map[string]int {
	raws, err := a.quotes(ctx, []string{"*"})
	if err != nil {
		return nil
	}
	quotes, err := decode[quote.Quote](raws)
	if err != nil {
		return nil
	}
	out := map[string]int{}
	for _, q := range quotes {
		out[qualityCell(q.Quality).text]++
	}
	return out
}

func (a *app) statusJSON(all []seen, prices map[string]int) error {
	var lines []json.RawMessage
	whole := map[string]any{}
	for _, s := range all {
		if s.status == nil {
			continue
		}
		raw, err := json.Marshal(s.status)
		if err != nil {
			return err
		}
		lines = append(lines, raw)
		whole[s.peer.name] = s.status
	}
	if a.out.format == formatNDJSON {
		return a.out.items(lines, false)
	}
	if prices != nil {
		whole["prices"] = prices
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	return a.out.json(raw)
}
