package exchange

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"quotes/src/exchange/fault"
)

// gate is what a plan, an operator or a test does to the exchange as a whole: outages and hangs.
//
// A refused connection is accepted and reset at once, an existing one is reset: the port stays ours, and a client learns
// as quickly as from a dead process that nobody is there.
type gate struct {
	plan  *fault.Plan
	began time.Time
	met   *metrics

	mu          sync.Mutex
	closedUntil time.Time // connections are reset until then
	hungUntil   time.Time // nothing is said until then
	moved       chan struct{}
	connections uint64
	open        map[*gatedConn]struct{}
}

func newGate(plan *fault.Plan, met *metrics) *gate {
	return &gate{plan: plan, began: time.Now(), met: met, moved: make(chan struct{}), open: map[*gatedConn]struct{}{}}
}

// errOutage is why an outage's connections ended.
var errOutage = errors.New("outage")

// gatedConn is a connection that an outage resets.
type gatedConn struct {
	*net.TCPConn
	gate *gate
	cut  atomic.Bool // by an outage
}

// Read reads.
func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err != nil && c.cut.Load() {
		err = errOutage
	}
	return n, err
}

// reset closes the connection without a goodbye.
func (c *gatedConn) reset() {
	c.cut.Store(true)
	_ = c.SetLinger(0)
	_ = c.TCPConn.Close()
}

// Close closes the connection.
func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.open, c)
	c.gate.mu.Unlock()
	return c.TCPConn.Close()
}

// gatedListener lets through what the gate does.
type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept returns the next connection that the gate lets through.
func (l gatedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &gatedConn{TCPConn: nc.(*net.TCPConn), gate: l.gate}
		if kind := l.gate.enter(c); kind != "" {
			l.gate.met.faults.WithLabelValues(kind).Inc()
			c.reset()
			continue
		}
		return c, nil
	}
}

// enter takes in a new connection, or says for what fault it must not.
func (g *gate) enter(c *gatedConn) (kind string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.connections
	g.connections++
	switch now := time.Now(); {
	case now.Before(g.closedUntil) || g.plan.Outage(now.Sub(g.began)):
		return "outage"
	case g.plan.Refused(n):
		return "refuse"
	}
	g.open[c] = struct{}{}
	return ""
}

// outage resets all connections, and the new ones for d.
func (g *gate) outage(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closedUntil = time.Now().Add(d)
	g.reset()
}

// reset resets all connections. The lock is held.
func (g *gate) reset() {
	for c := range g.open {
		g.met.faults.WithLabelValues("outage").Inc()
		c.reset()
		delete(g.open, c)
	}
}

// hang makes everything silent for d from now; 0 ends a hang.
func (g *gate) hang(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hungUntil = time.Now().Add(d)
	close(g.moved)
	g.moved = make(chan struct{})
}

// await returns when nothing hangs. It is ctx's error when that ends first.
func (g *gate) await(ctx context.Context) error {
	for {
		g.mu.Lock()
		left, moved := time.Until(g.hungUntil), g.moved
		g.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		t := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-moved:
		case <-t.C:
		}
		t.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// outages makes the planned ones, until ctx ends.
func (g *gate) outages(ctx context.Context, log *slog.Logger) error {
	for {
		from, to, ok := g.plan.NextOutage(time.Since(g.began))
		if !ok || !sleep(ctx, from-time.Since(g.began)) {
			return nil
		}
		log.Info("outage", "planned", true, "for", to-from)
		g.mu.Lock()
		g.reset() // enter asks the plan itself
		g.mu.Unlock()
		if !sleep(ctx, to-time.Since(g.began)) {
			return nil
		}
		log.Info("outage over")
	}
}
