package aggregator

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// params are the parameters that a path knows, each with what reads it.
type params map[string]func(string) error

// parse reads a query. A parameter that is unknown or stands twice is an error: it would be silently ignored else.
func parse(raw string, known params) error {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return wire.Errorf(wire.BadRequest, "query: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		read := known[name]
		switch {
		case read == nil:
			return wire.Errorf(wire.BadRequest, "no parameter %.40q: %s are known", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case len(q[name]) != 1:
			return wire.Errorf(wire.BadRequest, "%s stands %d times", name, len(q[name]))
		}
		if err := read(q[name][0]); err != nil {
			var typed *wire.Error
			if errors.As(err, &typed) || errors.Is(err, quote.ErrBadSymbol) {
				return err
			}
			return wire.Errorf(wire.BadRequest, "%s: %v", name, err)
		}
	}
	return nil
}

// symbolList reads A,B,C.
func symbolList(v string) (out []quote.Symbol, err error) {
	for s := range strings.SplitSeq(v, ",") {
		symbol, err := quote.ParseSymbol(s)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, symbol) {
			return nil, wire.Errorf(wire.BadRequest, "symbol %s stands twice", symbol)
		}
		if out = append(out, symbol); len(out) > mostSymbols {
			return nil, wire.Errorf(wire.BadRequest, "more than %d symbols", mostSymbols)
		}
	}
	return out, nil
}

func readTime(to *quote.Time) func(string) error {
	return func(v string) (err error) { *to, err = quote.ParseTime(v); return err }
}

func readInt(to **int) func(string) error {
	return func(v string) error {
		n, err := strconv.Atoi(v)
		*to = &n
		return err
	}
}

func readBudget(to *time.Duration) func(string) error {
	return func(v string) error {
		n, err := strconv.Atoi(v)
		if err == nil && (n < 1 || n > 60_000) {
			err = errors.New("want 1 to 60000")
		}
		*to = time.Duration(n) * time.Millisecond
		return err
	}
}

func readShare(to *float64) func(string) error {
	return func(v string) (err error) {
		*to, err = strconv.ParseFloat(v, 64)
		if err == nil && !(*to >= 0 && *to <= 1) {
			err = errors.New("want 0 to 1")
		}
		return err
	}
}

// parseReport reads the query of /v1/report; what the values may be is checked where REQ_REPORT's are.
func parseReport(raw string) (req wire.ReqReport, budget time.Duration, err error) {
	err = parse(raw, params{
		"symbol": func(v string) (err error) { req.Symbol, err = quote.ParseSymbol(v); return err },
		"symbols": func(v string) (err error) {
			if v == "*" {
				req.Symbols = []quote.Symbol{"*"}
				return nil
			}
			req.Symbols, err = symbolList(v)
			return err
		},
		"from": readTime(&req.From), "to": readTime(&req.To), "limit": readInt(&req.Limit),
		"min_coverage": readShare(&req.MinCoverage), "budget_ms": readBudget(&budget),
		"max_age_ms": func(v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			req.MaxAgeMS = &n
			return err
		},
	})
	return req, budget, err
}

// histQuery is a request of /v1/history.
type histQuery struct {
	wire.ReqHist
	cursor      *cursor
	minCoverage float64
	budget      time.Duration
}

func parseHistory(raw string) (q histQuery, err error) {
	err = parse(raw, params{
		"symbol":  func(v string) (err error) { q.Symbols, err = one(v, q.Symbols); return err },
		"symbols": func(v string) (err error) { q.Symbols, err = several(v, q.Symbols); return err },
		"kinds": func(v string) error {
			for k := range strings.SplitSeq(v, ",") {
				q.Kinds = append(q.Kinds, quote.Kind(k))
			}
			return nil
		},
		"order": func(v string) error { q.Order = v; return nil },
		"from":  readTime(&q.From), "to": readTime(&q.To), "limit": readInt(&q.Limit),
		"cursor":       func(v string) (err error) { q.cursor, err = parseCursor(v); return err },
		"min_coverage": readShare(&q.minCoverage), "budget_ms": readBudget(&q.budget),
	})
	if err == nil && q.Limit != nil && *q.Limit < 1 {
		err = wire.Errorf(wire.BadRequest, "limit %d: want 1 to %d", *q.Limit, histMost)
	}
	if err == nil {
		_, err = checkHist(&q.ReqHist)
	}
	return q, err
}

func one(v string, have []quote.Symbol) ([]quote.Symbol, error) {
	s, err := quote.ParseSymbol(v)
	if err == nil && len(have) > 0 {
		err = wire.Errorf(wire.BadRequest, "symbol and symbols: want one of them")
	}
	return []quote.Symbol{s}, err
}

func several(v string, have []quote.Symbol) ([]quote.Symbol, error) {
	list, err := symbolList(v)
	if err == nil && len(have) > 0 {
		err = wire.Errorf(wire.BadRequest, "symbol and symbols: want one of them")
	}
	return list, err
}
