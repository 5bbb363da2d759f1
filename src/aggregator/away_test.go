package aggregator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/aggregator"
	"quotes/src/placement"
	"quotes/src/wire"
)

// told waits until the aggregator has heard of A from the broker.
func (w *world) told(t *testing.T, b *broker) {
	t.Helper()
	b.quote("A", 1)
	_, data := w.events(t, "/v1/stream", "")()
	require.Contains(t, data, `"symbol":"A"`)
}

// without stops core and waits until that is known.
func (w *world) without(t *testing.T) {
	t.Helper()
	w.core.stop()
	require.Eventually(t, func() bool {
		return strings.Contains(w.say(t, `{"type":"REQ_STATUS"}`+"\n"), `{"name":"core","addr":"`+w.core.addr+`","state":"down"}`)
	}, 10*time.Second, time.Millisecond)
}

// While core is away nobody knows all symbols: what there is comes, as an error that says so.
func TestAllSymbolsWithoutCoreAreNotCalledAll(t *testing.T) {
	b := newBroker(t)
	w := build(t, aggregator.Config{Broker: b.addr})
	w.told(t, b)
	resp, body := w.get(t, "/v1/symbols")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, body, `"complete":true`)
	w.without(t)
	for _, path := range []string{"/v1/report?symbols=*", "/v1/quotes"} {
		resp, body := w.get(t, path)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, path)
		var p struct {
			Code, Detail string
			Report       []json.RawMessage
		}
		require.NoError(t, json.Unmarshal([]byte(body), &p))
		require.Equal(t, "unavailable", p.Code)
		require.Contains(t, p.Detail, "may be others")
		require.Len(t, p.Report, 1, "%s: the data comes with it", path)
	}
	for _, ask := range []string{`{"type":"REQ_REPORT","id":1,"payload":{"symbols":["*"]}}`, `{"type":"REQ_QUOTE","id":1,"payload":{"symbols":["*"]}}`} {
		answer := w.say(t, ask+"\n")
		require.Contains(t, answer, `"code":"unavailable"`, ask)
		require.Contains(t, answer, `"report":[{`, ask)
	}
	resp, body = w.get(t, "/v1/symbols")
	require.Empty(t, resp.Header.Get("ETag"))
	require.Contains(t, body, `{"symbols":["A"],"complete":false}`)
}

func TestUnknownSymbolsAreThatInQuotesAndStreams(t *testing.T) {
	b := newBroker(t)
	w := build(t, aggregator.Config{Broker: b.addr})
	resp, body := w.get(t, "/v1/stream?symbols=A,NONE")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Contains(t, body, "NONE")
	w.told(t, b)
	w.without(t)
	for path, found := range map[string]int{"/v1/quotes?symbol=NONE": 0, "/v1/quotes?symbols=A,NONE": 1} {
		resp, body := w.get(t, path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		require.Contains(t, body, "unknown symbol NONE", path)
		require.Equal(t, found, strings.Count(body, `"price":"1.50"`), "%s: what was found comes with it", path)
	}
	require.Contains(t, w.say(t, `{"type":"REQ_QUOTE","id":1,"topic":"NONE"}`+"\n"), `"code":"bad_symbol"`)
	_, data := w.events(t, "/v1/stream?symbols=NONE,A", "")()
	require.Contains(t, data, `"symbol":"A"`, "nobody can say now that there is no NONE")
}

// Who names no symbol gets the first one that the broker has shown, where core never said which is its first.
func TestTheDefaultSymbolNeedsNoCore(t *testing.T) {
	b := newBroker(t)
	w := build(t, aggregator.Config{Broker: b.addr})
	w.told(t, b)
	w.without(t)
	require.Contains(t, w.say(t, `{"type":"REQ_REPORT","id":1}`+"\n"), `"current_price":{"symbol":"A"`)
	require.Contains(t, w.say(t, `{"type":"REQ_QUOTE","id":1}`+"\n"), `"payload":{"symbol":"A"`)
}

func TestTheStatusNamesTheBroker(t *testing.T) {
	b := newBroker(t)
	w := build(t, aggregator.Config{Broker: b.addr})
	require.Eventually(t, func() bool {
		return strings.Contains(w.say(t, `{"type":"REQ_STATUS"}`+"\n"), `{"name":"broker","addr":"`+b.addr+`","state":"up"}`)
	}, 10*time.Second, time.Millisecond)
}

// What a peer says may be anything: the report stays JSON.
func TestAPeersWordsAreEscaped(t *testing.T) {
	w := build(t, aggregator.Config{})
	w.mu.Lock()
	w.price = `{"symbol":"A","price":"1.50","quality":{"state":"stale","reason":"\"},<\\script>"}}`
	w.mu.Unlock()
	_, body := w.get(t, "/v1/report?symbol=A")
	var r wire.Report
	require.NoError(t, json.Unmarshal([]byte(body), &r), body)
	require.Equal(t, `"},<\script>`, r.Sources[0].Reason)
}

// A peer that hangs costs the answer its word, and not the budget.
func TestAnAnswerLeavesWithinItsBudgetThoughCoreHangs(t *testing.T) {
	w := build(t, aggregator.Config{})
	w.mu.Lock()
	w.hang = true
	w.mu.Unlock()
	var r struct{ Payload wire.Report }
	require.NoError(t, json.Unmarshal([]byte(w.say(t, `{"type":"REQ_REPORT","id":1,"budget_ms":3000,"payload":{"symbol":"A"}}`+"\n")), &r))
	require.Less(t, r.Payload.TookMS, 3000.0)
	require.Equal(t, wire.SourceFailed, r.Payload.Sources[0].State)
	require.Equal(t, "deadline_exceeded", r.Payload.Sources[0].Reason)
	require.InDelta(t, 1, r.Payload.Coverage, 0)
	require.NotNil(t, r.Payload.CurrentPrice, "the shards' last one")
}

// Below the asked coverage comes an error with the answer, by HTTP too.
// Who waits for shards that hang gets core's price of the end of that wait, not of its beginning.
func TestAReportThatTookLongHasThePriceOfNow(t *testing.T) {
	w := build(t, aggregator.Config{})
	w.mu.Lock()
	w.modes = [3]mode{hung, hung, hung}
	w.mu.Unlock()
	later := time.AfterFunc(100*time.Millisecond, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.price = strings.Replace(w.price, "1.50", "2.50", 1)
	})
	defer later.Stop()
	report := w.say(t, `{"type":"REQ_REPORT","id":1,"budget_ms":2000,"payload":{"symbol":"A"}}`+"\n")
	require.Contains(t, report, `"coverage":0,`)
	require.Contains(t, report, `"price":"2.50"`)
}

