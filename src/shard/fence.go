package shard

import (
	"encoding/binary"
	"time"

	"quotes/src/wire"
)

// fence is the newest core that the shard knows of. It is stored before that core gets an answer, and keeps all older
// ones out from then on. An empty instance is one that is not known: the epoch was learnt from a twin's records.
type fence struct {
	epoch    uint64
	instance string
}

// Bounds of what a core may say of itself.
const (
	maxAhead    = 24 * time.Hour
	maxInstance = 64 // bytes
)

// admit says whether the core may write: nil, or a [*wire.Error] with stale_epoch or bad_request.
func (f fence) admit(epoch uint64, instance string, now time.Time) error {
	switch {
	case instance == "" || len(instance) > maxInstance:
		return wire.Errorf(wire.BadRequest, "instance has %d bytes, want 1 to %d", len(instance), maxInstance)
	case tooFarAhead(epoch, now):
		return wire.Errorf(wire.BadRequest, "epoch %d is more than a day ahead of the clock here: set the clocks", epoch)
	case epoch < f.epoch:
		return wire.Errorf(wire.StaleEpoch, "epoch %d is over: a core of epoch %d has announced itself", epoch, f.epoch)
	case epoch == f.epoch && f.instance != "" && instance != f.instance:
		return wire.Errorf(wire.StaleEpoch, "epoch %d belongs to another core", epoch)
	}
	return nil
}

// tooFarAhead reports whether an epoch, milliseconds since 1970, can't be of this time.
func tooFarAhead(epoch uint64, now time.Time) bool {
	return epoch > uint64(max(now.Add(maxAhead).UnixMilli(), 0))
}

func (f fence) value() []byte {
	return append(binary.BigEndian.AppendUint64(nil, f.epoch), f.instance...)
}

func parseFence(v []byte) (fence, error) {
	if len(v) < 8 || len(v) > 8+maxInstance {
		return fence{}, errBadRow
	}
	return fence{binary.BigEndian.Uint64(v), string(v[8:])}, nil
}
