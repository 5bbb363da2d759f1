package cli_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cli"
	"quotes/src/cluster"
)

// The one test of quotectl against the real processes: a quote's whole way, and what it says when there is none.
func TestCheckFollowsAQuoteThroughTheRealSystem(t *testing.T) {
	c, err := cluster.New(cluster.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, c.StartAll(ctx))
	defer func() { require.NoError(t, c.StopAll()) }()
	check := func(wait string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := cli.Run(t.Context(), cli.Config{Out: &out, Err: &errOut}, []string{
			"check", "--wait", wait, "-o", "json",
			"--broker", c.Addr(cluster.Broker), "--aggregator", c.Addr(cluster.Aggregator),
		})
		return code, out.String(), errOut.String()
	}
	code, out, errOut := check("20s")
	require.Equal(t, cli.ExitOK, code, errOut)
	require.Contains(t, out, `"state"`)
	require.Contains(t, errOut, "is in history, coverage 1")
	require.Contains(t, errOut, "is in a report, coverage 1")
	require.NoError(t, c.Stop(cluster.External))
	require.Eventually(t, func() bool { code, _, errOut = check("300ms"); return code == cli.ExitError }, 10*time.Second, time.Millisecond)
	require.Contains(t, errOut, "no live quote")
}
