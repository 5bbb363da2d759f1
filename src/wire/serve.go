package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// leave tells the client that the server leaves, and stops reading. What is in work is answered.
func (c *Conn) leave() {
	c.in.stop()
	c.goaway()
}

// goaway sends GOAWAY, once; it returns when that is done.
func (c *Conn) goaway() {
	c.bye.Do(func() { _ = c.Send(Make(TypeGoaway, Goaway{RetryAfterMS: c.srv.cfg.RetryAfter.Milliseconds()})) })
}

// serve reads until the end, lets what is in work end and closes the connection.
func (c *Conn) serve() {
	reason, taken := c.read()
	if c.in.pause != nil {
		c.in.pause()
	}
	c.in.release()
	if taken {
		return
	}
	c.in.buf = nil // a held connection may live on for long
	if isEOF(reason) {
		c.halfClosed()
	}
	c.wg.Wait()
	_ = c.out.write(func(b []byte) []byte { return b }) // what Queue has left
	if c.srv.isLeaving() {
		c.goaway()
	}
	if c.srv.cfg.OnClose != nil {
		c.srv.cfg.OnClose(c, reason)
	}
	if !isEOF(reason) {
		c.linger()
	}
	c.Close(reason)
}

// halfClosed waits while a held connection only listens.
func (c *Conn) halfClosed() {
	for c.holds.Load() > 0 {
		select {
		case <-c.ctx.Done():
			return
		case <-c.srv.leaving:
			return
		case <-c.freed:
		}
	}
}

// How long, and for how many bytes, the server listens to a client that it has said its last word to.
const (
	lingerFor  = 500 * time.Millisecond
	lingerMost = 4 << 20
)

// linger ends our half and throws away what the client still sends: closing with input unread resets the connection,
// and the client might never see our last frames.
func (c *Conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || c.ctx.Err() != nil || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerFor))
	_, _ = io.CopyN(io.Discard, c.nc, lingerMost)
}

// read hands over frames until the connection ends or is taken over, and returns why it ended.
func (c *Conn) read() (reason error, taken bool) {
	first := true
	for {
		line, err := c.in.next()
		if err != nil {
			if c.srv.isLeaving() {
				return context.Canceled, false
			}
			if c.goesOn(err) {
				continue
			}
			return err, false
		}
		c.silent.Store(false)
		if len(trim(line)) == 0 {
			continue // a courtesy to people who type
		}
		if first && c.srv.cfg.OnFirst != nil && c.srv.cfg.OnFirst(c, line) {
			return nil, true
		}
		first = false
		if err := c.handle(line); err != nil {
			return err, false
		}
		if err := context.Cause(c.ctx); err != nil {
			return err, false
		}
	}
}

// goesOn decides what a failed read means: that the connection lives on, or its end, told to the client where it is its
// own doing.
func (c *Conn) goesOn(err error) bool {
	switch {
	case c.silent.Load() && (isEOF(err) || errors.Is(err, os.ErrDeadlineExceeded)):
		c.silent.Store(false)
		return !c.srv.cfg.OnSilent(c) // the end of the stream is read again
	case errors.Is(err, errTooLong):
		_ = c.Send(ErrorFrame(Errorf(TooLarge, "line is longer than %d bytes", c.srv.cfg.MaxLine)))
	case errors.Is(err, errNoRoom):
		_ = c.Send(ErrorFrame(Errorf(Unavailable, "too many long lines at once, try again: all together may have %d bytes unfinished", c.srv.cfg.MaxLines)))
	case errors.Is(err, errSlow):
		_ = c.Send(ErrorFrame(Errorf(BadRequest, "line not complete %v after its first byte", c.srv.cfg.LineTimeout)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		if c.holds.Load() > 0 {
			return true // held since the read began
		}
		_ = c.Send(ErrorFrame(Errorf(Unavailable, "idle for %v without a subscription", c.srv.cfg.IdleTimeout)))
	case !isEOF(err):
		c.Close(err) // broken: nobody is there for what is in work
	}
	return false
}

// handle parses one line and hands it over. An error means that the connection must be closed.
func (c *Conn) handle(line []byte) error {
	var f Frame
	switch err := c.lines.parse(line, &f); {
	case errors.Is(err, ErrNotObject):
		_ = c.Fail(f, Errorf(BadRequest, "%v", err))
		return err
	case err != nil:
		_ = c.Fail(f, err)
		return nil
	}
	c.srv.cfg.OnFrame(c, f)
	return nil
}

// idle returns how long the client may be silent now.
func (c *Conn) idle() time.Duration {
	switch {
	case c.silent.Load():
		return c.srv.cfg.SilentAfter
	case c.holds.Load() > 0:
		return 0
	}
	return c.srv.cfg.IdleTimeout
}
