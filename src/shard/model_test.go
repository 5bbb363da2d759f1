package shard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// model drives three shards and their cores by random events, and keeps in plain maps what has been promised.
type model struct {
	*rig
	t      *testing.T
	rng    *rand.Rand
	core   *fakeCore
	cores  []*fakeCore // all there were, the present one last
	stored []map[quote.Position]bool
	acks   int                     // records, each counted for each owner
	lost   map[quote.Position]bool // given up by the present core
	names  []quote.Symbol
}

func newModel(t *testing.T, rng *rand.Rand) *model {
	m := &model{rig: newRig(t), t: t, rng: rng, lost: map[quote.Position]bool{}}
	m.names = m.symbols()
	for i := range m.up {
		m.stored = append(m.stored, map[quote.Position]bool{})
		m.stop(i)
		m.fs[i] = vfs.NewCrashableMem()
		m.start(i)
	}
	m.newCore()
	return m
}

// newCore ends the present core, with all that it had not yet stored, and starts one with a higher epoch.
func (m *model) newCore() {
	if m.core != nil {
		m.core.cut(0, 1, 2)
	}
	m.core = newCore(m.rig, uint64(1000+len(m.cores)))
	m.cores = append(m.cores, m.core)
	m.lost = map[quote.Position]bool{}
	for i := range m.up {
		m.connect(i)
	}
}

// connect connects the present core, where it can.
func (m *model) connect(i int) {
	if m.up[i] != nil && m.core.links[i].session == nil {
		m.core.connect(i)
	}
}

func (m *model) position(t quote.Topic, seq uint64) quote.Position {
	return quote.Position{Topic: t, Point: quote.Point{Epoch: m.core.epoch, Seq: seq}}
}

// flush stores what is queued for a shard and notes that it was acknowledged.
func (m *model) flush(i int) {
	l := m.core.links[i]
	if l.session == nil {
		return
	}
	told := l.queue
	saved := slices.Clone(m.core.links)
	for j := range m.core.links {
		if j != i {
			m.core.links[j] = &coreLink{}
		}
	}
	m.core.flush()
	m.core.links = saved
	m.acks += len(told)
	for _, r := range told {
		m.stored[i][m.position(r.Topic, r.Seq)] = true
	}
}

// crash cuts a shard's power in the midst of appends: what was under way is queued again.
func (m *model) crash(i int) {
	if m.up[i] == nil {
		return
	}
	l := m.core.links[i]
	if l.session != nil {
		for page := range slices.Chunk(l.queue, 5) {
			wait, err := l.session.Begin(m.t.Context(), appendFrame(m.t, wire.Append{TableEpoch: 1, Epoch: m.core.epoch, Records: page}))
			require.NoError(m.t, err)
			if m.rng.IntN(2) == 0 {
				if _, err := wait(within(m.t)); err == nil {
					for _, r := range page {
						m.stored[i][m.position(r.Topic, r.Seq)] = true
					}
				}
			}
		}
	}
	after := m.fs[i].CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.rng.IntN(101), RNG: m.rng})
	m.core.cut(i)
	m.stop(i)
	m.fs[i] = after
}

// overflow drops what waits for a shard, and its session, so that HELLO says anew what there is; what its twin neither has
// nor will get is lost.
func (m *model) overflow(i int) {
	l := m.core.links[i]
	m.core.cut(i)
	for _, r := range l.queue {
		owners := m.core.owners(r.Topic)
		twin := owners[0] + owners[1] - i
		other := m.core.links[twin]
		at := m.position(r.Topic, r.Seq)
		waits := slices.ContainsFunc(other.queue, func(o wire.Record) bool { return o.Topic == r.Topic && o.Seq == r.Seq })
		if m.stored[twin][at] || m.stored[i][at] || waits {
			continue
		}
		m.lost[at] = true
		lost := wire.LostRange{Topic: r.Topic, First: r.Seq, Last: r.Seq}
		l.lost, other.lost = append(l.lost, lost), append(other.lost, lost)
	}
	l.queue = nil
}

// wipe takes a shard's volume away, once its twins have all of it.
func (m *model) wipe(i int) {
	m.settle()
	m.core.cut(i)
	m.stop(i)
	m.rig.wipe(i)
	m.fs[i] = vfs.NewCrashableMem()
	clear(m.stored[i])
	m.start(i)
	m.connect(i)
}

