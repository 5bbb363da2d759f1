package broker

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// auditor proves, from the lines alone, that a subscription's view of one topic is complete: what it got, what it was told
// was skipped, and what it was told was lost add up to every record, without a hole and without an overlap.
type auditor struct {
	t        *testing.T
	what     string
	conflate bool
	why      string // the only reason there may be for skipping
	known    bool
	last     quote.Point
	lost     *wire.Lost // told and not yet followed
	got      []quote.Point

	snapshot bool      // the first frame is to be one
	sent     time.Time // when the last frame came
	changed  bool      // the subscription has, since
}

func (a *auditor) line(raw []byte) {
	a.t.Helper()
	f, err := wire.ParseFrame(raw)
	require.NoError(a.t, err, a.what)
	switch f.Type {
	case wire.TypeLost:
		var l wire.Lost
		require.NoError(a.t, f.Decode(&l))
		require.Positive(a.t, l.Before.Compare(l.After), "%s: LOST %+v", a.what, l)
		if a.known {
			require.LessOrEqual(a.t, l.After.Compare(a.last), 0, "%s: LOST begins behind a hole: last %v, LOST %+v", a.what, a.last, l)
			require.Positive(a.t, l.Before.Compare(a.last), "%s: LOST of what was delivered: last %v, LOST %+v", a.what, a.last, l)
		}
		if l.Count != nil && l.After.Epoch == l.Before.Epoch {
			require.Equal(a.t, l.Before.Seq-l.After.Seq-1, *l.Count, a.what)
		}
		a.known, a.last, a.lost = true, quote.Point{Epoch: l.Before.Epoch, Seq: l.Before.Seq - 1}, &l
	case wire.TypePublish:
		a.frame(&f)
	default:
		require.Fail(a.t, "unexpected "+f.Type)
	}
}

func (a *auditor) frame(f *wire.Frame) {
	a.t.Helper()
	p := f.Point()
	switch {
	case f.Snapshot:
		require.Nil(a.t, f.Prev, a.what)
	case !a.known && f.PrevEpoch != 0: // what it joined behind was of an older epoch
	case !a.known:
		require.Equal(a.t, p.Seq-1-f.Skipped, *f.Prev, "%s: prev as core wrote it", a.what)
	case p.Epoch == a.last.Epoch:
		require.Equal(a.t, a.last.Seq+1+f.Skipped, p.Seq, "%s: a hole behind %v: %s", a.what, a.last, encode(f))
		require.Equal(a.t, a.last.Seq, *f.Prev, "%s: prev", a.what)
	default:
		require.Greater(a.t, p.Epoch, a.last.Epoch, a.what)
		if a.lost == nil {
			require.Equal(a.t, a.last.Epoch, f.PrevEpoch, "%s: %s", a.what, encode(f))
		}
		require.Equal(a.t, p.Seq-1, f.Skipped+prevSkip(f, p), a.what)
	}
	if f.Skipped > 0 {
		require.True(a.t, a.conflate, "%s: only quotes are conflated", a.what)
		require.Equal(a.t, a.why, f.Why, a.what)
	}
	a.known, a.last, a.lost = true, p, nil
	a.got = append(a.got, p)
}

// prevSkip is what a first frame of an epoch may pass over beside skipped: nothing.
func prevSkip(f *wire.Frame, p quote.Point) uint64 {
	if f.Skipped > 0 {
		return p.Seq - 1 - f.Skipped
	}
	return 0
}

func encode(f *wire.Frame) string { b, _ := json.Marshal(f); return string(b) }

// client is a subscriber of many topics, with an auditor for each that it covers and has heard of.
type client struct {
	t     *testing.T
	what  string
	s     *session
	subs  map[quote.Pattern]*sub
	views map[quote.Topic]*auditor
}

// mode is what the most specific subscription of a topic asks for; none covers it where ok is false.
func (c *client) mode(name quote.Topic) (mode wire.Mode, ok bool) {
	for _, p := range []quote.Pattern{quote.Pattern(name), quote.Pattern(string(name.Kind()) + ".*"), "*"} {
		if n := c.subs[p]; n != nil {
			return n.mode, true
		}
	}
	return "", false
}

// view returns the auditor of a topic, which begins where the subscription does.
func (c *client) view(name quote.Topic) *auditor {
	if c.views[name] == nil {
		c.views[name] = &auditor{t: c.t, what: c.what + " " + string(name), conflate: name.Kind() == quote.Quotes}
	}
	return c.views[name]
}

