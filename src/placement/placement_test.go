package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/placement"
)

func table(t *testing.T, n, copies int) *placement.Table {
	t.Helper()
	var shards []placement.Shard
	for i := range n {
		shards = append(shards, placement.Shard{Name: fmt.Sprintf("shard-%d", i), Addr: "127.0.0.1:1"})
	}
	tab, err := placement.New(shards, copies)
	require.NoError(t, err)
	return tab
}

// Data on disk depends on these: they must never change.
func TestOwnersAreWhatTheyAlwaysWere(t *testing.T) {
	tab := table(t, 3, 2)
	for symbol, want := range map[string]string{
		"PETR4":   "147 [1 2]",
		"VALE3":   "70 [0 1]",
		"BTC-USD": "206 [2 1]",
		"ETH-USD": "139 [1 0]",
	} {
		slot := placement.Slot(symbol)
		require.Equal(t, want, fmt.Sprint(slot, tab.Owners(slot)), symbol)
	}
}

func TestOwnersDependOnNamesOnly(t *testing.T) {
	a, err := placement.ParseShards("shard-0=a:1,shard-1=b:2,shard-2=c:3")
	require.NoError(t, err)
	b, err := placement.ParseShards("shard-2=x:9, shard-0=y:8,shard-1=z:7")
	require.NoError(t, err)
	ta, _ := placement.New(a, 2)
	tb, _ := placement.New(b, 2)
	for slot := range placement.Slots {
		require.Equal(t, names(ta, slot), names(tb, slot))
		for i := range ta.Shards() {
			require.Equal(t, slices.Contains(ta.Owners(slot), i), ta.Owns(i, slot))
		}
	}
}

func TestSlotsAreSpreadEvenly(t *testing.T) {
	for _, n := range []int{3, 8} {
		count := make([]int, n)
		tab := table(t, n, 2)
		for slot := range placement.Slots {
			for _, o := range tab.Owners(slot) {
				count[o]++
			}
		}
		want := placement.Slots * 2 / n
		for i, c := range count {
			require.InDelta(t, want, c, float64(want)/2, "shard-%d of %d", i, n)
		}
	}
}

func TestAnotherShardMovesOnlyWhatItGains(t *testing.T) {
	before, after := table(t, 3, 2), table(t, 4, 2)
	for slot := range placement.Slots {
		for _, name := range names(after, slot) {
			if name != "shard-3" {
				require.Contains(t, names(before, slot), name, "slot %d moved between old shards", slot)
			}
		}
	}
}

func TestBadListsAreRefused(t *testing.T) {
	for _, s := range []string{"", "shard-0", "shard-0=", "shard-0=host", "s=h:1", "shard-01=h:1", "shard-0=h:1,shard-0=h:2", "shard-0=h:1,"} {
		_, err := placement.ParseShards(s)
		require.ErrorIs(t, err, placement.ErrBadShards, "%q", s)
	}
	one, err := placement.ParseShards("shard-0=h:1")
	require.NoError(t, err)
	for _, copies := range []int{-1, 0, 2} {
		_, err = placement.New(one, copies)
		require.ErrorIs(t, err, placement.ErrBadShards)
	}
}

func names(t *placement.Table, slot int) (out []string) {
	for _, i := range t.Owners(slot) {
		out = append(out, t.Shards()[i].Name)
	}
	return out
}
