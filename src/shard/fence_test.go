package shard

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/wire"
)

func TestTheFenceKeepsOlderAndOtherCoresOut(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	ms := uint64(now.UnixMilli())
	day := uint64((24 * time.Hour).Milliseconds())
	for name, c := range map[string]struct {
		fence    fence
		epoch    uint64
		instance string
		want     wire.Code
	}{
		"the first":                       {fence{}, ms, "a", ""},
		"the same again":                  {fence{ms, "a"}, ms, "a", ""},
		"a newer":                         {fence{ms, "a"}, ms + 1, "b", ""},
		"a newer of the same instance":    {fence{ms, "a"}, ms + 1, "a", ""},
		"an older":                        {fence{ms, "a"}, ms - 1, "b", wire.StaleEpoch},
		"an older of the same instance":   {fence{ms, "a"}, ms - 1, "a", wire.StaleEpoch},
		"the same epoch, other instance":  {fence{ms, "a"}, ms, "b", wire.StaleEpoch},
		"the first of an epoch from afar": {fence{ms, ""}, ms, "b", ""},
		"a day ahead":                     {fence{}, ms + day, "a", ""},
		"more than a day ahead":           {fence{}, ms + day + 1, "a", wire.BadRequest},
		"no instance":                     {fence{}, ms, "", wire.BadRequest},
		"an instance too long":            {fence{}, ms, strings.Repeat("x", 65), wire.BadRequest},
		"the largest epoch there is":      {fence{}, ^uint64(0), "a", wire.BadRequest},
		"a clock that was set back":       {fence{ms + day, "a"}, ms, "b", wire.StaleEpoch},
		"the known one, clock set back":   {fence{ms + day + 1, "a"}, ms + day + 1, "a", wire.BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, wire.CodeOf(c.fence.admit(c.epoch, c.instance, now)))
		})
	}
	back, err := parseFence(fence{ms, "a"}.value())
	require.NoError(t, err)
	require.Equal(t, fence{ms, "a"}, back)
}
