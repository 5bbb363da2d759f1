package aggregator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// priced is what core answered, and how.
type priced struct {
	quotes map[quote.Symbol]asked
	state  scatter.State
	err    error
	took   time.Duration
	last   map[quote.Symbol]quote.Quote // the shards', where err is set
}

// askCore asks core for the symbols' quotes, within half of the time, and the shards for their last ones where it does not
// answer.
func (a *Aggregator) askCore(ctx context.Context, symbols []quote.Symbol) (p priced) {
	began := time.Now()
	brief, cancel := half(ctx)
	defer cancel()
	p.quotes, p.state, p.err = scatter.One(brief, a.core.brk, fault, func(ctx context.Context) (map[quote.Symbol]asked, error) {
		return a.core.quotes(ctx, symbols)
	})
	p.took = time.Since(began)
	if p.err != nil {
		p.last, _ = a.lastPrices(ctx, symbols)
	}
	return p
}

// price puts the current price and core's row into a report: core's own quote, or the last one that the shards know.
func price(r *report, s quote.Symbol, core *priced) {
	row := source("core", core.state, core.err, core.took)
	switch got := core.quotes[s]; {
	case core.err != nil:
		r.Errors = append(r.Errors, "core: "+core.err.Error())
		if q, ok := core.last[s]; ok {
			r.CurrentPrice, r.price = &q, q.AppendJSON(nil)
		}
	case got.err != nil:
		row.State, row.Reason = wire.SourceFailed, string(wire.CodeOf(got.err))
		r.Errors = append(r.Errors, "core: "+got.err.Error())
	default:
		r.CurrentPrice, r.price = &got.quote, got.raw
		if q := got.quote.Quality; q.State != quote.Live {
			row.State, row.Reason = wire.SourceStale, string(q.Reason)
			if q.Reason == "" {
				row.Reason = string(q.State)
			}
		}
	}
	r.Sources = append([]wire.Source{row}, r.Sources...)
	count(&r.Report)
}

// count accounts for every source.
func count(r *wire.Report) {
	r.Total, r.OK, r.Stale, r.Failed, r.Skipped = len(r.Sources), 0, 0, 0, 0
	for _, s := range r.Sources {
		switch s.State {
		case wire.SourceOK:
			r.OK++
		case wire.SourceStale:
			r.Stale++
		case wire.SourceFailed:
			r.Failed++
		default:
			r.Skipped++
		}
	}
}

// lastPrices asks the shards for the newest quote of each symbol: for when core does not answer. What comes is stale,
// with the age that the wall clock gives. Strange are those of which the shards, all that it takes, have none and the broker has shown
// none.
func (a *Aggregator) lastPrices(ctx context.Context, symbols []quote.Symbol) (out map[quote.Symbol]quote.Quote, strange map[quote.Symbol]bool) {
	out, strange = map[quote.Symbol]quote.Quote{}, map[quote.Symbol]bool{}
	for some := range slices.Chunk(symbols, mostSymbols) {
		one := 1
		f := a.each(ctx, some, wire.ReqHist{Kinds: []quote.Kind{quote.Quotes}, Order: wire.Desc, Limit: &one, Before: map[quote.Topic]quote.Point{}})
		for key, symbol := range some {
			for _, h := range f.of(key) {
				for _, rec := range h.records {
					keepNewest(out, &rec.Record)
				}
			}
			_, found := out[symbol]
			strange[symbol] = f.Covered[key] && !found && !a.hub.knows(symbol)
		}
	}
	return out, strange
}

// keepNewest takes a stored quote where it is the newest of its symbol.
func keepNewest(out map[quote.Symbol]quote.Quote, rec *wire.Record) {
	var q quote.Quote
	if json.Unmarshal(rec.Payload, &q) != nil {
		return
	}
	have := out[q.Symbol]
	if q.Epoch, q.Seq = rec.Epoch, rec.Seq; rec.Point().Compare(quote.Point{Epoch: have.Epoch, Seq: have.Seq}) <= 0 {
		return
	}
	age := max(time.Since(q.Received.Std()).Milliseconds(), 0)
	q.Quality = quote.Quality{State: quote.Stale, Reason: quote.CoreLost, AgeMS: &age}
	out[q.Symbol] = q
}

// reqQuote answers REQ_QUOTE from core, or with the last prices that the shards know.
func (a *Aggregator) reqQuote(ctx context.Context, f *wire.Frame) (any, error) {
	var req wire.ReqQuote
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return nil, err
		}
	}
	ctx, cancel := within(ctx)
	defer cancel()
	return a.quotesOr(ctx, f, req)
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
	f := wire.Make(wire.TypeReqQuote, req)
	got, err := a.quotesOr(ctx, &f, req)
	if err != nil {
		return nil, err
	}
	if raw, ok := got.(json.RawMessage); ok {
		return raw, nil
	}
	return json.Marshal(got)
}

