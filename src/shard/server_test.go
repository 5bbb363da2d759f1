package shard

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// ask sends one request on a session and returns the error's code.
func ask(t *testing.T, s *wire.Session, typ string, in, out any) wire.Code {
	t.Helper()
	if out == nil {
		out = &struct{}{}
	}
	return wire.CodeOf(wire.Decoded(within(t), s, typ, in, out))
}

func hello(epoch uint64, instance string, topics ...wire.HelloTopic) wire.Hello {
	return wire.Hello{Role: "publisher", Epoch: epoch, Instance: instance, Topics: topics}
}

func requireClosed(t *testing.T, s *wire.Session) {
	t.Helper()
	select {
	case <-s.Done():
	case <-within(t).Done():
		require.Fail(t, "the connection is still open")
	}
}

func TestAnOlderOrOtherCoreIsRefusedAndCutOff(t *testing.T) {
	r := newRig(t)
	topic := quote.TopicOf(quote.Quotes, r.symbolsOf(0, 1, 1)[0])
	record := func(epoch, seq uint64) wire.Append {
		return wire.Append{TableEpoch: 1, Epoch: epoch, Records: []wire.Record{{Topic: topic, Seq: seq, Payload: []byte(payloadOf(topic, epoch, seq))}}}
	}
	old := r.session(0)
	var w wire.Welcome
	require.Empty(t, ask(t, old, wire.TypeHello, hello(0, ""), &w))
	require.Zero(t, w.HighestEpoch)
	require.Equal(t, wire.BadRequest, ask(t, old, wire.TypeAppend, record(1000, 1), nil), "APPEND before HELLO")
	require.Empty(t, ask(t, old, wire.TypeHello, hello(1000, "a"), &w))
	require.Equal(t, uint64(1000), w.HighestEpoch)
	require.Empty(t, ask(t, old, wire.TypeAppend, record(1000, 1), nil))
	require.Equal(t, wire.BadRequest, ask(t, old, wire.TypeAppend, record(1001, 1), nil), "an epoch that was not announced")

	other := r.session(0)
	require.Equal(t, wire.StaleEpoch, ask(t, other, wire.TypeHello, hello(1000, "b"), nil))
	requireClosed(t, other)

	newer := r.session(0)
	require.Empty(t, ask(t, newer, wire.TypeHello, hello(1001, "b"), nil))
	requireClosed(t, old)
	late := r.session(0)
	require.Equal(t, wire.StaleEpoch, ask(t, late, wire.TypeHello, hello(1000, "a"), nil))
	requireClosed(t, late)
	require.Equal(t, wire.StaleEpoch, ask(t, newer, wire.TypeAppend, record(1000, 2), nil), "an old epoch by a new core")
	requireClosed(t, newer)

	far := uint64(time.Now().Add(25 * time.Hour).UnixMilli())
	mad := r.session(0)
	defer mad.Close()
	require.Equal(t, wire.BadRequest, ask(t, mad, wire.TypeHello, hello(far, "c"), nil))

	r.stop(0)
	r.start(0) // the fence is on disk
	again := r.session(0)
	require.Empty(t, ask(t, again, wire.TypeHello, hello(0, ""), &w))
	require.Equal(t, uint64(1001), w.HighestEpoch)
	require.Equal(t, wire.StaleEpoch, ask(t, again, wire.TypeHello, hello(1001, "c"), nil))
	requireClosed(t, again)
	same := r.session(0)
	defer same.Close()
	require.Empty(t, ask(t, same, wire.TypeHello, hello(1001, "b"), nil))
}

func TestACoreThatComesBackReplacesItsOldConnection(t *testing.T) {
	r := newRig(t)
	first, second := r.session(0), r.session(0)
	defer second.Close()
	require.Empty(t, ask(t, first, wire.TypeHello, hello(1000, "a"), nil))
	require.Empty(t, ask(t, second, wire.TypeHello, hello(1000, "a"), nil))
	requireClosed(t, first)
	require.Empty(t, ask(t, second, wire.TypeHello, hello(1000, "a"), nil), "again on the same connection")
	require.Empty(t, ask(t, second, wire.TypeReqStatus, struct{}{}, nil))
	_, state := r.up[0].state.coreNow(time.Now())
	require.Equal(t, "up", state)
}

