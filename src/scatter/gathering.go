package scatter

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"time"

	"quotes/src/breaker"
)

// key is what is known of one key. The masks are by place in its list of owners.
type key struct{ tried, answered uint32 }

// call is one call under way. Its goroutine writes the last three fields before it sends the call on.
type call[R any] struct {
	node            int
	keys            []int
	row             int
	began           time.Duration
	hedgeAt, silent time.Duration // when to look; 0: not any more
	free            bool          // a second chance, past the breaker: only its success counts
	over            bool          // what it answers is not waited for any more
	cancel          context.CancelFunc

	value R
	err   error
	took  time.Duration
}

// gathering is one Gather at work. Only its goroutine touches it.
type gathering[R any] struct {
	Query[R]
	engine  *Engine
	ctx     context.Context
	keys    []key
	open    int // keys that are not covered
	live    []*call[R]
	answers chan *call[R]
	ended   bool          // the question itself was refused
	resort  time.Duration // when half of the time is over: then every owner is asked; 0: never, or done
	timer   *time.Timer
	res     Result[R]
}

// why a call is made.
type why uint8

const (
	first why = iota
	failover
	hedge
	resort
)

func (g *gathering[R]) all() []int {
	out := make([]int, len(g.keys))
	for i := range out {
		out[i] = i
	}
	return out
}

// wait handles what happens until there is nothing to wait for.
func (g *gathering[R]) wait(ctx context.Context) {
	for len(g.live) > 0 && g.open > 0 && !g.ended {
		due := g.arm()
		select {
		case c := <-g.answers:
			g.take(c)
		case <-due:
			g.tick()
		case <-ctx.Done():
			for { // what is in by now still counts
				select {
				case c := <-g.answers:
					g.take(c)
					continue
				default:
				}
				return
			}
		}
	}
}

// arm returns when the next call is to be looked at.
func (g *gathering[R]) arm() <-chan time.Time {
	next := g.resort
	for _, c := range g.live {
		for _, at := range [...]time.Duration{c.hedgeAt, c.silent} {
			if at > 0 && (next == 0 || at < next) {
				next = at
			}
		}
	}
	if next == 0 {
		return nil
	}
	wait := max(next-g.engine.now(), 0)
	if g.timer == nil {
		g.timer = time.NewTimer(wait)
	} else {
		g.timer.Reset(wait)
	}
	return g.timer.C
}

// tick hedges and fails over the calls that are due.
func (g *gathering[R]) tick() {
	now := g.engine.now()
	last := g.resort > 0 && g.resort <= now
	if last {
		g.resort = 0
	}
	for _, c := range g.live { // launch appends to it: new calls are not looked at
		n := g.engine.nodes[c.node]
		if c.silent > 0 && c.silent <= now {
			if c.silent = n.silentAt(c.began); c.silent <= now {
				c.silent = 0
				n.doubt(now)
				g.assign(g.unasked(c), failover)
			}
		}
		if c.hedgeAt > 0 && c.hedgeAt <= now {
			c.hedgeAt = 0
			if !g.engine.brownout(now) {
				g.assign(g.unasked(c), hedge)
			}
		}
		if last {
			g.assign(g.unasked(c), resort)
		}
	}
}

// unasked returns the keys that wait for this call alone, and which others could answer.
func (g *gathering[R]) unasked(c *call[R]) []int {
	var out []int
	for _, k := range c.keys {
		if !g.res.Covered[k] && bits.OnesCount32(g.keys[k].tried) < len(g.Keys[k]) {
			out = append(out, k)
		}
	}
	return out
}

// take books what a call returned and asks others where that was not enough.
func (g *gathering[R]) take(c *call[R]) {
	if c.over {
		return
	}
	g.live = slices.DeleteFunc(g.live, func(l *call[R]) bool { return l == c })
	row := &g.res.Rows[c.row]
	if c.free {
		if c.err != nil {
			return
		}
		row.State = Skipped
	}
	row.Took = c.took
	keys := c.keys
	if c.err != nil {
		row.State, row.Err = Failed, c.err
		if g.Fault != nil && !g.Fault(c.err) {
			g.ended = true
			return
		}
		keys = g.answered(c)
	}
	if len(keys) > 0 {
		g.book(row, keys, c)
	}
	g.assign(g.unasked(c), first)
	g.outrun(g.engine.now())
}

// book takes what a call has answered of some keys.
func (g *gathering[R]) book(row *Row[R], keys []int, c *call[R]) {
	row.Answers = append(row.Answers, Answer[R]{keys, c.value})
	if row.State == Skipped {
		row.State = OK
	}
	for _, k := range keys {
		complete := g.Complete == nil || g.Complete(c.value, k)
		g.keys[k].answered |= g.place(k, c.node)
		if !complete && row.State == OK {
			row.State = Stale
		}
		if !g.res.Covered[k] && (complete || bits.OnesCount32(g.keys[k].answered) == len(g.Keys[k])) {
			g.res.Covered[k] = true
			g.open--
		}
	}
}

