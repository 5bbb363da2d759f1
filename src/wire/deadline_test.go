package wire

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDrippedLineIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := serve(t, ServerConfig{OnFrame: pong}).connect()
		time.Sleep(time.Minute) // the line's time begins with its first byte
		began := time.Now()
		for range 10 {
			p.say(" ")
			time.Sleep(999 * time.Millisecond)
		}
		require.ErrorContains(t, ErrorOf(p.refused(BadRequest)), "10s after its first byte")
		p.ended()
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestSlowButCompleteLinesAreFine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := serve(t, ServerConfig{OnFrame: pong}).connect()
		for range 3 {
			p.say(`{"type":"PI`)
			time.Sleep(9 * time.Second)
			p.say(`NG"}` + "\n" + `{"ty`) // the next one begins on the same write
			require.Equal(t, "PONG", p.next().Type)
			time.Sleep(9 * time.Second)
			p.say(`pe":"PING"}` + "\n")
			require.Equal(t, "PONG", p.next().Type)
		}
	})
}

func TestIdleConnectionIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := serve(t, ServerConfig{OnFrame: pong}).connect()
		time.Sleep(4 * time.Minute)
		p.alive()
		began := time.Now()
		require.ErrorContains(t, ErrorOf(p.refused(Unavailable)), "idle for 5m0s")
		p.ended()
		require.Equal(t, 5*time.Minute, time.Since(began))
	})
}

// holding answers HOLD by holding the connection, in time or later, and FREE by releasing it.
func holding(later bool) (cfg ServerConfig, held chan *Conn) {
	held = make(chan *Conn, 1)
	release := make(chan func(), 1)
	cfg.OnFrame = func(c *Conn, f Frame) {
		switch f.Type {
		case "HOLD":
			if later {
				go func() { time.Sleep(time.Minute); release <- c.Hold(); held <- c }()
				return
			}
			release <- c.Hold()
			held <- c
		case "FREE":
			fn := <-release
			fn()
			fn() // counts once
		default:
			pong(c, f)
		}
	}
	return cfg, held
}

func TestHeldConnectionMayBeSilent(t *testing.T) {
	for name, later := range map[string]bool{"held by OnFrame": false, "held while the server waits": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg, held := holding(later)
				p := serve(t, cfg).connect()
				p.say(`{"type":"HOLD"}` + "\n")
				c := <-held
				time.Sleep(time.Hour)
				p.alive()
				require.NoError(t, c.Send(Frame{Type: "TICK"}))
				require.Equal(t, "TICK", p.next().Type)
				p.say(`{"type":"FREE"}` + "\n")
				began := time.Now()
				p.refused(Unavailable)
				require.Equal(t, 5*time.Minute, time.Since(began), "released: idle again")
				p.ended()
			})
		})
	}
}

func TestReleaseByAnotherGoroutineStartsTheIdleTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, _ Frame) {
			one, two := c.Hold(), c.Hold()
			time.AfterFunc(time.Hour, one)
			time.AfterFunc(2*time.Hour, two)
		}})
		p := r.connect()
		p.say(`{"type":"HOLD"}` + "\n")
		began := time.Now()
		p.refused(Unavailable)
		require.Equal(t, 2*time.Hour+5*time.Minute, time.Since(began))
	})
}

func TestReleaseDoesNotGiveALineMoreTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, _ Frame) { time.AfterFunc(5*time.Second, c.Hold()) }})
		p := r.connect()
		p.say(`{"type":"HOLD"}` + "\n" + "{")
		began := time.Now()
		p.refused(BadRequest)
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestHeldConnectionOutlivesItsHalfClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg, held := holding(false)
		var closed error
		cfg.OnClose = func(_ *Conn, err error) { closed = err }
		p := serve(t, cfg).connect()
		p.say(`{"type":"HOLD"}` + "\n")
		p.halfClose()
		c := <-held
		for range 3 {
			time.Sleep(time.Hour)
			require.NoError(t, c.Send(Frame{Type: "TICK"}))
			require.Equal(t, "TICK", p.next().Type)
		}
		synctest.Wait()
		require.NoError(t, closed)
		require.NoError(t, p.Close())
		require.Error(t, c.Send(Frame{Type: "TICK"}), "a write finds out")
		synctest.Wait()
		require.Error(t, closed)
		require.ErrorContains(t, context.Cause(c.Context()), "write: ")
	})
}

func TestReleaseEndsAHalfClosedConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, _ Frame) { time.AfterFunc(time.Hour, c.Hold()) }})
		p := r.connect()
		p.say(`{"type":"HOLD"}`) // without newline: the end of the stream ends the line
		p.halfClose()
		began := time.Now()
		p.ended()
		require.Equal(t, time.Hour, time.Since(began))
	})
}

func TestBudgetIsKeptWhateverTheHandlerDoes(t *testing.T) {
	for name, tt := range map[string]struct {
		budget string
		want   time.Duration
	}{
		"given":   {`,"budget_ms":250`, 250 * time.Millisecond},
		"default": {``, 10 * time.Second},
		"at most": {`,"budget_ms":9223372036854775807`, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				hung := make(chan struct{})
				r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
					if f.Type == "PING" {
						pong(c, f)
						return
					}
					c.Answer(f, func(context.Context) (Frame, error) { <-hung; return Frame{Type: "TOO LATE"}, nil })
				}})
				p := r.connect()
				began := time.Now()
				p.say(`{"type":"X","id":5` + tt.budget + "}\n")
				require.EqualValues(t, 5, p.refused(DeadlineExceeded).ID)
				require.Equal(t, tt.want, time.Since(began))
				close(hung)
				p.silent(time.Second)
				p.alive()
			})
		})
	}
}

func TestPassedDeadlineIsToldBeforeTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			c.Answer(f, func(ctx context.Context) (Frame, error) { <-ctx.Done(); return Frame{}, ctx.Err() })
		}})
		for range 200 {
			p := r.connect()
			p.say(`{"type":"X","id":5,"budget_ms":10}`)
			p.halfClose()
			p.refused(DeadlineExceeded)
			p.ended()
		}
	})
}

func TestAnswersCarryWhatTheHandlerSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := errors.New("the disk is gone")
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			c.AnswerParts(f, func(ctx context.Context, part func(Frame) error) (Frame, error) {
				switch f.Type {
				case "FAIL":
					return Frame{}, fails
				case "WAIT":
					<-ctx.Done()
					return Frame{}, ctx.Err()
				}
				_ = part(Frame{Type: "PART"})
				return Frame{Type: "LAST"}, nil
			})
		}})
		p := r.connect()
		p.say(`{"type":"PARTS","id":1}` + "\n")
		require.Equal(t, Frame{Type: "PART", ID: 1, More: true}, p.next())
		require.Equal(t, Frame{Type: "LAST", ID: 1}, p.next())
		p.say(`{"type":"FAIL","id":2}` + "\n")
		require.ErrorContains(t, ErrorOf(p.refused(Internal)), fails.Error())
		p.say(`{"type":"WAIT","id":3,"budget_ms":10}` + "\n")
		p.refused(DeadlineExceeded)
		p.silent(time.Minute)
	})
}

// The deadline's answer is the last of a request: parts that come too late are refused.
func TestNoPartGoesOutBehindTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, ServerConfig{OnFrame: func(c *Conn, f Frame) {
			if f.Type == "PING" {
				pong(c, f)
				return
			}
			c.AnswerParts(f, func(ctx context.Context, part func(Frame) error) (Frame, error) {
				for i := 0; i < 2 || ctx.Err() == nil; i++ {
					_ = part(Frame{Type: "PART"})
					time.Sleep(6 * time.Millisecond)
				}
				return Frame{Type: "LAST"}, part(Frame{Type: "PART"})
			})
		}})
		p := r.connect()
		p.say(`{"type":"X","id":5,"budget_ms":10}` + "\n")
		for range 2 {
			require.Equal(t, Frame{Type: "PART", ID: 5, More: true}, p.next())
		}
		p.refused(DeadlineExceeded)
		p.silent(time.Second)
		p.alive()
	})
}
