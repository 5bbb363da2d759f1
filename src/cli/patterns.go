package cli

import (
	"slices"
	"strings"

	"quotes/src/quote"
)

// patterns reads what to subscribe to. A bare symbol means its quotes. Patterns that another one covers are left out,
// so that each topic belongs to one subscription.
func patterns(args []string) ([]quote.Pattern, error) {
	var all []quote.Pattern
	for _, arg := range args {
		p, err := pattern(arg)
		if err != nil {
			return nil, usagef("bad pattern %q: want SYMBOL, quotes.SYMBOL, trades.SYMBOL, status.core, quotes.*, trades.* or *", arg)
		}
		all = append(all, p)
	}
	var out []quote.Pattern
	for _, p := range all {
		covered := func(q quote.Pattern) bool { return q != p && q.Match(quote.Topic(p)) }
		if !slices.ContainsFunc(all, covered) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

func pattern(arg string) (quote.Pattern, error) {
	kind, symbol, dotted := strings.Cut(arg, ".")
	switch k := quote.Kind(kind); {
	case arg == "*" || quote.Topic(arg) == quote.StatusCore:
		return quote.ParsePattern(arg)
	case dotted && (k == quote.Quotes || k == quote.Trades):
		return quote.ParsePattern(kind + "." + upper(symbol))
	}
	s, err := quote.ParseSymbol(upper(arg))
	return quote.Pattern(quote.TopicOf(quote.Quotes, s)), err
}
