package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
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

// rig is a broker without a network.
type rig struct {
	*Broker
	now  time.Time
	seq  map[quote.Topic]uint64
	last map[quote.Topic]*wire.Frame // core's newest of each topic
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	b, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { b.ln.Close() })
	b.pub.source = wire.SourceLive
	return &rig{b, time.Unix(1_700_000_000, 0), map[quote.Topic]uint64{}, map[quote.Topic]*wire.Frame{}}
}

// put publishes the next record of a topic, or passes some over.
func (r *rig) put(t *testing.T, name quote.Topic, epoch, passed uint64) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	top, err := r.topic(name)
	require.NoError(t, err)
	r.seq[name] += 1 + passed
	seq := r.seq[name]
	prev := seq - 1
	f := wire.Frame{Topic: string(name), Epoch: epoch, Seq: seq, Prev: &prev, Payload: fmt.Appendf(nil, `{"n":%d,"pad":"%040d"}`, seq, seq)}
	r.missed(top, f.Point(), false, r.now)
	r.last[name] = &f
	r.log(top, &f, r.now)
	r.wake(top)
}

// restart puts a new broker in the place of the old one, with what core's HELLO says.
func (r *rig) restart(t *testing.T, epoch uint64) {
	t.Helper()
	cfg := r.cfg
	cfg.Metrics = nil
	next := newRig(t, cfg)
	r.Broker = next.Broker
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pub.epoch = epoch
	for name, last := range r.last {
		require.NoError(t, r.announce(&wire.HelloTopic{Topic: name, Next: r.seq[name] + 1, Last: last}, epoch, r.now))
	}
}

// join makes a session with one subscription.
func (r *rig) join(n *sub) *session {
	s := &session{ready: make(chan struct{}, 1), subs: map[quote.Pattern]*sub{}, cursors: map[*topic]*cursor{}}
	r.mu.Lock()
	r.sessions[s] = struct{}{}
	r.mu.Unlock()
	r.subscribe(s, n)
	return s
}

// subscribe adds a subscription to a session, or changes one.
func (r *rig) subscribe(s *session, n *sub) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.put(n, r.topics)
	r.attachTo(s, n.pattern)
}

// collected returns the lines that the session is owed now, up to some turns.
func (r *rig) collected(t *testing.T, s *session, turns int) (lines [][]byte) {
	for range turns {
		out, _, more := r.collect(s, r.now, false)
		frames := 0
		for _, piece := range out.lines {
			for line := range bytes.Lines(piece) {
				frames++
				lines = append(lines, line)
			}
		}
		require.Equal(t, out.frames, frames)
		if !more && frames == 0 {
			break
		}
	}
	return lines
}

// read lets an auditor look at what a session of one topic is owed.
func (r *rig) read(s *session, turns int, a *auditor) {
	for _, line := range r.collected(a.t, s, turns) {
		a.line(line)
	}
}

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

// Whatever is published, lost, conflated, overrun, grown too old or resumed, however the subscriptions overlap and change: each
// subscriber's view of each topic adds up.
func TestEveryViewAddsUp(t *testing.T) {
	topics := []quote.Topic{"quotes.A", "trades.A", "quotes.B", "trades.B"}
	patterns := []quote.Pattern{"quotes.A", "trades.A", "quotes.B", "trades.B", "quotes.*", "trades.*", "*"}
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 2))
		rig := newRig(t, Config{Retention: 4000, MaxLag: []int{1500, 4000}[seed%2], MaxFrame: 512, RetentionAge: []time.Duration{0, 2 * time.Second}[seed/2%2], Total: []int{1 << 20, 9000}[seed/4%2]})
		epoch := uint64(1)
		var clients []*client
		random := func(p quote.Pattern) *sub {
			n := &sub{pattern: p, mode: []wire.Mode{wire.ModeAll, wire.ModeLatest, wire.ModeSampled}[r.IntN(3)], interval: 100 * time.Millisecond, snapshot: r.IntN(2) == 0}
			for _, name := range topics {
				if r.IntN(3) == 0 && rig.seq[name] > 0 && p.Match(name) {
					if n.from == nil {
						n.from = map[quote.Topic]quote.Point{}
					}
					n.from[name] = quote.Point{Epoch: epoch, Seq: 1 + r.Uint64N(rig.seq[name])}
				}
			}
			return n
		}
		for step := range 80 {
			switch op := r.IntN(24); {
			case op < 11:
				for range 1 + r.IntN(12) {
					passed := uint64(0)
					if r.IntN(40) == 0 {
						passed = 1 + r.Uint64N(5)
					}
					rig.put(t, topics[r.IntN(1+min(step/10, 3))], epoch, passed)
				}
			case op == 11:
				epoch += 1 + r.Uint64N(3)
				clear(rig.seq)
			case op == 12 && r.IntN(4) == 0:
				rig.restart(t, epoch)
				for _, c := range clients {
					c.comeBack(rig)
				}
			case op == 13:
				rig.sweep(rig.now)
			case op < 16 && len(clients) < 6:
				c := &client{t: t, what: fmt.Sprintf("seed %d step %d", seed, step), subs: map[quote.Pattern]*sub{}, views: map[quote.Topic]*auditor{}}
				c.comeBack(rig)
				c.subscribe(rig, random(patterns[r.IntN(len(patterns))]))
				clients = append(clients, c)
			case op < 19 && len(clients) > 0: // one more, or another mode
				clients[r.IntN(len(clients))].subscribe(rig, random(patterns[r.IntN(len(patterns))]))
			case op == 19 && len(clients) > 0:
				clients[r.IntN(len(clients))].unsubscribe(rig, patterns[r.IntN(len(patterns))])
			default:
				rig.now = rig.now.Add(time.Duration(r.IntN(120)) * time.Millisecond)
				if len(clients) > 0 {
					clients[r.IntN(len(clients))].read(rig, 1+r.IntN(3))
				}
			}
		}
		rig.now = rig.now.Add(time.Minute)
		rig.sweep(rig.now)
		for _, c := range clients {
			c.read(rig, 100)
			for _, name := range topics {
				top := rig.topics[name]
				_, covered := c.mode(name)
				require.Equal(t, covered && top != nil, c.s.cursors[top] != nil, "%s %s", c.what, name)
				if top == nil || !covered {
					continue
				}
				require.Equal(t, top.end(), c.s.cursors[top].next, "%s %s: everything was delivered or accounted for", c.what, name)
				if a, n := c.views[name], top.newest(); a != nil && n != nil && len(a.got) > 0 {
					require.Equal(t, n.point, a.last, a.what)
				}
			}
		}
	}
}

