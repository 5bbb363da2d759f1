package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/src/breaker"
	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// peer is one source: its connection and the breaker before it.
type peer struct {
	name   string
	client *wire.Client
	brk    *breaker.Breaker
}

func newPeer(name, addr string, log *slog.Logger) (*peer, error) {
	p := &peer{name: name}
	p.client = wire.NewClient(wire.ClientConfig{
		Dial: wire.DialConfig{Addr: addr, DialTimeout: time.Second}, MaxBackoff: 500 * time.Millisecond, Name: name, Log: log,
	})
	var err error
	p.brk, err = breaker.New(breaker.Config{
		Name: name, Window: 20, MinCalls: 10, FailureRate: 0.5, ConsecutiveFailures: 3,
		OpenFor: 100 * time.Millisecond, OpenMax: time.Second, Lease: 10 * time.Second, Trials: 1,
		Probe: p.probe, ProbeTimeout: 500 * time.Millisecond,
		OnTransition: func(t breaker.Transition) { log.Info("breaker", t.Attrs()...) },
	})
	return p, err
}

// probe asks for the cheapest thing: the status.
func (p *peer) probe(ctx context.Context) error {
	p.client.Hurry()
	_, err := p.client.Do(ctx, wire.Frame{Type: wire.TypeReqStatus})
	return err
}

// run keeps the connection and probes behind an open breaker, until ctx ends.
func (p *peer) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return p.client.Run(ctx) })
	g.Go(func() error { return p.brk.Run(ctx) })
	return g.Wait()
}

// theirs is the error of an answer that can't be read: its source is at fault, whatever it looks like.
func theirs(what string, err error) error {
	return wire.Errorf(wire.Internal, "%s: %v", what, err)
}

// fault says whether an error is the source's own: that a symbol is unknown is not.
func fault(err error) bool {
	switch wire.CodeOf(err) {
	case wire.BadRequest, wire.BadSymbol, wire.TooLarge:
		return false
	}
	return true
}

// quotes asks core for the symbols, each by itself, so that one unknown symbol does not cost the others.
func (p *peer) quotes(ctx context.Context, symbols []quote.Symbol) (map[quote.Symbol]asked, error) {
	type begun struct {
		wait func(context.Context) (wire.Frame, error)
		name quote.Symbol
	}
	s, err := p.client.Session(ctx)
	if err != nil {
		return nil, err
	}
	var calls []begun
	defer func() { // of those that were not waited for
		for _, c := range calls {
			_, _ = c.wait(wire.GivenUp())
		}
	}()
	for _, name := range symbols {
		wait, err := s.Begin(ctx, wire.Frame{Type: wire.TypeReqQuote, Topic: string(name)})
		if err != nil {
			return nil, err
		}
		calls = append(calls, begun{wait, name})
	}
	out := make(map[quote.Symbol]asked, len(symbols))
	for len(calls) > 0 {
		c := calls[0]
		calls = calls[1:]
		f, err := c.wait(ctx)
		var q quote.Quote
		if err == nil {
			if q, err = judged(&f); err != nil {
				err = theirs("core's quote", err)
			}
		}
		if err != nil && wire.CodeOf(err) != wire.BadSymbol {
			return nil, err
		}
		out[c.name] = asked{q, f.Payload, err}
	}
	return out, nil
}

// judged reads of core's quote what reports are judged by: its quality and when it was received. The quote itself goes out
// as core wrote it.
func judged(f *wire.Frame) (q quote.Quote, err error) {
	plainly := fields(f.Payload, func(name, value []byte) bool {
		ok := true
		switch string(name) {
		case "received":
			var s string
			if s, ok = plain(value); ok {
				q.Received, err = quote.ParseTime(s)
			}
		case "quality":
			ok = json.Unmarshal(value, &q.Quality) == nil
		}
		return ok && err == nil
	})
	if !plainly || q.Quality.State == "" {
		q = quote.Quote{}
		err = f.Decode(&q) // its word counts
	}
	return q, err
}

// asked is core's answer for one symbol: a quote, or that it knows none.
type asked struct {
	quote quote.Quote     // no more than judged reads
	raw   json.RawMessage // as core wrote it
	err   error
}

// history asks a shard, gathering the frames of its answer, with the ranges that it holds or without.
func (p *peer) history(ctx context.Context, req wire.ReqHist, ranges bool) (*hist, error) {
	all := &hist{}
	if err := p.client.Stream(ctx, wire.Make(wire.TypeReqHist, req), func(f wire.Frame) error { return all.add(f.Payload, ranges) }); err != nil {
		return nil, err
	}
	return all, nil
}

// Reasons of a source.
const (
	notConnected = "not_connected" // there is no connection to it
	breakerOpen  = "breaker_open"  // it was not asked
	outrun       = "outrun"        // its twin answered first
)

// reason puts an error into the few words of a source's row.
func reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, breaker.ErrOpen):
		return breakerOpen
	case errors.Is(err, scatter.ErrOutrun):
		return outrun
	case errors.Is(err, wire.ErrDown), errors.Is(err, wire.ErrClosed):
		return notConnected
	}
	return string(wire.CodeOf(err))
}
