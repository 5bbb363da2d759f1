package shard

import (
	"context"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// status answers REQ_STATUS.
func (s *Shard) status() wire.Status {
	now := time.Now()
	out := wire.Status{
		Process: s.cfg.Name, Version: s.cfg.Version, Since: quote.TimeOf(s.since),
		Epoch: s.state.fenceNow().epoch, Slots: s.state.slots(now),
	}
	addr, state := s.state.coreNow(now)
	out.Peers = append(out.Peers, wire.Peer{Name: "core", Addr: addr, State: state})
	for _, m := range s.menders {
		out.Peers = append(out.Peers, m.client.Peer())
	}
	return out
}

// synced counts our slots that are in sync, and all.
func (s *Shard) synced() (in, all int) {
	for _, slot := range s.state.slots(time.Now()) {
		all++
		if slot.InSync {
			in++
		}
	}
	return in, all
}

// watch logs when the number of slots in sync changes, or core falls silent.
func (s *Shard) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	was, wasCore := -1, ""
	for {
		in, all := s.synced()
		_, core := s.state.coreNow(time.Now())
		if in != was {
			s.log.Info("in sync", "slots", in, "of", all, "core", core)
		}
		if core == "silent" && wasCore != core {
			s.log.Warn("core silent", "after", coreSilence)
		}
		was, wasCore = in, core
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