// subscribe adds or changes a subscription, from a position of some of the topics where it says so.
func (c *client) subscribe(r *rig, n *sub) {
	for name, p := range n.from {
		if _, covered := c.mode(name); covered {
			delete(n.from, name) // it goes on from where it is
			continue
		}
		a := c.view(name)
		a.known, a.last = true, p
	}
	for name, top := range r.topics {
		if _, from := n.from[name]; n.pattern.Match(name) && !from {
			if _, covered := c.mode(name); !covered {
				c.view(name).snapshot = n.snapshot && top.newest() != nil
			}
		}
	}
	for _, a := range c.views {
		a.changed = true
	}
	c.subs[n.pattern] = n
	r.subscribe(c.s, n)
}

// unsubscribe ends one. What nothing covers any more has no view.
func (c *client) unsubscribe(r *rig, p quote.Pattern) {
	r.mu.Lock()
	c.s.change(p, nil, r.topics)
	r.mu.Unlock()
	delete(c.subs, p)
	for name, a := range c.views {
		a.changed = true
		if _, covered := c.mode(name); !covered {
			delete(c.views, name)
		}
	}
}

// comeBack subscribes anew to a broker that has started again, from where each view stands.
func (c *client) comeBack(r *rig) {
	subs := c.subs
	c.s, c.subs = &session{ready: make(chan struct{}, 1), subs: map[quote.Pattern]*sub{}, cursors: map[*topic]*cursor{}}, map[quote.Pattern]*sub{}
	r.mu.Lock()
	r.sessions[c.s] = struct{}{}
	r.mu.Unlock()
	for _, p := range slices.Sorted(maps.Keys(subs)) {
		again := *subs[p]
		again.from = map[quote.Topic]quote.Point{}
		for name, a := range c.views {
			if a.known && p.Match(name) {
				again.from[name] = a.last
			}
		}
		c.subscribe(r, &again)
	}
}

// whole reports whether all of a topic is promised from where a subscriber of mode all stands: it is in the log, without a gap, and
// lags no further than it may.
func (c *client) whole(r *rig, name quote.Topic) bool {
	top := r.topics[name]
	cur := c.s.cursors[top]
	if cur == nil || cur.next < top.start || top.lag(cur.next) > r.mostLag() {
		return false
	}
	for i := cur.next; i < top.end(); i++ {
		if top.get(i).gap != nil {
			return false
		}
	}
	return cur.next > top.start || !cur.known
}

// promised holds a frame against what its subscription promises, beside that all adds up.
func (c *client) promised(r *rig, a *auditor, f *wire.Frame, name quote.Topic, whole bool) {
	c.t.Helper()
	mode, _ := c.mode(name)
	if f.Type == wire.TypeLost {
		require.False(c.t, whole, "%s: LOST, though all of it is in the log and near", a.what)
		return
	}
	first := len(a.got) == 0
	require.Equal(c.t, first && a.snapshot, f.Snapshot, "%s: a snapshot comes first where it was asked for, and only then", a.what)
	if mode == wire.ModeAll {
		require.False(c.t, whole && f.Skipped > 0, "%s: conflated, though all of it is in the log and near", a.what)
	} else if name.Kind() == quote.Quotes {
		require.Equal(c.t, r.topics[name].newest().point, f.Point(), "%s: what is conflated is the newest", a.what)
		if mode == wire.ModeSampled && !first && !a.changed {
			require.GreaterOrEqual(c.t, r.now.Sub(a.sent), 100*time.Millisecond, "%s: sooner than its interval", a.what)
		}
	}
	a.sent, a.changed = r.now, false
}

// read takes what is there, up to some turns.
func (c *client) read(r *rig, turns int) {
	c.t.Helper()
	whole := map[quote.Topic]bool{}
	for name := range r.topics {
		whole[name] = c.whole(r, name)
	}
	for _, line := range r.collected(c.t, c.s, turns) {
		f, err := wire.ParseFrame(line)
		require.NoError(c.t, err)
		name := quote.Topic(f.Topic)
		if f.Type == wire.TypeLost {
			var l wire.Lost
			require.NoError(c.t, f.Decode(&l))
			name = l.Topic
		}
		mode, covered := c.mode(name)
		require.True(c.t, covered, "%s: nothing covers %s", c.what, name)
		a := c.view(name)
		if a.why = string(mode); mode == wire.ModeAll {
			a.why = "lag"
		}
		c.promised(r, a, &f, name, whole[name])
		a.line(line)
	}
}
