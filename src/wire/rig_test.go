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

// rig is a server that serves, in memory, until the test ends.
type rig struct {
	*memListener
	t    *testing.T
	srv  *Server
	quit context.CancelFunc
	done chan error // what Serve returned
}

// serve starts a server. Within a synctest bubble all its time is the bubble's.
func serve(t *testing.T, cfg ServerConfig) *rig {
	t.Helper()
	srv, err := NewServer(cfg)
	require.NoError(t, err)
	ctx, quit := context.WithCancel(context.Background())
	r := &rig{memListener: memListen(), t: t, srv: srv, quit: quit, done: make(chan error, 1)}
	ended := make(chan struct{})
	go func() { defer close(ended); r.done <- srv.Serve(ctx, r) }()
	t.Cleanup(func() { quit(); <-ended })
	return r
}

// peer is a client that shows every byte.
type peer struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (r *rig) connect() *peer {
	r.t.Helper()
	c, err := r.dial(context.Background(), "", "")
	require.NoError(r.t, err)
	return newPeer(r.t, c)
}

func newPeer(t *testing.T, c net.Conn) *peer {
	t.Cleanup(func() { _ = c.Close() })
	return &peer{Conn: c, t: t, in: bufio.NewReader(c)}
}

func (p *peer) say(text string) {
	p.t.Helper()
	_, err := p.Write([]byte(text))
	require.NoError(p.t, err)
}

// next returns the next frame.
func (p *peer) next() Frame {
	p.t.Helper()
	line, err := p.in.ReadBytes('\n')
	require.NoError(p.t, err, "%q", line)
	f, err := ParseFrame(line)
	require.NoError(p.t, err, "%q", line)
	return f
}

// refused checks that the next frame is an ERROR with the code, and returns it.
func (p *peer) refused(code Code) Frame {
	p.t.Helper()
	f := p.next()
	require.Equal(p.t, TypeError, f.Type)
	require.Equal(p.t, code, CodeOf(ErrorOf(f)), "%s", f.Payload)
	return f
}

// ended checks that the server has closed, with nothing more to read.
func (p *peer) ended() {
	p.t.Helper()
	rest, err := io.ReadAll(p.in)
	require.NoError(p.t, err)
	require.Empty(p.t, string(rest))
}

func (p *peer) halfClose() {
	p.t.Helper()
	require.NoError(p.t, p.Conn.(interface{ CloseWrite() error }).CloseWrite())
}

// silent checks that nothing comes for a while. It is for bubbles: that while passes at once.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(d)))
	b, err := p.in.Peek(1)
	require.Truef(p.t, isTimeout(err), "%v: %q", err, b)
	require.NoError(p.t, p.SetReadDeadline(time.Time{}))
	p.in.Reset(p.Conn)
}

// alive checks that the connection still answers.
func (p *peer) alive() {
	p.t.Helper()
	p.say(`{"type":"PING","id":4711}` + "\n")
	f := p.next()
	require.Equal(p.t, "PONG", f.Type)
	require.EqualValues(p.t, 4711, f.ID)
}

// pong answers PING and says what it got else.
func pong(c *Conn, f Frame) {
	if f.Type == "PING" {
		_ = c.Reply(f, Frame{Type: "PONG"})
		return
	}
	_ = c.Fail(f, Errorf(BadRequest, "unknown type %.40q", f.Type))
}

// bubble runs a test on its own clock.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// tcp starts a server on the loopback interface and returns how to connect to it.
func tcp(t *testing.T, cfg ServerConfig) (connect func() *peer, addr string) {
	t.Helper()
	srv, err := NewServer(cfg)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, quit := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx, ln) }()
	t.Cleanup(func() { quit(); <-done })
	return func() *peer {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		return newPeer(t, c)
	}, ln.Addr().String()
}

// pass lets a bubble's time pass, and all that is due by then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
