package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"quotes/hack/bench/bench"
	"quotes/src/quote"
	"quotes/src/wire"
)

// stall opens a connection that subscribes and never reads.
func stall(s *system, addr, topic string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	say := fmt.Sprintf(`{"type":"SUBSCRIBE","topic":%q,"payload":{"mode":"all","snapshot":false}}`+"\n", topic)
	if s.name == "nats" {
		say = "CONNECT {\"verbose\":false}\r\nSUB " + topic + " 1\r\n"
	}
	_, err = c.Write([]byte(say))
	return c, err
}

// most is how many readers stall.
const most = 2

// stalls are the publisher's rate with readers that never read over its rate without.
func stalls() (rows []bench.Row, err error) {
	var shares [most + 1][2]bench.Series // by number of stalled readers, by system
	for range 2*rounds - 1 {
		for i, s := range both() {
			rates, err := stalling(s)
			if err != nil {
				return nil, err
			}
			for n, r := range rates {
				shares[n][i] = append(shares[n][i], r/rates[0])
			}
		}
	}
	for n := 1; n <= most; n++ {
		ours := shares[n][0].Median()
		rows = append(rows, bench.Row{
			Name: fmt.Sprintf("stalled-%d", n), Unit: "x the rate with none", Goal: ">=0.97",
			Ours: ours, Theirs: shares[n][1].Median(), Ratio: ours, Peer: natsSystem().version, Spread: shares[n][0].Spread(),
		})
	}
	return rows, nil
}

// stalling returns the publisher's rates with no, one and two stalled readers, on the same server one after the other: servers differ by
// more than readers make. The rate with none is the mean of before and after.
func stalling(s *system) (rates [most + 1]float64, err error) {
	l := load{topics: names(1), payload: text(128), readers: same(8, names(1)[0]), length: length}
	b, err := l.begin(s)
	defer b.close()
	var stalled []net.Conn
	for n := 0; n <= most && err == nil; n++ {
		if n > 0 {
			var c net.Conn
			if c, err = stall(s, b.server.addr, l.topics[0]); err != nil {
				break
			}
			defer c.Close()
			stalled = append(stalled, c)
			err = b.run(l.length / 4) // until its buffers are full
		}
		if err == nil {
			rates[n], err = b.rate()
		}
	}
	for _, c := range stalled {
		_ = c.Close()
	}
	if err == nil {
		err = b.run(l.length / 4)
	}
	if err != nil {
		return rates, err
	}
	again, err := b.rate()
	rates[0] = (rates[0] + again) / 2
	return rates, errors.Join(err, b.complete())
}

// rate publishes for the load's length and returns how many messages a second.
func (b *begun) rate() (float64, error) {
	sent, began := b.sent, time.Now()
	err := b.run(b.length)
	return float64(b.sent-sent) / time.Since(began).Seconds(), err
}

// resumes measure how long a reader that is 10,000 messages behind takes to be live.
func resumes() ([]bench.Row, error) {
	const frames = 10_000
	one := names(1)
	server, err := oursSystem().run("--retention", strconv.Itoa(8<<20))
	if err != nil {
		return nil, err
	}
	defer server.close()
	pub, err := publishOurs(server.addr, one)
	if err != nil {
		return nil, err
	}
	defer pub.close()
	payload := text(128)
	for range frames + 1 {
		if err := pub.publish(0, payload); err != nil {
			return nil, err
		}
	}
	if err := pub.flush(); err != nil {
		return nil, err
	}
	if err := stored(server.addr, quote.Topic(one[0]), frames+1); err != nil {
		return nil, err
	}
	epoch := pub.(*ourPublisher).epoch
	var took bench.Series
	for range rounds {
		var got atomic.Int64
		began, live := time.Now(), make(chan struct{})
		r, err := subscribeFrom(server.addr, one, map[quote.Topic]quote.Point{quote.Topic(one[0]): {Epoch: epoch, Seq: 1}}, func([]byte) {
			if got.Add(1) == frames {
				close(live)
			}
		})
		if err != nil {
			return nil, err
		}
		select {
		case <-live:
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		case <-time.After(stuck):
			err = fmt.Errorf("%d of %d frames after %v", got.Load(), frames, stuck)
		}
		if n := r.lost(); n > 0 {
			err = fmt.Errorf("%d frames were lost or skipped", n)
		}
		r.close()
		if err != nil {
			return nil, err
		}
	}
	return []bench.Row{{Name: "resume-10k", Unit: "ms", Goal: "<=100", Ours: took.Median(), Spread: took.Spread()}}, nil
}

