package wire

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUnfinishedLinesShareABudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const budget = 100 << 10
		r := serve(t, ServerConfig{OnFrame: pong, MaxLines: budget})
		text := `{"type":"PING","id":4711,"payload":"` + strings.Repeat("x", 60<<10)
		small, first, second := r.connect(), r.connect(), r.connect()
		first.say(text)
		synctest.Wait()
		second.say(text)
		synctest.Wait()
		second.refused(Unavailable)
		second.ended()
		small.alive() // short lines need nothing of it
		first.say(`"}` + "\n")
		require.Equal(t, "PONG", first.next().Type, "the one that was there first has its line taken")
		require.NoError(t, first.Close())
		synctest.Wait()
		require.EqualValues(t, budget, r.srv.memory.left.Load(), "all of it is given back")
		third := r.connect()
		third.say(text + `"}` + "\n")
		require.Equal(t, "PONG", third.next().Type)
	})
}

func TestABusyConnectionGrowsOnlyWhereThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: pong, MaxLines: 1})
		p := r.connect()
		p.say(strings.Repeat(`{"type":"PING","id":1}`+"\n", 1000))
		for range 1000 {
			require.Equal(t, "PONG", p.next().Type)
		}
	})
}

func TestALargeBufferIsKeptFromLineToLineAndGivenBackInSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const budget = 1 << 20
		r := serve(t, ServerConfig{OnFrame: pong, MaxLines: budget})
		p := r.connect()
		text := `{"type":"PING","id":4711,"payload":"` + strings.Repeat("x", 200<<10) + `"}` + "\n"
		var held int64
		for i := range 3 {
			p.say(text)
			require.Equal(t, "PONG", p.next().Type)
			synctest.Wait()
			if i > 0 {
				require.Equal(t, held, budget-r.srv.memory.left.Load(), "the same buffer again")
			}
			held = budget - r.srv.memory.left.Load()
			require.Greater(t, held, int64(100<<10))
			time.Sleep(keepLarge - time.Nanosecond)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, budget, r.srv.memory.left.Load(), "silence gives it back")
		p.alive()
		p.say(text)
		require.Equal(t, "PONG", p.next().Type)
	})
}

// A connection that was busy once gives back what it has earned by that; many of them would have all the room of the others' lines.
func TestABusyConnectionsBufferIsGivenBackInSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const budget = 1 << 20
		r := serve(t, ServerConfig{OnFrame: pong, MaxLines: budget})
		p := r.connect()
		for _, lines := range []int{4000, readChunk / 64} { // the latter fill the buffer to the last byte
			line := `{"type":"PING","id":4711,"payload":"`
			line += strings.Repeat("x", 64-len(line)-len(`"}`+"\n")) + `"}` + "\n"
			p.say(strings.Repeat(line, lines))
			for range lines {
				require.Equal(t, "PONG", p.next().Type)
			}
			synctest.Wait()
			require.Less(t, r.srv.memory.left.Load(), int64(budget), "it never had a larger one: the test says nothing")
			time.Sleep(keepBusy)
			synctest.Wait()
			require.EqualValues(t, budget, r.srv.memory.left.Load())
			p.alive()
		}
	})
}
