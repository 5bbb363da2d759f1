package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// maxLine bounds what is kept of a line that does not end, in bytes; a longer one is shown in pieces.
const maxLine = 64 << 10

// console shows the output of several processes, whole lines, each behind its process's name.
type console struct {
	mu sync.Mutex
	w  io.Writer
}

func (c *console) column(name string) *column { return &column{console: c, name: name} }

// column takes the output of one process. It is for one goroutine.
type column struct {
	console *console
	name    string
	rest    []byte // of a line that has not ended
}

func (c *column) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		line, rest, found := bytes.Cut(c.rest, []byte("\n"))
		if !found && len(line) < maxLine {
			return len(b), nil
		}
		c.show(line)
		c.rest = rest
	}
}

// Close shows what has no line end.
func (c *column) Close() error {
	if len(c.rest) > 0 {
		c.show(c.rest)
		c.rest = nil
	}
	return nil
}

func (c *column) show(line []byte) {
	c.console.mu.Lock()
	defer c.console.mu.Unlock()
	fmt.Fprintf(c.console.w, "%-10s | %s\n", c.name, line)
}