func TestAppendedNamesTheMarkThroughWhichAllIsThere(t *testing.T) {
	r := newRig(t)
	symbol := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Trades, symbol)
	s := r.session(0)
	defer s.Close()
	require.Empty(t, ask(t, s, wire.TypeHello, hello(1000, "a"), nil))
	for _, step := range []struct {
		seqs []uint64
		lost []wire.LostRange
		want uint64
	}{
		{[]uint64{1, 2}, nil, 2},
		{[]uint64{5}, nil, 2},
		{[]uint64{5, 6, 6}, nil, 2},
		{nil, []wire.LostRange{{Topic: topic, First: 3, Last: 3}}, 3},
		{[]uint64{4}, nil, 6},
	} {
		a := wire.Append{TableEpoch: 1, Epoch: 1000, Lost: step.lost}
		for _, seq := range step.seqs {
			a.Records = append(a.Records, wire.Record{Topic: topic, Seq: seq, Payload: []byte(payloadOf(topic, 1000, seq))})
		}
		var got wire.Appended
		require.Empty(t, ask(t, s, wire.TypeAppend, a, &got))
		require.Equal(t, map[quote.Topic]quote.Point{topic: {Epoch: 1000, Seq: step.want}}, got.Positions)
	}
	none := 0
	h := r.hist(0, wire.ReqHist{Symbols: []quote.Symbol{symbol}, Limit: &none})
	require.Equal(t, map[quote.Topic][]quote.Range{topic: {{Epoch: 1000, First: 1, Last: 2}, {Epoch: 1000, First: 4, Last: 6}}}, h.Ranges)
	require.Equal(t, []wire.LostRange{{Topic: topic, Epoch: 1000, First: 3, Last: 3}}, h.Lost)
	require.Empty(t, h.Records)
	require.Equal(t, map[int]bool{placement.Slot(string(symbol)): false}, h.InSync)
}

