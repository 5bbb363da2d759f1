package core

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

const testEpoch = 100

// rig is a book whose broker and shards are this test.
type rig struct {
	t *testing.T
	*book
	now time.Time
}

func newRig(t *testing.T, limit int) *rig {
	t.Helper()
	shards, err := placement.ParseShards(placement.Laptop)
	require.NoError(t, err)
	table, err := placement.New(shards, 2)
	require.NoError(t, err)
	met := newMetrics(prometheus.NewRegistry())
	l := newLedger(table, limit, slog.New(slog.DiscardHandler), met)
	out := newPublisher("127.0.0.1:1", 1<<20, met)
	out.attach()
	return &rig{t, newBook(testEpoch, out, l, met), time.Unix(1_700_000_000, 0)}
}

// published takes what went to the broker since the last call, a line a record: topic, seq, price or id, quality.
func (r *rig) published() (out []string) {
	r.t.Helper()
	raw, err := r.out.take(nil)
	require.NoError(r.t, err)
	for len(raw) > 0 {
		n := 0
		for raw[n] != '\n' {
			n++
		}
		f, err := wire.ParseFrame(raw[:n])
		require.NoError(r.t, err)
		require.EqualValues(r.t, testEpoch, f.Epoch)
		require.Equal(r.t, f.Seq-1, *f.Prev)
		var v struct {
			ID, Price string
			Quality   quote.Quality
		}
		require.NoError(r.t, f.Decode(&v))
		out = append(out, fmt.Sprintf("%s %d %s%s %s%s", f.Topic, f.Seq, v.ID, v.Price, v.Quality.State, v.Quality.Reason))
		raw = raw[n+1:]
	}
	return out
}

// say is one quote of the session of now; at is in seconds.
func (r *rig) say(symbol, price string, at int, mark func(*wire.Frame)) {
	r.t.Helper()
	f := wire.Frame{
		Type: wire.TypePublish, Topic: "quotes." + symbol,
		Payload: fmt.Appendf(nil, `{"symbol":%q,"price":%q,"timestamp":%q}`, symbol, price, quote.Time(1_600_000_000_000_000+int64(at)*1_000_000)),
	}
	if mark != nil {
		mark(&f)
	}
	require.NoError(r.t, r.tick(r.feed.session, &f, r.now))
}

func (r *rig) sell(symbol, id string, at int, mark func(*wire.Frame)) {
	r.t.Helper()
	f := wire.Frame{
		Type: wire.TypePublish, Topic: "trades." + symbol,
		Payload: fmt.Appendf(nil, `{"id":%q,"symbol":%q,"price":"1","quantity":"2","timestamp":%q}`, id, symbol, quote.Time(1_600_000_000_000_000+int64(at)*1_000_000)),
	}
	if mark != nil {
		mark(&f)
	}
	require.NoError(r.t, r.tick(r.feed.session, &f, r.now))
}

func snapshot(f *wire.Frame) { f.Snapshot = true }
func untimed(f *wire.Frame)  { f.Untimed = true }

// up begins a session.
func (r *rig) up() {
	r.turn(func(f *feedState) { f.session++; f.up, f.silent = true, false })
}

func TestQualityGoesThroughItsStates(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	r.say("A", "1.0", 1, snapshot)
	r.say("B", "2.0", 1, snapshot)
	r.turn(func(f *feedState) { f.silent = true })
	r.turn(func(f *feedState) { f.silent = true }) // said once
	r.turn(func(f *feedState) { f.open = true })
	r.turn(func(f *feedState) { f.up = false })
	r.up()
	r.turn(func(f *feedState) { f.open = false })
	r.say("A", "1.1", 2, snapshot)
	require.Equal(t, []string{
		"quotes.A 1 1.0 live", "quotes.B 1 2.0 live",
		"quotes.A 2 1.0 stalefeed_silent", "quotes.B 2 2.0 stalefeed_silent",
		"quotes.A 3 1.0 stalebreaker_open", "quotes.B 3 2.0 stalebreaker_open",
		"quotes.A 4 1.0 recovering", "quotes.B 4 2.0 recovering",
		"quotes.A 5 1.1 live",
	}, r.published())
}

func TestASilentSessionThatSpeaksAgainIsLiveAgain(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	r.say("A", "1.0", 1, snapshot)
	r.turn(func(f *feedState) { f.silent = true })
	r.turn(func(f *feedState) { f.silent = false })
	require.Equal(t, []string{"quotes.A 1 1.0 live", "quotes.A 2 1.0 stalefeed_silent", "quotes.A 3 1.0 live"}, r.published())
}

