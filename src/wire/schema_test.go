package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

const schemaFile = "../../docs/schemas/wire.json"

func decimal(t *testing.T, s string) quote.Decimal {
	t.Helper()
	d, err := quote.ParseDecimal(s)
	require.NoError(t, err)
	return d
}

// examples returns a frame of each type with every field that it may have.
func examples(t *testing.T) []wire.Frame {
	t.Helper()
	at, err := quote.ParseTime("2026-11-23T15:00:00.123456Z")
	require.NoError(t, err)
	n, yes, age, count, limit, coverage, low := uint64(7), true, int64(40), uint64(3), 100, 0.5, int64(1000)
	const topic = quote.Topic("quotes.PETR4")
	point := quote.Point{Epoch: 5, Seq: 7}
	points := map[quote.Topic]quote.Point{topic: point}
	q := quote.Quote{
		Symbol: "PETR4", Price: decimal(t, "27.31"), Bid: decimal(t, "27.30"), Ask: decimal(t, "27.32"), BidSize: decimal(t, "1200"), AskSize: decimal(t, "800"),
		Timestamp: at, Received: at, Quality: quote.Quality{State: quote.Stale, Reason: quote.BreakerOpen, AgeMS: &age}, Epoch: 5, Seq: 7,
	}
	tr := quote.Trade{ID: "9", Symbol: "PETR4", Price: q.Price, Quantity: decimal(t, "300"), Side: quote.Buy, Timestamp: at, Received: at}
	raw := json.RawMessage(tr.AppendJSON(nil))
	record := wire.Record{Topic: "trades.PETR4", Epoch: 5, Seq: 7, Payload: raw}
	missing := []wire.Missing{{Slot: 17, Symbols: []quote.Symbol{"PETR4"}}}
	report := wire.Report{
		CurrentPrice: &q, History: []quote.Trade{tr}, Errors: []string{"shard-1: down"}, Coverage: 0.5, Missing: missing,
		Sources: []wire.Source{{Name: "core", State: wire.SourceStale, Reason: "breaker_open", MS: 1.5, Hedged: true}}, Total: 1, Stale: 1, More: true, TookMS: 2.25,
	}
	lost := []wire.LostRange{{Topic: topic, Epoch: 5, First: 1, Last: 2}}
	publish := wire.Frame{
		Type: wire.TypePublish, Topic: string(topic), Epoch: 5, Seq: 7, Prev: &n, PrevEpoch: 4, Skipped: 2, Why: "lag", Snapshot: true, Source: wire.SourceLost,
		HeldMS: &age, FeedSeq: 3, Untimed: true, Payload: q.AppendJSON(nil),
	}
	return []wire.Frame{
		publish,
		{Type: wire.TypePublish, Topic: "trades.PETR4", Epoch: 5, Seq: 7, Payload: raw},
		{Type: wire.TypePublish, Topic: "status.core", Epoch: 5, Seq: 1, Payload: []byte(`{"breaker":"exchange","from":"closed","to":"open","rule":"consecutive_failures","counts":{"calls":5,"failures":2},"at":"2026-11-23T15:00:00.123456Z"}`)},
		wire.Make(wire.TypeHello, wire.Hello{Role: "publisher", Epoch: 5, Instance: "x", Topics: []wire.HelloTopic{{Topic: topic, Next: 8, Last: &publish, Tail: &point}}, More: true}),
		wire.Make(wire.TypeWelcome, wire.Welcome{HighestEpoch: 5, Topics: []wire.WelcomeTopic{{Topic: "trades.PETR4", Last: record}}, More: true}),
		wire.Make(wire.TypeSubscribe, wire.Subscribe{Mode: wire.ModeSampled, IntervalMS: 250, From: points, Snapshot: &yes}),
		wire.Make(wire.TypeSubscribed, wire.Subscribed{Topic: "*", Mode: wire.ModeAll}),
		{Type: wire.TypeUnsubscribe, Topic: "*"},
		wire.Make(wire.TypeHeartbeat, wire.Heartbeat{Topics: map[quote.Topic]wire.HeartbeatTopic{topic: {Epoch: 5, Next: 8, Lag: 1, Skipped: 2}}, Source: wire.SourceLive, SinceMS: 5}),
		wire.Make(wire.TypeLost, wire.Lost{Topic: topic, After: point, Before: point, Count: &count}),
		wire.Make(wire.TypeGoaway, wire.Goaway{RetryAfterMS: 500}),
		wire.Make(wire.TypeReqQuote, wire.ReqQuote{Symbols: []string{"*"}}),
		wire.Make(wire.TypeRespQuote, []quote.Quote{q}),
		wire.Make(wire.TypeAppend, wire.Append{TableEpoch: 1, Epoch: 5, Records: []wire.Record{{Topic: "trades.PETR4", Seq: 7, Payload: raw}}, Lost: lost}),
		wire.Make(wire.TypeAppended, wire.Appended{Positions: points}),
		wire.Make(wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{"PETR4"}, Kinds: []quote.Kind{quote.Trades}, From: at, To: at, After: points, Before: points, Order: wire.Desc, Limit: &limit}),
		wire.Make(wire.TypeRespHist, wire.RespHist{Records: []wire.Record{record}, More: true, Ranges: map[quote.Topic][]quote.Range{topic: {{Epoch: 5, First: 1, Last: 7}}}, InSync: map[int]bool{17: true}, Coverage: &coverage, Missing: missing}),
		wire.Make(wire.TypeReqReport, wire.ReqReport{Symbol: "PETR4", From: at, To: at, Limit: &limit, MinCoverage: 0.5, MaxAgeMS: &low}),
		wire.Make(wire.TypeReqReport, wire.ReqReport{Symbols: []quote.Symbol{"PETR4", "BTC-USD"}}),
		wire.Make(wire.TypeRespReport, report),
		wire.Make(wire.TypeReqStatus, nil),
		wire.Make(wire.TypeRespStatus, wire.Status{
			Process: "core", Version: "v1", Since: at, Epoch: 5, Peers: []wire.Peer{{Name: "broker", Addr: "127.0.0.1:8081", State: "up"}},
			Breakers:    []wire.BreakerStatus{{Name: "exchange", State: "open", Since: at, Transitions: []json.RawMessage{[]byte(`{}`)}}},
			Subscribers: []wire.SubscriberStatus{{Addr: "x", Topics: 1, Lag: 2, Skipped: 3, Lost: 4}}, Slots: []wire.SlotStatus{{Slot: 1, InSync: true}},
			DurableOne: 1, Durable: map[quote.Topic]wire.Durable{topic: {Epoch: 5, Both: 6, One: 7, Lost: lost}}, Topics: map[quote.Topic]wire.TopicInfo{topic: {Epoch: 5, First: 1, Next: 8, Bytes: 9}},
		}),
		wire.Make(wire.TypeError, wire.Error{Code: wire.LowCoverage, Message: "m", RetryAfterMS: 5, Report: wire.Make("", report).Payload}),
	}
}

