package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/wire"
)

const (
	petr4 = `{"symbol":"PETR4","price":"27.31","bid":"27.30","ask":"27.32","bid_size":"1200","ask_size":"800",` +
		`"timestamp":"2026-11-23T14:00:00.123456Z","received":"2026-11-23T14:00:00.125000Z","quality":{"state":"live","age_ms":120},"epoch":1795419376123,"seq":1042}`
	vale3 = `{"symbol":"VALE3","price":"1061.5","bid":"1061.4","ask":"1061.6",` +
		`"timestamp":"2026-11-23T13:59:00.000000Z","quality":{"state":"stale","reason":"breaker_open","age_ms":60120},"epoch":1795419376123,"seq":7}`
	btc = `{"symbol":"BTC-USD","quality":{"state":"recovering"}}`

	full = `{"current_price":` + petr4 + `,"history":[
		{"id":"881614","symbol":"PETR4","price":"27.31","quantity":"300","side":"buy","timestamp":"2026-11-23T14:00:00.100000Z","received":"2026-11-23T14:00:00.101000Z"},
		{"id":"881613","symbol":"PETR4","price":"27.3","quantity":"1200","timestamp":"2026-11-23T13:59:59.000000Z"}],
		"coverage":1,"sources":[{"name":"core","state":"ok","ms":0.4},{"name":"shard-0","state":"ok","ms":1.8,"hedged":true}],
		"total":2,"ok":2,"stale":0,"failed":0,"skipped":0,"more":true,"took_ms":2.4}`
	partial = `{"current_price":` + petr4 + `,"history":[],"errors":["shard-1: connection refused"],"coverage":0.5,
		"missing":[{"slot":17,"symbols":["PETR4"]},{"slot":99}],
		"sources":[{"name":"core","state":"ok","ms":0.4},{"name":"shard-1","state":"failed","reason":"connection refused","ms":3},{"name":"shard-2","state":"skipped","reason":"breaker_open","ms":0}],
		"total":3,"ok":1,"stale":0,"failed":1,"skipped":1,"more":false,"took_ms":9}`
	unlive = `{"current_price":` + vale3 + `,"history":[],"coverage":1,"sources":[{"name":"core","state":"stale","reason":"breaker_open","ms":0.4}],
		"total":1,"ok":0,"stale":1,"failed":0,"skipped":0,"more":false,"took_ms":1}`
	priceless = `{"history":[],"coverage":1,"sources":[],"total":0,"ok":0,"stale":0,"failed":0,"skipped":0,"more":false,"took_ms":1}`

	brokerStatus = `{"process":"broker","version":"v1.2.3","since":"2026-11-23T12:00:00.000000Z","epoch":1795419376123,
		"peers":[{"name":"core","addr":"127.0.0.1:40112","state":"up"}],
		"subscribers":[{"addr":"127.0.0.1:50100","topics":7,"lag":0,"skipped":12}],
		"topics":{"quotes.PETR4":{"epoch":1795419376123,"first":1,"next":1043,"bytes":4096},"status.core":{"epoch":1795419376123,"first":1,"next":3,"bytes":0}}}`
	aggregatorStatus = `{"process":"aggregator","version":"v1.2.3","since":"2026-11-23T12:00:01.000000Z",
		"peers":[{"name":"core","addr":"127.0.0.1:8082","state":"up"},{"name":"shard-0","addr":"127.0.0.1:9001","state":"down"},{"name":"external","addr":"127.0.0.1:8080","state":"stale"}],
		"breakers":[{"name":"core","state":"closed","since":"2026-11-23T12:00:01.000000Z"},{"name":"shard-0","state":"open","since":"2026-11-23T13:00:00.000000Z"},{"name":"shard-1","state":"half-open"}]}`
)