func TestALateQuoteIsStoredAndTheCurrentOneStays(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	r.say("A", "1.0", 10, snapshot)
	r.say("A", "1.2", 12, nil)
	r.say("A", "1.1", 11, nil)     // late
	r.say("A", "1.3", 5, untimed)  // has no time of the venue: never late
	r.say("A", "1.4", 12, nil)     // as new as the newest: not late
	r.say("A", "0.9", 1, snapshot) // a snapshot never is, and begins anew
	r.say("A", "0.8", 2, nil)
	require.Equal(t, []string{
		"quotes.A 1 1.0 live", "quotes.A 2 1.2 live", "quotes.A 3 1.1 live", "quotes.A 4 1.2 live",
		"quotes.A 5 1.3 live", "quotes.A 6 1.4 live", "quotes.A 7 0.9 live", "quotes.A 8 0.8 live",
	}, r.published())
	q, err := r.quotes([]string{"A"}, r.now.Add(time.Second))
	require.NoError(t, err)
	require.Equal(t, "0.8", q[0].Price.String())
	require.EqualValues(t, 8, q[0].Seq)
	require.EqualValues(t, 1000, *q[0].Quality.AgeMS)
}

// A session keeps the order of what is sent: a tick that is far behind tells of a clock that was set back, or of one that was far ahead.
func TestAClockThatIsSetBackFreezesNoPrice(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	r.say("A", "1.0", 100_000, snapshot)
	r.say("A", "1.1", 100_010, nil)
	r.say("A", "1.2", 96_410, nil) // an hour back
	r.say("A", "1.3", 96_411, nil)
	r.say("A", "1.2", 96_406, nil) // as late as a tick can be
	r.say("A", "9.9", 200_000_000_000, nil)
	r.say("A", "1.4", 96_412, nil)
	require.Equal(t, []string{
		"quotes.A 1 1.0 live", "quotes.A 2 1.1 live", "quotes.A 3 1.2 live", "quotes.A 4 1.3 live",
		"quotes.A 5 1.2 live", "quotes.A 6 1.3 live", "quotes.A 7 9.9 live", "quotes.A 8 1.4 live",
	}, r.published())
}

// An exchange can't name more than a broker takes.
func TestTopicsHaveABound(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	r.mu.Lock()
	for i := range maxTopics {
		_, err := r.ticked(quote.Topic(fmt.Sprintf("quotes.S%d", i)))
		require.NoError(t, err)
	}
	r.mu.Unlock()
	f := wire.Frame{Topic: "trades.S0", Payload: []byte(`{"id":"1","symbol":"S0","price":"1","quantity":"1","timestamp":"2026-01-01T00:00:00Z"}`)}
	require.ErrorIs(t, r.tick(r.feed.session, &f, r.now), &wire.Error{Code: wire.TooLarge})
	f = wire.Frame{Topic: "quotes.NEW", Payload: []byte(`{"symbol":"NEW","price":"1","timestamp":"2026-01-01T00:00:00Z"}`)}
	require.ErrorIs(t, r.tick(r.feed.session, &f, r.now), &wire.Error{Code: wire.TooLarge})
	r.say("S0", "1.0", 1, snapshot)
	r.status([]byte(`{}`))
	require.Equal(t, []string{"quotes.S0 1 1.0 live", "status.core 1  "}, r.published())
}

func TestASessionsSnapshotRepeatsTheLastTradeOnce(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	r.sell("A", "7", 1, snapshot)
	r.sell("A", "8", 2, nil)
	r.up()
	r.sell("A", "8", 2, snapshot)
	r.sell("A", "9", 3, nil)
	require.Equal(t, []string{"trades.A 1 71 ", "trades.A 2 81 ", "trades.A 3 91 "}, r.published())
}

func TestWhatACutSessionStillHadIsDropped(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	old := r.feed.session
	r.up()
	f := wire.Frame{Topic: "quotes.A", Payload: []byte(`{"symbol":"A","price":"1","timestamp":"2026-01-01T00:00:00Z"}`)}
	require.NoError(t, r.tick(old, &f, r.now))
	require.Empty(t, r.published())
}

