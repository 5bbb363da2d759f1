package breaker

import (
	"math"
	"slices"
	"time"
)

// samples is how many latencies a generation keeps. Its first so many calls are all kept, from then on one in four: a
// word that each call wrote would cost callers on several processors more than all the rest.
const samples = 64

func (w *window) sample(n int64, took time.Duration) {
	switch {
	case n <= samples:
		w.samples[n-1].Store(micros(took))
	case n%4 == 0:
		w.samples[n/4%samples].Store(micros(took))
	}
}

// micros is at least 1, so that 0 is an empty place.
func micros(d time.Duration) uint32 { return uint32(min(max(d.Microseconds(), 1), math.MaxUint32)) }

// latency returns the middle and the 99th of a hundred, 0 where there is none.
func (w *window) latency() (p50, p99 time.Duration) {
	all := make([]uint32, 0, samples)
	for i := range w.samples {
		if v := w.samples[i].Load(); v != 0 {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	at := func(share int) time.Duration { // nearest rank
		return time.Duration(all[(len(all)*share+99)/100-1]) * time.Microsecond
	}
	return at(50), at(99)
}
