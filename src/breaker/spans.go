package breaker

import (
	"sync/atomic"
	"time"
)

// numSpans is how many parts a time window has: it moves on by one at a time.
const numSpans = 10

// spans count the calls of the latest numSpans widths of time, without a lock. A cell holds the tick it counts for and
// its count in one word; the first call of a new tick takes over the oldest cell.
type spans struct {
	width               time.Duration
	calls, failed, slow [numSpans]atomic.Uint64 // tick<<32 | count
}

func (s *spans) tick(now time.Duration) uint32 { return uint32(now / s.width) }

func (s *spans) add(mark uint64, now time.Duration) {
	tick := s.tick(now)
	bump(&s.calls[tick%numSpans], tick)
	if mark&failed != 0 {
		bump(&s.failed[tick%numSpans], tick)
	}
	if mark&slow != 0 {
		bump(&s.slow[tick%numSpans], tick)
	}
}

func (s *spans) sum(n *Counts, now time.Duration) {
	tick := s.tick(now)
	for i := range numSpans {
		n.Calls += count(&s.calls[i], tick)
		n.Failures += count(&s.failed[i], tick)
		n.Slow += count(&s.slow[i], tick)
	}
}

// bump adds one to the cell, which counts anew where it held another tick.
func bump(cell *atomic.Uint64, tick uint32) {
	for {
		v := cell.Load()
		if uint32(v>>32) == tick {
			// Where the cell is taken over meanwhile, this call counts there: it is no older than it looks.
			cell.Add(1)
			return
		}
		if cell.CompareAndSwap(v, uint64(tick)<<32|1) {
			return
		}
	}
}

// count returns what the cell counted where that is in the window that ends with tick. A tick from the future counts
// too, for one window: a clock that went back empties nothing.
func count(cell *atomic.Uint64, tick uint32) uint64 {
	v := cell.Load()
	if age := int32(tick - uint32(v>>32)); age <= -numSpans || age >= numSpans {
		return 0
	}
	return v & (1<<32 - 1)
}
