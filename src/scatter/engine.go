package scatter

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"quotes/src/breaker"
)

// Config says whom an engine asks. The zero value of a field is the default that its comment names.
type Config struct {
	Nodes []NodeConfig
	// MinDelay is the least time before a call is hedged; 1 ms. FirstDelay holds until 8 answers of a node are known; 10 ms.
	MinDelay, FirstDelay time.Duration
	// Extra is how many hedges a call earns; 0.05. Burst is how many may be saved; 10.
	Extra float64
	Burst float64
	// ProbeEvery is the pause between two probes of a suspect; 100 ms. ProbeTimeout bounds one; 500 ms.
	ProbeEvery, ProbeTimeout time.Duration
}

// suspectFor is how long suspicion lasts where there is no probe.
const suspectFor = time.Second

// Engine is a set of nodes and what is known of them. Its methods may be called from any goroutine.
type Engine struct {
	cfg   Config
	nodes []*node
	start time.Time
	turn  atomic.Uint64 // breaks ties

	mu     sync.Mutex
	tokens float64 // hedges that may be made

	calls, hedges, failovers, outrun atomic.Uint64
}

// Totals count calls since the engine was made; Calls are those that were neither hedges nor failovers from a suspect.
type Totals struct{ Calls, Hedges, Failovers, Outrun uint64 }

// New checks the configuration.
func New(cfg Config) (*Engine, error) {
	cfg.MinDelay = cmp.Or(cfg.MinDelay, time.Millisecond)
	cfg.FirstDelay = cmp.Or(cfg.FirstDelay, 10*time.Millisecond)
	cfg.Extra = cmp.Or(cfg.Extra, 0.05)
	cfg.Burst = cmp.Or(cfg.Burst, 10)
	cfg.ProbeEvery = cmp.Or(cfg.ProbeEvery, 100*time.Millisecond)
	cfg.ProbeTimeout = cmp.Or(cfg.ProbeTimeout, 500*time.Millisecond)
	if len(cfg.Nodes) == 0 {
		return nil, errors.New("scatter needs nodes")
	}
	if cfg.MinDelay < 0 || cfg.FirstDelay < 0 || cfg.Extra < 0 || cfg.Burst < 0 || cfg.ProbeEvery < 0 || cfg.ProbeTimeout < 0 {
		return nil, errors.New("scatter: delays and the share of hedges must not be negative")
	}
	e := &Engine{cfg: cfg, start: time.Now()}
	for _, n := range cfg.Nodes {
		e.nodes = append(e.nodes, &node{NodeConfig: n, floor: cfg.MinDelay, initial: cfg.FirstDelay})
	}
	return e, nil
}

func (e *Engine) now() time.Duration { return time.Since(e.start) }

// Totals returns the counts.
func (e *Engine) Totals() Totals {
	return Totals{e.calls.Load(), e.hedges.Load(), e.failovers.Load(), e.outrun.Load()}
}

// Delay returns after how long a call to one of a key's owners is hedged now: the 95th percentile of the others.
func (e *Engine) Delay(owners []int, asked int) time.Duration {
	d := time.Duration(0)
	for _, o := range owners {
		if o != asked {
			if t := e.nodes[o].delay(); d == 0 || t < d {
				d = t
			}
		}
	}
	return d
}

// Reach returns after how long a node is asked on top of a slow twin now.
func (e *Engine) Reach(i int) time.Duration { return e.nodes[i].delay() }

// Suspect reports whether a node is suspect.
func (e *Engine) Suspect(i int) bool {
	suspect, _, _, _ := e.nodes[i].load(e.now())
	return suspect
}

// made counts a call, and what it earns or cost; one that a breaker refused was none.
func (e *Engine) made(w why, launched bool) {
	switch {
	case w == hedge && launched:
		e.hedges.Add(1)
	case w == hedge:
		e.credit(1)
	case !launched:
	case w == first:
		e.calls.Add(1)
		e.credit(e.cfg.Extra)
	default:
		e.failovers.Add(1)
	}
}

func (e *Engine) credit(tokens float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tokens = min(e.tokens+tokens, e.cfg.Burst)
}

// spend takes the price of one hedge, if there is enough.
func (e *Engine) spend() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tokens < 1 {
		return false
	}
	e.tokens--
	return true
}

// brownout reports whether most nodes are slow: then more calls only make it worse.
func (e *Engine) brownout(now time.Duration) bool {
	slow := 0
	for _, n := range e.nodes {
		if _, s, _, _ := n.load(now); s {
			slow++
		}
	}
	return 2*slow > len(e.nodes)
}

// Run probes suspect nodes until ctx ends; it returns nil.
func (e *Engine) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	tick := time.NewTicker(e.cfg.ProbeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, n := range e.nodes {
			if n.wantsProbe(e.now()) {
				probes.Go(func() { e.probe(ctx, n) })
			}
		}
	}
}

func (n *node) wantsProbe(now time.Duration) bool {
	n.load(now) // it may be due to become suspect
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.suspect || n.probing || n.Probe == nil {
		return false
	}
	n.probing = true
	return true
}

// probe asks a suspect; the breaker learns of it, since no user's call will tell.
func (e *Engine) probe(ctx context.Context, n *node) {
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.probing = false
	}()
	var permit breaker.Permit
	if n.Breaker != nil {
		var err error
		if permit, err = n.Breaker.Acquire(); err != nil {
			return // the breaker's own probe tests it now
		}
	}
	within, cancel := context.WithTimeout(ctx, e.cfg.ProbeTimeout)
	defer cancel()
	err := n.Probe(within)
	switch {
	case err == nil:
		permit.Done(breaker.Success)
		n.trust(e.now())
	case ctx.Err() != nil:
		permit.Done(breaker.Ignored)
	default:
		permit.Done(breaker.Failure)
	}
}
