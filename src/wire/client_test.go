package wire

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// keep runs a client until the test ends and returns how to end it sooner; that waits for Run.
func keep(t *testing.T, c *Client) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx); close(done) }()
	stop = func() {
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

var errRefused = errors.New("connection refused")

func TestDialsAreSpacedWithJitter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var dials []time.Time
		var downs int
		c := NewClient(ClientConfig{
			MinBackoff: 100 * time.Millisecond, MaxBackoff: time.Second,
			OnDown: func(err error) { require.ErrorIs(t, err, ErrDown); downs++ },
			Dial: DialConfig{Addr: "name:1", Dialer: func(_ context.Context, _, addr string) (net.Conn, error) {
				require.Equal(t, "name:1", addr, "the name itself: it is resolved anew")
				dials = append(dials, time.Now())
				return nil, errRefused
			}},
		})
		require.Equal(t, "name:1", c.Addr())
		stop := keep(t, c)
		pass(time.Minute)
		stop()
		step, jittered := 100*time.Millisecond, map[time.Duration]bool{}
		for i := range len(dials) - 1 {
			wait := dials[i+1].Sub(dials[i])
			require.GreaterOrEqual(t, wait, step/2, "dial %d", i)
			require.LessOrEqual(t, wait, step, "dial %d", i)
			jittered[wait] = true
			step = min(2*step, time.Second)
		}
		require.Greater(t, len(dials), 60)
		require.Greater(t, len(jittered), len(dials)/2)
		require.Equal(t, len(dials), downs)
	})
}

func TestBackoffBeginsAnewAfterASessionThatHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var refuse atomic.Bool
		refuse.Store(true)
		var dials []time.Time
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, _ Frame) { c.Close(nil) }})
		c := NewClient(ClientConfig{Dial: DialConfig{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials = append(dials, time.Now())
			if refuse.Load() {
				return nil, errRefused
			}
			return r.dial(ctx, network, addr)
		}}})
		keep(t, c)
		pass(20 * time.Second) // the step is at its most
		refuse.Store(false)
		pass(5 * time.Second)
		require.True(t, c.Up())
		n := len(dials)
		cut := time.Now()
		s, err := c.Session(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Send(Frame{Type: "CUT"}))
		pass(time.Second)
		require.Len(t, dials, n+1)
		require.LessOrEqual(t, dials[n].Sub(cut), 50*time.Millisecond)
	})
}

func TestSlowDialsDoNotResetTheBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var dials []time.Time
		c := NewClient(ClientConfig{Dial: DialConfig{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials = append(dials, time.Now())
			<-ctx.Done() // a host that answers nothing
			return nil, ctx.Err()
		}}})
		stop := keep(t, c)
		pass(10 * time.Minute)
		stop()
		last := len(dials) - 1
		require.GreaterOrEqual(t, dials[last].Sub(dials[last-1]), 3*time.Second+time.Second)
	})
}

func TestOnUpComesBeforeAnybodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got []string
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			got = append(got, f.Type)
			_ = c.Reply(f, Frame{Type: "OK"})
		}})
		c := NewClient(ClientConfig{
			Dial: DialConfig{Dialer: r.dial},
			OnUp: func(ctx context.Context, s *Session) error {
				time.Sleep(time.Second)
				_, err := s.Do(ctx, Frame{Type: "HELLO"})
				return err
			},
		})
		keep(t, c)
		require.False(t, c.Up())
		reply, err := c.Do(t.Context(), Frame{Type: "X"}) // waits while the first dial is in work
		require.NoError(t, err)
		require.Equal(t, "OK", reply.Type)
		require.Equal(t, []string{"HELLO", "X"}, got)
		require.True(t, c.Up())
		require.NoError(t, c.Stream(t.Context(), Frame{Type: "Y"}, func(Frame) error { return nil }))
		var out struct{}
		require.Error(t, Decoded(t.Context(), c, "Z", nil, &out), "OK has no payload")
	})
}

func TestOnUpThatFailsEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: pong})
		refused := errors.New("stale epoch")
		var downs []error
		var fails atomic.Bool
		fails.Store(true)
		c := NewClient(ClientConfig{
			Dial: DialConfig{Dialer: r.dial},
			OnUp: func(context.Context, *Session) error {
				if fails.Load() {
					return refused
				}
				return nil
			},
			OnDown: func(err error) { downs = append(downs, err) },
		})
		keep(t, c)
		_, err := c.Session(t.Context())
		require.ErrorIs(t, err, ErrDown)
		require.ErrorIs(t, err, refused)
		pass(5 * time.Second)
		fails.Store(false)
		pass(5 * time.Second)
		require.True(t, c.Up())
		for _, err := range downs {
			require.ErrorIs(t, err, refused)
		}
		require.Greater(t, len(downs), 3)
		require.Equal(t, 1, r.srv.Conns(), "the refused ones are closed")
	})
}

func TestOnUpThatHangsDoesNotOutliveRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(*Conn, Frame) {}})
		up := make(chan struct{})
		c := NewClient(ClientConfig{
			Dial: DialConfig{Dialer: r.dial},
			OnUp: func(_ context.Context, s *Session) error {
				close(up)
				_, err := s.Do(context.Background(), Frame{Type: "HELLO"})
				return err
			},
		})
		stop := keep(t, c)
		<-up
		stop()
	})
}

