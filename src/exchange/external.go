package exchange

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/src/exchange/fault"
	"quotes/src/quote"
	"quotes/src/wire"
)

// External is the exchange process: a market behind a port, with its faults.
type External struct {
	cfg    Config
	market *market
	source Source // the market, with faults
	ln     net.Listener
	gate   *gate
	met    *metrics
	since  time.Time
	work   sync.WaitGroup // sessions
}

// New listens for clients of a generator's market. Run must follow.
func New(cfg Config, gen Generator) (*External, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	ln, err := wire.Listen(cfg.Listen, "external")
	if err != nil {
		return nil, err
	}
	met := newMetrics(cfg.Metrics)
	plan := fault.NewPlan(*cfg.Faults, cfg.Seed)
	gate := newGate(plan, met)
	m := newMarket(gen, met, cfg.Log)
	return &External{
		cfg: cfg, market: m, source: &faulty{Source: m, plan: plan, gate: gate, met: met},
		ln: ln, gate: gate, met: met, since: time.Now(),
	}, nil
}

// Addr returns the data port's address.
func (e *External) Addr() string { return e.ln.Addr().String() }

// Ready says whether the exchange can answer: the market has begun. Faults are its business and change nothing here.
func (e *External) Ready() error {
	_, err := e.market.Quotes(context.Background(), nil)
	return err
}

// Outage resets all connections, and new ones for d; 0 ends an outage, though not a planned one.
func (e *External) Outage(d time.Duration) { e.gate.outage(d) }

// Hang makes everything silent for d, answers included; connections stay open. 0 ends a hang.
func (e *External) Hang(d time.Duration) { e.gate.hang(d) }

// Handle adds the faults that can be asked for: POST /-/outage?for=10s and POST /-/hang?for=3s.
func (e *External) Handle(mux interface{ Handle(string, http.Handler) }) {
	for name, do := range map[string]func(time.Duration){"outage": e.Outage, "hang": e.Hang} {
		mux.Handle("POST /-/"+name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d, err := time.ParseDuration(r.URL.Query().Get("for"))
			if err != nil || d < 0 || d > time.Hour {
				http.Error(w, "want ?for=DURATION from 0s to 1h, such as for=10s", http.StatusBadRequest)
				return
			}
			e.cfg.Log.Info("fault asked for", "kind", name, "for", d)
			do(d)
		}))
	}
}

// Run serves until ctx ends. At the end of a replay it ends the sessions, stops listening, and waits for ctx.
func (e *External) Run(ctx context.Context) error {
	defer e.work.Wait()
	e.cfg.Log.Info("listening", "addr", e.Addr())
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: e.onFrame, Log: e.cfg.Log})
	if err != nil {
		return errors.Join(err, e.ln.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { e.gate.hang(0) })() // a stop does not wait for a hang
	g.Go(func() error { return srv.Serve(serving, gatedListener{e.ln, e.gate}) })
	g.Go(func() error { return e.gate.outages(ctx, e.cfg.Log) })
	g.Go(func() error {
		err := e.market.run(ctx)
		if errors.Is(err, ErrEnded) {
			e.cfg.Log.Info("replay has ended: connections are refused from now on")
			stop()
			return nil
		}
		return err
	})
	return g.Wait()
}

func (e *External) onFrame(c *wire.Conn, f wire.Frame) {
	switch f.Type {
	case wire.TypeSubscribe:
		e.subscribe(c, f)
	case wire.TypeReqQuote:
		e.answer(c, f, func(ctx context.Context, part func(wire.Frame) error) (wire.Frame, error) {
			return e.quotes(ctx, f, part)
		})
	case wire.TypeReqStatus:
		e.answer(c, f, func(context.Context, func(wire.Frame) error) (wire.Frame, error) { return e.status(), nil })
	default:
		e.answer(c, f, func(context.Context, func(wire.Frame) error) (wire.Frame, error) {
			return f, wire.Errorf(wire.BadRequest, "external answers SUBSCRIBE, REQ_QUOTE and REQ_STATUS, not %.40q", f.Type)
		})
	}
}

// answer answers a request, unless everything hangs.
func (e *External) answer(c *wire.Conn, f wire.Frame, fn func(context.Context, func(wire.Frame) error) (wire.Frame, error)) {
	c.AnswerParts(f, func(ctx context.Context, part func(wire.Frame) error) (wire.Frame, error) {
		if err := e.gate.await(ctx); err != nil {
			return wire.Frame{}, err
		}
		return fn(ctx, part)
	})
}

func (e *External) status() wire.Frame {
	return wire.Status{Process: "external", Version: e.cfg.Version, Since: quote.TimeOf(e.since)}.Frame()
}
