package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"quotes/hack/bench/bench"
	"quotes/src/quote"
	"quotes/src/wire"
)

// rebuild wipes one of two shards again and again, and measures how fast its twin gives all back, from its start to its last
// record; meanwhile somebody asks the twin for the newest hundred records of a symbol, all the time.
func rebuild(dir string) ([]bench.Row, error) {
	const chunks, batch = 10, 256 // of each topic
	const total = writers * chunks * 1024
	var addrs [2]string
	for i := range addrs {
		var err error
		if addrs[i], err = free(); err != nil {
			return nil, err
		}
	}
	shards := fmt.Sprintf("shard-0=%s,shard-1=%s", addrs[0], addrs[1])
	twin, err := startAs(filepath.Join(dir, "twin"), "", "shard-1", shards, now())
	if err != nil {
		return nil, err
	}
	defer twin.close()
	for i := range writers {
		for range chunks * 1024 / batch {
			if err := twin.append(i, batch); err != nil {
				return nil, err
			}
		}
	}
	if err := twin.sealed(writers * chunks); err != nil {
		return nil, err
	}
	var asked, failed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		limit := 100
		req := wire.Make(wire.TypeReqHist, wire.ReqHist{Symbols: []quote.Symbol{"PETR7"}, Order: wire.Desc, Limit: &limit})
		for ctx.Err() == nil {
			one, cancel := context.WithTimeout(ctx, time.Second)
			_, err := twin.session.Do(one, req)
			cancel()
			if asked.Add(1); err != nil && ctx.Err() == nil {
				failed.Add(1)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	var rates bench.Series
	wiped := filepath.Join(dir, "wiped")
	for range rounds {
		if err = os.RemoveAll(wiped); err != nil {
			break
		}
		began := time.Now()
		var s *server
		if s, err = startAs(wiped, "", "shard-0", shards, now()); err != nil {
			break
		}
		err = s.reaches("quotes_shard_repaired_records_total", total, 5*time.Millisecond)
		rates = append(rates, total/time.Since(began).Seconds())
		s.close()
		if err != nil {
			break
		}
	}
	cancel()
	<-done
	fmt.Printf("NOTE rebuild: a shard's volume is wiped, and its only twin gives all of it back, %d records each time; meanwhile the twin was asked %d times for the newest hundred of a symbol, of which %d failed.\n",
		total, asked.Load(), failed.Load())
	if failed.Load() > 0 {
		err = errors.Join(err, fmt.Errorf("%d reports failed", failed.Load()))
	}
	return []bench.Row{{Name: "rebuild", Unit: "records/s", Goal: ">=500000", Ours: rates.Median(), Spread: rates.Spread()}}, err
}
