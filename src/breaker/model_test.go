package breaker_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
)

// model is a breaker as doc.go tells it: lists instead of rings, no atomics, no cache, one goroutine.
type model struct {
	cfg        breaker.Config
	state      breaker.State
	generation int
	window     []mark // of this generation, newest last
	tripped    int    // the closed generation that ended with a trip, -1 where there was none
	under      int    // results of it that came late: so many were under way beside the one that tripped
	reopened   int    // returns that failed in a row
	till       time.Duration
	leases     map[int]time.Duration // of trials under way, by number: when they end
	trials     int                   // given out so far
	step       int
	seen       []mark                // results within this step
	lateSince  bool                  // a late result came since the last refusal: the limit may have risen without anybody knowing
	notBefore  map[int]time.Duration // what retry-after said, by the generation of the call
}

// mark is what was wrong with a call, and in which tenth of a time window it ended.
type mark struct {
	failed, slow bool
	tick         int64
}

func (k mark) bad() bool { return k.failed || k.slow }

// lent is a permit of both.
type lent struct {
	permit     breaker.Permit
	generation int
	start      time.Duration
	trial      int // its number, or 0
}

func (m *model) turn(to breaker.State) {
	if to == breaker.Open && m.state == breaker.Closed {
		m.tripped, m.under, m.reopened = m.generation, 0, 0
	}
	if to == breaker.Closed {
		m.tripped = -1
	}
	m.state, m.window = to, nil
	m.generation++
	m.step, m.seen = 0, nil
}

func (m *model) limit() int {
	if m.cfg.NoRamp || m.tripped < 0 {
		return m.cfg.Trials
	}
	percent := []int{1, 5, 25, 50, 100}[m.step]
	return max(m.cfg.Trials, ((1+m.under)*percent+99)/100)
}

// acquire tells whether a call is let through, and as which trial.
func (m *model) acquire(now time.Duration) (trial int, through bool) {
	if m.state == breaker.Open && now >= m.till {
		m.turn(breaker.HalfOpen)
	}
	switch m.state {
	case breaker.Closed, breaker.Disabled:
		return 0, true
	case breaker.HalfOpen:
		for n, end := range m.leases {
			if end <= now {
				delete(m.leases, n)
			}
		}
		if len(m.leases) < m.limit() {
			m.trials++
			m.leases[m.trials] = now + m.cfg.Lease
			return m.trials, true
		}
	}
	return 0, false
}

func count(marks []mark) (n breaker.Counts) {
	for _, k := range marks {
		n.Calls++
		n.ConsecutiveFailures++
		if k.failed {
			n.Failures++
		} else {
			n.ConsecutiveFailures = 0
		}
		if k.slow {
			n.Slow++
		}
	}
	return n
}

// breaks tells whether the marks break a rule, where rates are shares of so many calls.
func (m *model) breaks(n breaker.Counts, least, of int) bool {
	switch {
	case m.cfg.ConsecutiveFailures > 0 && int(n.ConsecutiveFailures) >= m.cfg.ConsecutiveFailures:
		return true
	case int(n.Calls) < least:
		return false
	}
	return n.Failures > 0 && float64(n.Failures) >= m.cfg.FailureRate*float64(of) || n.Slow > 0 && float64(n.Slow) >= m.cfg.SlowRate*float64(of)
}

// tick numbers the tenths of a time window.
func (m *model) tick(now time.Duration) int64 {
	if m.cfg.WindowTime == 0 {
		return 0
	}
	return int64(now / (m.cfg.WindowTime / 10))
}

// latest are the counts that the rules of a closed breaker judge. A row of failures may be longer than the window.
func (m *model) latest(now time.Duration) breaker.Counts {
	begin := max(0, len(m.window)-m.cfg.Window)
	if m.cfg.WindowTime > 0 {
		for begin = len(m.window); begin > 0 && m.window[begin-1].tick > m.tick(now)-10; {
			begin--
		}
	}
	n := count(m.window[begin:])
	n.ConsecutiveFailures = count(m.window).ConsecutiveFailures
	return n
}

func (m *model) done(p lent, o breaker.Outcome, now time.Duration) breaker.Verdict {
	took := now - p.start
	if p.trial != 0 {
		_, held := m.leases[p.trial]
		delete(m.leases, p.trial)
		if !held {
			return breaker.Expired
		}
	}
	if p.generation != m.generation {
		if p.generation == m.tripped {
			m.under++
			m.lateSince = true
		}
		return breaker.Late
	}
	overdue := took >= m.cfg.Lease
	if p.trial != 0 && overdue {
		return breaker.Expired
	}
	if o != breaker.Ignored {
		k := mark{o == breaker.Failure, took >= m.cfg.SlowCall, m.tick(now)}
		m.window = append(m.window, k)
		if p.trial != 0 {
			m.settle(k)
		} else if n := m.latest(now); m.state == breaker.Closed && k.bad() && m.breaks(n, m.cfg.MinCalls, int(n.Calls)) {
			m.turn(breaker.Open)
		}
	}
	if overdue && (o != breaker.Success || took >= m.cfg.SlowCall) {
		return breaker.Expired
	}
	return breaker.Counted
}

