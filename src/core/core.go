package core

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/src/breaker"
	"quotes/src/placement"
	"quotes/src/wire"
)

// Core is one start of the sequencer.
type Core struct {
	cfg      Config
	ln       net.Listener
	since    time.Time
	instance string
	met      *metrics
	ledger   *ledger
	feed     *feed
	exchange *breaker.Breaker
	guards   []*breaker.Breaker // one a shard
	breakers []*breaker.Breaker // all of them, for status and metrics
	peers    peers
	epoch    atomic.Uint64
	book     atomic.Pointer[book] // nil until the epoch is chosen
}

// New checks the configuration and listens. Run must follow.
func New(cfg Config) (*Core, error) {
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
	c := &Core{cfg: cfg, since: time.Now(), instance: rand.Text(), met: newMetrics(cfg.Metrics)}
	c.ledger = newLedger(table, cfg.Buffer, cfg.Log, c.met)
	c.feed = &feed{addr: cfg.External, silence: cfg.Silence, log: cfg.Log, met: c.met, wake: make(chan struct{}, 1)}
	if err := c.guard(); err != nil {
		return nil, err
	}
	c.watch(cfg.Metrics)
	c.ln, err = wire.Listen(cfg.Listen, "core")
	if err != nil {
		return nil, err
	}
	return c, nil
}

// guard makes the breakers.
func (c *Core) guard() (err error) {
	c.exchange, err = breaker.New(breaker.Config{
		Name: "exchange", Window: 20, MinCalls: 10, FailureRate: 0.5, ConsecutiveFailures: 2,
		OpenFor: c.cfg.OpenFor, OpenMax: c.cfg.OpenMax, Lease: 2 * firstFrame, Trials: 1,
		Probe: c.feed.probe, ProbeTimeout: callEvery, ProbeEvery: callEvery, OnTransition: c.onTransition,
	})
	if err != nil {
		return err
	}
	c.feed.brk = c.exchange
	c.breakers = append(c.breakers, c.exchange)
	for _, s := range c.ledger.table.Shards() {
		b, err := breaker.New(breaker.Config{
			Name: s.Name, Window: 20, MinCalls: 10, FailureRate: 0.5, ConsecutiveFailures: 3,
			OpenFor: 200 * time.Millisecond, OpenMax: time.Second, Lease: 2 * appendWait, Trials: 1,
			Probe: func(ctx context.Context) error { return probeShard(ctx, s.Addr) }, ProbeTimeout: answerWait, OnTransition: c.onTransition,
		})
		if err != nil {
			return err
		}
		c.guards = append(c.guards, b)
		c.breakers = append(c.breakers, b)
	}
	return nil
}

// onTransition tells a breaker's change to people (one log line), to consumers (status.core), and where it is the
// exchange's, to every price.
func (c *Core) onTransition(t breaker.Transition) {
	c.cfg.Log.Info("breaker", t.Attrs()...)
	book := c.book.Load()
	if book == nil {
		return
	}
	if payload, err := json.Marshal(t); err == nil {
		book.status(payload)
	}
	if t.Breaker == "exchange" {
		book.turn(func(f *feedState) { f.open = t.To != breaker.Closed && t.To != breaker.Disabled })
		select {
		case c.feed.wake <- struct{}{}:
		default:
		}
	}
}

// Addr returns the data port's address.
func (c *Core) Addr() string { return c.ln.Addr().String() }

