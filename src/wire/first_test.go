package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOnFirstTakesAConnectionOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked []string
		taken := make(chan net.Conn, 1)
		closed := false
		r := serve(t, ServerConfig{
			OnFrame: pong,
			OnClose: func(*Conn, error) { closed = true },
			OnFirst: func(c *Conn, line []byte) bool {
				asked = append(asked, string(line))
				if string(line) != "GET / HTTP/1.1\r" {
					return false
				}
				taken <- c.Takeover(line)
				return true
			},
		})
		p := r.connect()
		p.say("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2")
		nc := <-taken
		synctest.Wait()
		require.Zero(t, r.srv.Conns(), "the server forgets it")
		r.quit()
		require.NoError(t, <-r.done)
		time.Sleep(time.Hour) // no deadline is left behind
		go p.say(" more")
		got := make([]byte, len("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 more"))
		_, err := io.ReadFull(nc, got[:3])
		require.NoError(t, err)
		_, err = io.ReadFull(nc, got[3:])
		require.NoError(t, err)
		require.Equal(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 more", string(got))
		_, err = nc.Write([]byte("200\n"))
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		line, err := p.in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "200\n", line, "and no GOAWAY in between")
		require.Equal(t, []string{"GET / HTTP/1.1\r"}, asked)
		require.False(t, closed)
	})
}

func TestTakenConnectionGetsNoGoaway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *rig
		r = serve(t, ServerConfig{OnFrame: pong, OnFirst: func(c *Conn, line []byte) bool {
			nc := c.Takeover(line)
			r.quit()
			time.Sleep(time.Second) // the drain begins while this connection is still the server's
			got, err := bufio.NewReader(nc).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "GET /\n", got)
			_ = nc.Close()
			return true
		}})
		p := r.connect()
		p.say("GET /\n")
		p.ended()
		require.NoError(t, <-r.done)
	})
}

func TestOnFirstIsAskedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		asked := 0
		p := serve(t, ServerConfig{OnFrame: pong, OnFirst: func(*Conn, []byte) bool { asked++; return false }}).connect()
		p.alive()
		p.alive()
		require.Equal(t, 1, asked)
	})
}

// courtesy answers the silent with one line and counts them.
func courtesy(asked *int, end bool) ServerConfig {
	return ServerConfig{OnFrame: pong, OnSilent: func(c *Conn) bool {
		*asked++
		c.Answer(Frame{}, func(context.Context) (Frame, error) { return Frame{Type: "REPORT"}, nil })
		return end
	}}
}

func TestSilentClientGetsItsCourtesy(t *testing.T) {
	for name, tt := range map[string]struct {
		half  bool
		after time.Duration
	}{
		"half-closed":  {half: true},
		"says nothing": {after: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				asked := 0
				p := serve(t, courtesy(&asked, true)).connect()
				began := time.Now()
				if tt.half {
					p.halfClose()
				}
				require.Equal(t, "REPORT", p.next().Type)
				p.ended()
				require.Equal(t, tt.after, time.Since(began))
				require.Equal(t, 1, asked)
			})
		})
	}
}

func TestSilentClientIsNotAskedTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		asked := 0
		p := serve(t, courtesy(&asked, false)).connect()
		require.Equal(t, "REPORT", p.next().Type)
		p.silent(4 * time.Minute)
		p.alive()
		p.silent(4 * time.Minute)
		p.halfClose()
		p.ended()
		require.Equal(t, 1, asked)
	})
}

func TestWhoHasSaidSomethingIsNotSilent(t *testing.T) {
	for name, text := range map[string]string{"a frame": `{"type":"PING"}` + "\n", "an empty line": "\n", "half a line": `{"type":`} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				asked := 0
				p := serve(t, courtesy(&asked, true)).connect()
				time.Sleep(999 * time.Millisecond)
				p.say(text)
				time.Sleep(9 * time.Second)
				p.halfClose()
				_, err := bufio.NewReader(p).ReadString(0)
				require.ErrorIs(t, err, io.EOF)
				require.Zero(t, asked)
			})
		})
	}
}