func TestTooLittleCoverageIsAnErrorWithTheAnswer(t *testing.T) {
	w := build(t, aggregator.Config{})
	for _, s := range w.shards {
		s.stop()
	}
	problem, report := schemaOf(t, "/components/schemas/Problem"), schemaOf(t, "/paths/~1v1~1report/get/responses/200/content/application~1json/schema")
	page := schemaOf(t, "/paths/~1v1~1history/get/responses/200/content/application~1json/schema")
	for path, schema := range map[string]interface{ Validate(any) error }{
		"/v1/report?symbol=A&min_coverage=1": report, "/v1/history?symbol=A&min_coverage=0.5": page,
	} {
		resp, v := w.answers(t, path, "application/problem+json")
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.NoError(t, problem.Validate(v))
		p, _ := v.(map[string]any)
		require.Equal(t, "low_coverage", p["code"])
		require.NoError(t, schema.Validate(p["report"]), "%s: %v", path, p["report"])
		require.Contains(t, fmt.Sprint(p["report"]), "missing")
	}
	_, v := w.answers(t, "/v1/report?symbol=A", "application/json")
	require.NoError(t, report.Validate(v), "one with failed sources, missing and errors")
	w.core.stop()
	_, v = w.answers(t, "/v1/report?symbol=A", "application/json")
	require.NoError(t, report.Validate(v), "and without a price")
}

// Whatever the shards are, each source of each report is accounted for, and coverage is what the sources give: one owner in sync, or all
// of them.
func TestReportsAddUp(t *testing.T) {
	w := build(t, aggregator.Config{})
	rnd := rand.New(rand.NewPCG(7, 7))
	list, err := placement.ParseShards("shard-0=x:1,shard-1=x:2,shard-2=x:3")
	require.NoError(t, err)
	table, err := placement.New(list, 2)
	require.NoError(t, err)
	names := []string{"A", "K1", "K2", "K3", "K4", "K5", "K6"}
	stale, failed := 0, 0
	for round := range 60 {
		w.mu.Lock()
		for i := range w.modes {
			w.modes[i] = mode(rnd.IntN(3))
		}
		modes := w.modes
		w.mu.Unlock()
		rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		some := names[:1+rnd.IntN(len(names))]
		var got struct{ Payload []wire.Report }
		require.NoError(t, json.Unmarshal([]byte(w.say(t, `{"type":"REQ_REPORT","id":1,"payload":{"symbols":["`+strings.Join(some, `","`)+`"]}}`+"\n")), &got))
		require.Len(t, got.Payload, len(some))
		for i, r := range got.Payload {
			what := fmt.Sprintf("round %d, %s, shards %v: %+v", round, some[i], modes, r)
			by := map[string]int{}
			answered, whole, known := 0, false, map[string]bool{}
			for _, s := range r.Sources {
				require.False(t, known[s.Name], what)
				known[s.Name] = true
				by[s.State]++
				require.Equal(t, s.State == wire.SourceOK, s.Reason == "", what)
				if s.Name == "core" {
					continue
				}
				require.Contains(t, table.Owners(placement.Slot(some[i])), int(s.Name[len(s.Name)-1]-'0'), what)
				if s.State == wire.SourceOK || s.State == wire.SourceStale {
					answered++
					whole = whole || s.State == wire.SourceOK
				}
			}
			require.Equal(t, []int{len(r.Sources), by["ok"], by["stale"], by["failed"], by["skipped"]}, []int{r.Total, r.OK, r.Stale, r.Failed, r.Skipped}, what)
			require.Equal(t, r.Total, r.OK+r.Stale+r.Failed+r.Skipped, what)
			want := 0.0
			if whole || answered == 2 {
				want = 1
			}
			require.InDelta(t, want, r.Coverage, 0, what)
			require.Equal(t, want == 0, len(r.Missing) == 1, what)
			stale, failed = stale+r.Stale, failed+r.Failed
		}
	}
	require.Greater(t, min(stale, failed), 20)
}
