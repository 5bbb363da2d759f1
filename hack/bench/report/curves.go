package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"quotes/hack/bench/bench"
	"quotes/hack/bench/world"
	"quotes/src/cluster"
)

// each is how many questions one point of a curve is the median of.
const each = 100

func point(name, addr string, next func(int) []byte, check func(int, []byte) error) (bench.Row, error) {
	s, err := paced(addr, each, 6*every, next, check)
	return bench.Row{Name: name, Ours: s.Median(), Unit: "ms"}, err
}

// curves are the cost against records of one symbol, and against symbols of 20 records each.
func curves(w *world.World) (rows []bench.Row, err error) {
	addr := w.Addr["aggregator"]
	for _, n := range []int{1, 10, 100, 500, 1000, 2000} {
		row, err := point(fmt.Sprintf("curve-history-%d", n), addr, rotate(n, 1000), full(n))
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	for _, n := range []int{1, 2, 4, 8, 16, symbolCount} {
		row, err := point(fmt.Sprintf("curve-symbols-%d", n), addr, func(int) []byte { return several(n) }, complete)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func several(n int) []byte {
	return fmt.Appendf(nil, `{"type":"REQ_REPORT","id":1,"budget_ms":1000,"payload":{"symbols":["%s"],"limit":20}}`+"\n", strings.Join(symbols()[:n], `","`))
}

func complete(_ int, line []byte) error {
	if !strings.HasPrefix(string(line), `{"type":"RESP_REPORT",`) || strings.Contains(string(line), `"coverage":0`) {
		return fmt.Errorf("answer: %.300s", line)
	}
	return nil
}

// shards is the cost of all symbols' reports against the number of shards, everything in one process.
func shards(*world.World) (rows []bench.Row, err error) {
	for _, n := range []int{3, 8, 32} {
		row, err := grown(n)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func grown(n int) (row bench.Row, err error) {
	dir, err := os.MkdirTemp("", "bench-report")
	if err != nil {
		return row, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := cluster.New(cluster.Config{Dir: dir, Shards: n, Symbols: symbols(), Rate: 20})
	if err != nil {
		return row, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.StartAll(ctx); err != nil {
		return row, err
	}
	defer func() { _ = c.StopAll() }()
	addr := c.Addr(cluster.Aggregator)
	if err := world.Await("history", func() bool {
		line, err := once(addr, question(symbols()[0], 20, 1000))
		return err == nil && full(20)(0, line) == nil
	}); err != nil {
		return row, err
	}
	return point(fmt.Sprintf("curve-shards-%d", n), addr, func(int) []byte { return several(symbolCount) }, complete)
}