// symbols lists all symbols: core's, or those that the broker has shown while core does not answer, which may not be all.
func (a *Aggregator) symbols(ctx context.Context) (list []quote.Symbol, all bool, err error) {
	raw, err := a.askRaw(ctx, wire.Make(wire.TypeReqQuote, wire.ReqQuote{Symbols: []string{"*"}}), false)
	if err != nil && fault(err) {
		if heard := a.hub.symbols(); len(heard) > 0 {
			return heard, false, nil
		}
		return nil, false, nobodyKnows(err)
	}
	if err != nil {
		return nil, false, err
	}
	var quotes []struct{ Symbol quote.Symbol }
	if err := json.Unmarshal(raw, &quotes); err != nil {
		return nil, false, fmt.Errorf("core's quotes: %w", err)
	}
	for i := range quotes {
		list = append(list, quotes[i].Symbol)
	}
	slices.Sort(list)
	return list, true, nil
}

// notAll is the error of an answer to a question for all symbols that may lack some; the answer comes with it.
func notAll() *wire.Error {
	return wire.Errorf(wire.Unavailable, "core does not answer: these are the symbols that the broker has shown, and there may be others")
}

func nobodyKnows(why error) error {
	return wire.Errorf(wire.Unavailable, "core does not answer, so nobody knows all symbols: name them (%v)", why)
}

// quotesOr asks core, or the shards where core does not answer.
func (a *Aggregator) quotesOr(ctx context.Context, f *wire.Frame, req wire.ReqQuote) (any, error) {
	single := len(req.Symbols) == 0
	ask := wire.Frame{Type: wire.TypeReqQuote, Topic: f.Topic, Payload: f.Payload}
	raw, err := a.askRaw(ctx, ask, single)
	if err == nil {
		if single && f.Topic == "" {
			a.remember(raw)
		}
		return raw, nil
	}
	if !fault(err) {
		return nil, err
	}
	return a.withoutCore(ctx, f.Topic, req.Symbols, single, err)
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
func (a *Aggregator) withoutCore(ctx context.Context, topic string, names []string, single bool, why error) (any, error) {
	if single && topic == "" {
		s, ok := a.usual()
		if !ok {
			return nil, why
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
	case lacking != nil && !single && len(out) > 0:
		found, err := json.Marshal(out)
		if err != nil {
			return nil, err
		}
		return nil, carrying(found, lacking)
	case lacking != nil:
		return nil, lacking
	case single:
		return out[0], nil
	}
	return out, nil
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
		err := f.Decode(&part)
		joined = append(joined, part...)
		return err
	})
	if err != nil || single {
		return one, err
	}
	return json.Marshal(joined)
}

// defaultSymbol returns the symbol of a request that names none: as configured, or core's first, remembered for when core
// does not answer.
func (a *Aggregator) defaultSymbol(ctx context.Context) (quote.Symbol, error) {
	if a.cfg.DefaultSymbol != "" {
		return quote.Symbol(a.cfg.DefaultSymbol), nil
	}
	raw, err := a.askRaw(ctx, wire.Frame{Type: wire.TypeReqQuote}, true)
	if err == nil {
		a.remember(raw)
	}
	if s, ok := a.usual(); ok {
		return s, nil
	}
	return "", wire.Errorf(wire.Unavailable, "no symbol was named and core does not say its first one: %v", err)
}

// remember takes the symbol of a quote that core gave when it was asked for none.
func (a *Aggregator) remember(raw json.RawMessage) {
	var q struct{ Symbol quote.Symbol }
	if json.Unmarshal(raw, &q) == nil && q.Symbol != "" {
		a.first.Store(q.Symbol)
	}
}

// usual returns the symbol of who names none, while core does not answer: the configured one, or core's as remembered, or the first
// that the broker has shown.
func (a *Aggregator) usual() (quote.Symbol, bool) {
	if s, ok := a.first.Load().(quote.Symbol); ok {
		return s, true
	}
	if heard := a.hub.symbols(); len(heard) > 0 {
		return heard[0], true
	}
	return "", false
}

// unknownTo returns an error that names a symbol that neither the broker has shown nor core knows. While core does not answer nobody
// can say.
func (a *Aggregator) unknownTo(ctx context.Context, symbols []quote.Symbol) error {
	symbols = slices.DeleteFunc(slices.Clone(symbols), a.hub.knows)
	if len(symbols) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	found, _, err := scatter.One(ctx, a.core.brk, fault, func(ctx context.Context) (map[quote.Symbol]asked, error) {
		return a.core.quotes(ctx, symbols)
	})
	if err != nil {
		return nil //nolint:nilerr // it may exist
	}
	for _, s := range symbols {
		if found[s].err != nil {
			return found[s].err
		}
	}
	return nil
}