func TestOneAnswerOneExitCode(t *testing.T) {
	const q, r, st = wire.TypeReqQuote, wire.TypeReqReport, wire.TypeReqStatus
	low := "ERROR " + `{"code":"low_coverage","message":"coverage 0.5 is below 1","report":` + partial + `}`
	old := "ERROR " + `{"code":"too_stale","message":"price is 60120 ms old, more than 1000","report":` + unlive + `}`
	both := "ERROR " + `{"code":"too_stale","message":"price is 60120 ms old, more than 1000","report":[` + unlive + "," + partial + `]}`
	for _, tt := range []struct {
		name, line string
		code       int
		aggregator map[string][]string
	}{
		{"get", "get PETR4", ExitOK, map[string][]string{q: {petr4}}},
		{"get-default", "get", ExitOK, map[string][]string{q: {petr4}}},
		{"get-several-stale", "get PETR4 vale3 BTC-USD", ExitStale, map[string][]string{q: {"[" + petr4 + "," + vale3 + "," + btc + "]"}}},
		{"get-all-in-pages", "get *", ExitStale, map[string][]string{q: {"[" + petr4 + "]", "[" + vale3 + "]"}}},
		{"get-wide", "get PETR4 VALE3 -o wide", ExitStale, map[string][]string{q: {"[" + petr4 + "," + vale3 + "]"}}},
		{"get-json", "get PETR4 -o json", ExitOK, map[string][]string{q: {petr4}}},
		{"get-json-several", "get PETR4 VALE3 -o json", ExitStale, map[string][]string{q: {"[" + petr4 + "," + vale3 + "]"}}},
		{"get-json-all-of-one", "get * -o json", ExitOK, map[string][]string{q: {"[" + petr4 + "]"}}},
		{"get-ndjson", "get PETR4 VALE3 -o ndjson", ExitStale, map[string][]string{q: {"[" + petr4 + "," + vale3 + "]"}}},
		{"get-without-quality", "get PETR4", ExitStale, map[string][]string{q: {`{"symbol":"PETR4","price":"1"}`}}},
		{"get-unknown", "get NOSUCH", ExitError, map[string][]string{q: {`ERROR {"code":"bad_symbol","message":"unknown symbol NOSUCH"}`}}},
		{"get-core-away", "get PETR4", ExitError, map[string][]string{q: {`ERROR {"code":"unavailable","message":"core does not answer"}`}}},
		{"get-garbage", "get PETR4", ExitError, map[string][]string{q: {`{"price":12e999}`}}},
		{"get-no-answer", "get PETR4", ExitError, nil},
		{"get-bad-symbol", "get PETR4!", ExitUsage, map[string][]string{}},

		{"report", "report PETR4", ExitOK, map[string][]string{r: {full}}},
		{"report-wide", "report PETR4 -o wide", ExitOK, map[string][]string{r: {full}}},
		{"report-default-symbol", "report", ExitOK, map[string][]string{q: {petr4}, r: {full}}},
		{"report-no-default", "report", ExitError, map[string][]string{q: {"[]"}}},
		{"report-refused-partial", "report PETR4", ExitPartial, map[string][]string{r: {low}}},
		{"report-refused-partial-json", "report PETR4 -o ndjson", ExitPartial, map[string][]string{r: {low}}},
		{"report-accepted-partial", "report PETR4 --min-coverage 0", ExitPartial, map[string][]string{r: {partial}}},
		{"report-refused-stale", "report VALE3 --max-age 1s", ExitStale, map[string][]string{r: {old}}},
		{"report-refused-stale-and-partial", "report VALE3 PETR4 --max-age 1s --min-coverage 0", ExitPartial, map[string][]string{r: {both}}},
		{"report-stale", "report VALE3", ExitStale, map[string][]string{r: {unlive}}},
		{"report-partial-before-stale", "report VALE3 PETR4 --min-coverage 0", ExitPartial, map[string][]string{r: {"[" + unlive + "," + partial + "]"}}},
		{"report-without-price", "report PETR4", ExitStale, map[string][]string{r: {priceless}}},
		{"report-json", "report PETR4 -o json", ExitOK, map[string][]string{r: {full}}},
		{"report-ndjson-several", "report PETR4 VALE3 -o ndjson", ExitStale, map[string][]string{r: {"[" + full + "," + unlive + "]"}}},
		{"report-refused-without-report", "report PETR4", ExitPartial, map[string][]string{r: {`ERROR {"code":"low_coverage","message":"coverage 0 is below 1"}`}}},
		{"report-bad-limit", "report PETR4 --limit 2001", ExitUsage, map[string][]string{}},
		{"report-bad-coverage", "report PETR4 --min-coverage NaN", ExitUsage, map[string][]string{}},
		{"report-bad-time", "report PETR4 --from yesterday", ExitUsage, map[string][]string{}},
		{"report-backwards", "report PETR4 --from 2026-11-23T14:00:00Z --to 2026-11-23T13:00:00Z", ExitUsage, map[string][]string{}},
		{"report-bad-age", "report PETR4 --max-age -1s", ExitUsage, map[string][]string{}},

		{"status", "status", ExitOK, map[string][]string{st: {aggregatorStatus}, q: {"[" + petr4 + "," + vale3 + "," + btc + "]"}}},
		{"status-wide", "status -o wide", ExitOK, map[string][]string{st: {aggregatorStatus}, q: {"[" + petr4 + "]"}}},
		{"status-shards", "status shards", ExitOK, map[string][]string{st: {aggregatorStatus}}},
		{"status-core", "status core", ExitOK, map[string][]string{st: {aggregatorStatus}}},
		{"status-external", "status external", ExitOK, map[string][]string{st: {aggregatorStatus}, q: {"[" + petr4 + "]"}}},
		{"status-core-away", "status", ExitOK, map[string][]string{st: {aggregatorStatus}, q: {`ERROR {"code":"unavailable","message":"core"}`}}},
		{"status-json", "status core -o json", ExitOK, map[string][]string{st: {aggregatorStatus}}},
		{"status-ndjson", "status core -o ndjson", ExitOK, map[string][]string{st: {aggregatorStatus}}},
		{"status-one-away", "status", ExitError, nil},
		{"status-of-nothing", "status nothing", ExitUsage, map[string][]string{}},

		{"help", "", ExitOK, nil},
		{"help-report", "report --help", ExitOK, nil},
		{"unknown-command", "stauts", ExitUsage, nil},
		{"unknown-flag", "get --simbol PETR4", ExitUsage, nil},
		{"unknown-format", "get -o xml", ExitUsage, nil},
		{"bad-address", "get --aggregator localhost", ExitUsage, nil},
		{"bad-timeout", "get --timeout 0s", ExitUsage, nil},
		{"sub-of-nothing", "sub", ExitUsage, nil},
		{"sub-bad-pattern", "sub prices.*", ExitUsage, nil},
		{"sub-bad-mode", "sub PETR4 --mode some", ExitUsage, nil},
		{"sub-bad-interval", "sub PETR4 --mode all --interval 1s", ExitUsage, nil},
		{"sub-long-interval", "sub PETR4 --interval 2m", ExitUsage, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			broker := answers(t, map[string][]string{st: {brokerStatus}})
			var aggregator *server
			if tt.aggregator != nil {
				aggregator = answers(t, tt.aggregator)
			}
			s := newSession(t, broker, aggregator)
			code := s.run(t, tt.line)
			s.golden(t, tt.name, tt.line, code)
			require.Equal(t, tt.code, code)
		})
	}
}

