package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"quotes/src/breaker"
	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

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
	return onlyCore(why, "core does not answer, so nobody knows all symbols: name them")
}

func noFirst(why error) error {
	return onlyCore(why, "no symbol was named and core does not say its first one")
}

// onlyCore is the error of what core alone could have said. Where it was not even asked it has a code of its own, and when it may be.
func onlyCore(why error, message string) *wire.Error {
	e := wire.Errorf(wire.Unavailable, "%s: %v", message, why)
	if open, ok := errors.AsType[*breaker.OpenError](why); ok {
		e.Code, e.RetryAfterMS = wire.BreakerOpen, open.RetryAfter().Milliseconds()
	}
	return e
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
	return "", noFirst(err)
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
