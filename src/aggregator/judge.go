package aggregator

import (
	"encoding/json"

	"quotes/src/quote"
	"quotes/src/wire"
)

// fit cuts histories, the longest first, until all reports fit into one frame.
func fit(reports []report) {
	for {
		size, longest := 0, 0
		for i := range reports {
			size += weigh(&reports[i])
			if len(reports[i].history) > len(reports[longest].history) {
				longest = i
			}
		}
		r := &reports[longest]
		if size <= answerBytes || len(r.history) == 0 {
			return
		}
		r.history, r.More = r.history[:len(r.history)/2], true
	}
}

// weigh estimates a report's size as JSON, from above.
func weigh(r *report) int {
	n := 256 + len(r.price) + 128*len(r.Sources)
	for _, t := range r.history {
		n += len(t) + 1
	}
	for _, e := range r.Errors {
		n += 2*len(e) + 8
	}
	return n
}

// judge returns the error that a request asked for: a symbol that nobody knows, too little coverage, or a price too old; in
// that order, whichever symbol it is of.
func judge(req *wire.ReqReport, reports []report, out json.RawMessage, heard func(quote.Symbol) bool) error {
	for i := range reports {
		r, s := &reports[i], req.Symbols[i]
		if unknown(r, s, heard) {
			return wire.Errorf(wire.BadSymbol, "unknown symbol %s: there is no quote and no history of it", s)
		}
		if r.Coverage < req.MinCoverage {
			return carrying(out, wire.Errorf(wire.LowCoverage, "coverage of %s is %.3f, asked for %.3f: the report names what is missing", s, r.Coverage, req.MinCoverage))
		}
	}
	if req.MaxAgeMS == nil {
		return nil
	}
	for i := range reports {
		if p := reports[i].CurrentPrice; p == nil || p.Quality.AgeMS == nil || *p.Quality.AgeMS > *req.MaxAgeMS {
			return carrying(out, wire.Errorf(wire.TooStale, "price of %s is older than the asked %d ms: %s", req.Symbols[i], *req.MaxAgeMS, age(p)))
		}
	}
	return nil
}

// unknown reports whether core, or the broker where core does not answer, does not know the symbol and nothing speaks for
// its having been known.
func unknown(r *report, s quote.Symbol, heard func(quote.Symbol) bool) bool {
	if r.CurrentPrice != nil || len(r.history) > 0 || r.Coverage < 1 {
		return false
	}
	core := r.Sources[0]
	return core.State == wire.SourceFailed && core.Reason == string(wire.BadSymbol) || !heard(s)
}

func age(q *quote.Quote) string {
	if q == nil {
		return "there is none"
	}
	return "received " + q.Received.String()
}

// carrying adds the report to an error.
func carrying(out json.RawMessage, e *wire.Error) error {
	e.Report = out
	return e
}