func TestBothAway(t *testing.T) {
	s := newSession(t, nil, nil)
	s.golden(t, "status-both-away", "status", s.run(t, "status"))
}

func TestRequestsSayWhatWasMeant(t *testing.T) {
	ask := func(t *testing.T, line string) (payload string, f wire.Frame) {
		t.Helper()
		a := answers(t, map[string][]string{wire.TypeReqQuote: {petr4}, wire.TypeReqReport: {full}})
		require.Equal(t, ExitOK, newSession(t, nil, a).run(t, line))
		all := a.requests()
		require.Len(t, all, 1)
		return string(all[0].Payload), all[0]
	}
	t.Run("one symbol goes as topic, in upper case", func(t *testing.T) {
		payload, f := ask(t, "get petr4")
		require.Equal(t, "PETR4", f.Topic)
		require.Empty(t, payload)
	})
	t.Run("several and all go as a list", func(t *testing.T) {
		payload, _ := ask(t, "get PETR4 VALE3")
		require.JSONEq(t, `{"symbols":["PETR4","VALE3"]}`, payload)
		payload, _ = ask(t, "get *")
		require.JSONEq(t, `{"symbols":["*"]}`, payload)
	})
	t.Run("a report asks for coverage 1 unless told", func(t *testing.T) {
		payload, _ := ask(t, "report PETR4")
		require.JSONEq(t, `{"symbol":"PETR4","limit":20,"min_coverage":1}`, payload)
	})
	t.Run("every flag of a report crosses", func(t *testing.T) {
		payload, f := ask(t, "report PETR4 VALE3 --min-coverage 0.5 --limit 7 --from 2026-11-23T13:00:00Z --to 2026-11-23T14:00:00Z --max-age 1500ms --budget 300ms")
		require.JSONEq(t, `{"symbols":["PETR4","VALE3"],"limit":7,"min_coverage":0.5,"max_age_ms":1500,
			"from":"2026-11-23T13:00:00.000000Z","to":"2026-11-23T14:00:00.000000Z"}`, payload)
		require.EqualValues(t, 300, f.BudgetMS)
	})
	t.Run("from and to may say how long ago", func(t *testing.T) {
		payload, _ := ask(t, "report PETR4 --from 15m --to 5m")
		var req wire.ReqReport
		require.NoError(t, json.Unmarshal([]byte(payload), &req))
		require.InDelta(t, 10*60e6, float64(req.To-req.From), 60e6)
	})
	t.Run("the timeout crosses as budget, less a margin for the way back", func(t *testing.T) {
		_, f := ask(t, "get --timeout 20s")
		require.Greater(t, f.BudgetMS, int64(1000))
		require.LessOrEqual(t, f.BudgetMS, int64(19_900))
	})
	t.Run("a budget never exceeds the timeout", func(t *testing.T) {
		_, f := ask(t, "report PETR4 --timeout 5s --budget 1h")
		require.LessOrEqual(t, f.BudgetMS, int64(5000))
	})
}

