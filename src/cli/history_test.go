package cli

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// shelf answers REQ_HIST with trades 1 to 2500 of PETR4, by position, with a coverage.
func shelf(t *testing.T, coverage float64) *server {
	t.Helper()
	return serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) {
		var req wire.ReqHist
		_ = f.Decode(&req)
		const topic = "trades.PETR4"
		h := wire.RespHist{Coverage: &coverage}
		if coverage < 1 {
			h.Missing = []wire.Missing{{Slot: 147, Symbols: []quote.Symbol{"PETR4"}}}
		}
		if after, asked := req.After[topic]; asked {
			for seq := after.Seq + 1; seq <= 2500; seq++ {
				if h.More = len(h.Records) == *req.Limit; h.More {
					break
				}
				h.Records = append(h.Records, wire.Record{Topic: topic, Epoch: epoch, Seq: seq, Payload: []byte(
					`{"id":"9","symbol":"PETR4","price":"27.31","quantity":"300","side":"buy","timestamp":"2026-11-23T14:00:00.000000Z","received":"2026-11-23T14:00:00.000100Z"}`)})
			}
		}
		_ = c.Reply(f, wire.Make(wire.TypeRespHist, h))
	})
}

func TestHistoryIsShownPageByPageToItsEnd(t *testing.T) {
	agg := shelf(t, 1)
	s := newSession(t, nil, agg)
	require.Equal(t, ExitOK, s.run(t, "history PETR4 -o csv"), s.err.String())
	rows, err := csv.NewReader(strings.NewReader(s.out.String())).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2501)
	require.Equal(t, []string{"topic", "epoch", "seq"}, rows[0][:3])
	require.Equal(t, []string{"trades.PETR4", "1795419376123", "2500", "2026-11-23T14:00:00.000000Z", "2026-11-23T14:00:00.000100Z", "27.31", "", "", "", "", "", "", "9", "buy", "300"}, rows[2500])
	require.Len(t, agg.requests(), 3)

	s = newSession(t, nil, agg)
	require.Equal(t, ExitOK, s.run(t, "history PETR4 --limit 1500 -o ndjson"))
	require.Equal(t, 1500, strings.Count(s.out.String(), "\n"))
	require.Contains(t, s.out.String(), `{"topic":"trades.PETR4","epoch":1795419376123,"seq":1500,"payload":{"id":"9"`)
	s = newSession(t, nil, agg)
	require.Equal(t, ExitOK, s.run(t, "history PETR4 --limit 2"))
	require.Equal(t, 3, strings.Count(s.out.String(), "\n"), "a header and two rows")
}

func TestHistoryGoesOnWhereAnEarlierRunEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pos")
	for _, want := range []int{900, 900, 700, 0} {
		s := newSession(t, nil, shelf(t, 1))
		require.Equal(t, ExitOK, s.run(t, "history PETR4 --kind trades --limit 900 -o ndjson --resume "+file), s.err.String())
		require.Equal(t, want, strings.Count(s.out.String(), "\n"))
	}
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"trades.PETR4":{"epoch":1795419376123,"seq":2500}}`, string(raw))
}

func TestHistoryThatIsNotCompleteSaysSo(t *testing.T) {
	s := newSession(t, nil, shelf(t, 0))
	require.Equal(t, ExitPartial, s.run(t, "history PETR4 -o ndjson"))
	require.Contains(t, s.err.String(), "coverage was 0.000: records may be missing, of PETR4")
	require.Equal(t, 2500, strings.Count(s.out.String(), "\n"), "what there is, is shown")
	file := filepath.Join(t.TempDir(), "pos")
	s = newSession(t, nil, shelf(t, 0))
	require.Equal(t, ExitPartial, s.run(t, "history PETR4 --kind trades -o ndjson --resume "+file))
	s = newSession(t, nil, shelf(t, 1))
	require.Equal(t, ExitOK, s.run(t, "history PETR4 --kind trades -o ndjson --resume "+file))
	require.Equal(t, 2500, strings.Count(s.out.String(), "\n"), "and read again, as long as it was not complete")
	for _, bad := range []string{"history", "history PETR4 --kind status", "history PETR4 --from 1m --to 2m", "history 'a b'", "report PETR4 -o csv", "history PETR4 -o xml"} {
		require.Equal(t, ExitUsage, newSession(t, nil, nil).run(t, bad), bad)
	}
}
