package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/cli"
)

// adminOf serves breakers as core's and the aggregator's admin listeners do, and returns its address.
func adminOf(t *testing.T, names ...string) (string, breaker.Admin) {
	t.Helper()
	var all breaker.Admin
	for _, name := range names {
		b, err := breaker.New(breaker.Config{Name: name})
		require.NoError(t, err)
		all = append(all, b)
	}
	mux := http.NewServeMux()
	all.Handle(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), all
}

func TestBreakersAreListedAndOverruled(t *testing.T) {
	core, ofCore := adminOf(t, "exchange", "shard-0")
	agg, _ := adminOf(t, "core")
	run := func(args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := cli.Run(t.Context(), cli.Config{Out: &out, Err: &errOut}, append([]string{"breaker", "--core-admin", core, "--aggregator-admin", agg}, args...))
		return code, out.String(), errOut.String()
	}
	code, out, errOut := run()
	require.Equal(t, cli.ExitOK, code, errOut)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 4, "a header and three breakers")
	for i, want := range []string{"core/exchange ", "core/shard-0 ", "aggregator/core "} {
		require.True(t, strings.HasPrefix(lines[i+1], want), out)
		require.Contains(t, lines[i+1], "closed")
	}

	code, out, errOut = run("core/exchange", "trip")
	require.Equal(t, cli.ExitOK, code, errOut)
	require.Contains(t, out, "forced-open")
	require.Equal(t, breaker.ForcedOpen, ofCore[0].State())
	require.Equal(t, breaker.Closed, ofCore[1].State())
	code, out, _ = run("core/exchange", "reset", "-o", "ndjson")
	require.Equal(t, cli.ExitOK, code)
	require.Contains(t, out, `"process":"core"`)
	require.Contains(t, out, `"state":"closed"`)
	require.Equal(t, breaker.Closed, ofCore[0].State())

	code, _, errOut = run("core/nobody", "trip")
	require.Equal(t, cli.ExitError, code)
	require.Contains(t, errOut, `there are ["exchange" "shard-0"]`)
	for _, wrong := range [][]string{{"core/exchange"}, {"exchange", "trip"}, {"shard/x", "trip"}, {"core/exchange", "explode"}} {
		code, _, _ = run(wrong...)
		require.Equal(t, cli.ExitUsage, code, wrong)
	}
}

func TestAProcessThatIsAwayDoesNotHideTheOthersBreakers(t *testing.T) {
	agg, _ := adminOf(t, "core")
	var out, errOut bytes.Buffer
	code := cli.Run(t.Context(), cli.Config{Out: &out, Err: &errOut}, []string{"breaker", "--core-admin", "127.0.0.1:1", "--aggregator-admin", agg})
	require.Equal(t, cli.ExitError, code)
	require.Contains(t, out.String(), "aggregator/core")
	require.Contains(t, errOut.String(), "core's admin listener at 127.0.0.1:1 does not answer")
}
