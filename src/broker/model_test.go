package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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
	skipped  uint64
	named    []wire.Lost
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
		a.named = append(a.named, l)
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
	a.skipped += f.Skipped
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
	top.record(&f, r.now)
	r.last[name] = &f
	top.trim(r.retention, r.oldest(r.now))
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
func (r *rig) join(sub *sub) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &session{ready: make(chan struct{}, 1), subs: map[quote.Pattern]*subscription{}, cursors: map[*topic]*cursor{}}
	r.sessions[s] = struct{}{}
	s.put(sub, r.topics)
	r.attachAll(s)
	return s
}

type subscription = sub

// read collects what the session is owed now, up to some turns.
func (r *rig) read(s *session, turns int, a *auditor) {
	for range turns {
		out, _, more := r.collect(s, r.now, false)
		frames := 0
		for _, piece := range out.lines {
			for line := range bytes.Lines(piece) {
				frames++
				a.line(line)
			}
		}
		require.Equal(a.t, out.frames, frames)
		if !more && frames == 0 {
			return
		}
	}
}

// Whatever is published, lost, conflated, overrun or resumed: each subscription's view adds up.
func TestEveryViewAddsUp(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		rig := newRig(t, Config{Retention: 4000, MaxLag: []int{1500, 4000}[seed%2], MaxFrame: 512})
		topics := []quote.Topic{"quotes.A", "trades.A"}
		epoch := uint64(1)
		type reader struct {
			s *session
			a *auditor
		}
		var readers []reader
		for step := range 60 {
			switch op := r.IntN(20); {
			case op < 11:
				for range 1 + r.IntN(12) {
					passed := uint64(0)
					if r.IntN(40) == 0 {
						passed = 1 + r.Uint64N(5)
					}
					rig.put(t, topics[r.IntN(2)], epoch, passed)
				}
			case op == 11:
				epoch += 1 + r.Uint64N(3)
				clear(rig.seq)
			case op == 19 && r.IntN(4) == 0:
				rig.restart(t, epoch)
				for i, rd := range readers { // they come back from where they are
					for pattern, sb := range rd.s.subs {
						again := *sb
						if again.from = nil; rd.a.known {
							again.from = map[quote.Topic]quote.Point{quote.Topic(pattern): rd.a.last}
						}
						readers[i].s = rig.join(&again)
					}
				}
			case op < 14 && len(readers) < 6:
				name := topics[r.IntN(2)]
				sb := &sub{pattern: quote.Pattern(name), mode: []wire.Mode{wire.ModeAll, wire.ModeLatest, wire.ModeSampled}[r.IntN(3)], interval: 100 * time.Millisecond, snapshot: r.IntN(2) == 0}
				a := &auditor{t: t, what: fmt.Sprintf("seed %d step %d %s %s", seed, step, name, sb.mode), conflate: name.Kind() == quote.Quotes, why: string(sb.mode)}
				if sb.mode == wire.ModeAll {
					a.why = "lag"
				}
				if r.IntN(3) == 0 && rig.seq[name] > 0 {
					p := quote.Point{Epoch: epoch, Seq: 1 + r.Uint64N(rig.seq[name])}
					sb.from = map[quote.Topic]quote.Point{name: p}
					a.known, a.last = true, p
				}
				readers = append(readers, reader{rig.join(sb), a})
			default:
				rig.now = rig.now.Add(time.Duration(r.IntN(120)) * time.Millisecond)
				if len(readers) > 0 {
					rd := readers[r.IntN(len(readers))]
					rig.read(rd.s, 1+r.IntN(3), rd.a)
				}
			}
		}
		rig.now = rig.now.Add(time.Minute)
		for _, rd := range readers {
			rig.read(rd.s, 100, rd.a)
			for top, c := range rd.s.cursors {
				require.Equal(t, top.end(), c.next, "%s: everything was delivered or accounted for", rd.a.what)
				if n := top.newest(); n != nil && len(rd.a.got) > 0 {
					require.Equal(t, n.point, rd.a.last, rd.a.what)
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
