package shard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

const (
	patience = 20 * time.Second // for what must happen at all
	often    = 10 * time.Millisecond
)

// rig is three shards in memory that find each other by names, so that each can be stopped, restarted and cut off.
type rig struct {
	t     *testing.T
	table *placement.Table
	fs    []*vfs.MemFS
	up    []*running
	size  blocks
	tune  func(*Config) // of shards that start from now on

	mu    sync.Mutex
	addrs map[string]string // by listed address; one that is not in it refuses connections
}

type running struct {
	*Shard
	stop context.CancelFunc
	done chan error
}

const rigShards = "shard-0=s0:1,shard-1=s1:1,shard-2=s2:1"

// newRig starts three shards whose blocks are so small that most of what tests write is sealed.
func newRig(t *testing.T) *rig { return newRigOf(t, 16) }

func newRigOf(t *testing.T, size blocks) *rig {
	shards, err := placement.ParseShards(rigShards)
	require.NoError(t, err)
	table, err := placement.New(shards, 2)
	require.NoError(t, err)
	r := &rig{t: t, table: table, fs: make([]*vfs.MemFS, 3), up: make([]*running, 3), addrs: map[string]string{}, size: size}
	for i := range r.up {
		r.fs[i] = vfs.NewMem()
		r.start(i)
	}
	t.Cleanup(func() {
		for i := range r.up {
			r.stop(i)
		}
	})
	return r
}

// testLog is quiet unless QUOTES_TEST_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("QUOTES_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func (r *rig) start(i int) {
	r.t.Helper()
	require.NoError(r.t, r.tryStart(i))
}

func (r *rig) tryStart(i int) error {
	cfg := Config{
		Name: fmt.Sprintf("shard-%d", i), Listen: "127.0.0.1:0", Data: "data", Shards: rigShards, fs: r.fs[i],
		dial: r.dial, RepairEvery: 50 * time.Millisecond, ScrubEvery: 50 * time.Millisecond, MemtableMB: 1, CacheMB: 1, ReserveMB: 4, block: r.size, Log: testLog().With("shard", i),
	}
	if r.tune != nil {
		r.tune(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	run := &running{s, stop, make(chan error, 1)}
	go func() { run.done <- s.Run(ctx) }()
	r.up[i] = run
	r.reach(i, true)
	return nil
}

// reach says whether others can connect to a shard from now on.
func (r *rig) reach(i int, can bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.addrs, r.table.Shards()[i].Addr)
	if can {
		r.addrs[r.table.Shards()[i].Addr] = r.up[i].Addr()
	}
}

func (r *rig) stop(i int) {
	if r.up[i] == nil {
		return
	}
	r.reach(i, false)
	r.up[i].stop()
	require.NoError(r.t, <-r.up[i].done)
	r.up[i] = nil
}

// wipe takes a stopped shard's volume away.
func (r *rig) wipe(i int) {
	require.Nil(r.t, r.up[i])
	r.fs[i] = vfs.NewMem()
}

func (r *rig) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	r.mu.Lock()
	real, found := r.addrs[addr]
	r.mu.Unlock()
	if !found {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, network, real)
}

func (r *rig) session(i int) *wire.Session {
	r.t.Helper()
	s, err := wire.Dial(context.Background(), wire.DialConfig{Addr: r.up[i].Addr()})
	require.NoError(r.t, err)
	return s
}

// hist asks one shard.
func (r *rig) hist(i int, req wire.ReqHist) wire.RespHist {
	r.t.Helper()
	s := r.session(i)
	defer s.Close()
	var out wire.RespHist
	require.NoError(r.t, wire.Decoded(within(r.t), s, wire.TypeReqHist, req, &out))
	return out
}

// all pages through a topic by position.
func (r *rig) all(i int, topic quote.Topic) (out []wire.Record) {
	r.t.Helper()
	var last quote.Point
	limit := 700
	for {
		h := r.hist(i, wire.ReqHist{
			Symbols: []quote.Symbol{topic.Symbol()}, Kinds: []quote.Kind{topic.Kind()}, Limit: &limit,
			After: map[quote.Topic]quote.Point{topic: last},
		})
		out = append(out, h.Records...)
		if !h.More {
			return out
		}
		last = out[len(out)-1].Point()
	}
}

