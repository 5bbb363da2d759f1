package wire

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// goneAway checks that the next frame is a GOAWAY that asks for d.
func (p *peer) goneAway(d time.Duration) {
	p.t.Helper()
	f := p.next()
	require.Equal(p.t, TypeGoaway, f.Type)
	var g Goaway
	require.NoError(p.t, f.Decode(&g))
	require.Equal(p.t, d.Milliseconds(), g.RetryAfterMS)
}

func TestDrainAnswersWhatIsInWork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		r := serve(t, ServerConfig{RetryAfter: time.Second, OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(context.Context) (Frame, error) { <-release; return Frame{Type: "DONE"}, nil })
		}})
		busy, idle, half, fresh := r.connect(), r.connect(), r.connect(), r.connect()
		busy.say("{\"type\":\"X\",\"id\":1}\n{\"type\":\"X\",\"id\":2}\n{\"type\":\"half a li")
		half.say("{\"type\":\"X\",\"id\":3}\n")
		half.halfClose()
		synctest.Wait()
		r.quit()
		for _, p := range []*peer{busy, idle, half, fresh} {
			p.goneAway(time.Second)
		}
		idle.ended()
		fresh.ended()
		_, err := r.dial(t.Context(), "", "")
		require.Error(t, err, "nobody new")
		synctest.Wait()
		require.Empty(t, r.done)
		close(release)
		require.ElementsMatch(t, []uint64{1, 2}, []uint64{busy.next().ID, busy.next().ID})
		busy.ended()
		require.EqualValues(t, 3, half.next().ID)
		half.ended()
		_ = busy.Close()
		_ = idle.Close()
		_ = fresh.Close()
		require.NoError(t, <-r.done)
	})
}

func TestDrainEndsSubscribers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg, held := holding(false)
		reasons := make(chan error, 2)
		cfg.OnClose = func(_ *Conn, err error) { reasons <- err }
		r := serve(t, cfg)
		open, half := r.connect(), r.connect()
		open.say(`{"type":"HOLD"}` + "\n")
		<-held
		r.quit()
		open.goneAway(500 * time.Millisecond)
		open.ended()
		half.goneAway(500 * time.Millisecond)
		half.ended()
		require.ErrorIs(t, <-reasons, context.Canceled)
		require.ErrorIs(t, <-reasons, context.Canceled)
		require.NoError(t, <-r.done)
	})
}

func TestDrainEndsAHalfClosedSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg, held := holding(false)
		r := serve(t, cfg)
		p := r.connect()
		p.say(`{"type":"HOLD"}` + "\n")
		p.halfClose()
		<-held
		synctest.Wait()
		r.quit()
		p.goneAway(500 * time.Millisecond)
		p.ended()
		require.NoError(t, <-r.done)
	})
}

func TestDrainIsBounded(t *testing.T) {
	for name, cfg := range map[string]ServerConfig{
		"work that ends with its context": {OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(ctx context.Context) (Frame, error) { <-ctx.Done(); return Frame{}, ctx.Err() })
		}},
		"a client that does not read": {OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(ctx context.Context) (Frame, error) {
				return Frame{Type: "X", Payload: []byte(`"` + strings.Repeat("x", 2*memRoom) + `"`)}, nil
			})
		}},
		"too much work": {MaxWork: 1, OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(ctx context.Context) (Frame, error) { <-ctx.Done(); return Frame{}, ctx.Err() })
			c.Answer(f, func(ctx context.Context) (Frame, error) { <-ctx.Done(); return Frame{}, ctx.Err() })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg.Drain, cfg.MaxBudget, cfg.DefBudget = 2*time.Second, time.Hour, time.Hour
				r := serve(t, cfg)
				p := r.connect()
				p.say("{\"type\":\"X\",\"id\":1}\n")
				synctest.Wait()
				began := time.Now()
				r.quit()
				require.NoError(t, <-r.done)
				require.Equal(t, 2*time.Second, time.Since(began))
				_, err := io.ReadAll(p)
				require.NoError(t, err)
			})
		})
	}
}

func TestClientThatNeverReadsIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sent := make(chan error, 3)
		closed := make(chan error, 1)
		big := Frame{Type: "X", Payload: []byte(`"` + strings.Repeat("x", 2*memRoom) + `"`)}
		r := serve(t, ServerConfig{
			OnFrame: func(c *Conn, _ Frame) {
				go func() { sent <- c.Send(big) }()
				go func() { sent <- c.Writev([][]byte{big.Append(nil)}) }()
				go func() { sent <- c.Write(big.Append(nil)) }()
			},
			OnClose: func(c *Conn, _ error) { closed <- context.Cause(c.Context()) },
		})
		p, other := r.connect(), r.connect()
		began := time.Now()
		p.say("{\"type\":\"X\"}\n")
		for range 3 {
			require.Error(t, <-sent)
		}
		require.ErrorContains(t, <-closed, "write: ")
		require.Equal(t, 10*time.Second, time.Since(began))
		synctest.Wait()
		require.Equal(t, 1, r.srv.Conns())
		other.say("\n")
	})
}

func TestSlowReaderIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sent := make(chan error, 1)
		big := Frame{Type: "X", Payload: []byte(`"` + strings.Repeat("x", 2*memRoom) + `"`)}
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, _ Frame) { go func() { sent <- c.Send(big) }() }})
		p := r.connect()
		p.say("{\"type\":\"X\"}\n")
		time.Sleep(9 * time.Second)
		require.Empty(t, sent, "Send blocks")
		require.Equal(t, big, p.next())
		require.NoError(t, <-sent)
	})
}

// Who reads a little now and then is no dead peer, though one write takes it far longer than the timeout.
func TestAReaderThatDripsIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sent := make(chan error, 1)
		big := Frame{Type: "X", Payload: []byte(`"` + strings.Repeat("x", 3*memRoom) + `"`)}
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, _ Frame) { go func() { sent <- c.Send(big) }() }})
		p := r.connect()
		began := time.Now()
		p.say("{\"type\":\"X\"}\n")
		piece := make([]byte, memRoom/8)
		for len(sent) == 0 {
			time.Sleep(8 * time.Second)
			_, err := io.ReadFull(p, piece)
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NoError(t, <-sent)
		require.Greater(t, time.Since(began), time.Minute)
	})
}

func TestLastWordsArriveThoughTheClientStillSends(t *testing.T) {
	connect, _ := tcp(t, ServerConfig{OnFrame: pong, MaxLine: 1 << 10})
	for range 20 {
		p := connect()
		wrote := make(chan error, 1)
		go func() {
			_, err := p.Write([]byte(strings.Repeat("x", 1<<20) + "\n"))
			wrote <- errors.Join(err, p.Conn.(interface{ CloseWrite() error }).CloseWrite())
		}()
		p.refused(TooLarge)
		p.ended()
		require.NoError(t, <-wrote)
	}
}
