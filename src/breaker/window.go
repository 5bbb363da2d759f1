package breaker

// window holds the outcomes of the latest calls.
type window struct {
	ring   []mark
	next   int
	full   bool
	counts Counts
}

// mark is one call.
type mark uint8

const (
	failed mark = 1 << iota
	slow
)

func newWindow(size int) window { return window{ring: make([]mark, size)} }

// add counts a call and forgets the one that falls out of the window.
func (w *window) add(m mark) {
	if w.full {
		w.count(w.ring[w.next], -1)
	}
	w.ring[w.next] = m
	w.count(m, +1)
	if w.next++; w.next == len(w.ring) {
		w.next, w.full = 0, true
	}
	if m&failed != 0 {
		w.counts.ConsecutiveFailures++
	} else {
		w.counts.ConsecutiveFailures = 0
	}
}

// count adds by, 1 or -1, to what the mark counts for.
func (w *window) count(m mark, by int) {
	w.counts.Calls += uint64(by)
	if m&failed != 0 {
		w.counts.Failures += uint64(by)
	}
	if m&slow != 0 {
		w.counts.Slow += uint64(by)
	}
}

// clear forgets all.
func (w *window) clear() { w.next, w.full, w.counts = 0, false, Counts{} }

// rule returns the rule that says open, or "".
func (c *Config) rule(n Counts) string {
	calls := float64(n.Calls)
	switch {
	case c.ConsecutiveFailures > 0 && n.ConsecutiveFailures >= uint64(c.ConsecutiveFailures):
		return "consecutive_failures"
	case n.Calls < uint64(c.MinCalls):
		return ""
	case float64(n.Failures) >= c.FailureRate*calls && n.Failures > 0:
		return "failure_rate"
	case c.SlowCall > 0 && float64(n.Slow) >= c.SlowRate*calls && n.Slow > 0:
		return "slow_rate"
	}
	return ""
}
