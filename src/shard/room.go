package shard

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quotes/src/wire"
)

// fullRetry is when a client whose write was refused for a full disk is asked to come again, in milliseconds.
const fullRetry = 1000

// room keeps the last of the disk free, so that storage itself never runs out of it: what it has taken it must be able to
// put in order, and a write-ahead log that can't be written ends the process. Reads need none.
type room struct {
	fs   vfs.FS
	dir  string
	keep uint64 // bytes
	log  *slog.Logger
	full atomic.Bool
}

// free returns how many bytes of the volume are left; ok is false where the system does not say.
func (r *room) free() (bytes uint64, ok bool) {
	u, err := r.fs.GetDiskUsage(r.dir)
	return u.AvailBytes, err == nil
}

// check returns nil where there is room to write, else a [*wire.Error] with unavailable. A change is logged.
func (r *room) check() error {
	if r == nil {
		return nil
	}
	free, ok := r.free()
	full := ok && free < r.keep
	if r.full.Swap(full) != full {
		if full {
			r.log.Error("disk full: writes are refused, reads go on", "data", r.dir, "free_bytes", free, "kept_free_bytes", r.keep)
		} else {
			r.log.Info("disk has room again", "data", r.dir, "free_bytes", free)
		}
	}
	if !full {
		return nil
	}
	return &wire.Error{
		Code: wire.Unavailable, RetryAfterMS: fullRetry,
		Message: fmt.Sprintf("disk full: less than %d MiB are left where %s is: make room there", r.keep>>20, r.dir),
	}
}
