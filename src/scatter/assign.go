package scatter

import "time"

// assign asks nodes for keys, as few as it can, until each key has been asked of one more owner or has none left.
func (g *gathering[R]) assign(keys []int, w why) {
	for len(keys) > 0 {
		now := g.engine.now()
		node := g.choose(keys, w, now)
		if node < 0 {
			return
		}
		var mine, rest []int
		for _, k := range keys {
			if place := g.place(k, node); place != 0 && g.keys[k].tried&place == 0 {
				mine = append(mine, k)
			} else {
				rest = append(rest, k)
			}
		}
		if w == hedge && !g.engine.spend() {
			return
		}
		before := len(g.live)
		g.launch(node, mine, w, false)
		g.engine.made(w, len(g.live) > before)
		if len(g.live) == before { // its breaker let nothing through: its twins are asked
			rest = append(rest, mine...)
		}
		keys = rest
	}
}

// choose returns the node to ask for some of the keys, or -1: one that is not suspect, that owns most of them, that has
// the fewest calls outstanding, in turn.
func (g *gathering[R]) choose(keys []int, w why, now time.Duration) int {
	type candidate struct {
		node, owns, outstanding int
		suspect                 bool
		answered                time.Duration
	}
	best := candidate{node: -1}
	better := func(c candidate) bool {
		switch {
		case best.node < 0:
			return true
		case c.suspect != best.suspect:
			return best.suspect
		case c.suspect && c.answered != best.answered: // who spoke last is likeliest to speak
			return c.answered > best.answered
		case c.owns != best.owns:
			return c.owns > best.owns
		}
		return c.outstanding < best.outstanding
	}
	var few [8]candidate
	candidates := few[:0]
	for _, k := range keys {
		for i, o := range g.Keys[k] {
			if g.keys[k].tried&(1<<i) != 0 {
				continue
			}
			at := -1
			for j := range candidates {
				if candidates[j].node == o {
					at = j
				}
			}
			if at < 0 {
				at = len(candidates)
				candidates = append(candidates, candidate{node: o})
			}
			candidates[at].owns++
		}
	}
	if len(candidates) == 0 {
		return -1
	}
	turn := int(g.engine.turn.Add(1) % uint64(len(candidates)))
	for i := range candidates {
		c := candidates[(i+turn)%len(candidates)]
		var slow bool
		c.suspect, slow, c.outstanding, c.answered = g.engine.nodes[c.node].load(now)
		if slow && (w == hedge || w == failover) {
			continue // to ask a slow one on top of another makes nothing faster
		}
		if better(c) {
			best = c
		}
	}
	return best.node
}
