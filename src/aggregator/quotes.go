package aggregator

import (
	"context"
	"encoding/json"
	"slices"

	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// reqQuote answers REQ_QUOTE from core, or with the last prices that the shards know.
func (a *Aggregator) reqQuote(ctx context.Context, f *wire.Frame) (any, error) {
	var req wire.ReqQuote
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return nil, err
		}
	}
	if f.Topic != "" {
		if _, err := quote.ParseSymbol(f.Topic); err != nil {
			return nil, err
		}
	}
	if len(req.Symbols) > mostQuotes {
		return nil, wire.Errorf(wire.BadRequest, "%d symbols, at most %d in one request", len(req.Symbols), mostQuotes)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	return a.quotesOr(ctx, f.Topic, req)
}

// quotes answers for some symbols, or for all.
func (a *Aggregator) quotes(ctx context.Context, symbols []quote.Symbol) (json.RawMessage, error) {
	req := wire.ReqQuote{Symbols: []string{"*"}}
	if len(symbols) > 0 {
		req.Symbols = req.Symbols[:0]
		for _, s := range symbols {
			req.Symbols = append(req.Symbols, string(s))
		}
	}
	ctx, cancel := within(ctx)
	defer cancel()
	return a.quotesOr(ctx, "", req)
}

// mostQuotes bounds the symbols of a REQ_QUOTE.
const mostQuotes = 10_000

// quotesOr asks core, or the shards where core does not answer.
func (a *Aggregator) quotesOr(ctx context.Context, topic string, req wire.ReqQuote) (json.RawMessage, error) {
	single := len(req.Symbols) == 0
	ask := wire.Frame{Type: wire.TypeReqQuote, Topic: topic}
	if !single {
		ask = wire.Make(wire.TypeReqQuote, req)
	}
	raw, err := a.askRaw(ctx, ask, single)
	if err == nil {
		if single && topic == "" {
			a.remember(raw)
		}
		return raw, nil
	}
	if !fault(err) {
		return nil, err
	}
	return a.withoutCore(ctx, topic, req.Symbols, single, err)
}

// askRaw asks core behind its breaker, within half of the time, and returns its answer as it is.
func (a *Aggregator) askRaw(ctx context.Context, ask wire.Frame, single bool) (json.RawMessage, error) {
	ctx, cancel := half(ctx)
	defer cancel()
	raw, _, err := scatter.One(ctx, a.core.brk, fault, func(ctx context.Context) (json.RawMessage, error) {
		return a.core.raw(ctx, ask, single)
	})
	return raw, err
}

// withoutCore answers REQ_QUOTE while core does not.
func (a *Aggregator) withoutCore(ctx context.Context, topic string, names []string, single bool, why error) (json.RawMessage, error) {
	if single && topic == "" {
		s, ok := a.usual()
		if !ok {
			return nil, noFirst(why)
		}
		topic = string(s)
	}
	if single {
		names = []string{topic}
	}
	var symbols []quote.Symbol
	all := slices.Contains(names, "*")
	if all {
		if symbols, names = a.hub.symbols(), nil; len(symbols) == 0 {
			return nil, nobodyKnows(why)
		}
	}
	for _, n := range names {
		s, err := quote.ParseSymbol(n)
		if err != nil {
			return nil, err
		}
		symbols = append(symbols, s)
	}
	done, err := a.work(ctx, len(symbols))
	if err != nil {
		return nil, err
	}
	defer done()
	last, strange := a.lastPrices(ctx, symbols)
	out := make([]quote.Quote, 0, len(symbols))
	var lacking *wire.Error
	if all {
		lacking = notAll()
	}
	for _, s := range symbols {
		q, ok := last[s]
		switch {
		case ok:
			out = append(out, q)
		case strange[s]:
			lacking = wire.Errorf(wire.BadSymbol, "unknown symbol %s: there is no quote of it", s)
		case lacking == nil:
			lacking = wire.Errorf(wire.Unavailable, "core does not answer and the shards have no price of %s: %v", s, why)
		}
	}
	switch {
	case lacking != nil && (single || len(out) == 0):
		return nil, lacking
	case single:
		return json.Marshal(out[0])
	}
	found, err := json.Marshal(out)
	if err == nil && lacking != nil {
		return nil, carrying(found, lacking)
	}
	return found, err
}

// raw asks core and hands its answer on as it is; arrays that came in several frames are joined.
func (p *peer) raw(ctx context.Context, ask wire.Frame, single bool) (json.RawMessage, error) {
	var joined []json.RawMessage
	var one json.RawMessage
	err := p.client.Stream(ctx, ask, func(f wire.Frame) error {
		if single {
			one = f.Payload
			return nil
		}
		var part []json.RawMessage
		if err := f.Decode(&part); err != nil {
			return theirs("core's quotes", err)
		}
		joined = append(joined, part...)
		return nil
	})
	if err != nil || single {
		return one, err
	}
	return json.Marshal(joined)
}