// stored waits until the broker has a topic through a seq.
func stored(addr string, topic quote.Topic, seq uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), stuck)
	defer cancel()
	s, err := wire.Dial(ctx, wire.DialConfig{Addr: addr})
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		f, err := s.Do(ctx, wire.Frame{Type: wire.TypeReqStatus})
		if err != nil {
			return err
		}
		var st wire.Status
		if err := f.Decode(&st); err != nil {
			return err
		}
		if st.Topics[topic].Next > seq {
			return nil
		}
	}
}

// memories are the bytes of our server's resident memory that idle and stalled readers cost.
func memories() ([]bench.Row, error) {
	const idle, stalled = 5000, 100
	one := names(1)
	idleBytes, err := grown(idle, func(addr string) error { return nil }, func(addr string) (func(), error) {
		r, err := subscribeOurs(addr, one, func([]byte) {})
		if err != nil {
			return nil, err
		}
		return r.close, nil
	})
	if err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	fill := func(addr string) error { // more than any socket's buffers hold
		pub, err := publishOurs(addr, one)
		if err != nil {
			return err
		}
		defer pub.close()
		payload := text(4096)
		for range 8192 {
			if err := pub.publish(0, payload); err != nil {
				return err
			}
		}
		if err := pub.flush(); err != nil {
			return err
		}
		return stored(addr, quote.Topic(one[0]), 8192)
	}
	stalledBytes, err := grown(stalled, fill, func(addr string) (func(), error) {
		c, err := stall(oursSystem(), addr, one[0])
		if err != nil {
			return nil, err
		}
		return func() { _ = c.Close() }, nil
	})
	if err != nil {
		return nil, fmt.Errorf("stalled: %w", err)
	}
	return []bench.Row{
		{Name: "stalled-memory", Unit: "B/reader", Goal: "<=65536", Ours: stalledBytes},
		{Name: "idle-memory", Unit: "B/reader", Goal: "<=20480", Ours: idleBytes},
	}, nil
}

// grown returns how much a server with n readers has more than one without, by reader, after the same work.
func grown(n int, work func(addr string) error, open func(addr string) (func(), error)) (float64, error) {
	var rss [2]int64
	for i, readers := range []int{0, n} {
		server, err := oursSystem().run("--write-timeout", "1m")
		if err != nil {
			return 0, err
		}
		defer server.close()
		pub, err := publishOurs(server.addr, names(1)) // the topic's owner: without one all is recovering
		if err != nil {
			return 0, err
		}
		pub.close()
		for range readers {
			end, err := open(server.addr)
			if err != nil {
				return 0, err
			}
			defer end()
		}
		if err := work(server.addr); err != nil {
			return 0, err
		}
		if rss[i], err = server.resident(); err != nil {
			return 0, err
		}
	}
	return max(1, float64(rss[1]-rss[0])) / float64(n), nil
}

// tidyOnSignal lets a server give back what it does not use, so that what is measured is what it holds.
func tidyOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		for range c {
			debug.FreeOSMemory()
		}
	}()
}

// resident returns the server's resident memory, in bytes, once it has given back what it does not use: the least of a few looks.
func (p *process) resident() (least int64, err error) {
	for range 5 {
		if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			return 0, err
		}
		time.Sleep(200 * time.Millisecond)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, err
		}
		if least == 0 || n*1024 < least {
			least = n * 1024
		}
	}
	return least, nil
}
