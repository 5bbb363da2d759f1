package exchange

import (
	"errors"
	"net"
	"sync"
	"time"

	"quotes/src/exchange/fault"
)

// gate is what an operator, a test or the plan does to the exchange as a whole.
type gate struct {
	plan  *fault.Plan
	began time.Time
	met   *metrics

	mu          sync.Mutex
	closedUntil time.Time // connections are reset until then
	hungUntil   time.Time // everything is silent until then
	connections uint64
	cut         chan struct{} // closed when all sessions must end
}

func newGate(plan *fault.Plan, met *metrics) *gate {
	return &gate{plan: plan, began: time.Now(), met: met, cut: make(chan struct{})}
}

// refuses decides about one new connection.
func (g *gate) refuses() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.connections
	g.connections++
	switch now := time.Now(); {
	case now.Before(g.closedUntil) || g.plan.Outage(now.Sub(g.began)):
		g.met.faults.WithLabelValues("outage").Inc()
	case g.plan.Refused(n):
		g.met.faults.WithLabelValues("refuse").Inc()
	default:
		return false
	}
	return true
}

// outage cuts all sessions and resets connections for a while.
func (g *gate) outage(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closedUntil = time.Now().Add(d)
	g.cutAll()
}

// cutAll ends all sessions. The lock is held.
func (g *gate) cutAll() {
	close(g.cut)
	g.cut = make(chan struct{})
}

func (g *gate) hang(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hungUntil = time.Now().Add(d)
}

// hung returns how long everything is still silent.
func (g *gate) hung() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(time.Until(g.hungUntil), 0)
}

// cuts returns the channel that is closed when all sessions must end.
func (g *gate) cuts() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cut
}

// gatedListener resets the connections that the gate refuses, so that a client sees what a dead exchange shows.
type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept returns the next connection that the gate lets through.
func (l gatedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil || !l.gate.refuses() {
			return nc, err
		}
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a goodbye
		}
		_ = nc.Close()
	}
}

// errOutage ends sessions in an outage.
var errOutage = errors.New("outage")
