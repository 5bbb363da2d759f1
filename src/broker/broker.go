package broker

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Broker is the process.
type Broker struct {
	cfg     Config
	ln      net.Listener
	met     *metrics
	since   time.Time
	writers sync.WaitGroup
	spare   sync.Pool // of *copies

	// mu guards everything below, the topics and the sessions. Nobody writes to a connection while holding it.
	mu       sync.Mutex
	topics   map[quote.Topic]*topic
	bytes    int       // of all logs
	swept    time.Time // when all of them were trimmed last
	sessions map[*session]struct{}
	pub      publisher
	leaving  bool
	frames   uint64    // records that core published
	burst    time.Time // when the first of the fresh topics' records came
	fresh    []*topic  // whose readers have yet to be told of what came: once a burst, not once a record
}

// New checks the configuration and listens. Run must follow.
func New(cfg Config) (*Broker, error) {
	cfg.defaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ln, err := wire.Listen(cfg.Listen, "broker")
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, ln: ln, since: time.Now(), topics: map[quote.Topic]*topic{}, sessions: map[*session]struct{}{}}
	b.pub.source, b.pub.since = wire.SourceRecovering, b.since
	b.met = newMetrics(cfg.Metrics, b)
	return b, nil
}

// Addr returns the data port's address.
func (b *Broker) Addr() string { return b.ln.Addr().String() }

// Ready says that the broker can answer: from its start on, though its snapshots follow core's first HELLO.
func (b *Broker) Ready() error { return nil }

// Run serves until ctx ends, then says goodbye to all.
func (b *Broker) Run(ctx context.Context) error {
	b.cfg.Log.Info("listening", "addr", b.Addr())
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: b.onFrame, OnPause: b.onPause, Borrow: true, OnClose: b.onClose, WriteTimeout: b.cfg.WriteTimeout, Log: b.cfg.Log})
	if err != nil {
		return errors.Join(err, b.ln.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error { return srv.Serve(serving, b.ln) })
	g.Go(func() error { return b.watch(ctx) })
	g.Go(func() error {
		defer stop() // the server says GOAWAY
		<-ctx.Done()
		b.part()
		return nil
	})
	err = g.Wait()
	b.writers.Wait()
	return err
}

// partFor bounds how long the broker's end waits for its subscribers.
const partFor = 500 * time.Millisecond

// part lets every subscriber have what it is owed, and a last heartbeat with where each topic stands: all but those that don't read.
func (b *Broker) part() {
	b.mu.Lock()
	b.leaving = true
	b.tell()
	var all []*session
	for s := range b.sessions {
		for _, c := range s.cursors {
			c.told = untold
		}
		s.announce = true
		s.signal()
		all = append(all, s)
	}
	b.mu.Unlock()
	over := time.After(partFor)
	for _, s := range all {
		select {
		case <-s.parted:
		case <-s.conn.Context().Done():
		case <-over:
			return
		}
	}
}

// partedFrom notes, once the broker is leaving, that a session has all that it is owed.
func (b *Broker) partedFrom(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leaving && !s.gone && !s.announce && len(s.dirty) == 0 && s.mute == 0 {
		s.gone = true
		close(s.parted)
	}
}

// How often logs are trimmed that nobody publishes to: at all, and while all together have too much.
const (
	sweepEvery = 5 * time.Second
	sweepFull  = time.Second
)

// watch notices core's silence and trims the logs.
func (b *Broker) watch(ctx context.Context) error {
	tick, sweep := time.NewTicker(b.cfg.Silence/30), time.NewTicker(sweepEvery)
	defer tick.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-sweep.C:
			b.sweep(now)
		case now := <-tick.C:
			b.mu.Lock()
			if b.pub.conn != nil && now.Sub(b.pub.heard) > b.cfg.Silence {
				b.lose(now)
			}
			b.mu.Unlock()
		}
	}
}

// sweep trims all logs: by age, and to their share where all together have too much.
func (b *Broker) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trimAll(now)
}

// trimAll does so with the lock held.
func (b *Broker) trimAll(now time.Time) {
	b.swept = now
	for _, t := range b.topics {
		b.trim(t, now)
	}
}

// log records what core published. The lock is held.
func (b *Broker) log(t *topic, f *wire.Frame, now time.Time) {
	had := t.bytes()
	t.record(f, now)
	b.bytes += t.bytes() - had
	b.trim(t, now)
	if b.bytes > b.cfg.Total && now.Sub(b.swept) >= sweepFull {
		b.trimAll(now)
	}
}

// trim drops what a topic has too much of. The lock is held.
func (b *Broker) trim(t *topic, now time.Time) {
	had := t.bytes()
	t.trim(b.retention(), b.oldest(now))
	b.bytes += t.bytes() - had
}

// retention is how many bytes a topic may keep: what is configured or, while all logs together have more than they may, the topic's
// even share of that; the newest record always stays. The lock is held.
func (b *Broker) retention() int {
	if b.bytes <= b.cfg.Total {
		return b.cfg.Retention
	}
	return min(b.cfg.Retention, max(b.cfg.Total/max(len(b.topics), 1), 1))
}