// settle brings everything back and waits until all is in sync.
func (m *model) settle() {
	for i := range m.up {
		if m.up[i] == nil {
			m.start(i)
		}
		m.connect(i)
	}
	for i := range m.up {
		m.flush(i)
	}
	m.requireSynced(0, 1, 2)
	m.check()
}

// check compares both owners of every topic with each other and with what was promised.
func (m *model) check() {
	m.t.Helper()
	for _, c := range m.cores {
		for t, log := range c.log {
			var held []map[uint64]bool
			for _, i := range c.owners(t) {
				have := map[uint64]bool{}
				for _, r := range m.all(i, t) {
					if r.Epoch == c.epoch {
						require.LessOrEqual(m.t, r.Seq, uint64(len(log)))
						require.Equal(m.t, log[r.Seq-1], string(r.Payload), "%s %v on shard-%d was never sent so", t, r.Point(), i)
						have[r.Seq] = true
					}
				}
				held = append(held, have)
			}
			require.Equal(m.t, held[0], held[1], "the owners of %s differ in epoch %d", t, c.epoch)
			for seq := range uint64(len(log)) {
				at := quote.Position{Topic: t, Point: quote.Point{Epoch: c.epoch, Seq: seq + 1}}
				if !held[0][seq+1] {
					require.False(m.t, m.stored[0][at] || m.stored[1][at] || m.stored[2][at], "%v was acknowledged and is gone", at)
				}
				if c == m.core && !held[0][seq+1] {
					require.True(m.t, m.lost[at], "%v is neither held nor lost", at)
				}
			}
		}
	}
	m.checkLost()
}

// checkLost compares what the owners say of losses in the present epoch with what core gave up.
func (m *model) checkLost() {
	none := 0
	for t := range m.core.log {
		for _, i := range m.core.owners(t) {
			h := m.hist(i, wire.ReqHist{Symbols: []quote.Symbol{t.Symbol()}, Kinds: []quote.Kind{t.Kind()}, Limit: &none})
			got, want := map[quote.Position]bool{}, map[quote.Position]bool{}
			for _, l := range h.Lost {
				for seq := l.First; seq <= l.Last && l.Epoch == m.core.epoch; seq++ {
					got[m.position(t, seq)] = true
				}
			}
			for at := range m.lost {
				if at.Topic == t && !m.up[i].state.holding(t, at.Epoch).held.Has(at.Seq) { // an unacknowledged one may be on disk
					want[at] = true
				}
			}
			require.Equal(m.t, want, got, "losses of %s on shard-%d", t, i)
		}
	}
}

// step does one random thing and says what.
func (m *model) step() string {
	i := m.rng.IntN(3)
	name := fmt.Sprintf("shard-%d", i)
	switch m.rng.IntN(14) {
	case 0, 1, 2:
		m.core.publish(1+m.rng.IntN(30), m.names[m.rng.IntN(len(m.names))])
		return "publish"
	case 3, 4, 5:
		m.flush(i)
		return "flush " + name
	case 6:
		m.core.cut(i)
		return "cut " + name
	case 7, 8:
		m.connect(i)
		return "connect " + name
	case 9:
		m.core.cut(i)
		m.stop(i)
		return "stop " + name
	case 10:
		if m.up[i] == nil {
			m.start(i)
		}
		return "start " + name
	case 11:
		m.crash(i)
		return "crash " + name
	case 12:
		m.overflow(i)
		return "overflow " + name
	}
	switch m.rng.IntN(3) {
	case 0:
		m.wipe(i)
		return "wipe " + name
	case 1:
		m.settle()
		return "settle"
	}
	m.newCore()
	return "new core"
}

// Random appends, cuts, crashes, full buffers, lost volumes and new cores: whatever happens, when all is back both owners
// hold the same, all that was acknowledged, and nothing else; and what they name as lost is what was given up.
func TestRandomHistoriesEndWhole(t *testing.T) {
	rng, promised := seeded(t), 0
	for n := range times(2, 60) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := newModel(t, rng)
			var done []string
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(done)
				}
			})
			for range 60 {
				done = append(done, m.step())
			}
			m.settle()
			promised += m.acks
		})
	}
	require.Positive(t, promised)
}

