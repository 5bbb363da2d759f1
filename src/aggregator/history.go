package aggregator

import (
	"context"
	"slices"

	"quotes/src/quote"
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
	resp, err := a.history(ctx, &req, limit)
	if err == nil {
		err = a.strangers(ctx, &req, resp)
	}
	if err != nil {
		return nil, err
	}
	size := 0
	for t, ranges := range resp.Ranges {
		size += len(t) + len(ranges)*rangeBytes
	}
	if size > answerBytes/2 {
		return nil, wire.Errorf(wire.TooLarge, "the ranges alone take about %d bytes: name fewer symbols", size)
	}
	resp.Records, resp.More = cut(resp.Records, resp.More, answerBytes-size)
	return resp, nil
}

// cut keeps of the records what fits into an answer.
func cut(records []wire.Record, more bool, room int) ([]wire.Record, bool) {
	for i := range records {
		if room -= len(records[i].Payload) + 128; room < 0 {
			return records[:i], true
		}
	}
	return records, more
}

// history gathers one page; its records and its ranges may be more than goes into one answer.
func (a *Aggregator) history(ctx context.Context, req *wire.ReqHist, limit int) (*wire.RespHist, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	done, err := a.work(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer done()
	slots, names := bySlot(req.Symbols)
	f := a.ask(ctx, slots, names, func(ctx context.Context, p *peer, keys []int) (part, error) {
		r := *req
		r.Symbols = nil
		for _, k := range keys {
			r.Symbols = append(r.Symbols, names[k]...)
		}
		h, err := p.history(ctx, r, true)
		return part{all: h}, err
	})
	if err := f.refused(); err != nil {
		return nil, err
	}
	m := merger{byPosition: req.After != nil || req.Before != nil, desc: req.Order == wire.Desc}
	records, more := m.merge(f.answers(), limit)
	resp := &wire.RespHist{Records: make([]wire.Record, len(records)), More: more, Ranges: unite(f.answers())}
	coverage := f.Coverage()
	resp.Coverage, resp.Missing = &coverage, f.missing()
	for i, r := range records {
		resp.Records[i] = r.Record
	}
	a.met.histories.Inc()
	return resp, nil
}

// checkHist refuses what can't be answered, and leaves each kind once.
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
	req.Kinds = slices.Compact(slices.Sorted(slices.Values(req.Kinds)))
	return limit, nil
}