// synced returns the slots of a shard that are in sync, and those that are not.
func (r *rig) synced(i int) (in, out []int) {
	for _, s := range r.up[i].status().Slots {
		if s.InSync {
			in = append(in, s.Slot)
		} else {
			out = append(out, s.Slot)
		}
	}
	return in, out
}

func (r *rig) requireSynced(shards ...int) {
	r.t.Helper()
	for _, i := range shards {
		require.Eventually(r.t, func() bool { _, out := r.synced(i); return len(out) == 0 }, patience, often, "shard-%d", i)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fakeCore is a core over the wire: it numbers records, queues them for each owner, and appends.
type fakeCore struct {
	r        *rig
	epoch    uint64
	instance string
	log      map[quote.Topic][]string
	links    []*coreLink
}

type coreLink struct {
	session *wire.Session // nil while down
	queue   []wire.Record
	lost    []wire.LostRange
	stop    chan struct{}
}

// testStart is when the tests' market opens.
func testStart() time.Time { return time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC) }

func newCore(r *rig, epoch uint64) *fakeCore {
	c := &fakeCore{r: r, epoch: epoch, instance: fmt.Sprint("core-", epoch), log: map[quote.Topic][]string{}}
	for range r.up {
		c.links = append(c.links, &coreLink{})
	}
	r.t.Cleanup(func() {
		for i := range c.links {
			c.cut(i)
		}
	})
	return c
}

// connect greets the shards with where each topic stands.
func (c *fakeCore) connect(shards ...int) {
	c.r.t.Helper()
	for _, i := range shards {
		s := c.r.session(i)
		var topics []wire.HelloTopic
		for t, log := range c.log {
			if c.r.table.Owns(i, placement.Slot(string(t.Symbol()))) {
				topics = append(topics, wire.HelloTopic{Topic: t, Next: uint64(len(log)) + 1})
			}
		}
		var w wire.Welcome
		require.NoError(c.r.t, wire.Decoded(within(c.r.t), s, wire.TypeHello,
			wire.Hello{Role: "publisher", Epoch: c.epoch, Instance: c.instance, Topics: topics}, &w))
		require.Equal(c.r.t, c.epoch, w.HighestEpoch)
		l := c.links[i]
		l.session, l.stop = s, make(chan struct{})
		go beat(s, l.stop)
	}
}

func beat(s *wire.Session, stop chan struct{}) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			_ = s.Send(wire.Frame{Type: wire.TypeHeartbeat})
		}
	}
}

func (c *fakeCore) cut(shards ...int) {
	for _, i := range shards {
		if l := c.links[i]; l.session != nil {
			close(l.stop)
			l.session.Close()
			l.session = nil
		}
	}
}

// publish makes n quotes and n/2 trades of each symbol and queues them for both owners.
func (c *fakeCore) publish(n int, symbols ...quote.Symbol) {
	for _, s := range symbols {
		for i := range n {
			c.one(quote.TopicOf(quote.Quotes, s))
			if i%2 == 0 {
				c.one(quote.TopicOf(quote.Trades, s))
			}
		}
	}
}

func (c *fakeCore) one(t quote.Topic) {
	seq := uint64(len(c.log[t])) + 1
	payload := payloadOf(t, c.epoch, seq)
	c.log[t] = append(c.log[t], payload)
	for _, i := range c.owners(t) {
		c.links[i].queue = append(c.links[i].queue, wire.Record{Topic: t, Seq: seq, Payload: []byte(payload)})
	}
}

// payloadOf makes a payload that names its position; timestamps are not in the order of seqs.
func payloadOf(t quote.Topic, epoch, seq uint64) string {
	at := quote.TimeOf(testStart().Add(time.Duration(seq^3) * time.Millisecond))
	if t.Kind() == quote.Trades {
		return fmt.Sprintf(`{"id":"%d-%d<&>","symbol":"%s","price":"27.30","quantity":"100","timestamp":"%s","received":"%s"}`, epoch, seq, t.Symbol(), at, at)
	}
	return fmt.Sprintf(`{"symbol":"%s","price":"%d.%d","timestamp":"%s","received":"%s","quality":{"state":"live"}}`, t.Symbol(), epoch%1000, seq, at, at)
}