func TestTicksThatCannotBeKeptAreRefusedByName(t *testing.T) {
	r := newRig(t, 1<<20)
	r.up()
	for payload, want := range map[string]string{
		`{"symbol":"A","price":"12345678901234567890","timestamp":"2026-01-01T00:00:00Z"}`: "19 digits",
		`{"symbol":"A","timestamp":"2026-01-01T00:00:00Z"}`:                                "without price",
		`{"symbol":"B","price":"1","timestamp":"2026-01-01T00:00:00Z"}`:                    "on topic quotes.A",
		`{"symbol":"A","price":"1","timestamp":"noon"}`:                                    "noon",
		`[]`: "payload",
	} {
		require.ErrorContains(t, r.tick(r.feed.session, &wire.Frame{Topic: "quotes.A", Payload: []byte(payload)}, r.now), want)
	}
	require.ErrorIs(t, r.tick(r.feed.session, &wire.Frame{Topic: "quotes.a"}, r.now), quote.ErrBadTopic)
	require.Error(t, r.tick(r.feed.session, &wire.Frame{Topic: "status.core"}, r.now))
	require.Empty(t, r.published())
}

func TestAStartLoadsLastValuesAndSaysThatTheyAreStale(t *testing.T) {
	r := newRig(t, 1<<20)
	received := quote.TimeOf(r.now.Add(-time.Minute))
	k := known{records: map[quote.Topic]wire.Record{
		"quotes.B": {Topic: "quotes.B", Epoch: 7, Seq: 9, Payload: fmt.Appendf(nil, `{"symbol":"B","price":"2","received":%q,"quality":{"state":"live"}}`, received)},
		"quotes.A": {Topic: "quotes.A", Epoch: 7, Seq: 5, Payload: fmt.Appendf(nil, `{"symbol":"A","price":"1","received":%q,"quality":{"state":"live"}}`, received)},
		"trades.A": {Topic: "trades.A", Epoch: 7, Seq: 3, Payload: []byte(`{"id":"70","symbol":"A","price":"1","quantity":"1"}`)},
		"bad":      {Topic: "bad"},
	}}
	k.load(r.book, r.now, slog.New(slog.DiscardHandler))
	require.Equal(t, []string{"quotes.A 1 1 stalestarting", "quotes.B 1 2 stalestarting"}, r.published())
	q, err := r.quotes(nil, r.now)
	require.NoError(t, err)
	require.Equal(t, quote.Symbol("A"), q[0].Symbol)
	require.EqualValues(t, 60_000, *q[0].Quality.AgeMS, "the age goes on over a restart")
	r.up()
	r.sell("A", "70", 1, snapshot)
	require.NotContains(t, r.published(), "trades.A 1 701 ", "the last trade is known from before")
	topics := map[quote.Topic]wire.HelloTopic{}
	for _, h := range r.hello(func() {}) {
		topics[h.Topic] = h
	}
	require.EqualValues(t, 1, topics["trades.A"].Next)
	require.EqualValues(t, 7, topics["trades.A"].Last.Epoch, "HELLO names the older epoch's record where there is no newer one")
	require.EqualValues(t, 3, topics["quotes.A"].Next)
}

func TestUnknownSymbolsAndAnEmptyTableAreErrors(t *testing.T) {
	r := newRig(t, 1<<20)
	_, err := r.quotes(nil, r.now)
	require.ErrorIs(t, err, &wire.Error{Code: wire.Unavailable})
	r.up()
	r.say("A", "1", 1, snapshot)
	r.say("B", "1", 1, snapshot)
	_, err = r.quotes([]string{"A", "NONE"}, r.now)
	require.ErrorIs(t, err, &wire.Error{Code: wire.BadSymbol})
	_, err = r.quotes([]string{"a b"}, r.now)
	require.ErrorIs(t, err, quote.ErrBadSymbol)
	_, err = r.quotes([]string{"A", "B", "A"}, r.now)
	require.ErrorIs(t, err, &wire.Error{Code: wire.BadRequest}, "more than there are: a line has room for a quarter of a million")
}

func TestAnEpochIsAboveEverythingKnown(t *testing.T) {
	now := time.UnixMilli(5000)
	require.EqualValues(t, 5000, choose(now, 0))
	require.EqualValues(t, 5000, choose(now, 4999))
	require.EqualValues(t, 5001, choose(now, 5000), "a restart in the same millisecond")
	require.EqualValues(t, 9001, choose(now, 9000), "a clock that was set back")
	require.EqualValues(t, 1, choose(time.UnixMilli(-5), 0))
}

func TestASlowBrokerIsLeftAndGreetedAgain(t *testing.T) {
	r := newRig(t, 1<<20)
	r.out.limit = 1000
	r.up()
	for i := range 20 {
		r.say("A", "1", i, nil)
	}
	_, err := r.out.take(nil)
	require.ErrorContains(t, err, "too slow")
	r.hello(r.out.attach)
	r.say("A", "2", 30, nil)
	require.Equal(t, []string{"quotes.A 21 2 live"}, r.published())
}
