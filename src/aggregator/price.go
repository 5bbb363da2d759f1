package aggregator

import (
	"context"
	"encoding/json"
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
	at     time.Time // when that was
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
	p.at = time.Now()
	return p
}

// Bounds of how old core's word may be when a report goes out.
const (
	priceHold  = 250 * time.Millisecond // while the shards take longer, core is asked anew
	priceWait  = time.Second            // for that answer
	priceSlack = 20 * time.Millisecond  // an age that has grown by less stays as core gave it
)

// prices asks core until the shards have been heard: who waited for them must not get a price from before that as one of now.
func (a *Aggregator) prices(ctx context.Context, symbols []quote.Symbol, heard <-chan struct{}) priced {
	p := a.askCore(ctx, symbols)
	for p.err == nil {
		hold := time.NewTimer(priceHold)
		select {
		case <-heard:
			hold.Stop()
			return p
		case <-hold.C:
		}
		next := make(chan priced, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, 2*priceWait) // askCore takes half of it
			defer cancel()
			next <- a.askCore(ctx, symbols)
		}()
		select {
		case <-heard:
			return p
		case again := <-next:
			if ctx.Err() != nil {
				<-heard
				return p
			}
			p = again
		}
	}
	return p
}

// aged makes a quote's age that of now, some time after it was told.
func aged(q quote.Quote, since time.Duration) quote.Quote {
	if q.Quality.AgeMS != nil {
		now := *q.Quality.AgeMS + since.Milliseconds()
		q.Quality.AgeMS = &now
	}
	return q
}

// price puts the current price and core's row into a report: core's own quote, or the last one that the shards know.
func price(r *report, s quote.Symbol, core *priced) {
	row, since := source("core", core.state, core.err, core.took), time.Since(core.at)
	switch got := core.quotes[s]; {
	case core.err != nil:
		r.Errors = append(r.Errors, "core: "+core.err.Error())
		if q, ok := core.last[s]; ok {
			q = aged(q, since)
			r.CurrentPrice, r.price = &q, q.AppendJSON(nil)
		}
	case got.err != nil:
		row.State, row.Reason = wire.SourceFailed, string(wire.CodeOf(got.err))
		r.Errors = append(r.Errors, "core: "+got.err.Error())
	default:
		r.CurrentPrice, r.price = &got.quote, got.raw
		var q quote.Quote
		if since > priceSlack && json.Unmarshal(got.raw, &q) == nil {
			q = aged(q, since)
			r.CurrentPrice, r.price = &q, q.AppendJSON(nil)
		}
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
