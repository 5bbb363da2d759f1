package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"quotes/hack/bench/bench"
	"quotes/hack/bench/world"
	"quotes/src/quote"
	"quotes/src/wire"
)

// echo is one bare server: it sends every line back. It runs as a process of its own.
func echo(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			in := bufio.NewReaderSize(nc, 1<<20)
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if _, err := nc.Write(line); err != nil {
					return
				}
			}
		}()
	}
}

// naive is the reference: what one writes in ten minutes. Each call sends the bytes of a report of ours to three echo
// servers in parallel, decodes what comes into the same types by encoding/json, unites it without duplicates and encodes
// that again. It has no client's hop, which ours has.
type naive struct {
	runs  []*exec.Cmd
	calls []*client
	bytes []byte
}

func newNaive(report []byte) (*naive, error) {
	n := &naive{bytes: report}
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return n, err
		}
		addr := ln.Addr().String()
		ln.Close()
		cmd := exec.Command(os.Args[0], "echo", addr)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return n, err
		}
		n.runs = append(n.runs, cmd)
		var c *client
		if err := world.Await("echo server", func() bool { c, err = dial(addr); return err == nil }); err != nil {
			return n, err
		}
		n.calls = append(n.calls, c)
	}
	return n, nil
}

func (n *naive) close() {
	for _, cmd := range n.runs {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func (n *naive) once() ([]byte, error) {
	var frames [3]struct{ Payload wire.Report }
	var errs [3]error
	var wg sync.WaitGroup
	for i, c := range n.calls {
		wg.Go(func() {
			line, err := c.ask(n.bytes)
			if err == nil {
				err = json.Unmarshal(line, &frames[i])
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	all := frames[0].Payload
	have := map[string]bool{}
	all.History = make([]quote.Trade, 0, len(all.History))
	for i := range frames {
		for _, t := range frames[i].Payload.History {
			if !have[t.ID] {
				have[t.ID] = true
				all.History = append(all.History, t)
			}
		}
	}
	return json.Marshal(all)
}

// paced is as ours: milliseconds from the intended time.
func (n *naive) paced(count int, every time.Duration) (bench.Series, error) {
	var out bench.Series
	began := time.Now()
	for i := range count {
		due := began.Add(time.Duration(i) * every)
		time.Sleep(time.Until(due))
		if _, err := n.once(); err != nil {
			return out, err
		}
		out = append(out, float64(time.Since(due).Microseconds())/1000)
	}
	return out, nil
}