// answered returns the keys of a call that failed which were answered all the same.
func (g *gathering[R]) answered(c *call[R]) (keys []int) {
	for _, k := range c.keys {
		if g.Answered != nil && g.Answered(c.value, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// outrun cancels the calls whose keys others have covered.
func (g *gathering[R]) outrun(now time.Duration) {
	g.live = slices.DeleteFunc(g.live, func(c *call[R]) bool {
		if slices.ContainsFunc(c.keys, func(k int) bool { return !g.res.Covered[k] }) {
			return false
		}
		g.leave(c, now)
		return true
	})
}

// leave cancels a call that is not waited for any more.
func (g *gathering[R]) leave(c *call[R], now time.Duration) {
	c.over = true
	c.cancel()
	if c.free {
		return
	}
	g.engine.outrun.Add(1)
	g.engine.nodes[c.node].outrun(c.began)
	if row := &g.res.Rows[c.row]; row.State == Skipped {
		row.Err, row.Took = ErrOutrun, now-c.began
	}
}

// place is the bit of a node in the masks of a key; 0 where it is no owner.
func (g *gathering[R]) place(k, node int) uint32 {
	for i, o := range g.Keys[k] {
		if o == node {
			return 1 << i
		}
	}
	return 0
}

// skipOpen gives every owner whose breaker is open its row, whether it would have been asked or not.
func (g *gathering[R]) skipOpen() {
	for k, owners := range g.Keys {
		for i, o := range owners {
			if !g.engine.nodes[o].refuses() {
				continue
			}
			row := g.row(o)
			if row.Err == nil {
				permit, err := g.engine.nodes[o].Breaker.Acquire() // to be told why, and counted as refused
				if row.Err = err; err == nil {
					permit.Done(breaker.Ignored) // half-open since: the call itself asks again
				}
			}
			if row.Err != nil {
				g.keys[k].tried |= 1 << i
				row.Asked = append(row.Asked, k)
			}
		}
	}
}

// row returns the node's row; a new one is Skipped without a reason.
func (g *gathering[R]) row(node int) *Row[R] { return &g.res.Rows[g.rowAt(node)] }

func (g *gathering[R]) rowAt(node int) int {
	for i := range g.res.Rows {
		if g.res.Rows[i].Node == node {
			return i
		}
	}
	g.res.Rows = append(g.res.Rows, Row[R]{Node: node, Name: g.engine.nodes[node].Name, State: Skipped})
	return len(g.res.Rows) - 1
}

// launch makes one call, unless the breaker does not let it.
func (g *gathering[R]) launch(node int, keys []int, w why, free bool) {
	n := g.engine.nodes[node]
	for _, k := range keys {
		g.keys[k].tried |= g.place(k, node)
	}
	at := g.rowAt(node)
	row := &g.res.Rows[at]
	if !free {
		row.Asked = append(row.Asked, keys...)
	}
	if free && !n.chance() {
		return
	}
	var permit breaker.Permit
	if n.Breaker != nil && !free {
		var err error
		if permit, err = n.Breaker.Acquire(); err != nil {
			row.Err = err
			return
		}
	}
	row.Hedged = row.Hedged || w != first
	ctx, cancel := context.WithCancel(g.ctx)
	c := &call[R]{node: node, keys: keys, row: at, began: g.engine.now(), free: free, cancel: cancel}
	if w == first && !free {
		c.hedgeAt = g.hedgeAt(c)
	}
	if !free {
		c.silent = n.silentAt(c.began)
	}
	g.live = append(g.live, c)
	n.begin()
	hasty := isHasty(ctx)
	go func() {
		defer cancel()
		c.value, c.err = g.Call(ctx, node, keys)
		now := g.engine.now()
		c.took = now - c.began
		n.end(now, c.took, c.err == nil || g.Fault != nil && !g.Fault(c.err))
		if free {
			n.chances.Add(-1)
		} else {
			permit.DoneErr(outcome(ctx, hasty, c.err, g.Fault), c.err)
		}
		g.answers <- c
	}()
}

// hedgeAt is when a call is worth a second one: the p95 of the quickest other owner; 0 where there is none.
func (g *gathering[R]) hedgeAt(c *call[R]) (at time.Duration) {
	for _, k := range c.keys {
		if d := g.engine.Delay(g.Keys[k], c.node); d > 0 && (at == 0 || c.began+d < at) {
			at = c.began + d
		}
	}
	return at
}

// again asks those once more whom Again allows, past their breakers, where keys are open.
func (g *gathering[R]) again() {
	for i := range g.res.Rows {
		row := &g.res.Rows[i]
		var keys []int
		for k := range g.keys {
			if !g.res.Covered[k] && g.place(k, row.Node) != 0 {
				keys = append(keys, k)
			}
		}
		if len(keys) > 0 && (row.State == Skipped || row.State == Failed) && g.Again(row.Node, row.Err) {
			g.launch(row.Node, keys, first, true)
		}
	}
}

// close ends what is under way and gives it its rows.
func (g *gathering[R]) close(ctx context.Context) {
	now := g.engine.now()
	for _, c := range g.live {
		err := context.Cause(ctx)
		if err == nil || c.free {
			g.leave(c, now)
			continue
		}
		c.cancel()
		row := &g.res.Rows[c.row]
		row.State, row.Err, row.Took = Failed, err, now-c.began
	}
	for i := range g.res.Rows {
		if row := &g.res.Rows[i]; row.State == OK || row.State == Stale {
			row.Err = nil
		} else if row.Err == nil {
			row.Err = errors.New("not asked")
		}
	}
	if g.timer != nil {
		g.timer.Stop()
	}
}
