package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"quotes/src/quote"
	"quotes/src/wire"
)

func (a *app) getCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get [SYMBOL…]",
		Short: "Current quotes; of the default symbol where none is named",
		Long:  "Current quotes with their quality and age, asked from core through the aggregator. '*' means all symbols.",
		Example: `  quotectl get PETR4
  quotectl get PETR4 VALE3 -o wide
  quotectl get '*' -o ndjson`,
		ValidArgsFunction: a.completeSymbols,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.get(cmd.Context(), args) },
	}
}

func (a *app) get(ctx context.Context, args []string) error {
	raws, err := a.quotes(ctx, args)
	if err != nil {
		return err
	}
	quotes, err := decode[quote.Quote](raws)
	if err != nil {
		return err
	}
	if a.out.tabular() {
		err = a.quoteTable(quotes)
	} else {
		err = a.out.items(raws, len(args) == 0 || len(args) == 1 && args[0] != "*")
	}
	if err != nil {
		return err
	}
	return notLive(quotes)
}

// quotes asks the aggregator for current quotes: of the default symbol without args, of all for "*".
func (a *app) quotes(ctx context.Context, args []string) ([]json.RawMessage, error) {
	f := wire.Frame{Type: wire.TypeReqQuote}
	switch {
	case len(args) == 1 && args[0] == "*":
		f = wire.Make(wire.TypeReqQuote, wire.ReqQuote{Symbols: args})
	case len(args) > 0:
		asked, err := symbols(args)
		if err != nil {
			return nil, err
		}
		f.Topic = string(asked[0])
		if len(asked) > 1 {
			req := wire.ReqQuote{}
			for _, s := range asked {
				req.Symbols = append(req.Symbols, string(s))
			}
			f = wire.Make(wire.TypeReqQuote, req)
		}
	}
	raws, err := a.ask(ctx, a.aggregatorPeer(), f)
	if err != nil {
		return nil, err
	}
	return split(raws)
}

// notLive is an error with code 4 unless every price is live.
func notLive(quotes []quote.Quote) error {
	n := 0
	for _, q := range quotes {
		if q.Quality.State != quote.Live {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return &coded{ExitStale, fmt.Errorf("%d of %d prices not live; why: quotectl status", n, len(quotes))}
}

func (a *app) quoteTable(quotes []quote.Quote) error {
	t := a.out.newTable(column{name: "SYMBOL"}, column{name: "PRICE", right: true},
		column{name: "BID", right: true}, column{name: "BID SIZE", right: true, wide: true},
		column{name: "ASK", right: true}, column{name: "ASK SIZE", right: true, wide: true},
		column{name: "QUALITY"}, column{name: "AGE", right: true}, column{name: "TIMESTAMP"},
		column{name: "RECEIVED", wide: true}, column{name: "EPOCH", wide: true}, column{name: "SEQ", wide: true})
	for _, q := range quotes {
		t.add(text(q.Symbol), text(q.Price.String()), text(q.Bid.String()), text(q.BidSize.String()),
			text(q.Ask.String()), text(q.AskSize.String()), qualityCell(q.Quality), ageCell(q.Quality),
			text(q.Timestamp.String()), text(q.Received.String()), number(q.Epoch), number(q.Seq))
	}
	return t.flush()
}

// qualityCell says the state, and why where there is a reason.
func qualityCell(q quote.Quality) cell {
	c := text(q.State)
	if q.Reason != "" {
		c.text += " (" + clean(string(q.Reason)) + ")"
	}
	switch q.State {
	case quote.Live:
		c.style = good
	case quote.Recovering:
		c.style = warn
	default:
		c.style = bad
	}
	return c
}

func ageCell(q quote.Quality) cell {
	if q.AgeMS == nil {
		return cell{}
	}
	return cell{text: (time.Duration(*q.AgeMS) * time.Millisecond).String()}
}

// number shows a count or position; 0 stands for none.
func number(n uint64) cell {
	if n == 0 {
		return cell{}
	}
	return cell{text: fmt.Sprint(n)}
}
