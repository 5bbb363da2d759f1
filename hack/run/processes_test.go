package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestTheSevenOnTheirDocumentedPorts(t *testing.T) {
	all, err := processes("bin", environment(nil))
	require.NoError(t, err)
	require.Equal(t, []process{
		{"external", "bin/external", "127.0.0.1:8080", "127.0.0.1:18080", nil},
		{"broker", "bin/broker", "127.0.0.1:8081", "127.0.0.1:18081", nil},
		{"shard-0", "bin/shard", "127.0.0.1:9001", "127.0.0.1:19001", []string{"--name", "shard-0", "--data", "out/data/shard-0"}},
		{"shard-1", "bin/shard", "127.0.0.1:9002", "127.0.0.1:19002", []string{"--name", "shard-1", "--data", "out/data/shard-1"}},
		{"shard-2", "bin/shard", "127.0.0.1:9003", "127.0.0.1:19003", []string{"--name", "shard-2", "--data", "out/data/shard-2"}},
		{"core", "bin/core", "127.0.0.1:8082", "127.0.0.1:18082", nil},
		{"aggregator", "bin/aggregator", "127.0.0.1:8000", "127.0.0.1:18000", nil},
	}, all)
}

func TestExternalTakesItsFlagsFromTheEnvironment(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing":     {nil, nil},
		"calm":        {map[string]string{"CHAOS": "calm"}, []string{"--chaos", "calm"}},
		"market":      {map[string]string{"SYMBOLS": "A,B", "RATE": "50"}, []string{"--symbols", "A,B", "--rate", "50"}},
		"calm replay": {map[string]string{"REPLAY": "f", "CHAOS": "calm"}, []string{"replay", "--file", "f", "--loop", "--chaos", "calm"}},
		"with books":  {map[string]string{"REPLAY": "f", "SNAPSHOTS": "s"}, []string{"replay", "--file", "f", "--loop", "--snapshots", "s"}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := processes("bin", environment(tt.env))
			require.NoError(t, err)
			require.Equal(t, tt.want, all[0].args)
		})
	}
	for _, name := range []string{"SYMBOLS", "RATE"} {
		_, err := processes("bin", environment(map[string]string{"REPLAY": "f", name: "1"}))
		require.ErrorContains(t, err, "leave them out with REPLAY")
	}
	_, err := processes("bin", environment(map[string]string{"SNAPSHOTS": "s"}))
	require.ErrorContains(t, err, "REPLAY")
}

func TestNextFitsTheMarket(t *testing.T) {
	require.Contains(t, next(environment(nil)), "bin/quotectl report PETR4 ")
	require.Contains(t, next(environment(map[string]string{"SYMBOLS": "VALE3,PETR4"})), `"topic":"VALE3"}\n'`)
	replay := next(environment(map[string]string{"REPLAY": "f"}))
	require.Contains(t, replay, `"topic":"quotes.*"}\n'`)
	require.NotContains(t, replay, "PETR4")
}

func TestDownDoesNotAskWhatIsReplayed(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, errOut bytes.Buffer
	require.Zero(t, run([]string{"down"}, environment(map[string]string{"SNAPSHOTS": "s", "RATE": "x"}), &out, &errOut), errOut.String())
	require.Equal(t, "nothing was running\n", out.String())
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"sideways"}, {"up", "down"}} {
		var out, errOut bytes.Buffer
		require.Equal(t, 1, run(args, environment(nil), &out, &errOut))
		require.Contains(t, errOut.String(), "want")
		require.Empty(t, out.String())
	}
}