func TestBadRequestsHaveTheirCodes(t *testing.T) {
	r := newRig(t)
	ours, foreign := r.symbolsOf(0, 1, 1)[0], r.symbolsOf(1, 2, 1)[0]
	topic, away := quote.TopicOf(quote.Quotes, ours), quote.TopicOf(quote.Quotes, foreign)
	s := r.session(0)
	defer s.Close()
	require.Empty(t, ask(t, s, wire.TypeHello, hello(1000, "a"), nil))
	minus := -1
	good := payloadOf(topic, 1000, 1)
	record := func(topic quote.Topic, seq uint64, payload string) wire.Append {
		return wire.Append{TableEpoch: 1, Epoch: 1000, Records: []wire.Record{{Topic: topic, Seq: seq, Payload: []byte(payload)}}}
	}
	lost := func(topic quote.Topic, first, last uint64) wire.Append {
		return wire.Append{TableEpoch: 1, Epoch: 1000, Lost: []wire.LostRange{{Topic: topic, First: first, Last: last}}}
	}
	one := []quote.Symbol{ours}
	p := func(epoch, seq uint64) map[quote.Topic]quote.Point {
		return map[quote.Topic]quote.Point{topic: {Epoch: epoch, Seq: seq}}
	}
	for name, c := range map[string]struct {
		typ  string
		in   any
		want wire.Code
	}{
		"unknown type":               {"REQ_QUOTE", struct{}{}, wire.BadRequest},
		"no payload":                 {wire.TypeReqHist, nil, ""},
		"APPEND without payload":     {wire.TypeAppend, nil, wire.BadRequest},
		"HELLO without payload":      {wire.TypeHello, nil, wire.BadRequest},
		"payload of another shape":   {wire.TypeReqHist, []int{1}, wire.BadRequest},
		"malformed symbol":           {wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{"petr4"}}, wire.BadSymbol},
		"empty symbol":               {wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{""}}, wire.BadSymbol},
		"symbol of others":           {wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{ours, foreign}}, wire.Moved},
		"unknown kind":               {wire.TypeReqHist, wire.ReqHist{Kinds: []quote.Kind{"status"}}, wire.BadRequest},
		"backwards time":             {wire.TypeReqHist, wire.ReqHist{Symbols: one, From: 2, To: 1}, wire.BadRequest},
		"backwards positions":        {wire.TypeReqHist, wire.ReqHist{Symbols: one, After: p(1, 5), Before: p(1, 4)}, wire.BadRequest},
		"backwards epochs":           {wire.TypeReqHist, wire.ReqHist{Symbols: one, After: p(2, 1), Before: p(1, 4)}, wire.BadRequest},
		"malformed topic":            {wire.TypeReqHist, wire.ReqHist{After: map[quote.Topic]quote.Point{"x": {}}}, wire.BadSymbol},
		"negative limit":             {wire.TypeReqHist, wire.ReqHist{Symbols: one, Limit: &minus}, wire.BadRequest},
		"unknown order":              {wire.TypeReqHist, wire.ReqHist{Symbols: one, Order: "up"}, wire.BadRequest},
		"HELLO without role":         {wire.TypeHello, wire.Hello{Epoch: 1000, Instance: "a"}, wire.BadRequest},
		"HELLO without instance":     {wire.TypeHello, hello(1000, ""), wire.BadRequest},
		"HELLO of others' topic":     {wire.TypeHello, hello(1000, "a", wire.HelloTopic{Topic: away, Next: 2}), wire.Moved},
		"HELLO of a malformed topic": {wire.TypeHello, hello(1000, "a", wire.HelloTopic{Topic: "x", Next: 2}), wire.BadSymbol},
		"HELLO of status":            {wire.TypeHello, hello(1000, "a", wire.HelloTopic{Topic: quote.StatusCore, Next: 2}), wire.BadSymbol},
		"HELLO of an absurd next":    {wire.TypeHello, hello(1000, "a", wire.HelloTopic{Topic: topic, Next: 1 << 63}), wire.BadRequest},
		"record of others":           {wire.TypeAppend, record(away, 1, payloadOf(away, 1000, 1)), wire.Moved},
		"record of another table":    {wire.TypeAppend, wire.Append{TableEpoch: 2, Epoch: 1000}, wire.Moved},
		"record of another symbol":   {wire.TypeAppend, record(topic, 1, payloadOf(away, 1000, 1)), wire.BadRequest},
		"record without timestamp":   {wire.TypeAppend, record(topic, 1, fmt.Sprintf(`{"symbol":%q}`, ours)), wire.BadRequest},
		"record with a bad time":     {wire.TypeAppend, record(topic, 1, fmt.Sprintf(`{"symbol":%q,"timestamp":"now"}`, ours)), wire.BadRequest},
		"record that is no object":   {wire.TypeAppend, record(topic, 1, `[1]`), wire.BadRequest},
		"record without seq":         {wire.TypeAppend, record(topic, 0, good), wire.BadRequest},
		"record too large":           {wire.TypeAppend, record(topic, 1, `{"x":"`+strings.Repeat("x", maxPayload)+`"}`), wire.TooLarge},
		"record of status":           {wire.TypeAppend, record(quote.StatusCore, 1, good), wire.BadSymbol},
		"lost backwards":             {wire.TypeAppend, lost(topic, 5, 4), wire.BadRequest},
		"lost from 0":                {wire.TypeAppend, lost(topic, 0, 4), wire.BadRequest},
		"lost for ever":              {wire.TypeAppend, lost(topic, 1, ^uint64(0)), wire.BadRequest},
		"lost of others":             {wire.TypeAppend, lost(away, 1, 4), wire.Moved},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, ask(t, s, c.typ, c.in, nil))
			require.Empty(t, ask(t, s, wire.TypeReqHist, wire.ReqHist{Symbols: one}, nil), "the connection lives on")
		})
	}
	require.Empty(t, r.hist(0, wire.ReqHist{}).Records, "nothing of it was stored")
	err := wire.Decoded(within(t), s, wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{foreign}}, nil)
	require.ErrorContains(t, err, "shard-1 (s1:1)")
	require.ErrorContains(t, err, "shard-2 (s2:1)")
}

