package placement_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/placement"
)

var update = flag.Bool("update", false, "write the golden file anew")

// Every slot's owners, for three shards: what is stored stays where it is looked for.
func TestNoSlotEverMoves(t *testing.T) {
	tab := table(t, 3, 2)
	var b strings.Builder
	for slot := range placement.Slots {
		fmt.Fprintln(&b, slot, names(tab, slot))
	}
	const golden = "testdata/owners-3.golden"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}
