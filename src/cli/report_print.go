package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"quotes/src/quote"
	"quotes/src/wire"
)

func (a *app) printReports(asked []quote.Symbol, reports []wire.Report, raws []json.RawMessage) error {
	if !a.out.tabular() {
		return a.out.items(raws, len(asked) == 1)
	}
	for i, r := range reports {
		if i > 0 {
			if err := a.out.linef(""); err != nil {
				return err
			}
		}
		if r.CurrentPrice == nil && len(reports) == len(asked) {
			r.CurrentPrice = &quote.Quote{Symbol: asked[i]}
		}
		if err := a.printReport(r); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printReport(r wire.Report) error {
	var prices []quote.Quote
	if r.CurrentPrice != nil {
		prices = append(prices, *r.CurrentPrice)
	}
	if err := a.quoteTable(prices); err != nil {
		return err
	}
	if err := a.out.linef("\ncoverage %s%s\n%d sources: %d ok, %d stale, %d failed, %d skipped, in %s ms",
		share(r.Coverage), missing(r.Missing), r.Total, r.OK, r.Stale, r.Failed, r.Skipped, millis(r.TookMS)); err != nil {
		return err
	}
	if err := a.sourceTable(r.Sources); err != nil {
		return err
	}
	if err := a.tradeTable(r.History); err != nil {
		return err
	}
	for _, e := range r.Errors {
		a.note("report: %s", e)
	}
	if r.More {
		a.note("there are older trades: a higher --limit, or --to")
	}
	return nil
}

// missing names the slots whose history is not complete, with their symbols.
func missing(slots []wire.Missing) string {
	if len(slots) == 0 {
		return ""
	}
	var b strings.Builder
	sep := ", missing: "
	for _, m := range slots {
		fmt.Fprintf(&b, "%sslot %d", sep, m.Slot)
		for _, s := range m.Symbols {
			fmt.Fprintf(&b, " %s", clean(string(s)))
		}
		sep = ", "
	}
	return b.String()
}

func (a *app) sourceTable(sources []wire.Source) error {
	if len(sources) == 0 {
		return nil
	}
	if err := a.out.linef(""); err != nil {
		return err
	}
	t := a.out.newTable(column{name: "SOURCE"}, column{name: "STATE"}, column{name: "REASON"},
		column{name: "MS", right: true}, column{name: "HEDGED"})
	for _, s := range sources {
		state := text(s.State)
		switch s.State {
		case wire.SourceOK:
			state.style = good
		case wire.SourceFailed:
			state.style = bad
		default:
			state.style = warn
		}
		hedged := cell{}
		if s.Hedged {
			hedged.text = "yes"
		}
		t.add(text(s.Name), state, text(s.Reason), cell{text: millis(s.MS)}, hedged)
	}
	return t.flush()
}

func (a *app) tradeTable(trades []quote.Trade) error {
	if len(trades) == 0 {
		return a.out.linef("\nno trades")
	}
	if err := a.out.linef(""); err != nil {
		return err
	}
	t := a.out.newTable(column{name: "TIMESTAMP"}, column{name: "PRICE", right: true}, column{name: "QUANTITY", right: true},
		column{name: "SIDE"}, column{name: "ID"}, column{name: "RECEIVED", wide: true})
	for _, r := range trades {
		t.add(text(r.Timestamp.String()), text(r.Price.String()), text(r.Quantity.String()), text(r.Side), text(r.ID),
			text(r.Received.String()))
	}
	return t.flush()
}

// share writes a coverage with at most four digits, rounded down: only a whole one is shown as 1.
func share(c float64) string { return strconv.FormatFloat(math.Floor(c*1e4)/1e4, 'f', -1, 64) }

// millis writes milliseconds with at most three digits.
func millis(ms float64) string { return strconv.FormatFloat(math.Round(ms*1e3)/1e3, 'f', -1, 64) }
