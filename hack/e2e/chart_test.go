//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/judge"
	"quotes/src/wire"
)

// The chart's own test follows one quote from the exchange to history.
func helmTest(t *testing.T, s *suite) {
	logs, err := s.release.Test(90 * time.Second)
	require.NoError(t, err, logs)
	require.Contains(t, logs, "is in a report, coverage 1")
}

// upgradeTo upgrades the release by some values, over those of upgrades before.
func (s *suite) upgradeTo(t *testing.T, change map[string]map[string]any) {
	t.Helper()
	if s.changes == nil {
		s.changes = map[string]map[string]any{}
	}
	for name, values := range change {
		if s.changes[name] == nil {
			s.changes[name] = map[string]any{}
		}
		maps.Copy(s.changes[name], values)
	}
	s.mark("helm upgrade")
	require.NoError(t, s.release.Upgrade(s.ctx, s.values(s.changes)))
}

// An upgrade with other values replaces the pods whose configuration changed, and only these, and is felt by nobody.
func upgrade(t *testing.T, s *suite) {
	s.concern("external", "aggregator")
	began := time.Now()
	s.upgradeTo(t, map[string]map[string]any{"external": {"rate": 8}, "aggregator": {"defaultSymbol": "VALE3"}})
	s.ready(t, "external")
	s.ready(t, "aggregator")
	s.hold(t, 2*rate)
	s.rolledOver(t, began)
	client := retryablehttp.NewClient()
	client.Logger = nil
	resp, err := client.Get("http://" + s.ports.aggregator.host + "/v1/report")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var r wire.Report
	require.NoError(t, json.Unmarshal(body, &r))
	require.NotNil(t, r.CurrentPrice)
	require.EqualValues(t, "VALE3", r.CurrentPrice.Symbol, "the new default")
}

// An upgrade to another number of shards than installed is refused with a message, and changes nothing.
func upgradeRefused(t *testing.T, s *suite) {
	values := s.values(s.changes)
	values["shard"] = map[string]any{"replicas": shards + 1}
	err := s.release.Upgrade(s.ctx, values)
	require.ErrorContains(t, err, "shard.replicas")
	require.ErrorContains(t, err, "growing is not built yet")
	w := s.hold(t, rate)
	require.NoError(t, judge.Whole(s.seen.Events(), w, 2*rate))
}
