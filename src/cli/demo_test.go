package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/cli"
)

func TestTheDemoTellsAnOutageFromLiveToLive(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out, errOut bytes.Buffer
	code := cli.Run(t.Context(), cli.Config{Out: &out, Err: &errOut}, []string{"demo", "--after", "0s", "--outage", "2s", "-o", "ndjson"})
	require.Equal(t, cli.ExitOK, code, errOut.String())

	var told []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var line struct{ Event, Text string }
		require.NoError(t, dec.Decode(&line))
		told = append(told, line.Event+" "+line.Text)
	}
	next := 0
	for _, want := range []string{
		"^start seven processes", "^price PETR4 .*: live", "^cut ", "^price PETR4 .*: stale", "^report .*stale .*coverage 1",
		"half-open", "^price PETR4 .*: recovering", "^price PETR4 .*: live", "^report .*: [0-9.]+, live.*coverage 1", "^end ",
	} {
		for ; next < len(told) && !regexp.MustCompile(want).MatchString(told[next]); next++ {
		}
		require.Less(t, next, len(told), "nothing like %q, in this order, in %q", want, told)
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	require.NoError(t, err)
	require.Empty(t, left, "the demo's data are removed")
}

func TestTheDemoRefusesTimesThatTellNothing(t *testing.T) {
	for _, args := range [][]string{{"--outage", "1s"}, {"--outage", "1h"}, {"--after", "-1s"}, {"--after", "1m"}} {
		var out, errOut bytes.Buffer
		require.Equal(t, cli.ExitUsage, cli.Run(t.Context(), cli.Config{Out: &out, Err: &errOut}, append([]string{"demo"}, args...)))
		require.Contains(t, errOut.String(), args[0])
	}
}