func TestFlagsFallBackToTheEnvironment(t *testing.T) {
	a := answers(t, map[string][]string{wire.TypeReqReport: {full}})
	s := newSession(t, nil, a)
	s.env["QUOTES_MIN_COVERAGE"], s.env["QUOTES_LIMIT"], s.env["QUOTES_OUTPUT"] = "0.25", "9", "ndjson"
	require.Equal(t, ExitOK, s.run(t, "report PETR4 --limit 3"))
	require.JSONEq(t, `{"symbol":"PETR4","limit":3,"min_coverage":0.25}`, string(a.requests()[0].Payload))
	require.Equal(t, 1, strings.Count(s.out.String(), "\n"))

	s = newSession(t, nil, a)
	s.env["QUOTES_TIMEOUT"] = "soon"
	require.Equal(t, ExitUsage, s.run(t, "get"))
	require.Contains(t, s.err.String(), `QUOTES_TIMEOUT="soon"`)
}

func TestAServerThatNeverAnswersIsNotAwaitedForEver(t *testing.T) {
	mute := serve(t, "127.0.0.1:0", func(*wire.Conn, wire.Frame) {})
	s := newSession(t, nil, mute)
	s.golden(t, "timeout", "get --timeout 50ms", s.run(t, "get --timeout 50ms"))
}

func TestAServerThatHangsUpIsNamed(t *testing.T) {
	rude := serve(t, "127.0.0.1:0", func(c *wire.Conn, _ wire.Frame) { c.Close(nil) })
	s := newSession(t, nil, rude)
	require.Equal(t, ExitError, s.run(t, "get"))
	require.Contains(t, s.text(&s.err), "127.0.0.1:<8000 did not answer as the aggregator does")
	require.Contains(t, s.err.String(), "check --aggregator")
}

func TestAnInterruptedRequestIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	mute := serve(t, "127.0.0.1:0", func(*wire.Conn, wire.Frame) { cancel() })
	s := newSession(t, nil, mute)
	require.Equal(t, ExitError, Run(ctx, s.cfg, []string{"get", "--timeout", "1m"}))
	require.Equal(t, "quotectl: interrupted\n", s.err.String())
}

func TestVersion(t *testing.T) {
	s := newSession(t, nil, nil)
	require.Equal(t, ExitOK, s.run(t, "version"))
	require.Contains(t, s.out.String(), "quotectl v1.2.3 go")

	s = newSession(t, nil, nil)
	require.Equal(t, ExitOK, s.run(t, "version -o json"))
	var v map[string]string
	require.NoError(t, json.Unmarshal([]byte(s.out.String()), &v))
	require.Equal(t, "v1.2.3", v["version"])
}

func TestCompletion(t *testing.T) {
	a := answers(t, map[string][]string{wire.TypeReqQuote: {"[" + petr4 + "," + vale3 + `,{"symbol":"\u001b[31m"}]`}})
	for _, tt := range []struct{ words, want string }{
		{"get p", "PETR4\n:4\n"},
		{"report |", "PETR4\nVALE3\n:4\n"},
		{"sub v", "VALE3\n:4\n"},
		{"get --output n", "table\nwide\njson\nndjson\n:4\n"},
		{"status sh", "shards\n:4\n"},
	} {
		s := newSession(t, nil, a)
		args := append([]string{"__complete"}, strings.Fields(tt.words)...)
		for i := range args {
			args[i] = strings.TrimPrefix(args[i], "|") // "|" stands for a word not yet begun
		}
		require.Equal(t, ExitOK, Run(t.Context(), s.cfg, args))
		require.Equal(t, tt.want, s.out.String(), tt.words)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		s := newSession(t, nil, nil)
		require.Equal(t, ExitOK, s.run(t, "completion "+shell))
		require.Contains(t, s.out.String(), "quotectl")
	}
}