// mostLag is how far an all reader may lag a topic: in the same proportion to what is kept as is configured. The lock is held.
func (b *Broker) mostLag() uint64 {
	return uint64(float64(b.cfg.MaxLag) * float64(b.retention()) / float64(b.cfg.Retention))
}

// oldest is the time before which records are not kept; zero where age does not count.
func (b *Broker) oldest(now time.Time) time.Time {
	if b.cfg.RetentionAge == 0 {
		return time.Time{}
	}
	return now.Add(-b.cfg.RetentionAge)
}

func (b *Broker) onFrame(c *wire.Conn, f wire.Frame) {
	switch f.Type {
	case wire.TypePublish:
		if err := b.publish(c, &f); err != nil {
			_ = c.Fail(f, err)
			if wire.CodeOf(err) == wire.StaleEpoch {
				c.Close(err)
			}
		}
	case wire.TypeHeartbeat:
		b.mu.Lock()
		if b.pub.conn == c {
			b.hear(time.Now())
		}
		b.mu.Unlock()
	case wire.TypeSubscribe:
		b.subscribe(c, f)
	case wire.TypeUnsubscribe:
		if err := b.unsubscribe(c, &f); err != nil {
			_ = c.Fail(f, err)
		}
	case wire.TypeHello:
		b.hello(c, f)
	case wire.TypeReqStatus:
		_ = c.Reply(f, b.status().Frame())
	case wire.TypeReqQuote, wire.TypeReqHist, wire.TypeReqReport:
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "the broker distributes; %s is answered by the aggregator", f.Type))
	default:
		_ = c.Fail(f, wire.Errorf(wire.BadRequest, "the broker knows no %.40q: it takes SUBSCRIBE, UNSUBSCRIBE and REQ_STATUS", f.Type))
	}
}

// onPause tells of what a burst of frames has brought.
func (b *Broker) onPause(*wire.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell()
}

// tell wakes the readers of all fresh topics. The lock is held.
func (b *Broker) tell() {
	for _, t := range b.fresh {
		t.fresh = false
		b.wake(t)
	}
	clear(b.fresh)
	b.fresh = b.fresh[:0]
}

func (b *Broker) onClose(c *wire.Conn, reason error) {
	b.leave(c)
	if s, ok := c.Value().(*session); ok {
		b.forget(s) // once more: what subscribed while its writer ended
		switch cause := context.Cause(c.Context()); {
		case errors.Is(cause, os.ErrDeadlineExceeded):
			b.met.cutoff.WithLabelValues("not_reading").Inc()
			b.cfg.Log.Warn("subscriber cut off", "addr", c.RemoteAddr(), "reason", "not reading", "after", b.cfg.WriteTimeout)
		case errors.Is(cause, syscall.ETIMEDOUT):
			b.met.cutoff.WithLabelValues("took_nothing").Inc()
			b.cfg.Log.Warn("subscriber cut off", "addr", c.RemoteAddr(), "reason", "took nothing, or is gone")
		}
	}
}

// topic returns the topic, making it and giving it to those who cover it. The lock is held.
func (b *Broker) topic(name quote.Topic) (*topic, error) {
	if t := b.topics[name]; t != nil {
		return t, nil
	}
	if len(b.topics) >= b.cfg.MaxTopics {
		return nil, wire.Errorf(wire.TooLarge, "the broker has %d topics already (--max-topics)", b.cfg.MaxTopics)
	}
	b.tell() // what came before the topic's first record goes out before it
	t := &topic{name: name, began: b.since, epoch: b.pub.epoch, next: 1, readers: map[*session]*cursor{}}
	b.topics[name] = t
	if b.pub.source != wire.SourceRecovering {
		for s := range b.sessions {
			b.attach(s, t)
		}
	}
	return t, nil
}

// wake tells a topic's readers that there is something new. The lock is held.
func (b *Broker) wake(t *topic) {
	for s, c := range t.readers {
		s.mark(c)
	}
}

// status describes the broker.
func (b *Broker) status() wire.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	core := wire.Peer{Name: "core", State: "down"}
	if b.pub.conn != nil {
		core.Addr, core.State = b.pub.conn.RemoteAddr(), "up"
	}
	st := wire.Status{
		Process: "broker", Version: b.cfg.Version, Since: quote.TimeOf(b.since), Epoch: b.pub.epoch,
		Peers: []wire.Peer{core}, Topics: make(map[quote.Topic]wire.TopicInfo, len(b.topics)),
	}
	for name, t := range b.topics {
		st.Topics[name] = t.info()
	}
	for s := range b.sessions {
		row := wire.SubscriberStatus{Addr: s.conn.RemoteAddr(), Topics: len(s.cursors), Skipped: s.skipped, Lost: s.lost}
		for t, c := range s.cursors {
			row.Lag += t.lag(c.next)
		}
		st.Subscribers = append(st.Subscribers, row)
	}
	return st
}
