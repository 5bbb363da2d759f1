package broker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

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
	r.putPadded(t, name, epoch, passed, 40)
}

// putPadded is put of a record with so many bytes more.
func (r *rig) putPadded(t *testing.T, name quote.Topic, epoch, passed uint64, pad int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	top, err := r.topic(name)
	require.NoError(t, err)
	r.seq[name] += 1 + passed
	seq := r.seq[name]
	prev := seq - 1
	f := wire.Frame{Topic: string(name), Epoch: epoch, Seq: seq, Prev: &prev, Payload: fmt.Appendf(nil, `{"n":%d,"pad":"%0*d"}`, seq, pad, seq)}
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
