package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// Aggregator is the process.
type Aggregator struct {
	cfg    Config
	ln     net.Listener
	table  *placement.Table
	core   *peer
	shards []*peer // by index in the table
	engine *scatter.Engine
	hub    *hub

	overview statusCache
	web      *web
	met      *metrics
	since    time.Time
	first    atomic.Value // quote.Symbol: the default symbol, once known
	quiet    limiter      // of reports for silent clients
	working  *semaphore.Weighted
}

// New checks the configuration and listens. Run must follow.
func New(cfg Config) (*Aggregator, error) {
	cfg.defaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	shards, err := placement.ParseShards(cfg.Shards)
	if err != nil {
		return nil, fmt.Errorf("--shards: %w", err)
	}
	table, err := placement.New(shards, cfg.Copies)
	if err != nil {
		return nil, fmt.Errorf("--shards: %w", err)
	}
	a := &Aggregator{cfg: cfg, table: table, since: time.Now(), quiet: limiter{perSecond: silentReports}, working: newWork()}
	if a.core, err = newPeer("core", cfg.Core, cfg.Log); err != nil {
		return nil, err
	}
	for _, s := range shards {
		p, err := newPeer(s.Name, s.Addr, cfg.Log)
		if err != nil {
			return nil, err
		}
		a.shards = append(a.shards, p)
	}
	if a.engine, err = newEngine(a.shards); err != nil {
		return nil, err
	}
	if cfg.DefaultSymbol != "" {
		a.first.Store(quote.Symbol(cfg.DefaultSymbol))
	}
	a.hub = newHub(cfg.Broker, cfg.Log)
	a.met = newMetrics(cfg.Metrics, a)
	if a.web, err = newWeb(a); err != nil {
		return nil, err
	}
	if a.ln, err = wire.Listen(cfg.Listen, "aggregator"); err != nil {
		return nil, err
	}
	return a, nil
}

// Addr returns the data port's address.
func (a *Aggregator) Addr() string { return a.ln.Addr().String() }

// Ready says that the aggregator can answer: it always can, with what its sources have.
func (a *Aggregator) Ready() error { return nil }

// Run serves until ctx ends, then drains.
func (a *Aggregator) Run(ctx context.Context) error {
	a.cfg.Log.Info("listening", "addr", a.Addr())
	srv, err := wire.NewServer(a.serverConfig())
	if err != nil {
		return errors.Join(err, a.ln.Close())
	}
	peers, stop := context.WithCancel(context.WithoutCancel(ctx)) // the drain still asks them
	defer stop()
	var clients errgroup.Group
	for _, p := range a.peers() {
		clients.Go(func() error { return p.run(peers) })
	}
	clients.Go(func() error { return a.hub.client.Run(peers) })
	clients.Go(func() error { return a.engine.Run(peers) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.Serve(ctx, a.ln) })
	g.Go(func() error { return a.web.run(ctx) })
	err = g.Wait()
	stop()
	return errors.Join(err, clients.Wait())
}

// newEngine makes the shards askable. A suspect is probed as one behind an open breaker is.
func newEngine(shards []*peer) (*scatter.Engine, error) {
	var cfg scatter.Config
	for _, p := range shards {
		cfg.Nodes = append(cfg.Nodes, scatter.NodeConfig{Name: p.name, Breaker: p.brk, Probe: p.probe})
	}
	return scatter.New(cfg)
}

func (a *Aggregator) peers() []*peer { return append([]*peer{a.core}, a.shards...) }

// onFrame answers the data port's requests.
func (a *Aggregator) onFrame(c *wire.Conn, f wire.Frame) {
	answer := func(typ string, fn func(context.Context, *wire.Frame) (any, error)) {
		if f.BudgetMS == 0 {
			f.BudgetMS = a.cfg.Budget.Milliseconds()
		}
		c.AnswerParts(f, func(ctx context.Context, send func(wire.Frame) error) (wire.Frame, error) {
			v, err := fn(ctx, &f)
			if err != nil {
				return wire.Frame{}, err
			}
			raw, ok := v.(json.RawMessage)
			if !ok {
				return wire.Make(typ, v), nil
			}
			parts := pieces(raw, answerBytes)
			last := len(parts) - 1
			for _, part := range parts[:last] {
				if err := send(wire.Frame{Type: typ, Payload: part}); err != nil {
					return wire.Frame{}, err
				}
			}
			return wire.Frame{Type: typ, Payload: parts[last]}, nil
		})
	}
	switch f.Type {
	case wire.TypeReqReport:
		answer(wire.TypeRespReport, a.reqReport)
	case wire.TypeReqHist:
		answer(wire.TypeRespHist, a.reqHist)
	case wire.TypeReqQuote:
		answer(wire.TypeRespQuote, a.reqQuote)
	case wire.TypeReqStatus:
		_ = c.Reply(f, a.status().Frame())
	case wire.TypeHeartbeat:
	case wire.TypeSubscribe, wire.TypeUnsubscribe:
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "the aggregator reports; %s is the broker's, at %s", f.Type, a.cfg.Broker))
	default:
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "the aggregator knows no %.40q: it answers REQ_REPORT, REQ_HIST, REQ_QUOTE and REQ_STATUS", f.Type))
	}
}

// status describes the aggregator and its peers.
func (a *Aggregator) status() wire.Status {
	s := wire.Status{Process: "aggregator", Version: a.cfg.Version, Since: quote.TimeOf(a.since)}
	for _, p := range a.peers() {
		s.Peers = append(s.Peers, p.client.Peer())
		s.Breakers = append(s.Breakers, wire.BreakerStatusOf(p.brk.Snapshot()))
	}
	s.Peers = append(s.Peers, a.hub.client.Peer())
	return s
}
