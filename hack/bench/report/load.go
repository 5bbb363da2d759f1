package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"quotes/hack/bench/bench"
)

// client asks one question at a time over one connection, and hands over raw lines.
type client struct {
	nc net.Conn
	in *bufio.Reader
}

func dial(addr string) (*client, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{nc, bufio.NewReaderSize(nc, 1<<20)}, nil
}

// ask returns the answer's line, valid until the next call.
func (c *client) ask(line []byte) ([]byte, error) {
	if _, err := c.nc.Write(line); err != nil {
		return nil, err
	}
	return c.in.ReadSlice('\n')
}

// question is REQ_REPORT of one symbol.
func question(symbol string, limit, budgetMS int) []byte {
	return fmt.Appendf(nil, `{"type":"REQ_REPORT","id":1,"budget_ms":%d,"payload":{"symbol":%q,"limit":%d}}`+"\n", budgetMS, symbol, limit)
}

// seen is what a reader of reports looks at.
type seen struct {
	Type    string
	Payload struct {
		Code     string
		Message  string
		Coverage float64
		History  []json.RawMessage
		Missing  []struct {
			Slot    int
			Symbols []string
		}
	}
}

// paced asks n times at a rate with one client and returns the milliseconds from each intended send time to the answer's
// last byte. check may be nil.
func paced(addr string, n int, every time.Duration, next func(i int) []byte, check func(i int, line []byte) error) (bench.Series, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.nc.Close()
	out := make(bench.Series, 0, n)
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * every)
		time.Sleep(time.Until(due))
		line, err := c.ask(next(i))
		if err != nil {
			return out, err
		}
		out = append(out, float64(time.Since(due).Microseconds())/1000)
		if check != nil {
			if err := check(i, line); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// full refuses a report that is not complete.
func full(records int) func(int, []byte) error {
	return func(_ int, line []byte) error {
		var s seen
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		if s.Type != "RESP_REPORT" || s.Payload.Coverage != 1 || len(s.Payload.History) != records {
			return fmt.Errorf("%s %s %s: coverage %v, %d records", s.Type, s.Payload.Code, s.Payload.Message, s.Payload.Coverage, len(s.Payload.History))
		}
		return nil
	}
}

// throughput returns reports a second of clients that each ask as fast as they are answered.
func throughput(addr string, clients, limit int, during time.Duration) (float64, error) {
	var done atomic.Int64
	var mu sync.Mutex
	var fault error
	var wg sync.WaitGroup
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			c, err := dial(addr)
			if err == nil {
				defer c.nc.Close()
				ask := question(symbols()[i%symbolCount], limit, 5000)
				for err == nil && time.Since(began) < during {
					var line []byte
					line, err = c.ask(ask)
					whole := bytes.HasPrefix(line, []byte(`{"type":"RESP_REPORT",`)) && bytes.Contains(line, []byte(`"coverage":1,`))
					if err == nil && !whole {
						err = fmt.Errorf("answer: %.200s", line)
					}
					done.Add(1)
				}
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				fault = err
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), fault
}
