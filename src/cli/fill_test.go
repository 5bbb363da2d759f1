package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/quote"
	"quotes/src/wire"
)

// archive answers REQ_HIST with those of the seqs that were asked for, so many at once.
func archive(t *testing.T, most int, seqs ...uint64) *server {
	t.Helper()
	return serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) {
		var req wire.ReqHist
		_ = f.Decode(&req)
		topic := quote.TopicOf(req.Kinds[0], req.Symbols[0])
		var h wire.RespHist
		for _, seq := range seqs {
			if seq <= req.After[topic].Seq || seq >= req.Before[topic].Seq {
				continue
			}
			if h.More = len(h.Records) == most; h.More {
				break
			}
			h.Records = append(h.Records, wire.Record{Topic: topic, Epoch: epoch, Seq: seq, Payload: tick(seq).Payload})
		}
		_ = c.Reply(f, wire.Make(wire.TypeRespHist, h))
	})
}

// losing is a broker that has lost 42 to 49 when it is back.
func losing(t *testing.T) *server {
	return feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) {
		send(c, tick(41), wire.Make(wire.TypeLost, wire.Lost{
			Topic: "quotes.PETR4", After: quote.Point{Epoch: epoch, Seq: 41}, Before: quote.Point{Epoch: epoch, Seq: 50}, Count: new(uint64(8)),
		}), tick(50))
	})
}

func TestWhatIsLostIsFilledFromHistoryInItsPlace(t *testing.T) {
	s := newSession(t, losing(t), archive(t, 5, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51))
	require.Equal(t, ExitOK, s.run(t, "sub quotes.PETR4 --verify --count 2 -o ndjson"))
	for i, line := range strings.Split(strings.TrimSpace(s.out.String()), "\n") {
		require.Contains(t, line, fmt.Sprintf(`"seq":%d`, 41+i))
	}
	require.Contains(t, s.err.String(), "2 frames of 1 topics; 0 cuts, 1 LOST, 8 frames in them, 8 filled, 0 duplicates, 0 gaps")
}

func TestWhatHistoryDoesNotHaveIsAnErrorToVerify(t *testing.T) {
	s := newSession(t, losing(t), archive(t, 5, 42, 43, 45, 46, 48, 49))
	require.Equal(t, ExitError, s.run(t, "sub quotes.PETR4 --verify --count 2 -o ndjson"))
	require.Contains(t, s.err.String(), "filled 6 of 8 frames of quotes.PETR4: history has no more of them")
	require.Contains(t, s.err.String(), "2 of 8 LOST frames are missing")
	require.Equal(t, 8, strings.Count(s.out.String(), "\n"))

	s = newSession(t, losing(t), nil)
	require.Equal(t, ExitOK, s.run(t, "sub quotes.PETR4 --fill=false --count 2 -o ndjson"))
	require.NotContains(t, s.err.String(), "filled")
}

// Across epochs nobody knows how many were lost: then history must call itself complete, and have all of the newer epoch.
func TestALossWithoutACountNeedsACompleteHistory(t *testing.T) {
	broker := func() *server {
		return feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) {
			next := tick(3)
			next.Epoch = epoch + 1
			send(c, tick(41), wire.Make(wire.TypeLost, wire.Lost{Topic: "quotes.PETR4", After: quote.Point{Epoch: epoch, Seq: 41}, Before: quote.Point{Epoch: epoch + 1, Seq: 3}}), next)
		})
	}
	// history has so many records of the newer epoch, and one more with each question.
	history := func(coverage float64, has uint64) *server {
		return serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) {
			var req wire.ReqHist
			_ = f.Decode(&req)
			h := wire.RespHist{Coverage: &coverage, Records: []wire.Record{}}
			add := func(p quote.Point) {
				if p.Compare(req.After["quotes.PETR4"]) > 0 && p.Compare(req.Before["quotes.PETR4"]) < 0 {
					h.Records = append(h.Records, wire.Record{Topic: "quotes.PETR4", Epoch: p.Epoch, Seq: p.Seq, Payload: tick(p.Seq).Payload})
				}
			}
			add(quote.Point{Epoch: epoch, Seq: 42})
			for seq := uint64(1); seq <= has; seq++ {
				add(quote.Point{Epoch: epoch + 1, Seq: seq})
			}
			_ = c.Reply(f, wire.Make(wire.TypeRespHist, h))
			has++
		})
	}
	s := newSession(t, broker(), history(1, 1))
	require.Equal(t, ExitOK, s.run(t, "sub quotes.PETR4 --verify --count 2 -o ndjson"), s.err.String())
	require.Equal(t, 5, strings.Count(s.out.String(), "\n"), "what was on its way is waited for")
	s = newSession(t, broker(), history(0.5, 2))
	require.Equal(t, ExitError, s.run(t, "sub quotes.PETR4 --verify --count 2 -o ndjson"))
	require.Contains(t, s.err.String(), "of 1 LOST ranges whose size nobody knows history may lack some")
}

func TestASubscriberProvesThatARestartOfTheBrokerCostItNothing(t *testing.T) {
	c, err := cluster.New(cluster.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, c.StartAll(ctx))
	defer func() { require.NoError(t, c.StopAll()) }()
	s := newSession(t, nil, nil)
	code := make(chan int)
	watching, enough := context.WithCancel(t.Context())
	defer enough()
	go func() {
		code <- Run(watching, s.cfg, []string{
			"sub", "quotes.*", "trades.*", "--verify", "-o", "ndjson",
			"--broker", c.Addr(cluster.Broker), "--aggregator", c.Addr(cluster.Aggregator),
		})
	}()
	lines := func(more int) func() bool {
		have := strings.Count(s.out.String(), "\n")
		return func() bool { return strings.Count(s.out.String(), "\n") > have+more }
	}
	require.Eventually(t, lines(20), 20*time.Second, time.Millisecond)
	require.NoError(t, c.Stop(cluster.Broker))
	require.Eventually(t, func() bool { return strings.Contains(s.err.String(), "cut off") }, 20*time.Second, time.Millisecond)
	require.NoError(t, c.Start(cluster.Broker))
	require.Eventually(t, lines(200), 20*time.Second, time.Millisecond, "more than what was lost: it is live again")
	enough()
	require.Equal(t, ExitOK, <-code, s.err.String())
	require.Contains(t, s.err.String(), "1 cuts")
	require.Contains(t, s.err.String(), "0 duplicates, 0 gaps")
}