func (c *fakeCore) owners(t quote.Topic) []int {
	return c.r.table.Owners(placement.Slot(string(t.Symbol())))
}

// flush appends all that is queued for the shards that are connected.
func (c *fakeCore) flush() {
	c.r.t.Helper()
	for _, l := range c.links {
		if l.session == nil {
			continue
		}
		var waits []func(context.Context) (wire.Frame, error)
		for len(l.queue) > 0 || len(l.lost) > 0 {
			n := min(len(l.queue), 256)
			wait, err := l.session.Begin(c.r.t.Context(), appendFrame(c.r.t, wire.Append{TableEpoch: 1, Epoch: c.epoch, Records: l.queue[:n], Lost: l.lost}))
			require.NoError(c.r.t, err)
			l.queue, l.lost = l.queue[n:], nil
			waits = append(waits, wait)
		}
		for _, wait := range waits {
			_, err := wait(within(c.r.t))
			require.NoError(c.r.t, err)
		}
	}
}

// appendFrame makes an APPEND that leaves the payloads byte by byte as they are.
func appendFrame(t *testing.T, a wire.Append) wire.Frame {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(a))
	return wire.Frame{Type: wire.TypeAppend, Payload: bytes.TrimSpace(b.Bytes())}
}

// drop forgets what is queued for a shard, as core does when its buffer is full.
func (c *fakeCore) drop(shards ...int) {
	for _, i := range shards {
		c.links[i].queue = nil
	}
}

// lose gives up what is queued for both owners of a topic and tells both.
func (c *fakeCore) lose(t quote.Topic) (lost wire.LostRange) {
	for _, i := range c.owners(t) {
		l := c.links[i]
		for _, r := range l.queue {
			if r.Topic == t {
				if lost.Topic == "" {
					lost = wire.LostRange{Topic: t, First: r.Seq}
				}
				lost.Last = max(lost.Last, r.Seq)
			}
		}
		l.queue = slices.DeleteFunc(l.queue, func(r wire.Record) bool { return r.Topic == t })
		l.lost = append(l.lost, lost)
	}
	return lost
}

// requireAll checks that a shard holds every record of the topics it owns, byte by byte.
func (c *fakeCore) requireAll(i int) {
	c.r.t.Helper()
	for t, log := range c.log {
		if !slices.Contains(c.owners(t), i) {
			continue
		}
		var got []string
		for _, r := range c.r.all(i, t) {
			if r.Epoch == c.epoch {
				require.Equal(c.r.t, uint64(len(got)+1), r.Seq, t)
				got = append(got, string(r.Payload))
			}
		}
		require.Equal(c.r.t, log, got, "%s on shard-%d", t, i)
	}
}

// holdsAll reports whether a shard holds all of its topics in this core's epoch.
func (c *fakeCore) holdsAll(i int) bool {
	for t, log := range c.log {
		if slices.Contains(c.owners(t), i) && c.r.up[i].state.holding(t, c.epoch).held.Through() < uint64(len(log)) {
			return false
		}
	}
	return true
}

// symbolsOf returns n symbols that the two shards share.
func (r *rig) symbolsOf(a, b, n int) (out []quote.Symbol) {
	for i := 0; len(out) < n; i++ {
		s := quote.Symbol(fmt.Sprintf("SYM%d", i))
		if slot := placement.Slot(string(s)); r.table.Owns(a, slot) && r.table.Owns(b, slot) {
			out = append(out, s)
		}
	}
	return out
}

// symbols returns some of every pair of shards.
func (r *rig) symbols() []quote.Symbol {
	return slices.Concat(r.symbolsOf(0, 1, 2), r.symbolsOf(1, 2, 2), r.symbolsOf(0, 2, 2))
}