func TestLimitsAndPages(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0, 1)
	symbol := r.symbolsOf(0, 1, 1)[0]
	topic := quote.TopicOf(quote.Quotes, symbol)
	for range 12_000 {
		c.one(topic)
	}
	c.flush()
	h := r.hist(0, wire.ReqHist{Symbols: []quote.Symbol{symbol}})
	require.Len(t, h.Records, defaultLimit)
	require.True(t, h.More)
	huge := maxLimit
	h = r.hist(0, wire.ReqHist{Symbols: []quote.Symbol{symbol}, Limit: &huge})
	require.True(t, h.More)
	require.Greater(t, len(h.Records), 1000, "cut to the frame")
	require.Less(t, len(h.Records), maxLimit)
	h = r.hist(0, wire.ReqHist{Symbols: []quote.Symbol{symbol}, Limit: &huge, Order: wire.Desc, Before: map[quote.Topic]quote.Point{topic: {Epoch: 1000, Seq: 4}}})
	require.False(t, h.More)
	require.Equal(t, []uint64{3, 2, 1}, []uint64{h.Records[0].Seq, h.Records[1].Seq, h.Records[2].Seq})
	c.requireAll(0)
}

func TestManyTopicsAndRangesComeInBoundedFrames(t *testing.T) {
	r := newRig(t)
	c := newCore(r, 1000)
	c.connect(0)
	var symbols []quote.Symbol
	for i := 0; len(symbols) < 1500; i++ {
		s := quote.Symbol(fmt.Sprintf("MANY-SYMBOLS-OF-ONE-SHARD.%06d", i))
		if r.table.Owns(0, placement.Slot(string(s))) {
			symbols = append(symbols, s)
		}
	}
	want := map[quote.Topic][]quote.Range{}
	for _, s := range symbols {
		topic := quote.TopicOf(quote.Quotes, s)
		for range 8 {
			c.one(topic)
		}
		for _, seq := range []uint64{2, 4, 6, 8} {
			want[topic] = append(want[topic], quote.Range{Epoch: 1000, First: seq, Last: seq})
		}
	}
	var even []wire.Record
	for _, rec := range c.links[0].queue {
		if rec.Seq%2 == 0 {
			even = append(even, rec)
		}
	}
	c.links[0].queue = even
	c.flush()

	s := r.session(0)
	defer s.Close()
	none, frames := 0, 0
	ranges := map[quote.Topic][]quote.Range{}
	require.NoError(t, s.Stream(within(t), wire.Make(wire.TypeReqHist, wire.ReqHist{Limit: &none}), func(f wire.Frame) error {
		var h wire.RespHist
		require.NoError(t, f.Decode(&h))
		require.Less(t, len(f.Payload), 600<<10)
		for topic, list := range h.Ranges {
			ranges[topic] = append(ranges[topic], list...)
		}
		require.Equal(t, f.More, h.InSync == nil, "in_sync stands in the last frame")
		frames++
		return nil
	}))
	require.Greater(t, frames, 1)
	require.Equal(t, want, ranges)

	frames = 0
	newest := map[quote.Topic]quote.Point{}
	require.NoError(t, s.Stream(within(t), wire.Make(wire.TypeHello, hello(0, "")), func(f wire.Frame) error {
		var w wire.Welcome
		require.NoError(t, f.Decode(&w))
		require.Equal(t, f.More, w.More)
		require.Equal(t, uint64(1000), w.HighestEpoch)
		require.Less(t, len(f.Payload), 600<<10)
		for _, topic := range w.Topics {
			newest[topic.Topic] = topic.Last.Point()
		}
		frames++
		return nil
	}))
	require.Greater(t, frames, 1)
	require.Len(t, newest, len(symbols))
	for topic, p := range newest {
		require.Equal(t, quote.Point{Epoch: 1000, Seq: 8}, p, topic)
	}
}

