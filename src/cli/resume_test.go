package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// small is an output that takes so many lines, and then is full.
type small struct{ room int }

func (s *small) Write(p []byte) (int, error) {
	if s.room -= bytes.Count(p, []byte("\n")); s.room < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

// Wherever the output fails, between frames or in the middle of a filled range: the next run begins behind what was written.
func TestWhatCouldNotBeWrittenIsAskedForAgain(t *testing.T) {
	for room := range 10 {
		file := filepath.Join(t.TempDir(), "pos")
		s := newSession(t, losing(t), archive(t, 5, 42, 43, 44, 45, 46, 47, 48, 49))
		s.cfg.Out = &small{room}
		require.Equal(t, ExitError, s.run(t, "sub quotes.PETR4 -o ndjson --resume "+file))
		require.Contains(t, s.err.String(), "no space left")
		saved, err := loadPositions(file)
		require.NoError(t, err)
		want := map[quote.Topic]quote.Point{}
		if room > 0 {
			want["quotes.PETR4"] = quote.Point{Epoch: epoch, Seq: 40 + uint64(room)}
		}
		require.Equal(t, want, saved, "after %d lines", room)
	}
}

// Who ends while a lost range is filled goes on in its middle the next time.
func TestAFillThatWasCutShortGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pos")
	var pages atomic.Int32
	agg := serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) {
		if pages.Add(1) > 1 {
			return // it hangs
		}
		h := wire.RespHist{More: true}
		for seq := uint64(42); seq <= 46; seq++ {
			h.Records = append(h.Records, wire.Record{Topic: "quotes.PETR4", Epoch: epoch, Seq: seq, Payload: tick(seq).Payload})
		}
		_ = c.Reply(f, wire.Make(wire.TypeRespHist, h))
	})
	s := newSession(t, losing(t), agg)
	require.Equal(t, ExitOK, s.run(t, "sub quotes.PETR4 -o ndjson --for 500ms --resume "+file))
	require.Equal(t, 6, strings.Count(s.out.String(), "\n"))
	saved, err := loadPositions(file)
	require.NoError(t, err)
	require.Equal(t, map[quote.Topic]quote.Point{"quotes.PETR4": {Epoch: epoch, Seq: 46}}, saved)
}

// A topic that came while there was no connection begins with its first record, not with the one that the broker shows.
func TestATopicThatCameDuringACutIsWhole(t *testing.T) {
	b := feed(t, "127.0.0.1:0", 1, func(n int, c *wire.Conn) {
		if n == 1 {
			beat := wire.Make(wire.TypeHeartbeat, wire.Heartbeat{Source: wire.SourceLive})
			send(c, tick(41), beat, beat)
			c.Close(errors.New("cut"))
			return
		}
		first := frame("trades.PETR4", 5, `{"symbol":"PETR4"}`)
		first.Snapshot, first.Prev = true, nil
		send(c, tick(42), first)
	})
	s := newSession(t, b, archive(t, 3, 1, 2, 3, 4, 5))
	require.Equal(t, ExitOK, s.run(t, "sub * --verify --count 3 -o ndjson"), s.err.String())
	lines := strings.Split(strings.TrimSpace(s.out.String()), "\n")
	require.Len(t, lines, 7)
	for i, line := range lines[2:] {
		require.Contains(t, line, fmt.Sprintf(`"seq":%d`, 1+i))
	}
	require.Contains(t, s.err.String(), "LOST trades.PETR4: 4 frames")
	require.Contains(t, s.err.String(), "4 filled")
}

// blocked is an output that takes nothing, until the test ends.
type blocked struct{ end chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	<-b.end
	return len(p), nil
}

func TestWhatCannotBeCountedIsNotVerified(t *testing.T) {
	out := blocked{make(chan struct{})}
	b := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) { send(c, tick(41)) })
	t.Cleanup(func() { close(out.end) })
	s := newSession(t, b, nil)
	s.cfg.Out = out
	require.Equal(t, ExitError, s.run(t, "sub quotes.PETR4 --verify --for 300ms"))
	require.Contains(t, s.err.String(), "the output blocks")
}

func TestHistoryKeepsThePositionsOfOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pos")
	require.NoError(t, os.WriteFile(file, []byte(`{"trades.VALE3":{"epoch":7,"seq":9}}`), 0o600))
	for run := range 2 {
		s := newSession(t, nil, shelf(t, 1))
		require.Equal(t, ExitOK, s.run(t, "history PETR4 --kind trades --limit 900 -o csv --resume "+file), s.err.String())
		require.Equal(t, run == 0, strings.HasPrefix(s.out.String(), "topic,epoch,"), "one header for what is appended to one file")
	}
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"trades.PETR4":{"epoch":1795419376123,"seq":1800},"trades.VALE3":{"epoch":7,"seq":9}}`, string(raw))
}
