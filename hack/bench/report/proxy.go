package main

import (
	"bufio"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

// proxy stands before a shard and holds some of its answers back, each by itself: those behind it are not delayed.
type proxy struct {
	ln    net.Listener
	to    string
	share atomic.Int64 // of answers held back, in percent
	hold  time.Duration
}

func newProxy(to string, hold time.Duration) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{ln: ln, to: to, hold: hold}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(nc)
		}
	}()
	return p, nil
}

func (p *proxy) serve(nc net.Conn) {
	defer nc.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		in := bufio.NewReaderSize(nc, 1<<20)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				up.Close()
				return
			}
			_, _ = up.Write(line)
		}
	}()
	in := bufio.NewReaderSize(up, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if rand.Int64N(100) < p.share.Load() {
			time.AfterFunc(p.hold, func() { _, _ = nc.Write(line) })
			continue
		}
		if _, err := nc.Write(line); err != nil {
			return
		}
	}
}