func (m *model) settle(k mark) {
	limit := m.limit()
	m.seen = append(m.seen, k)
	bad := 0
	for _, k := range m.seen {
		if k.bad() {
			bad++
		}
	}
	switch {
	case m.step == 0 && bad > 0:
		m.reopened++
		m.turn(breaker.Open)
	case m.step > 0 && (bad >= limit || m.breaks(count(m.seen), 0, limit)):
		m.step, m.seen = m.step-1, nil
	case len(m.seen) >= limit:
		for m.seen = nil; m.step < 4; {
			if m.step++; m.limit() > limit {
				return
			}
		}
		m.turn(breaker.Closed)
	}
}

// openTime checks how long the breaker says it stays open, which only it can know, and believes it.
func (m *model) openTime(t *testing.T, now, got time.Duration) {
	want := m.cfg.OpenFor
	for range m.reopened {
		want = min(2*want, m.cfg.OpenMax)
	}
	if asked := m.notBefore[m.generation-1] - now; got != asked {
		require.Greater(t, got, asked)
		require.InDelta(t, float64(want), float64(got), 0.2*float64(want)+1)
	}
	m.till = now + got
}

func TestAMillionRandomStepsAgreeWithTheModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QUOTES_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("QUOTES_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		walk(t, r, 50_000)
	}
}

// walk compares breaker and model for so many steps.
func walk(t *testing.T, r *rand.Rand, n int) {
	var now, openFor time.Duration
	var moved int
	cfg := breaker.Config{
		Name: "b", Window: 1 + r.IntN(40), FailureRate: []float64{0.3, 0.5, 2}[r.IntN(3)], SlowRate: []float64{0.4, 2}[r.IntN(2)],
		ConsecutiveFailures: r.IntN(6), SlowCall: 20 * time.Millisecond, Lease: 200 * time.Millisecond, Trials: 1 + r.IntN(3), NoRamp: r.IntN(4) == 0,
		OpenFor: 50 * time.Millisecond, OpenMax: 300 * time.Millisecond, Clock: func() time.Duration { return now },
		OnTransition: func(tr breaker.Transition) { openFor = tr.OpenFor; moved++ },
	}
	cfg.MinCalls = 1 + r.IntN(cfg.Window)
	if r.IntN(3) == 0 {
		cfg.WindowTime = time.Second
	}
	b, err := breaker.New(cfg)
	require.NoError(t, err)
	m := &model{cfg: cfg, tripped: -1, leases: map[int]time.Duration{}, notBefore: map[int]time.Duration{}}
	var out []lent
	failing := 0.2
	for i := range n {
		before := m.generation
		switch k := r.IntN(1000); {
		case k < 2:
			failing = r.Float64() * r.Float64()
		case k < 4:
			force := []func(){b.Trip, b.Disable, b.Reset}[k%3]
			to := []breaker.State{breaker.ForcedOpen, breaker.Disabled, breaker.Closed}[k%3]
			force()
			if m.state != to || to == breaker.Closed {
				m.turn(to)
			}
		case k < 200:
			now += time.Duration(r.Int64N(int64(30 * time.Millisecond)))
		case k < 203:
			now += time.Duration(r.Int64N(int64(time.Hour)))
		case k < 620 && len(out) < 120:
			p, err := b.Acquire()
			trial, through := m.acquire(now)
			if err != nil && through && trial != 0 && m.lateSince {
				delete(m.leases, trial) // it may not know yet that more are let through
				through = false
			}
			require.Equal(t, through, err == nil, "step %d, %s, %d under way of %d", i, m.state, len(m.leases), m.limit())
			if through {
				out = append(out, lent{p, m.generation, now, trial})
			}
			m.lateSince = m.lateSince && !through
		case len(out) > 0:
			at := r.IntN(len(out))
			p := out[at]
			out = append(out[:at], out[at+1:]...)
			if r.IntN(50) == 0 {
				continue // it vanishes
			}
			o := breaker.Success
			if r.Float64() < failing {
				o = breaker.Outcome(1 + r.IntN(2))
			}
			var after time.Duration
			if r.IntN(20) == 0 {
				after = time.Duration(r.Int64N(int64(time.Second)))
				m.notBefore[p.generation] = max(m.notBefore[p.generation], now+after)
			}
			want := m.done(p, o, now)
			require.Equal(t, want, p.permit.DoneAfter(o, after), "step %d, %s", i, m.state)
		}
		if m.state == breaker.Open && m.generation != before {
			m.openTime(t, now, openFor)
		}
		require.Equal(t, m.state, b.State(), "step %d", i)
		if i%16 == 0 {
			m.same(t, b.Snapshot(), now, i)
		}
	}
	require.Equal(t, m.generation, moved, "each transition is told once")
}

func (m *model) same(t *testing.T, s breaker.Snapshot, now time.Duration, step int) {
	require.EqualValues(t, m.generation, s.Generation, "step %d", step)
	want := m.latest(now)
	got := breaker.Counts{Calls: s.Counts.Calls, Failures: s.Counts.Failures, Slow: s.Counts.Slow, ConsecutiveFailures: s.Counts.ConsecutiveFailures}
	require.Equal(t, want, got, "step %d, %s", step, m.state)
	if m.state == breaker.HalfOpen {
		require.Equal(t, m.limit(), s.Limit, "step %d", step)
	}
}
