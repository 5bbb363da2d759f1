package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/quote"
	"quotes/src/wire"
)

func get(t *testing.T, c *cluster.Cluster, path string, out any) {
	t.Helper()
	resp, err := http.Get("http://" + c.Addr(cluster.Aggregator) + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, path)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(out))
}

// historyPage is an answer of /v1/history.
type historyPage struct {
	Records  []wire.Record
	More     bool
	Next     string
	Coverage float64
}

// staleFor reports whether every symbol is stale for a reason.
func staleFor(w *watcher, reason quote.Reason) bool {
	for _, s := range symbols {
		if w.quality(s).Reason != reason {
			return false
		}
	}
	return true
}

func TestPagesOfHistoryByHTTPAreTheWholeOnceAndInOrder(t *testing.T) {
	c := start(t, cluster.Config{Rate: 200})
	w := watch(t, c.Addr(cluster.Broker))
	var all historyPage
	to := ""
	eventually(t, "history", func() bool {
		to = time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
		get(t, c, "/v1/history?limit=2000&to="+to, &all)
		return len(all.Records) >= 200 && !all.More && all.Coverage == 1
	})
	require.NoError(t, c.Stop(cluster.External)) // and let what is on its way be stored
	eventually(t, "stale: that repeats the last ticks, with their times", func() bool {
		return staleFor(w, quote.BreakerOpen)
	})
	eventually(t, "all that was published is durable", func() bool {
		for topic, d := range durable(t, c) {
			if d.Both < with(w, func() uint64 { return w.last[topic].Seq }) {
				return false
			}
		}
		get(t, c, "/v1/history?limit=2000&to="+to, &all)
		return all.Coverage == 1 && !all.More
	})
	for _, order := range []string{"asc", "desc"} {
		var got []wire.Record
		for cursor := ""; ; {
			var p historyPage
			get(t, c, "/v1/history?limit=17&order="+order+"&to="+to+cursor, &p)
			got = append(got, p.Records...)
			require.LessOrEqual(t, len(p.Records), 17)
			if !p.More {
				break
			}
			require.NotEmpty(t, p.Next)
			cursor = "&cursor=" + p.Next
		}
		require.Len(t, got, len(all.Records), order)
		for i := range got {
			want := all.Records[i]
			if order == "desc" {
				want = all.Records[len(got)-1-i]
			}
			require.Equal(t, want.Point(), got[i].Point(), "%s %d", order, i)
			require.Equal(t, want.Topic, got[i].Topic)
		}
	}
}

func TestAStreamTurnsStaleWithTheReasonAndLiveAgain(t *testing.T) {
	c := start(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Addr(cluster.Aggregator)+"/v1/stream?symbols=A", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	until := func(all ...[2]string) { // each in one line, in any order
		t.Helper()
		for len(all) > 0 {
			if !in.Scan() {
				require.FailNow(t, "the stream ended", "before %v: %v", all, in.Err())
			}
			all = slices.DeleteFunc(all, func(w [2]string) bool { return strings.Contains(in.Text(), w[0]) && strings.Contains(in.Text(), w[1]) })
		}
	}
	const a, breaker = `"topic":"quotes.A"`, `"topic":"status.core"`
	until([2]string{a, `"state":"live"`})
	require.NoError(t, c.Stop(cluster.External))
	until([2]string{a, `"state":"stale"`}, [2]string{breaker, `"to":"open"`})
	require.NoError(t, c.Start(cluster.External))
	until([2]string{a, `"state":"live"`}, [2]string{breaker, `"to":"closed"`})
	require.NoError(t, c.Stop(cluster.Core))
	until([2]string{`"source":"lost"`})
	require.NoError(t, c.Start(cluster.Core))
	until([2]string{`"source":"live"`})
}
