package main

import (
	"fmt"
	"io"
	"net"
	"time"
)

// pages opens n streaming pages, reads what they get and throws it away. It returns how to close them.
func pages(addr string, n int) (stop func(), err error) {
	var conns []net.Conn
	stop = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return stop, err
		}
		conns = append(conns, nc)
		if _, err := fmt.Fprintf(nc, "GET /v1/stream HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", addr); err != nil {
			return stop, err
		}
		first := make([]byte, 12)
		if err := nc.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return stop, err
		}
		if _, err := io.ReadFull(nc, first); err != nil || string(first) != "HTTP/1.1 200" {
			return stop, fmt.Errorf("page: %q: %w", first, err)
		}
		if err := nc.SetReadDeadline(time.Time{}); err != nil {
			return stop, err
		}
		go func() {
			buf := make([]byte, 4096)
			for {
				if _, err := nc.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	return stop, nil
}
