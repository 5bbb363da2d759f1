package aggregator

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds of REQ_REPORT.
const (
	reportLimit = 100   // where none is asked
	reportMost  = 2_000 // over all symbols asked
)

// reqReport answers REQ_REPORT.
func (a *Aggregator) reqReport(ctx context.Context, f *wire.Frame) (any, error) {
	var req wire.ReqReport
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return nil, err
		}
	}
	if f.Topic != "" && req.Symbol == "" && len(req.Symbols) == 0 {
		req.Symbol = quote.Symbol(f.Topic)
	}
	return a.report(ctx, req)
}

// report makes one Report, or an array of them where several symbols were named, as JSON.
func (a *Aggregator) report(ctx context.Context, req wire.ReqReport) (json.RawMessage, error) {
	began, all := time.Now(), true
	if slices.Equal(req.Symbols, []quote.Symbol{"*"}) {
		var err error
		if req.Symbols, all, err = a.symbols(ctx); err != nil {
			return nil, err
		}
	}
	limit, err := checkReport(&req)
	if err != nil {
		return nil, err
	}
	single := len(req.Symbols) == 0
	if single {
		if req.Symbol == "" {
			if req.Symbol, err = a.defaultSymbol(ctx); err != nil {
				return nil, err
			}
		}
		req.Symbols = []quote.Symbol{req.Symbol}
	}
	ctx, cancel := within(ctx)
	defer cancel()
	done, err := a.work(ctx, limit*len(req.Symbols))
	if err != nil {
		return nil, err
	}
	defer done()
	reports := a.reports(ctx, &req, limit)
	for i := range reports {
		reports[i].TookMS = float64(time.Since(began).Microseconds()) / 1000
		a.met.reported(&reports[i].Report)
	}
	a.met.seconds.Observe(time.Since(began).Seconds())
	fit(reports)
	out := encode(reports, single)
	if err = judge(&req, reports, out, a.hub.knows); err == nil && !all {
		err = carrying(out, notAll())
	}
	return out, err
}

func checkReport(req *wire.ReqReport) (limit int, err error) {
	limit = reportLimit
	if req.Limit != nil {
		limit = *req.Limit
	}
	symbols := req.Symbols
	if req.Symbol != "" {
		symbols = append([]quote.Symbol{req.Symbol}, symbols...)
	}
	switch {
	case limit < 1 || limit > reportMost:
		return 0, wire.Errorf(wire.BadRequest, "limit %d: want 1 to %d", limit, reportMost)
	case req.Symbol != "" && len(req.Symbols) > 0:
		return 0, wire.Errorf(wire.BadRequest, "symbol and symbols: want one of them")
	case len(symbols) > mostSymbols:
		return 0, wire.Errorf(wire.BadRequest, "%d symbols, at most %d in one request", len(symbols), mostSymbols)
	case !(req.MinCoverage >= 0 && req.MinCoverage <= 1):
		return 0, wire.Errorf(wire.BadRequest, "min_coverage %v: want 0 to 1", req.MinCoverage)
	case req.MaxAgeMS != nil && *req.MaxAgeMS < 0:
		return 0, wire.Errorf(wire.BadRequest, "max_age_ms %d: want 0 or more", *req.MaxAgeMS)
	case !req.From.IsZero() && !req.To.IsZero() && req.To < req.From:
		return 0, wire.Errorf(wire.BadRequest, "to %s is before from %s", req.To, req.From)
	}
	seen := map[quote.Symbol]bool{}
	for _, s := range symbols {
		if _, err := quote.ParseSymbol(string(s)); err != nil {
			return 0, err
		}
		if seen[s] {
			return 0, wire.Errorf(wire.BadRequest, "symbol %s stands twice", s)
		}
		seen[s] = true
	}
	return max(1, min(limit, reportMost/max(len(symbols), 1))), nil
}

// report is a Report whose records are still as their sources wrote them.
type report struct {
	wire.Report
	price   json.RawMessage   // of CurrentPrice
	history []json.RawMessage // in place of History
}

// half returns a context with half of the time that is left.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// reports asks core and the shards of all symbols in parallel and makes a report of each symbol.
func (a *Aggregator) reports(ctx context.Context, req *wire.ReqReport, limit int) []report {
	core, heard := make(chan priced, 1), make(chan struct{})
	go func() { core <- a.prices(ctx, req.Symbols, heard) }()
	f := a.each(ctx, req.Symbols, wire.ReqHist{Kinds: []quote.Kind{quote.Trades}, From: req.From, To: req.To, Order: wire.Desc, Limit: &limit})
	close(heard)
	now := <-core
	out := make([]report, len(req.Symbols))
	for key, s := range req.Symbols {
		out[key] = f.assemble(key, limit)
		price(&out[key], s, &now)
	}
	return out
}

// each asks for the history of every symbol by itself, up to the same limit: each is a key of its own.
func (a *Aggregator) each(ctx context.Context, symbols []quote.Symbol, req wire.ReqHist) *found {
	slots, names := make([]int, len(symbols)), make([][]quote.Symbol, len(symbols))
	for i, s := range symbols {
		slots[i], names[i] = placement.Slot(string(s)), symbols[i:i+1]
	}
	return a.ask(ctx, slots, names, func(ctx context.Context, p *peer, keys []int) (part, error) {
		r := req
		if len(keys) == 1 {
			r.Symbols = names[keys[0]]
			h, err := p.history(ctx, r, false)
			return part{by: map[int]*hist{keys[0]: h}}, err
		}
		return p.several(ctx, r, names, keys)
	})
}

// several asks a shard for the symbols of some keys, pipelined. What came before an error comes with it; so does what came
// in time, for which it keeps a little of the time.
func (p *peer) several(ctx context.Context, req wire.ReqHist, names [][]quote.Symbol, keys []int) (part, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	answers := make([]*hist, len(keys))
	var g errgroup.Group
	g.SetLimit(mostPipelined)
	for i, k := range keys {
		r := req
		r.Symbols = names[k]
		g.Go(func() (err error) {
			answers[i], err = p.history(ctx, r, false)
			return err
		})
	}
	err := g.Wait()
	out := part{by: make(map[int]*hist, len(keys))}
	for i, k := range keys {
		out.by[k] = answers[i]
	}
	return out, err
}

// mostPipelined is how many questions one report has with one shard at the same time.
const mostPipelined = 16

// assemble makes the report of one key's symbol, without its price.
func (f *found) assemble(key, limit int) (r report) {
	records, more := merger{desc: true}.merge(f.of(key), limit)
	r.More, r.history = more, make([]json.RawMessage, len(records))
	for i := range records {
		r.history[i] = records[i].Payload
	}
	if r.Coverage = 1; !f.Covered[key] {
		r.Coverage, r.Missing = 0, []wire.Missing{{Slot: f.slots[key], Symbols: f.names[key]}}
	}
	r.Sources, r.Errors = f.sources(key)
	return r
}
