package cli

import (
	"math/bits"
	"time"
)

// histogram counts latencies in a bounded place: 32 steps to each doubling, so that a percentile is at most a thirty-second part too
// high. Its zero value is empty; one goroutine adds.
type histogram struct {
	counts [64 * steps]uint64
	total  uint64
	most   time.Duration
}

const steps = 32

// slot returns where a latency is counted.
func slot(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < steps {
		return int(v)
	}
	shift := bits.Len64(v) - 6 // the top six bits: one that is always set, five that count
	return (shift+1)*steps + int(v>>shift) - steps
}

// ceiling is the highest latency that is counted in a slot.
func ceiling(slot int) time.Duration {
	if slot < steps {
		return time.Duration(slot)
	}
	shift := slot/steps - 1
	return time.Duration(uint64(slot%steps+steps+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[slot(d)]++
	h.total++
	h.most = max(h.most, d)
}

// join adds all of another's.
func (h *histogram) join(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.most = max(h.most, o.most)
}

// percentile returns a latency that the share p of all does not exceed; 0 where there is none.
func (h *histogram) percentile(p float64) time.Duration {
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && float64(seen) >= p*float64(h.total) {
			return min(ceiling(i), h.most)
		}
	}
	return 0
}