func TestHelloInManyFramesIsOneAnnouncement(t *testing.T) {
	r := newRig(t)
	syms := r.symbolsOf(0, 1, 3)
	s := r.session(0)
	defer s.Close()
	for i, sym := range syms {
		h := hello(1000, "a", wire.HelloTopic{Topic: quote.TopicOf(quote.Quotes, sym), Next: 3})
		if h.More = i < 2; h.More {
			require.NoError(t, s.Send(wire.Make(wire.TypeHello, h)))
		} else {
			require.Empty(t, ask(t, s, wire.TypeHello, h, nil))
		}
	}
	require.Equal(t, map[bool]int{true: len(syms)}, wholes(r.up[0].state, 2))
}

// wholes counts topics by whether they need seqs through need.
func wholes(s *state, need uint64) map[bool]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[bool]int{}
	for _, t := range s.topics {
		out[!t.whole && t.need == need]++
	}
	return out
}

func TestAReaderSeesOnlyWhatIsSynced(t *testing.T) {
	q := query{held: map[quote.Topic][]*holding{"quotes.A": {{epoch: 5}}}}
	q.held["quotes.A"][0].hold(1)
	require.True(t, q.shows("quotes.A", quote.Point{Epoch: 5, Seq: 1}))
	require.False(t, q.shows("quotes.A", quote.Point{Epoch: 5, Seq: 2}))
	require.False(t, q.shows("quotes.A", quote.Point{Epoch: 6, Seq: 1}))
	require.False(t, q.shows("quotes.B", quote.Point{Epoch: 5, Seq: 1}))
}

func TestThePortInUseAndTheNameAreNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, err = New(Config{Listen: ln.Addr().String(), Data: t.TempDir(), Log: testLog()})
	require.EqualError(t, err, fmt.Sprintf("listen on %s: address already in use (is another shard-0 running?)", ln.Addr()))
	for _, cfg := range []Config{{Name: "shard-x"}, {Name: "shard-01"}, {Name: "shard-7"}, {Shards: "a"}, {Shards: "shard-0=h:1"}, {Copies: 4}, {CacheMB: -1}} {
		cfg.Data = t.TempDir()
		_, err := New(cfg)
		require.ErrorContains(t, err, "--")
	}
}

func TestThePortFollowsTheName(t *testing.T) {
	require.Equal(t, 9001, PortOf(nil, ""))
	require.Equal(t, 9003, PortOf(nil, "shard-2"))
	require.Equal(t, 9002, PortOf([]string{"--data", "x", "--name=shard-1", "--admin", "y"}, "shard-2"))
	require.Equal(t, 9002, PortOf([]string{"--name", "shard-1"}, ""))
	require.Equal(t, 9001, PortOf([]string{"--help"}, "nonsense"))
	cfg := Config{Name: "shard-2"}
	require.NoError(t, cfg.defaults())
	require.Equal(t, "127.0.0.1:9003", cfg.Listen)
	require.Equal(t, "out/data/shard-2", cfg.Data)
}

func TestMetricsCanBeGathered(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := New(Config{Listen: "127.0.0.1:0", Data: t.TempDir(), Metrics: reg, Log: testLog()})
	require.NoError(t, err)
	require.ErrorIs(t, s.Ready(), errNotServing)
	n, err := testutil.GatherAndCount(reg, "quotes_shard_slots", "quotes_shard_slots_in_sync", "quotes_shard_disk_bytes", "quotes_shard_conflicts_total")
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.NoError(t, s.engine.Close())
	require.NoError(t, s.ln.Close())
}

func TestASuccessorWaitsForTheDataFolder(t *testing.T) {
	dir := t.TempDir()
	old := openDisk(t, vfs.Default, dir)
	cfg := Config{Listen: "127.0.0.1:0", Data: dir, Log: testLog(), LockWait: time.Minute}
	got := make(chan error, 1)
	go func() {
		s, err := New(cfg)
		if err == nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			err = s.Run(ctx)
		}
		got <- err
	}()
	time.AfterFunc(200*time.Millisecond, old.stop)
	require.NoError(t, <-got)
}