func TestGoawayIsHonoured(t *testing.T) {
	for name, tt := range map[string]struct {
		ask  int64
		want time.Duration
	}{
		"as asked":      {7_000, 7 * time.Second},
		"absurdly long": {1 << 62, time.Minute},
		"negative":      {-5_000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var dials []time.Time
				var ends []*peer
				var goaways atomic.Int32
				c := NewClient(ClientConfig{Dial: DialConfig{
					OnFrame: func(f Frame) { goaways.Add(1) },
					Dialer: func(context.Context, string, string) (net.Conn, error) {
						dials = append(dials, time.Now())
						a, b := memPair(memRoom)
						ends = append(ends, newPeer(t, b))
						return a, nil
					},
				}})
				keep(t, c)
				synctest.Wait()
				ends[0].answer(Make(TypeGoaway, Goaway{RetryAfterMS: tt.ask}))
				synctest.Wait()
				require.True(t, c.Up(), "the server closes, not we")
				_ = ends[0].Close()
				pass(2 * time.Minute)
				require.Len(t, dials, 2)
				require.GreaterOrEqual(t, dials[1].Sub(dials[0]), tt.want+25*time.Millisecond)
				require.LessOrEqual(t, dials[1].Sub(dials[0]), tt.want+50*time.Millisecond)
				require.EqualValues(t, 1, goaways.Load(), "the owner sees it too")
			})
		})
	}
}

func TestBetweenDialsRequestsFailAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := make(chan struct{})
		c := NewClient(ClientConfig{MinBackoff: time.Hour, MaxBackoff: time.Hour, Dial: DialConfig{
			Addr: "name:1", DialTimeout: 10 * time.Minute,
			Dialer: func(context.Context, string, string) (net.Conn, error) { <-slow; return nil, errRefused },
		}})
		stop := keep(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Do(ctx, Frame{Type: "X"})
		require.ErrorIs(t, err, ErrDown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, DeadlineExceeded, CodeOf(err))
		close(slow)
		began := time.Now()
		_, err = c.Do(t.Context(), Frame{Type: "X"})
		require.ErrorIs(t, err, errRefused, "it waited for the dial in work")
		_, err = c.Do(t.Context(), Frame{Type: "X"})
		require.ErrorIs(t, err, errRefused)
		require.ErrorIs(t, err, ErrDown)
		require.ErrorIs(t, c.Stream(t.Context(), Frame{Type: "X"}, nil), ErrDown)
		require.Zero(t, time.Since(began))
		stop()
		_, err = c.Do(t.Context(), Frame{Type: "X"})
		require.ErrorIs(t, err, ErrDown)
		require.ErrorContains(t, err, "ended")
	})
}

func TestHurryEndsOnlyTheWaitOfNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var dials atomic.Int32
		c := NewClient(ClientConfig{MinBackoff: time.Hour, MaxBackoff: time.Hour, Dial: DialConfig{
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				time.Sleep(time.Second)
				return nil, errRefused
			},
		}})
		c.Hurry() // it is about to dial anyway
		stop := keep(t, c)
		pass(500 * time.Millisecond)
		c.Hurry() // it dials already
		pass(time.Minute)
		require.EqualValues(t, 1, dials.Load())
		c.Hurry()
		c.Hurry()
		asked := time.Now()
		_, err := c.Session(t.Context())
		require.ErrorIs(t, err, errRefused)
		require.Equal(t, time.Second, time.Since(asked), "the outcome of the dial it asked for")
		pass(time.Minute)
		require.EqualValues(t, 2, dials.Load())
		for dials.Load() < 3 {
			pass(100 * time.Millisecond)
		}
		asked = time.Now()
		_, err = c.Session(t.Context())
		require.ErrorIs(t, err, errRefused)
		require.GreaterOrEqual(t, time.Since(asked), 900*time.Millisecond, "a dial was in work")
		stop()
		c.Hurry()
		_, err = c.Session(t.Context())
		require.ErrorContains(t, err, "ended")
	})
}

func TestSessionsDoNotOverlap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ends []*peer
		var events []string
		hold := make(chan struct{})
		c := NewClient(ClientConfig{
			OnUp:   func(context.Context, *Session) error { events = append(events, "up"); return nil },
			OnDown: func(error) { events = append(events, "down") },
			Dial: DialConfig{
				OnFrame: func(f Frame) { <-hold; events = append(events, f.Type) },
				Dialer: func(context.Context, string, string) (net.Conn, error) {
					a, b := memPair(memRoom)
					ends = append(ends, newPeer(t, b))
					return a, nil
				},
			},
		})
		keep(t, c)
		synctest.Wait()
		s, err := c.Session(t.Context())
		require.NoError(t, err)
		ends[0].answer(Frame{Type: "LAST"})
		synctest.Wait()
		s.Close()
		synctest.Wait()
		_, err = c.Session(t.Context())
		require.ErrorIs(t, err, ErrClosed, "nobody gets a session that has ended")
		pass(time.Minute)
		require.Equal(t, []string{"up"}, events)
		close(hold)
		pass(time.Minute)
		require.Equal(t, []string{"up", "LAST", "down", "up"}, events)
	})
}

func TestRunDoesNotWaitForAFrameThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hold, up := make(chan struct{}), make(chan struct{})
		a, b := memPair(memRoom)
		c := NewClient(ClientConfig{Dial: DialConfig{
			OnFrame: func(Frame) { close(up); <-hold },
			Dialer:  func(context.Context, string, string) (net.Conn, error) { return a, nil },
		}})
		stop := keep(t, c)
		newPeer(t, b).answer(Frame{Type: "X"})
		<-up
		began := time.Now()
		stop()
		require.Equal(t, time.Second, time.Since(began))
		close(hold)
	})
}
