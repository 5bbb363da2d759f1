package breaker

import (
	"math"
	"sync/atomic"
	"time"
)

// window counts the calls of one generation. It is lock-free: a success writes one word, and one more in four calls a
// sample of its latency. Counters that are touched one after the other can disagree while calls are under way, never
// afterwards; whoever counts a failure judges after its own writes, so the last of several sees them all.
type window struct {
	_ [64]byte // what each call writes shares no cache line with what each call reads
	// calls are numbered from 1. It is negative once the generation is over, so that each call counts in exactly one.
	calls  atomic.Int64
	run    atomic.Int32 // failures in a row
	failed atomic.Int32 // in the ring
	slow   atomic.Int32
	_      [44]byte

	ring    []atomic.Uint64 // of the latest size calls, two bits each; nil where time is the window
	size    uint64
	spans   *spans // nil where a number of calls is the window
	samples [samples]atomic.Uint32
}

// The bits of a call that is not simply well.
const (
	failed = 1 << iota
	slow
	bits      = 2
	perWord   = 64 / bits
	markOfAll = 1<<bits - 1
)

// init makes an empty window as the Config says.
func (w *window) init(c *Config) {
	if c.WindowTime > 0 {
		w.spans = &spans{width: c.WindowTime / numSpans}
		return
	}
	w.size = uint64(c.Window)
	w.ring = make([]atomic.Uint64, (c.Window+perWord-1)/perWord)
}

// end ends the generation: no call counts from now on. It returns how many did.
func (w *window) end() uint64 { return uint64(w.calls.Add(math.MinInt64) - math.MinInt64) }

// add counts a call, the n-th, that ended now.
func (w *window) add(n int64, mark uint64, took, now time.Duration) {
	w.sample(n, took)
	switch {
	case mark&failed != 0:
		w.run.Add(1)
	case w.run.Load() != 0: // else the line stays unwritten
		w.run.Store(0)
	}
	if w.spans != nil {
		w.spans.add(mark, now)
		return
	}
	i := uint64(n) % w.size
	word, shift := &w.ring[i/perWord], i%perWord*bits
	if word.Load()>>shift&markOfAll != mark {
		w.replace(word, shift, mark)
	}
}

// replace puts a call in the place of the one that falls out of the ring.
func (w *window) replace(word *atomic.Uint64, shift, mark uint64) {
	for {
		was := word.Load()
		old := was >> shift & markOfAll
		if old != mark && !word.CompareAndSwap(was, was&^(markOfAll<<shift)|mark<<shift) {
			continue
		}
		w.failed.Add(int32(mark&failed) - int32(old&failed))
		w.slow.Add(int32(mark/slow) - int32(old/slow))
		return
	}
}

// counts returns what is in the window now.
func (w *window) counts(now time.Duration) (n Counts) {
	n.ConsecutiveFailures = uint64(w.run.Load())
	if w.spans != nil {
		w.spans.sum(&n, now)
		return n
	}
	n.Calls = min(uint64(w.calls.Load()), w.size)
	n.Failures = uint64(max(w.failed.Load(), 0)) // one that falls out may be taken off before it was put on
	n.Slow = uint64(max(w.slow.Load(), 0))
	return n
}
