package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quotes/src/placement"
	"quotes/src/shard/engine"
	"quotes/src/wire"
)

// Shard keeps the history of the slots it owns.
type Shard struct {
	cfg       Config
	log       *slog.Logger
	met       *metrics
	table     *placement.Table
	state     *state
	engine    engine.Engine
	damage    *damage
	room      *room
	chunks    *cache // decoded ones
	committer *committer
	menders   []*mender
	server    *wire.Server
	ln        net.Listener
	since     time.Time
	serving   atomic.Bool
}

// errNotServing says that Run has not begun, or has ended.
var errNotServing = errors.New("not serving")

// New opens the data folder and listens. The error says what is wrong and where, on one line; it leaves nothing open.
func New(cfg Config) (*Shard, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	table, self, err := cfg.table()
	if err != nil {
		return nil, err
	}
	s := &Shard{cfg: cfg, log: cfg.Log, met: newMetrics(), table: table, since: time.Now()}
	s.state = s.newState(self)
	s.damage = newDamage(cfg.fs, cfg.Data, cfg.Log)
	s.room = newRoom(&s.cfg)
	s.chunks = newCache(cfg.CacheMB << 20 / 4)
	if s.server, err = wire.NewServer(wire.ServerConfig{OnFrame: s.onFrame, OnClose: s.onClose, Log: cfg.Log}); err != nil {
		return nil, err
	}
	err = s.openOrRebuild()
	for end := time.Now().Add(cfg.LockWait); errors.Is(err, ErrInUse) && time.Now().Before(end); err = s.openOrRebuild() {
		time.Sleep(100 * time.Millisecond) // nothing tells when a lock is free
	}
	if errors.Is(err, ErrInUse) {
		err = fmt.Errorf("%w (is another %s running?)", err, cfg.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", cfg.Data, oneLine(err))
	}
	if s.ln, err = wire.Listen(cfg.Listen, cfg.Name); err != nil {
		return nil, errors.Join(err, s.engine.Close())
	}
	if cfg.Metrics != nil {
		if err := s.met.register(cfg.Metrics, s); err != nil {
			return nil, errors.Join(err, s.ln.Close(), s.engine.Close())
		}
	}
	s.committer = newCommitter(s.engine, s.state, s.log, s.met)
	s.committer.found = s.readFailed
	s.committer.room, s.committer.size = s.room, cfg.block
	_ = s.room.check() // makes the ballast; a full disk is said to be one, and is refused at each write
	for twin := range s.state.kicks {
		s.menders = append(s.menders, newMender(s, twin))
	}
	return s, nil
}

// newState returns a state that knows nothing yet.
func (s *Shard) newState(self int) *state {
	out := newState(self, s.table)
	out.size, out.tails.most = s.cfg.block, s.cfg.CacheMB<<20/4
	return out
}

// openOrRebuild opens the data folder; one that is damaged is refused, or set aside where that is wanted.
func (s *Shard) openOrRebuild() error {
	err := s.open()
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	if !s.cfg.Rebuild {
		return fmt.Errorf("%w; start with --rebuild to set it aside and copy all from the twins", oneLine(err))
	}
	if failed := s.damage.setAside(err); failed != nil {
		return errors.Join(err, fmt.Errorf("set it aside: %w", failed))
	}
	s.log.Error("damaged data folder set aside: all is copied from the twins", "data", s.cfg.Data, "aside", asideName, "err", oneLine(err))
	s.state = s.newState(s.state.self)
	s.damage = newDamage(s.cfg.fs, s.cfg.Data, s.log)
	return s.open()
}

// open opens the engine and reads what it has.
func (s *Shard) open() error {
	if err := s.damage.marked(); err != nil {
		return err
	}
	e, err := s.openEngine()
	if err != nil {
		return err
	}
	if err := load(e, s.cfg.Name, s.state); err != nil {
		return diagnose(errors.Join(err, e.Close()))
	}
	s.engine = e
	return nil
}

func (s *Shard) openEngine() (engine.Engine, error) {
	if s.cfg.Engine != nil {
		return s.cfg.Engine(s.cfg.Data)
	}
	return openPebble(s.room.guarded(), s.cfg.Data, s.cfg.CacheMB<<20/2, s.cfg.MemtableMB<<20, s.log, s.damage.listen)
}

// flat is an error told on one line.
type flat struct{ error }

// Error implements error.
func (f flat) Error() string { return strings.ReplaceAll(f.error.Error(), "\n", ": ") }

// Unwrap returns the error itself.
func (f flat) Unwrap() error { return f.error }

// oneLine keeps an error on one line, whatever storage has to say.
func oneLine(err error) error { return flat{err} }

// Addr returns the data port's address.
func (s *Shard) Addr() string { return s.ln.Addr().String() }

// Ready returns nil while the shard can answer reads. It says nothing about twins or core: those are in_sync's.
func (s *Shard) Ready() error {
	if !s.serving.Load() {
		return errNotServing
	}
	return nil
}

// serve answers until ctx ends or storage finds damage.
func (s *Shard) serve(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, s.ln) }()
	select {
	case err := <-served:
		return err
	case found := <-s.damage.found:
		stop(found)
		return errors.Join(fmt.Errorf("data folder %s: %w; start again with --rebuild to set it aside and copy all from the twins", s.cfg.Data, found), <-served)
	}
}

// Run serves until ctx ends, drains and closes all; it returns nil after a clean stop, and an error that wraps [ErrDamaged]
// where storage has found its files damaged.
func (s *Shard) Run(ctx context.Context) error {
	s.log.Info("listening", "addr", s.Addr(), "shard", s.cfg.Name, "data", s.cfg.Data, "topics", len(s.state.all()), "epoch", s.state.fenceNow().epoch)
	var wg, writing sync.WaitGroup
	helpers, stopHelpers := context.WithCancel(ctx)
	committing, stopCommitting := context.WithCancel(context.WithoutCancel(ctx))
	writing.Go(func() { s.committer.run(committing) })
	for _, m := range s.menders {
		wg.Go(func() { m.run(helpers) })
	}
	wg.Go(func() { s.watch(helpers) })
	wg.Go(func() {
		(&keeper{c: s.committer, age: s.cfg.RetentionAge, most: uint64(s.cfg.RetentionMB) << 20, found: s.readFailed}).run(helpers)
	})
	wg.Go(func() { (&sealer{c: s.committer, found: s.readFailed}).run(helpers) })
	s.serving.Store(true)
	err := s.serve(ctx)
	s.serving.Store(false)
	stopHelpers()
	wg.Wait()
	stopCommitting() // nobody submits any more
	writing.Wait()
	if err = errors.Join(err, s.engine.Close()); err == nil {
		s.log.Info("drained")
	}
	return err
}
