package aggregator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/scatter"
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

// report makes one Report, or an array of them where several symbols were named.
func (a *Aggregator) report(ctx context.Context, req wire.ReqReport) (any, error) {
	began := time.Now()
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
	reports := a.reports(ctx, &req, limit)
	for i := range reports {
		reports[i].TookMS = float64(time.Since(began).Microseconds()) / 1000
		a.met.reported(&reports[i])
	}
	a.met.seconds.Observe(time.Since(began).Seconds())
	fit(reports)
	var out any = reports
	if single {
		out = reports[0]
	}
	return out, judge(&req, reports, out)
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

// answer is what one source says to a report's question: core its quotes, a shard its trades.
type answer struct {
	quotes map[quote.Symbol]asked
	hist   map[quote.Symbol]wire.RespHist
}

// reports asks core and the owners of all symbols in parallel and makes a report of each symbol.
func (a *Aggregator) reports(ctx context.Context, req *wire.ReqReport, limit int) []wire.Report {
	hist := wire.ReqHist{Kinds: []quote.Kind{quote.Trades}, From: req.From, To: req.To, Order: wire.Desc, Limit: &limit}
	mine := make([][]quote.Symbol, len(a.shards))
	for _, s := range req.Symbols {
		for _, owner := range a.table.Owners(placement.Slot(string(s))) {
			mine[owner] = append(mine[owner], s)
		}
	}
	targets := []scatter.Target[answer]{{Name: "core", Breaker: a.core.brk, Fault: fault, Call: func(ctx context.Context) (answer, error) {
		ctx, cancel := half(ctx) // a hung core must leave time for the shards' last price
		defer cancel()
		q, err := a.core.quotes(ctx, req.Symbols)
		return answer{quotes: q}, err
	}}}
	var asked []int
	for i, p := range a.shards {
		if len(mine[i]) > 0 {
			asked = append(asked, i)
			targets = append(targets, scatter.Target[answer]{
				Name: p.name, Breaker: p.brk, Fault: fault,
				Call: func(ctx context.Context) (answer, error) { return p.trades(ctx, mine[i], hist) },
			})
		}
	}
	rows := scatter.Gather(ctx, targets)
	again(ctx, rows[1:], targets[1:], func(i int) bool {
		for _, s := range mine[asked[i]] {
			if a.pick(s, rows[1:], asked).lacks(asked[i]) {
				return true
			}
		}
		return false
	}, a.hurry(asked))
	core := rows[0]
	last := map[quote.Symbol]quote.Quote{}
	if core.State != scatter.OK {
		last = a.lastPrices(ctx, req.Symbols)
	}
	out := make([]wire.Report, len(req.Symbols))
	for i, s := range req.Symbols {
		h := a.pick(s, rows[1:], asked)
		out[i] = assemble(s, h, limit)
		price(&out[i], s, core, last)
	}
	return out
}

// half returns a context with half of the time that is left.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// trades asks a shard for the newest trades of each symbol.
func (p *peer) trades(ctx context.Context, symbols []quote.Symbol, req wire.ReqHist) (answer, error) {
	out := answer{hist: make(map[quote.Symbol]wire.RespHist, len(symbols))}
	targets := make([]scatter.Target[wire.RespHist], len(symbols))
	for i, s := range symbols {
		r := req
		r.Symbols = []quote.Symbol{s}
		targets[i].Call = func(ctx context.Context) (wire.RespHist, error) { return p.history(ctx, r) }
	}
	for i, row := range scatter.Gather(ctx, targets) {
		if row.Err != nil {
			return out, row.Err
		}
		out.hist[symbols[i]] = row.Answer
	}
	return out, nil
}

// pick takes one symbol's part out of the shards' answers.
func (a *Aggregator) pick(s quote.Symbol, rows []scatter.Row[answer], asked []int) *histories {
	slot := placement.Slot(string(s))
	h := &histories{slots: []int{slot}, by: map[int][]quote.Symbol{slot: {s}}, table: a.table}
	for i, row := range rows {
		if a.table.Owns(asked[i], slot) {
			h.asked = append(h.asked, asked[i])
			h.rows = append(h.rows, scatter.Row[wire.RespHist]{Name: row.Name, State: row.State, Answer: row.Answer.hist[s], Err: row.Err, Took: row.Took})
		}
	}
	return h
}

// assemble makes a report of the shards' answers for one symbol.
func assemble(s quote.Symbol, h *histories, limit int) (r wire.Report) {
	records, more := merger{desc: true}.merge(h.rows, limit)
	r.History, r.More = make([]quote.Trade, 0, len(records)), more
	for _, rec := range records {
		var t quote.Trade
		if err := json.Unmarshal(rec.Payload, &t); err != nil {
			r.Errors = append(r.Errors, fmt.Sprintf("trade %d/%d of %s can't be read: %v", rec.Epoch, rec.Seq, s, err))
			continue
		}
		r.History = append(r.History, t)
	}
	r.Coverage, r.Missing = h.coverage()
	sources, errs := h.sources()
	r.Sources = sources
	r.Errors = append(r.Errors, errs...)
	return r
}
