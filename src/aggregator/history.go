package aggregator

import (
	"context"

	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// Bounds of REQ_HIST.
const (
	histLimit   = 100 // where none is asked
	histMost    = 10_000
	mostSymbols = 1_000
	answerBytes = 900 << 10 // of one answer, below a frame's limit
	rangeBytes  = 80        // of one range, at most
)

// reqHist answers REQ_HIST: the shards' answers, united.
func (a *Aggregator) reqHist(ctx context.Context, f *wire.Frame) (any, error) {
	var req wire.ReqHist
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return nil, err
		}
	}
	limit, err := checkHist(&req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx)
	defer cancel()
	h, targets := a.ask(req.Symbols, req)
	h.rows = scatter.Gather(ctx, targets)
	again(ctx, h.rows, targets, func(i int) bool { return h.lacks(h.asked[i]) }, a.hurry(h.asked))
	if err := refused(h.rows); err != nil {
		return nil, err
	}
	m := merger{byPosition: req.After != nil || req.Before != nil, desc: req.Order == wire.Desc}
	records, more := m.merge(h.rows, limit)
	resp := wire.RespHist{Records: []wire.Record{}, More: more, Ranges: unite(h.rows)}
	coverage, missing := h.coverage()
	resp.Coverage, resp.Missing = &coverage, missing
	size := 0
	for t, ranges := range resp.Ranges {
		size += len(t) + len(ranges)*rangeBytes
	}
	if size > answerBytes/2 {
		return nil, wire.Errorf(wire.TooLarge, "the ranges alone take about %d bytes: name fewer symbols", size)
	}
	for _, r := range records {
		if size += len(r.Payload) + 128; size > answerBytes {
			resp.More = true
			break
		}
		resp.Records = append(resp.Records, r.Record)
	}
	a.met.histories.Inc()
	return resp, nil
}

func checkHist(req *wire.ReqHist) (limit int, err error) {
	limit = histLimit
	if req.Limit != nil {
		limit = *req.Limit
	}
	switch {
	case limit < 0 || limit > histMost:
		return 0, wire.Errorf(wire.BadRequest, "limit %d: want 0 to %d", limit, histMost)
	case len(req.Symbols) > mostSymbols:
		return 0, wire.Errorf(wire.BadRequest, "%d symbols, at most %d in one request", len(req.Symbols), mostSymbols)
	case req.Order != "" && req.Order != wire.Asc && req.Order != wire.Desc:
		return 0, wire.Errorf(wire.BadRequest, "order %.20q: want asc or desc", req.Order)
	case !req.From.IsZero() && !req.To.IsZero() && req.To < req.From:
		return 0, wire.Errorf(wire.BadRequest, "to %s is before from %s", req.To, req.From)
	}
	for _, s := range req.Symbols {
		if _, err := quote.ParseSymbol(string(s)); err != nil {
			return 0, err
		}
	}
	for _, k := range req.Kinds {
		if k != quote.Quotes && k != quote.Trades {
			return 0, wire.Errorf(wire.BadRequest, "kind %.20q: want quotes or trades", k)
		}
	}
	return limit, nil
}

// refused returns the first error that is the request's own fault.
func refused(rows []scatter.Row[wire.RespHist]) error {
	for _, row := range rows {
		if row.State == scatter.Failed && !fault(row.Err) {
			return row.Err
		}
	}
	return nil
}
