package exchange

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/src/exchange/fault"
	"quotes/src/quote"
	"quotes/src/wire"
)

// External is the exchange process: a market behind a port, with its faults.
type External struct {
	cfg      Config
	market   *Market
	ln       net.Listener
	gate     *gate
	plan     *fault.Plan
	met      *metrics
	since    time.Time
	sessions atomic.Uint64
	requests atomic.Uint64
}

// New listens for clients of a generator's market. Run must follow.
func New(cfg Config, gen Generator) (*External, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w (is another external running?)", err)
	}
	met := newMetrics(cfg.Metrics)
	plan := fault.NewPlan(*cfg.Faults, cfg.Seed)
	return &External{cfg: cfg, market: NewMarket(gen, met), ln: ln, gate: newGate(plan, met), plan: plan, met: met, since: time.Now()}, nil
}

// Addr returns the data port's address.
func (e *External) Addr() string { return e.ln.Addr().String() }

// Ready says that the exchange can answer; it always can, faults are its business.
func (e *External) Ready() error { return nil }

// Outage cuts all sessions and resets connections for d.
func (e *External) Outage(d time.Duration) { e.gate.outage(d) }

// Hang makes everything silent for d; connections stay open.
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
	e.cfg.Log.Info("listening", "addr", e.Addr())
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: e.onFrame, Log: e.cfg.Log})
	if err != nil {
		return errors.Join(err, e.ln.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	g.Go(func() error { return srv.Serve(serving, gatedListener{e.ln, e.gate}) })
	g.Go(func() error { return e.outages(ctx) })
	g.Go(func() error {
		err := e.market.Run(ctx)
		if errors.Is(err, ErrEnded) {
			e.cfg.Log.Info("replay has ended: connections are refused from now on")
			stop()
			return nil
		}
		return err
	})
	return g.Wait()
}

// outages cuts the sessions at the beginning of each planned outage.
func (e *External) outages(ctx context.Context) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for was := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		is := e.plan.Outage(time.Since(e.gate.began))
		if is != was {
			e.cfg.Log.Info("planned outage", "on", is)
		}
		if is && !was {
			e.gate.outage(0)
		}
		was = is
	}
}

func (e *External) onFrame(c *wire.Conn, f wire.Frame) {
	switch f.Type {
	case wire.TypeSubscribe:
		e.subscribe(c, f)
	case wire.TypeReqQuote:
		c.Answer(f, func(ctx context.Context) (wire.Frame, error) { return e.quotes(ctx, f) })
	case wire.TypeReqStatus:
		_ = c.Reply(f, wire.Make(wire.TypeRespStatus, wire.Status{Process: "external", Version: e.cfg.Version, Since: quote.TimeOf(e.since)}))
	default:
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "external answers SUBSCRIBE, REQ_QUOTE and REQ_STATUS, not %.40q", f.Type))
	}
}

// quotes answers REQ_QUOTE, with the faults that the plan has for a request.
func (e *External) quotes(ctx context.Context, f wire.Frame) (wire.Frame, error) {
	delay, fails := e.plan.Request(e.requests.Add(1) - 1)
	if delay > 0 {
		e.met.faults.WithLabelValues("slow_request").Inc()
	}
	if !sleep(ctx, delay+e.gate.hung()) {
		return wire.Frame{}, ctx.Err()
	}
	if fails {
		e.met.faults.WithLabelValues("error").Inc()
		return wire.Frame{}, wire.Errorf(wire.Internal, "the exchange has a bad moment")
	}
	var req wire.ReqQuote
	if len(f.Payload) > 0 {
		if err := f.Decode(&req); err != nil {
			return wire.Frame{}, err
		}
	}
	ask, single := req.Symbols, len(req.Symbols) == 0
	if single && f.Topic != "" {
		ask = []string{f.Topic}
	}
	quotes, err := e.market.Quotes(ctx, ask)
	if err != nil {
		return wire.Frame{}, err
	}
	if single {
		return wire.Frame{Type: wire.TypeRespQuote, Payload: quotes[0].AppendJSON(nil)}, nil
	}
	return wire.Make(wire.TypeRespQuote, quotes), nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