// Both owners go and come back in either order, and a new core has taken over meanwhile.
func TestBothOwnersAwayAndANewCoreBetween(t *testing.T) {
	for name, order := range map[string][]int{"first first": {0, 1}, "second first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, rand.New(rand.NewPCG(1, 1)))
			sym := m.symbolsOf(0, 1, 1)[0]
			m.core.publish(10, sym)
			for i := range 3 {
				m.flush(i)
			}
			m.core.cut(0)
			m.stop(0)
			m.core.publish(10, sym) // shard-1 alone gets these
			m.flush(1)
			m.overflow(0)
			m.core.cut(1)
			m.stop(1)
			m.core.publish(10, sym) // these nobody gets: their core ends first
			m.newCore()
			m.core.publish(10, sym)
			m.overflow(0) // the twin's to get
			for _, i := range order {
				m.start(i)
				m.connect(i)
				m.flush(i)
				slot := placement.Slot(string(sym))
				if i == order[0] {
					_, out := m.synced(i)
					require.Contains(t, out, slot, "its twin has not been compared with")
				}
			}
			m.settle()
			old := m.cores[0]
			for _, i := range order {
				require.Equal(t, uint64(20), m.up[i].state.holding(quote.TopicOf(quote.Quotes, sym), old.epoch).held.Through())
			}
		})
	}
}

// Two cores at once: the older one can't add a record to any shard that knows the newer, by no connection and in no order.
func TestTwoCoresAtOnce(t *testing.T) {
	r := newRig(t)
	syms := r.symbols()
	old := newCore(r, 1000)
	old.connect(0, 1, 2)
	old.publish(10, syms...)
	old.flush()
	sent := map[quote.Topic]int{}
	for topic, log := range old.log {
		sent[topic] = len(log)
	}
	next := newCore(r, 1001)
	next.connect(0) // it has not reached the others yet
	next.publish(10, syms...)
	next.flush()
	old.publish(10, syms...)
	for i, l := range old.links {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		wait, err := l.session.Begin(t.Context(), appendFrame(t, wire.Append{TableEpoch: 1, Epoch: old.epoch, Records: l.queue}))
		if err == nil {
			_, err = wait(ctx)
		}
		cancel()
		if i == 0 {
			require.Error(t, err, "fenced off")
		} // the others know better only if shard-0's new records have come to them already
	}
	s := r.session(0)
	defer s.Close()
	_, err := s.Do(within(t), wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: 1000, Instance: old.instance}))
	require.Equal(t, wire.StaleEpoch, wire.CodeOf(err))
	in, _ := r.synced(0)
	require.Empty(t, in, "its twins still take records of the old core")
	next.connect(1, 2)
	next.flush()
	r.requireSynced(0, 1, 2)
	for i := range 3 {
		next.requireAll(i)
	}
	for topic := range old.log {
		owners := old.owners(topic)
		a, b := r.up[owners[0]].state.holding(topic, 1000), r.up[owners[1]].state.holding(topic, 1000)
		require.Equal(t, a.held.Spans(), b.held.Spans(), "what the old core could still store is on both owners: %s", topic)
		require.GreaterOrEqual(t, a.held.Through(), uint64(sent[topic]))
	}
}

// A core that starts again within the same millisecond, or after its clock was set back, gets positions of its own all the
// same: it asks what epoch is known, and none that is known is ever let in again.
func TestClocksThatJumpGiveNoPositionTwice(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data")
	now := testStart()
	epoch := uint64(now.UnixMilli())
	admit := func(epoch uint64, instance string) error {
		_, err := d.committer.do(t.Context(), &write{core: &session{epoch: epoch, instance: instance, since: now, close: func(error) {}}, announce: true})
		return err
	}
	require.NoError(t, admit(epoch, "a"))
	require.Equal(t, wire.StaleEpoch, wire.CodeOf(admit(epoch, "b")), "the same millisecond")
	require.NoError(t, admit(epoch+1, "b"))
	now = now.AddDate(-1, 0, 0)
	require.Equal(t, wire.StaleEpoch, wire.CodeOf(admit(uint64(now.UnixMilli()), "c")), "the core's clock alone was set back a year")
	require.Equal(t, wire.BadRequest, wire.CodeOf(admit(epoch+2, "c")), "the shard's clock was set back too: an epoch more than a day ahead")
	now = testStart().AddDate(1, 0, 0)
	require.NoError(t, admit(epoch+2, "c"), "and set right again")
	require.Equal(t, wire.BadRequest, wire.CodeOf(admit(uint64(now.AddDate(0, 0, 2).UnixMilli()), "d")), "a core two days ahead")
	require.NoError(t, admit(uint64(now.UnixMilli()), "e"))
	require.Equal(t, fence{uint64(now.UnixMilli()), "e"}, d.state.fenceNow())
}
