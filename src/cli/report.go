package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/quote"
	"quotes/src/wire"
)

// maxReport is how many trades a report holds at most, over all symbols.
const maxReport = 2000

// reportFlags are the report command's own.
type reportFlags struct {
	minCoverage float64
	limit       int
	from, to    moment
	maxAge      time.Duration
	budget      time.Duration
}

func (a *app) reportCommand() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report [SYMBOL…]",
		Short: "Price, trade history, and how complete both are; of the default symbol where none is named",
		Long: `Price, trade history, and how complete both are, gathered by the aggregator from core and the shards.
Below the coverage or above the age that is asked for, the report is shown all the same and the exit code says 3 or 4.`,
		Example: `  quotectl report PETR4
  quotectl report PETR4 VALE3 --limit 5
  quotectl report PETR4 --from 15m --min-coverage 0
  quotectl report PETR4 -o json | jq .coverage`,
		ValidArgsFunction: a.completeSymbols,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.report(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.Float64Var(&f.minCoverage, "min-coverage", 1, "least share of the history's slots that must be complete, 0 to 1")
	fs.IntVar(&f.limit, "limit", 20, "newest trades to show, 1 to 2000 over all symbols")
	fs.Var(&f.from, "from", "only trades at or after `TIME`, or so long ago: 15m")
	fs.Var(&f.to, "to", "only trades before `TIME`, or so long ago: 5m")
	fs.DurationVar(&f.maxAge, "max-age", 0, "oldest price to accept; any where 0")
	fs.DurationVar(&f.budget, "budget", 0, "time the aggregator may take, within --timeout; all of it where 0")
	return cmd
}

// request checks the flags and makes the request of them.
func (f *reportFlags) request(asked []quote.Symbol) (wire.Frame, error) {
	switch {
	case !(f.minCoverage >= 0 && f.minCoverage <= 1):
		return wire.Frame{}, usagef("--min-coverage %v: want 0 to 1", f.minCoverage)
	case f.limit < 1 || f.limit > maxReport:
		return wire.Frame{}, usagef("--limit %d: want 1 to %d", f.limit, maxReport)
	case f.maxAge < 0 || f.budget < 0:
		return wire.Frame{}, usagef("--max-age and --budget: want 0 or more")
	case f.to.at != 0 && f.from.at >= f.to.at:
		return wire.Frame{}, usagef("--from %s is not before --to %s", &f.from, &f.to)
	}
	req := wire.ReqReport{From: f.from.at, To: f.to.at, Limit: &f.limit, MinCoverage: f.minCoverage}
	if len(asked) == 1 {
		req.Symbol = asked[0]
	} else {
		req.Symbols = asked
	}
	if f.maxAge > 0 {
		ms := f.maxAge.Milliseconds()
		req.MaxAgeMS = &ms
	}
	frame := wire.Make(wire.TypeReqReport, req)
	if f.budget > 0 {
		frame.BudgetMS = max(f.budget.Milliseconds(), 1)
	}
	return frame, nil
}

func (a *app) report(ctx context.Context, f reportFlags, args []string) error {
	asked, err := symbols(args)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		if asked, err = a.defaultSymbol(ctx); err != nil {
			return err
		}
	}
	req, err := f.request(asked)
	if err != nil {
		return err
	}
	raws, refused := a.ask(ctx, a.aggregatorPeer(), req)
	if e, ok := errors.AsType[*wire.Error](refused); ok && len(e.Report) > 0 {
		raws = []json.RawMessage{e.Report} // too little for what was asked, and still worth seeing
	}
	if len(raws) == 0 {
		return advise(refused)
	}
	if raws, err = split(raws); err != nil {
		return err
	}
	reports, err := decode[wire.Report](raws)
	if err != nil {
		return err
	}
	if err := a.printReports(asked, reports, raws); err != nil {
		return err
	}
	if refused == nil || wire.CodeOf(refused) == wire.TooStale {
		if err := incomplete(reports); err != nil {
			return err
		}
	}
	if refused != nil {
		return advise(refused)
	}
	return live(reports)
}

// defaultSymbol asks which symbol is meant when none is named.
func (a *app) defaultSymbol(ctx context.Context) ([]quote.Symbol, error) {
	raws, err := a.quotes(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("find the default symbol: %w", err)
	}
	quotes, err := decode[quote.Quote](raws)
	if err != nil {
		return nil, err
	}
	if len(quotes) != 1 {
		return nil, errors.New("the aggregator names no default symbol: name one, such as: quotectl report PETR4")
	}
	return []quote.Symbol{quotes[0].Symbol}, nil
}

// advise adds to a refusal what would have been accepted; other errors stay as they are.
func advise(err error) error {
	switch wire.CodeOf(err) {
	case wire.LowCoverage:
		return fmt.Errorf("%w; to take what there is: --min-coverage 0; what is down: quotectl status", err)
	case wire.TooStale:
		return fmt.Errorf("%w; to take older prices: a longer --max-age", err)
	}
	return err
}

// incomplete returns an error with code 3 where a report is not complete.
func incomplete(reports []wire.Report) error {
	for _, r := range reports {
		if r.Coverage < 1 {
			return &coded{ExitPartial, fmt.Errorf("coverage is %s, not 1; what is down: quotectl status", share(r.Coverage))}
		}
	}
	return nil
}

// live returns an error with code 4 where a price is not.
func live(reports []wire.Report) error {
	var prices []quote.Quote
	for _, r := range reports {
		if r.CurrentPrice == nil {
			r.CurrentPrice = &quote.Quote{} // no price is no live price
		}
		prices = append(prices, *r.CurrentPrice)
	}
	return notLive(prices)
}