// Who subscribes and unsubscribes without reading keeps its writer waiting; what is left of that has a bound.
func TestDeadCursorsAreFewWhoeverReads(t *testing.T) {
	rig := newRig(t, Config{})
	for _, name := range []quote.Topic{"quotes.A", "quotes.B"} {
		rig.put(t, name, 1, 0)
	}
	s := rig.join(&sub{pattern: "quotes.B", mode: wire.ModeAll})
	rig.mu.Lock()
	for range 10_000 {
		s.put(&sub{pattern: "quotes.A", mode: wire.ModeAll}, rig.topics)
		rig.attachTo(s, "quotes.A")
		s.change("quotes.A", nil, rig.topics)
	}
	require.LessOrEqual(t, len(s.dirty), maxDead+3)
	rig.mu.Unlock()
	rig.put(t, "quotes.A", 1, 0)
	rig.put(t, "quotes.B", 1, 0)
	a := &auditor{t: t, what: "quotes.B", known: true, last: quote.Point{Epoch: 1, Seq: 1}}
	rig.read(s, 10, a)
	require.Equal(t, []quote.Point{{Epoch: 1, Seq: 2}}, a.got, "nothing of the other topic")
	require.Zero(t, s.dead)
	require.Empty(t, s.dirty)
}

func TestRecordsGrowTooOldAndTheNewestStays(t *testing.T) {
	rig := newRig(t, Config{RetentionAge: time.Hour})
	for range 5 {
		rig.put(t, "quotes.A", 1, 0)
	}
	rig.now = rig.now.Add(59 * time.Minute)
	rig.put(t, "quotes.A", 1, 0)
	rig.put(t, "quotes.B", 1, 0)
	top := rig.topics["quotes.A"]
	require.Len(t, top.entries, 6)
	rig.now = rig.now.Add(2 * time.Minute)
	rig.sweep(rig.now)
	require.Len(t, top.entries, 1, "nobody published, and yet")
	a := &auditor{t: t, what: "resumed", known: true, last: quote.Point{Epoch: 1, Seq: 2}}
	s := rig.join(&sub{pattern: "quotes.A", mode: wire.ModeAll, from: map[quote.Topic]quote.Point{"quotes.A": a.last}})
	rig.read(s, 10, a)
	require.Equal(t, quote.Point{Epoch: 1, Seq: 6}, a.last, "what was lost was named")
	rig.now = rig.now.Add(24 * time.Hour)
	rig.sweep(rig.now)
	require.Equal(t, uint64(6), top.newest().point.Seq)
}

// One busy topic may have what is configured; when all together have more than they may, each has its share, and its newest record.
func TestTheLogsShareWhatTheBrokerMayHold(t *testing.T) {
	const retention, total = 10_000, 20_000
	rig := newRig(t, Config{Retention: retention, Total: total})
	require.EqualValues(t, retention/2, rig.mostLag())
	for range 500 {
		rig.put(t, "quotes.A", 1, 0)
	}
	require.Greater(t, rig.topics["quotes.A"].bytes(), retention-200, "many topics that have nothing cost it nothing")
	for n := range 50 {
		for i := range 40 {
			rig.now = rig.now.Add(30 * time.Millisecond)
			rig.put(t, quote.Topic(fmt.Sprintf("quotes.S%d", i)), 1, 0)
			held := 0
			for name, top := range rig.topics {
				held += top.bytes()
				require.Positive(t, top.bytes(), name)
			}
			require.Equal(t, held, rig.bytes)
			require.Less(t, held, total+40*200, "round %d", n) // what comes in a second
		}
	}
	rig.sweep(rig.now)
	require.LessOrEqual(t, rig.bytes, total+200)
	require.Less(t, rig.topics["quotes.A"].bytes(), 1000, "its share")
}
