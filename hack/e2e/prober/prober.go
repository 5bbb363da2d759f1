package prober

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
)

// Config says what to probe. The zero value of a field is the default that its comment names.
type Config struct {
	Aggregator string            // HOST:PORT of reports, TCP and HTTP on the same. Required
	Broker     string            // HOST:PORT of the feed; no subscriber where empty
	Symbols    []quote.Symbol    // asked for in turn. Required
	Rate       float64           // reports a second on each of the four paths; 5
	Timeout    time.Duration     // of one report, from when it is due, and its budget; 5 s
	MostFlying int               // requests of one path under way; 64
	History    *history.Recorder // Required
}

// Prober probes while Run runs.
type Prober struct {
	cfg   Config
	paths []path
}

// path is one way to get a report.
type path interface {
	name() string
	// ask returns a report; errors are what classify knows.
	ask(ctx context.Context, symbol quote.Symbol) (answer, error)
	// run keeps what the path needs until ctx ends.
	run(ctx context.Context)
}

// New checks the configuration. Nothing is sent before Run.
func New(cfg Config) (*Prober, error) {
	if cfg.Aggregator == "" || len(cfg.Symbols) == 0 || cfg.History == nil {
		return nil, errors.New("prober needs an aggregator, symbols and a history")
	}
	if cfg.Rate == 0 {
		cfg.Rate = 5
	}
	if cfg.Rate < 0 || cfg.Rate > 1000 {
		return nil, fmt.Errorf("rate %v: want up to 1000 a second", cfg.Rate)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.MostFlying == 0 {
		cfg.MostFlying = 64
	}
	return &Prober{cfg: cfg, paths: []path{
		tcpNew{cfg.Aggregator}, newTCPKept(cfg.Aggregator), newHTTP(cfg.Aggregator, false), newHTTP(cfg.Aggregator, true),
	}}, nil
}

// Run probes until ctx ends and what is under way has an answer. It returns what the history complains of.
func (p *Prober) Run(ctx context.Context) error {
	keep, drop := context.WithCancel(context.WithoutCancel(ctx)) // connections outlive the last request
	defer drop()
	var probes, connections sync.WaitGroup
	start := time.Now()
	for i, way := range p.paths {
		connections.Go(func() { way.run(keep) })
		phase := p.interval() * time.Duration(i) / time.Duration(len(p.paths)) // paths do not fire together
		probes.Go(func() { p.fire(ctx, way, start.Add(phase), i) })
	}
	if p.cfg.Broker != "" {
		probes.Go(func() { newSubscriber(p.cfg.Broker, p.cfg.History).run(ctx) })
	}
	probes.Wait()
	drop()
	connections.Wait()
	return p.cfg.History.Err()
}

func (p *Prober) interval() time.Duration { return time.Duration(float64(time.Second) / p.cfg.Rate) }

// fire sends the requests of one path when they are due; the paths begin at different symbols.
func (p *Prober) fire(ctx context.Context, way path, due time.Time, first int) {
	var flying sync.WaitGroup
	defer flying.Wait()
	slots := make(chan struct{}, p.cfg.MostFlying)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for i := first; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		symbol, at := p.cfg.Symbols[i%len(p.cfg.Symbols)], due
		select {
		case slots <- struct{}{}:
			flying.Go(func() {
				defer func() { <-slots }()
				p.one(ctx, way, symbol, at)
			})
		default:
			p.cfg.History.Add(history.Event{
				Kind: history.Report, At: at, Path: way.name(), Symbol: symbol, Class: history.Overloaded,
				Text: fmt.Sprintf("%d requests are under way", p.cfg.MostFlying),
			})
		}
		due = due.Add(p.interval())
		timer.Reset(time.Until(due))
	}
}

// one sends one request and records what became of it.
func (p *Prober) one(ctx context.Context, way path, symbol quote.Symbol, at time.Time) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), at.Add(p.cfg.Timeout))
	defer cancel()
	got, err := way.ask(ctx, symbol)
	e := history.Event{Kind: history.Report, At: at, Path: way.name(), Symbol: symbol, LatencyMS: float64(time.Since(at).Microseconds()) / 1000}
	if err != nil {
		e.Class, e.Text = classify(err), err.Error()
	} else {
		e.Coverage, e.Missing, e.Trades = got.Coverage, got.Missing, len(got.History)
		if q := got.CurrentPrice; q != nil {
			e.State, e.Reason, e.AgeMS = q.Quality.State, q.Quality.Reason, q.Quality.AgeMS
		}
	}
	p.cfg.History.Add(e)
}
