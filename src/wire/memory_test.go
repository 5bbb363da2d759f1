package wire

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inUse returns the bytes of the heap and of stacks, without garbage.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestIdleConnectionsCostLittle(t *testing.T) {
	const conns, bound = 1000, 32 << 10 // both ends of each
	connect, _ := tcp(t, ServerConfig{OnFrame: pong})
	connect().alive()
	before := inUse()
	peers := make([]*peer, conns)
	for i := range peers {
		peers[i] = connect()
		if i%10 == 0 { // it was not always idle
			peers[i].say(`{"type":"PING","payload":"` + strings.Repeat("x", 500<<10) + `"}` + "\n")
			peers[i].next()
		}
		peers[i].alive()
	}
	per := (inUse() - before) / conns
	t.Logf("%d bytes a connection", per)
	require.Less(t, per, int64(bound))
	for i := range peers {
		peers[i].alive() // all live
	}
}
