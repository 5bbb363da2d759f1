package main

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// load is one kind of work: as fast as it goes, without loss.
type load struct {
	topics  []string
	payload []byte
	// readers are the patterns of each subscriber.
	readers [][]string
	args    []string // of our server
	length  time.Duration
}

// ahead is how many bytes of lines the publisher may be ahead of the slowest reader: less than our default lag limit and than any
// buffer of NATS, so that nobody loses anything, and enough for big bursts.
const ahead = 400 << 10

// window is the same in messages.
func (l *load) window() int64 { return int64(ahead / (len(l.payload) + 100)) }

// result is what one run of a load gave.
type result struct {
	published, delivered float64       // a second
	cpu                  time.Duration // of the server, a delivery
}

// counter is a reader's count, alone in its cache line.
type counter struct {
	atomic.Int64
	_ [56]byte
}

// run measures one system. A lost message is an error: what is compared must be the same work.
func (l *load) run(s *system) (res result, err error) {
	b, err := l.begin(s)
	defer b.close()
	if err != nil {
		return res, err
	}
	cpu, err := b.server.cpu()
	if err != nil {
		return res, err
	}
	sent, delivered, began := b.sent, b.delivered(), time.Now()
	if err := b.run(l.length); err != nil {
		return res, err
	}
	took := time.Since(began)
	after, err := b.server.cpu()
	n := b.delivered() - delivered
	return result{float64(b.sent-sent) / took.Seconds(), float64(n) / took.Seconds(), (after - cpu) / time.Duration(max(n, 1))}, errors.Join(err, b.complete())
}

// begun is a system at work.
type begun struct {
	*pump
	system  *system
	server  *process
	readers []reader
}

// begin starts a system and lets it warm up. What it returns must be closed, also where there is an error.
func (l *load) begin(s *system) (b *begun, err error) {
	b = &begun{system: s}
	if b.server, err = s.run(l.serverArgs(s)...); err != nil {
		return b, err
	}
	pub, err := s.publish(b.server.addr, l.topics)
	if err != nil {
		return b, err
	}
	got := make([]counter, len(l.readers))
	b.pump = &pump{load: l, pub: pub, got: got, due: make([]int64, len(got)), matching: l.matching()}
	for i, patterns := range l.readers {
		r, err := s.subscribe(b.server.addr, patterns, func([]byte) { got[i].Add(1) })
		if err != nil {
			return b, fmt.Errorf("reader %d: %w", i, err)
		}
		b.readers = append(b.readers, r)
	}
	return b, b.run(l.length / 5)
}

// complete returns an error where a reader lost anything.
func (b *begun) complete() (err error) {
	for i, r := range b.readers {
		if n := r.lost(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%s: reader %d lost %d messages", b.system.name, i, n))
		}
	}
	return err
}

func (b *begun) close() {
	for _, r := range b.readers {
		r.close()
	}
	if b.pump != nil {
		b.pub.close()
	}
	if b.server != nil {
		b.server.close()
	}
}

func (l *load) serverArgs(s *system) []string {
	if s.name != "ours" {
		return nil
	}
	return l.args
}

// matching returns for each topic the readers that get it, and how often.
func (l *load) matching() [][]int {
	out := make([][]int, len(l.topics))
	for t, topic := range l.topics {
		for i, patterns := range l.readers {
			for _, p := range patterns {
				if p == topic || p == "*" || p == "quotes.*" {
					out[t] = append(out[t], i)
				}
			}
		}
	}
	return out
}

// pump publishes within the window.
type pump struct {
	*load
	pub      publisher
	got      []counter
	due      []int64 // what each reader must have got by now
	matching [][]int
	sent     int
}

func (p *pump) delivered() (n int64) {
	for i := range p.got {
		n += p.got[i].Load()
	}
	return n
}

// behind returns how far the slowest reader is.
func (p *pump) behind() (most int64) {
	for i, due := range p.due {
		most = max(most, due-p.got[i].Load())
	}
	return most
}

const stuck = 30 * time.Second

// run publishes for so long, and returns when all has arrived.
func (p *pump) run(length time.Duration) error {
	for until := time.Now().Add(length); time.Now().Before(until); {
		for range 50 {
			t := p.sent % len(p.topics)
			if err := p.pub.publish(t, p.payload); err != nil {
				return err
			}
			p.sent++
			for _, i := range p.matching[t] {
				p.due[i]++
			}
		}
		if p.behind() > p.window() {
			if err := p.await(p.window() / 2); err != nil {
				return err
			}
		}
	}
	return p.await(0)
}

// await waits until the slowest reader is at most so far behind.
func (p *pump) await(most int64) error {
	if err := p.pub.flush(); err != nil {
		return err
	}
	for began := time.Now(); p.behind() > most; time.Sleep(50 * time.Microsecond) {
		if time.Since(began) > stuck {
			return fmt.Errorf("the slowest reader is still %d messages behind after %v", p.behind(), stuck)
		}
	}
	return nil
}

// same returns n readers of the same patterns.
func same(n int, patterns ...string) [][]string { return slices.Repeat([][]string{patterns}, n) }

// names returns n topics.
func names(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("quotes.S%05d", i))
	}
	return out
}
