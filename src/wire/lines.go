package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// errTooLong says that a line passed the limit.
var errTooLong = errors.New("line too long")

// errSlow says that a line was not complete in time after its first byte.
var errSlow = errors.New("line too slow")

// lineReader reads lines under two deadlines: one for silence, one for a line that has begun.
// One goroutine calls next; rearm, stop and let are for others.
type lineReader struct {
	conn    net.Conn
	max     int                  // longest line, newline included
	line    time.Duration        // a line must be complete this long after its first byte
	idle    func() time.Duration // how long silence is allowed now; 0 is for ever
	touched func()               // called when bytes arrive; may be nil

	buf      []byte
	pos, end int
	filled   bool // the last read took all the room there was

	mu      sync.Mutex // guards the connection's read deadline, and:
	begun   bool       // it is a line's own, not silence's
	stopped bool       // no read waits any more
}

// A connection begins with a small buffer; a busy one earns a larger one.
const (
	readChunk = 4 << 10
	readMost  = 64 << 10
)

// next returns the next line without its newline, valid until the next call. A last line without newline counts as a line.
// Errors: io.EOF, errTooLong, errSlow, os.ErrDeadlineExceeded for silence, or what the connection says.
func (r *lineReader) next() ([]byte, error) {
	scanned := r.pos
	for fresh := true; ; fresh = false {
		if i := bytes.IndexByte(r.buf[scanned:r.end], '\n'); i >= 0 {
			line := r.buf[r.pos : scanned+i]
			r.pos = scanned + i + 1
			if len(line) >= r.max {
				return nil, errTooLong
			}
			return line, nil
		}
		if r.end-r.pos >= r.max {
			return nil, errTooLong
		}
		r.room()
		scanned = r.end
		if err := r.arm(fresh); err != nil {
			return nil, err
		}
		n, err := r.conn.Read(r.buf[r.end:])
		r.end += n
		r.filled = r.end == len(r.buf)
		if n > 0 && r.touched != nil {
			r.touched()
		}
		if err != nil && n == 0 {
			return r.last(err)
		}
	}
}

// arm sets the deadline that holds now: silence's until a first byte is here, then the line's own, once.
func (r *lineReader) arm(fresh bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !fresh && r.begun {
		return nil
	}
	r.begun = r.end > r.pos
	return r.set()
}

// rearm says that silence is judged anew. A line that has begun keeps its deadline.
func (r *lineReader) rearm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		_ = r.set() // a broken connection tells its reader
	}
}

// stop ends the read in work and all later ones with os.ErrDeadlineExceeded; lines that are here already still come.
func (r *lineReader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	_ = r.set()
}

// let leaves the connection to somebody else, without a deadline; stop does nothing any more.
func (r *lineReader) let() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.conn.SetReadDeadline(time.Time{})
	r.conn = nil
	return err
}

func (r *lineReader) set() error {
	if r.conn == nil {
		return net.ErrClosed
	}
	switch {
	case r.stopped:
		return r.conn.SetReadDeadline(time.Unix(1, 0)) // long past
	case r.begun:
		return r.conn.SetReadDeadline(time.Now().Add(r.line))
	}
	if d := r.idle(); d > 0 {
		return r.conn.SetReadDeadline(time.Now().Add(d))
	}
	return r.conn.SetReadDeadline(time.Time{})
}

// last turns the end of the stream into a last line, where there is one.
func (r *lineReader) last(err error) ([]byte, error) {
	if errors.Is(err, io.EOF) && r.end > r.pos {
		line := r.buf[r.pos:r.end]
		r.pos = r.end
		return line, nil
	}
	if r.end > r.pos && isTimeout(err) {
		return nil, errSlow
	}
	return nil, err
}

// room moves what is unread to the front and grows or gives back the buffer.
func (r *lineReader) room() {
	unread := r.end - r.pos
	switch {
	case unread == 0 && len(r.buf) > readMost:
		r.buf = make([]byte, readChunk) // one long line must not cost the connection for ever
	case unread == len(r.buf), r.filled && len(r.buf) < readMost:
		grown := make([]byte, min(max(2*len(r.buf), readChunk), r.max+readChunk))
		copy(grown, r.buf[r.pos:r.end])
		r.buf = grown
	case r.pos > 0:
		copy(r.buf, r.buf[r.pos:r.end])
	}
	r.pos, r.end = 0, unread
}

// buffered returns what was read and not yet handed out.
func (r *lineReader) buffered() []byte { return r.buf[r.pos:r.end] }

// isEOF reports whether err is the quiet end of a stream.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// isTimeout reports whether err is a deadline of the connection.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