// Run chooses the epoch, then streams, publishes and stores until ctx ends. On the way out it gives the shards a moment
// to take what waits. It returns nil after a clean stop, and an error that wraps [ErrFenced] where a newer core is at work.
func (c *Core) Run(ctx context.Context) error {
	c.cfg.Log.Info("listening", "addr", c.Addr())
	// Two stages: the first ends with ctx, the second serves what the first left behind.
	late, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	early, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	run := func(ctx context.Context, fn func(context.Context) error) {
		g.Go(func() error {
			err := fn(ctx)
			if err != nil {
				fail(err)
			}
			return err
		})
	}
	run(early, c.serve)
	fed := make(chan struct{}) // closed when no record gets a position any more
	run(early, func(ctx context.Context) error {
		defer close(fed)
		book := c.begin(ctx)
		if book == nil {
			return nil
		}
		run(late, func(ctx context.Context) error { return c.publish(ctx, book) })
		for i := range c.guards {
			run(late, func(ctx context.Context) error { return c.store(ctx, book, i) })
			run(late, c.guards[i].Run)
		}
		run(early, c.exchange.Run)
		return c.feed.run(ctx)
	})
	<-early.Done()
	<-fed // the end of the session makes every price stale: these records are to be stored too
	c.settle(early)
	stop()
	return g.Wait()
}

// settleWait bounds how long a stop waits for the shards.
const settleWait = 2 * time.Second

// settle waits until the shards have what was given a position, unless core was fenced.
func (c *Core) settle(early context.Context) {
	if errors.Is(context.Cause(early), ErrFenced) {
		return
	}
	for until := time.Now().Add(settleWait); time.Now().Before(until) && !c.ledger.settled(); {
		pause(context.Background(), watchEvery)
	}
	if n := c.ledger.waiting(); n > 0 {
		c.cfg.Log.Error("core ends with records that no shard has confirmed", "records", n, "waited", settleWait)
	}
}

// begin chooses the epoch and loads what the shards know. It returns nil where ctx has ended.
func (c *Core) begin(ctx context.Context) *book {
	addrs := []string{c.cfg.Broker}
	for _, s := range c.ledger.table.Shards() {
		addrs = append(addrs, s.Addr)
	}
	k := ask(ctx, addrs, c.cfg.EpochWait, c.cfg.Log)
	if ctx.Err() != nil {
		return nil
	}
	now := time.Now()
	b := newBook(choose(now, k.epoch), newPublisher(c.cfg.Broker, c.cfg.Buffer, c.met), c.ledger, c.met)
	k.load(b, now, c.cfg.Log)
	state := c.exchange.State()
	b.turn(func(f *feedState) { f.open = state != breaker.Closed && state != breaker.Disabled })
	c.feed.book = b
	c.epoch.Store(b.epoch)
	c.book.Store(b)
	c.cfg.Log.Info("epoch chosen", "epoch", b.epoch, "highest_known", k.epoch, "instance", c.instance, "topics_loaded", len(k.records))
	return b
}

// publish keeps the link to the broker.
func (c *Core) publish(ctx context.Context, b *book) error {
	return c.keep(ctx, "broker", c.cfg.Broker, func(ctx context.Context, up func()) error {
		return b.out.serve(ctx, b, c.instance, up)
	})
}

// store keeps the link to one shard.
func (c *Core) store(ctx context.Context, b *book, shard int) error {
	s := c.ledger.table.Shards()[shard]
	l := &link{shard: shard, addr: s.Addr, instance: c.instance, book: b, ledger: c.ledger, brk: c.guards[shard], settled: make(chan struct{}, 1)}
	return c.keep(ctx, s.Name, s.Addr, l.serve)
}

// keep opens one session after the other until ctx ends or a newer core is met.
func (c *Core) keep(ctx context.Context, name, addr string, serve func(ctx context.Context, up func()) error) error {
	backoff := minRetry
	for ctx.Err() == nil {
		err := serve(ctx, func() {
			backoff = minRetry
			if c.peers.set(name, addr, true) {
				c.cfg.Log.Info("peer up", "peer", name, "addr", addr)
			}
		})
		if errors.Is(err, &wire.Error{Code: wire.StaleEpoch}) {
			return fmt.Errorf("%w: epoch %d refused by %s: %w", ErrFenced, c.epoch.Load(), name, err)
		}
		if ctx.Err() == nil && c.peers.set(name, addr, false) {
			c.cfg.Log.Warn("peer down", "peer", name, "addr", addr, "err", err)
		}
		pause(ctx, backoff/2+mrand.N(backoff/2))
		backoff = min(2*backoff, maxRetry)
	}
	return nil
}