func TestGoldenFramesAreAsTheSchemaSays(t *testing.T) {
	var lines []byte
	for _, f := range examples(t) {
		lines = f.Append(lines)
	}
	golden := filepath.Join("testdata", "frames.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, lines, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(lines), "the protocol has changed: run with -update if that is meant")
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	require.NoError(t, err)
	for line := range bytes.Lines(want) {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(v), string(line))
	}
	for _, wrong := range []string{
		`{"type":7}`, `{}`, `{"type":"ERROR"}`, `{"type":"ERROR","payload":{"code":"no_such_code","message":"m"}}`, `{"type":"REQ_REPORT","payload":{"symbol":"a b"}}`,
		`{"type":"REQ_REPORT","payload":{"limit":2001}}`, `{"type":"RESP_QUOTE","payload":{"symbol":"A","price":27.31}}`, `{"type":"SUBSCRIBE","payload":{"mode":"some"}}`,
		`{"type":"RESP_REPORT","payload":{"history":[]}}`,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(wrong))
		require.NoError(t, err)
		require.Error(t, schema.Validate(v), wrong)
	}
}

// Each field of a payload's type is in its schema: a new one can't be forgotten there.
func TestTheSchemaKnowsEveryField(t *testing.T) {
	raw, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	type object struct{ Properties map[string]json.RawMessage }
	var doc struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	doc.Defs["frame"] = doc.object
	for name, v := range map[string]any{
		"frame": wire.Frame{}, wire.TypeHello: wire.Hello{}, wire.TypeWelcome: wire.Welcome{}, wire.TypeSubscribe: wire.Subscribe{}, wire.TypeSubscribed: wire.Subscribed{},
		wire.TypeHeartbeat: wire.Heartbeat{}, wire.TypeLost: wire.Lost{}, wire.TypeGoaway: wire.Goaway{}, wire.TypeReqQuote: wire.ReqQuote{}, wire.TypeAppend: wire.Append{},
		wire.TypeAppended: wire.Appended{}, wire.TypeReqHist: wire.ReqHist{}, wire.TypeRespHist: wire.RespHist{}, wire.TypeReqReport: wire.ReqReport{}, wire.TypeError: wire.Error{},
		"Report": wire.Report{}, "Status": wire.Status{}, "Quote": quote.Quote{}, "Trade": quote.Trade{}, "Quality": quote.Quality{}, "record": wire.Record{}, "source": wire.Source{},
	} {
		for field := range reflect.TypeOf(v).Fields() {
			if !field.IsExported() {
				continue
			}
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.Contains(t, doc.Defs[name].Properties, tag, "%s of %s", field.Name, name)
		}
	}
}
