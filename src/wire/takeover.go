package wire

import (
	"bytes"
	"net"
)

// Takeover gives the bare connection to OnFirst: reads begin with the first line, which it was given.
func (c *Conn) Takeover(first []byte) net.Conn {
	c.bye.Do(func() {}) // no GOAWAY into what is somebody else's now
	_ = c.in.let()      // a broken connection tells its reader
	head := append(append(bytes.Clone(first), '\n'), c.in.buffered()...)
	return &prefixed{Conn: c.nc, head: head}
}

// prefixed is a connection some of whose bytes were read already.
type prefixed struct {
	net.Conn
	head []byte
}

// Read returns the bytes read already first.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.head)
	p.head = p.head[n:]
	return n, nil
}
