package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestServerNeedsOnFrame(t *testing.T) {
	_, err := NewServer(ServerConfig{})
	require.ErrorContains(t, err, "OnFrame")
}

func TestRepliesComeInAnyOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gates := map[uint64]chan struct{}{1: make(chan struct{}), 2: make(chan struct{}), 3: make(chan struct{})}
		var seen []uint64
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			seen = append(seen, f.ID)
			c.Answer(f, func(context.Context) (Frame, error) { <-gates[f.ID]; return Frame{Type: "DONE"}, nil })
		}})
		p := r.connect()
		p.say("{\"type\":\"X\",\"id\":1}\n{\"type\":\"X\",\"id\":2}\r\n\n  \n{\"type\":\"X\",\"id\":3}\n")
		for _, id := range []uint64{3, 1, 2} {
			close(gates[id])
			require.Equal(t, Frame{Type: "DONE", ID: id}, p.next())
		}
		require.Equal(t, []uint64{1, 2, 3}, seen, "handed over in order")
	})
}

func TestBadLinesEndTheConnectionTheyCameOn(t *testing.T) {
	long := `{"type":"X","payload":"` + strings.Repeat("x", 1000) + `"}`
	for name, tt := range map[string]struct {
		line string
		code Code
	}{
		"too long":           {long, TooLarge},
		"too long, unended":  {strings.TrimSuffix(long, "}"), TooLarge},
		"no JSON":            {"GET / HTTP/1.1", BadRequest},
		"cut off":            {`{"type":"X"`, BadRequest},
		"an array":           {`[{"type":"X"}]`, BadRequest},
		"a bare word":        {`null`, BadRequest},
		"two objects":        {`{"type":"X"}{"type":"Y"}`, BadRequest},
		"no UTF-8":           {"{\"type\":\"X\xff\"}", BadRequest},
		"not UTF-8 further":  {"{\"type\":\"X\",\"payload\":\"\xc3\x28\"}", BadRequest},
		"nothing but a zero": {"\x00", BadRequest},
		"a foreign space":    {"\f", BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := serve(t, ServerConfig{OnFrame: pong, MaxLine: 1000})
				other, p := r.connect(), r.connect()
				p.say(tt.line + "\n" + `{"type":"PING"}` + "\n")
				require.Zero(t, p.refused(tt.code).ID)
				p.ended()
				other.alive()
			})
		})
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: pong})
		p := r.connect()
		p.say(`{"type":"X","payload":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + "}\n")
		p.refused(BadRequest)
		p.ended()
	})
}

func TestBadFieldsGetAnErrorAndTheConnectionLives(t *testing.T) {
	for name, tt := range map[string]struct{ line, says string }{
		"wrong type":      {`{"id":9,"type":7}`, `"type"`},
		"id after it":     {`{"type":7,"id":9}`, `"type"`},
		"negative seq":    {`{"id":9,"type":"X","seq":-1}`, `"seq"`},
		"fraction":        {`{"id":9,"type":"X","epoch":1.5}`, `"epoch"`},
		"absurd number":   {`{"id":9,"type":"X","seq":` + strings.Repeat("9", 100_000) + `}`, `"seq"`},
		"no type":         {`{"id":9}`, `"type" is missing`},
		"negative budget": {`{"id":9,"type":"X","budget_ms":-1}`, "budget_ms"},
		"unknown type":    {`{"id":9,"type":"NOPE"}`, "NOPE"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := serve(t, ServerConfig{OnFrame: pong})
				p := r.connect()
				p.say(tt.line + "\n")
				f := p.refused(BadRequest)
				require.EqualValues(t, 9, f.ID)
				require.ErrorContains(t, ErrorOf(f), tt.says)
				require.Less(t, len(f.Payload), 300, "an ERROR does not repeat all it got")
				p.alive()
			})
		})
	}
}

func TestTooManyConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: pong, MaxConns: 2, RetryAfter: 3 * time.Second})
		first, second := r.connect(), r.connect()
		first.alive()
		second.alive()
		third := r.connect()
		var e *Error
		require.ErrorAs(t, ErrorOf(third.refused(Unavailable)), &e)
		require.EqualValues(t, 3000, e.RetryAfterMS)
		third.ended()
		require.Equal(t, 2, r.srv.Conns())
		require.NoError(t, first.Close())
		synctest.Wait()
		require.Equal(t, 1, r.srv.Conns())
		r.connect().alive()
		second.alive()
	})
}

// What clients do not read is bounded over all connections; small answers always go out.
func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		large := Frame{Type: "LARGE", Payload: []byte(`"` + strings.Repeat("x", 600<<10) + `"`)}
		r := serve(t, ServerConfig{MaxAnswers: 1300 << 10, OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(context.Context) (Frame, error) {
				if f.Type == "SMALL" {
					return Frame{Type: "SMALL"}, nil
				}
				return large, nil
			})
		}})
		for range 2 {
			r.connect().say(`{"type":"X","id":1}` + "\n") // and never reads
		}
		synctest.Wait()
		p := r.connect()
		p.say(`{"type":"X","id":1}` + "\n")
		p.refused(Unavailable)
		p.say(`{"type":"SMALL","id":2}` + "\n")
		require.Equal(t, "SMALL", p.next().Type)
		time.Sleep(11 * time.Second) // their writes have timed out
		p.say(`{"type":"X","id":3}` + "\n")
		require.Equal(t, "LARGE", p.next().Type)
	})
}

func TestQueuedAnswersArriveThoughTheClientHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) { c.Queue(f, Frame{Type: "PONG"}) }})
		p := r.connect()
		const n = 5000 // more than the connection holds, and the queue
		go func() {
			p.say(strings.Repeat(`{"type":"PING","id":7}`+"\n", n))
			p.halfClose()
		}()
		synctest.Wait() // the server waits for us
		for range n {
			require.Equal(t, Frame{Type: "PONG", ID: 7}, p.next())
		}
		p.ended()
	})
}

func TestTooMuchWorkStopsTheReading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		started, release := make(chan uint64, 10), make(chan struct{})
		r := serve(t, ServerConfig{MaxWork: 2, OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(context.Context) (Frame, error) { started <- f.ID; <-release; return Frame{Type: "DONE"}, nil })
		}})
		p := r.connect()
		for id := range 5 {
			p.say(fmt.Sprintf("{\"type\":\"X\",\"id\":%d}\n", id+1))
		}
		synctest.Wait()
		require.Len(t, started, 2)
		for left := 3; left >= 0; left-- {
			release <- struct{}{}
			p.next()
			synctest.Wait()
			require.Len(t, started, min(5, 6-left), "one ends, one begins")
		}
		release <- struct{}{}
		p.next()
	})
}

func TestOnCloseComesOnceAndLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var events []string
		release := make(chan struct{})
		r := serve(t, ServerConfig{
			OnFrame: func(c *Conn, f Frame) {
				events = append(events, f.Type)
				c.SetValue(f.Type)
				c.Answer(f, func(context.Context) (Frame, error) { <-release; events = append(events, "answer"); return f, nil })
			},
			OnClose: func(c *Conn, err error) { events = append(events, fmt.Sprintf("close %v %v", c.Value(), err)) },
		})
		p := r.connect()
		p.say("{\"type\":\"A\"}\n")
		p.halfClose()
		synctest.Wait()
		require.Equal(t, []string{"A"}, events, "a half-closed client still gets its answer")
		close(release)
		require.Equal(t, "A", p.next().Type)
		p.ended()
		synctest.Wait()
		require.Equal(t, []string{"A", "answer", "close A EOF"}, events)
	})
}

func TestResetConnectionEndsItsWork(t *testing.T) {
	cause := make(chan error, 1)
	connect, _ := tcp(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
		c.Answer(f, func(ctx context.Context) (Frame, error) {
			_ = c.Reply(f, Frame{Type: "BEGUN", More: true})
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return Frame{}, ctx.Err()
		})
	}})
	p := connect()
	p.say("{\"type\":\"WORK\"}\n")
	require.Equal(t, "BEGUN", p.next().Type)
	require.NoError(t, p.Conn.(*net.TCPConn).SetLinger(0))
	require.NoError(t, p.Close())
	require.ErrorIs(t, <-cause, syscall.ECONNRESET)
}

func TestClosedConnectionEndsItsWork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var cause error
		connect := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			if f.Type == "CLOSE" {
				c.Close(errors.New("enough of it"))
				return
			}
			c.Answer(f, func(ctx context.Context) (Frame, error) {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return Frame{}, ctx.Err()
			})
		}}).connect
		p := connect()
		p.say("{\"type\":\"WORK\"}\n{\"type\":\"CLOSE\"}\n{\"type\":\"WORK\"}\n")
		p.ended()
		synctest.Wait()
		require.EqualError(t, cause, "enough of it")
	})
}

// fickle fails to accept a few times.
type fickle struct {
	*memListener
	errs []error
}

func (l *fickle) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	return l.memListener.Accept()
}

func TestWantOfFileDescriptorsPasses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, err := NewServer(ServerConfig{OnFrame: pong, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ln := &fickle{memListen(), []error{syscall.EMFILE, syscall.ENFILE, syscall.EMFILE}}
		done := make(chan error, 1)
		ctx, quit := context.WithCancel(t.Context())
		go func() { done <- srv.Serve(ctx, ln) }()
		c, err := ln.dial(ctx, "", "")
		require.NoError(t, err)
		newPeer(t, c).alive()
		quit()
		require.NoError(t, <-done)
	})
}

func TestABrokenListenerEndsTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, err := NewServer(ServerConfig{OnFrame: pong})
		require.NoError(t, err)
		require.ErrorIs(t, srv.Serve(t.Context(), &fickle{memListen(), []error{syscall.EINVAL}}), syscall.EINVAL)
	})
}

func TestAPauseComesBehindTheFramesOfABurst(t *testing.T) {
	const frames = 40
	var mu sync.Mutex
	var seen, told []int // frames at each pause; each frame
	var once sync.Once
	enough := make(chan struct{})
	r := serve(t, ServerConfig{
		OnFrame: func(_ *Conn, f Frame) { mu.Lock(); defer mu.Unlock(); told = append(told, int(f.Seq)) },
		OnPause: func(*Conn) {
			mu.Lock()
			defer mu.Unlock()
			if seen = append(seen, len(told)); len(told) == frames {
				once.Do(func() { close(enough) })
			}
		},
	})
	var burst []byte
	for i := range uint64(frames) {
		burst = (&Frame{Type: "X", Seq: i + 1}).Append(burst)
	}
	r.connect().say(string(burst))
	select {
	case <-enough:
	case <-time.After(20 * time.Second):
		require.Fail(t, "no pause behind the last frame")
	}
	mu.Lock()
	defer mu.Unlock()
	require.Less(t, len(seen), frames, "a pause is not each frame's")
	require.Equal(t, frames, seen[len(seen)-1])
}
