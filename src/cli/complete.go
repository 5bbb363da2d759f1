package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"quotes/src/quote"
)

// completeSymbols asks the aggregator for the symbols there are. Where it does not answer there is nothing to complete.
func (a *app) completeSymbols(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	ctx := cmd.Context()
	raws, err := a.quotes(ctx, []string{"*"})
	if err != nil {
		return nil, nothing
	}
	quotes, err := decode[quote.Quote](raws)
	if err != nil {
		return nil, nothing
	}
	var out []string
	for _, q := range quotes {
		if s, err := quote.ParseSymbol(string(q.Symbol)); err == nil && strings.HasPrefix(string(s), upper(typed)) {
			out = append(out, string(s))
		}
	}
	return out, nothing
}
