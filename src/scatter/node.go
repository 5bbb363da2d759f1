package scatter

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quotes/src/breaker"
)

// NodeConfig is one that can be asked.
type NodeConfig struct {
	Name    string
	Breaker *breaker.Breaker // nil: always asked
	// Probe tests a suspect node, at most one at a time; it must heed its context. Where nil, suspicion ends by itself
	// after a second.
	Probe func(context.Context) error
}

// Sizes of what is remembered of a node.
const (
	remembered = 128 // latencies
	lately     = 8   // of these, the newest, that say whether it is slow now
	resorted   = 16  // answers between two looks at the percentiles
)

// Factors of the rules; doc.go says what they are for.
const (
	suspectAfter = 3 // times its own p95
	slowFrom     = 3 // times what is usual
	risesBy      = 64
)

// node is one node's state. Times are since the engine's start.
type node struct {
	NodeConfig
	floor, initial time.Duration // of the p95; before enough is known
	chances        atomic.Int32  // calls past the breaker that are under way

	mu          sync.Mutex
	outstanding int
	answered    time.Duration // when it last answered anything
	suspect     bool
	since       time.Duration // when it became suspect
	doubtAt     time.Duration // when it will be, unless it answers something before: a call was given up; 0: not so
	probing     bool
	ring        [remembered]time.Duration
	count       int           // answers recorded, ever
	usual, p95  time.Duration // usual: the median, which rises slowly: a node that stays slow is slow for long
	slowNow     bool          // its latest answers took several times the usual
}

// begin counts a call.
func (n *node) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outstanding++
}

// end counts a call's end; one that was given up says nothing of the node.
func (n *node) end(now, took time.Duration, answered bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outstanding--
	if !answered {
		return
	}
	n.answered, n.suspect, n.doubtAt = now, false, 0
	n.ring[n.count%remembered] = took
	n.count++
	if n.count%resorted == 0 || n.count < resorted {
		n.digest()
	}
	n.slowNow = n.late()
}

// digest computes the percentiles.
func (n *node) digest() {
	sorted := n.ring
	known := sorted[:min(n.count, remembered)]
	slices.Sort(known)
	n.p95 = known[len(known)*95/100]
	if median := known[len(known)/2]; n.usual == 0 || median <= n.usual {
		n.usual = median
	} else {
		n.usual += (median - n.usual) / risesBy
	}
}

// late reports whether most of the latest answers took several times the usual.
func (n *node) late() bool {
	if n.count < 2*lately {
		return false
	}
	slow := 0
	for i := n.count - lately; i < n.count; i++ {
		if n.ring[i%remembered] > max(slowFrom*n.usual, n.floor) {
			slow++
		}
	}
	return 2*slow > lately
}

// delay is after how long a call to a twin of this node is worth asking this one.
func (n *node) delay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.quantile()
}

func (n *node) quantile() time.Duration {
	if n.count < lately {
		return n.initial
	}
	return max(n.p95, n.floor)
}

// silentAt returns when a call that began at a time makes the node suspect, as things are now.
func (n *node) silentAt(began time.Duration) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(began, n.answered) + suspectAfter*n.quantile()
}

// doubt makes the node suspect.
func (n *node) doubt(now time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.suspect {
		n.suspect, n.since, n.doubtAt = true, now, 0
	}
}

// trust ends suspicion.
func (n *node) trust(now time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.suspect, n.answered, n.doubtAt = false, now, 0
}

// outrun notes that a call which began at a time is not waited for any more: from when on its silence is suspect.
func (n *node) outrun(began time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answered <= began && n.doubtAt == 0 {
		n.doubtAt = began + suspectAfter*n.quantile()
	}
}

// load is what the choice of a node goes by.
func (n *node) load(now time.Duration) (suspect, slow bool, outstanding int, answered time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.doubtAt > 0 && now >= n.doubtAt {
		n.suspect, n.since, n.doubtAt = true, now, 0
	}
	if n.suspect && n.Probe == nil && now-n.since > suspectFor {
		n.suspect = false
	}
	return n.suspect, n.suspect || n.slowNow, n.outstanding, n.answered
}

// chance reports whether one more call past the breaker may be made, and counts it.
func (n *node) chance() bool {
	if n.Breaker != nil && n.Breaker.State() == breaker.ForcedOpen {
		return false
	}
	if n.chances.Add(1) > secondChances {
		n.chances.Add(-1)
		return false
	}
	return true
}

// refuses reports whether the breaker lets nothing through.
func (n *node) refuses() bool {
	if n.Breaker == nil {
		return false
	}
	s := n.Breaker.State()
	return s == breaker.Open || s == breaker.ForcedOpen
}
