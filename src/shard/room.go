package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quotes/src/wire"
)

// fullRetry is when a client whose write was refused for a full disk is asked to come again, in milliseconds.
const fullRetry = 1000

// ballastName is a file, a quarter as large as what is kept free, that is given up when the disk is full all the same, since
// others write to it too: what storage was about to write finds room then, and nothing is begun anew until there is room for
// the file again.
const ballastName = "BALLAST"

// room keeps the last of the disk free, so that storage itself never runs out of it: what it has taken it must be able to
// put in order, and a write-ahead log that can't be written ends the process. Reads need none.
type room struct {
	fs   vfs.FS // the disk itself: what give frees must not wait for give
	dir  string
	keep uint64 // bytes
	log  *slog.Logger

	full    atomic.Bool
	ballast atomic.Bool // it is there
}

func newRoom(cfg *Config) *room {
	r := &room{fs: cfg.fs, dir: cfg.Data, keep: uint64(cfg.ReserveMB) << 20, log: cfg.Log}
	info, err := r.fs.Stat(r.path())
	r.ballast.Store(err == nil && uint64(info.Size()) >= r.spare())
	return r
}

func (r *room) path() string { return r.fs.PathJoin(r.dir, ballastName) }

// spare is how large the ballast is.
func (r *room) spare() uint64 { return r.keep / 4 }

// guarded is the disk, for storage: a write that it has no room for is tried once more without the ballast.
func (r *room) guarded() vfs.FS { return vfs.OnDiskFull(r.fs, r.give) }

// give removes the ballast.
func (r *room) give() {
	if r.ballast.Swap(false) {
		r.log.Error("disk full: the ballast is given up", "data", r.dir, "err", r.fs.Remove(r.path()))
	}
}

// take makes the ballast.
func (r *room) take() error {
	f, err := r.fs.Create(r.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for left := r.spare(); left > 0 && err == nil; left -= min(left, uint64(len(zeros))) {
		_, err = f.Write(zeros[:min(left, uint64(len(zeros)))])
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, r.fs.Remove(r.path()))
	}
	r.ballast.Store(true)
	return nil
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
	need := r.keep
	if !r.ballast.Load() {
		need += r.spare()
	}
	free, ok := r.free()
	full := ok && free < need
	var err error
	if !full && !r.ballast.Load() {
		err = r.take()
		full = err != nil
	}
	if r.full.Swap(full) != full {
		if full {
			r.log.Error("disk full: writes are refused, reads go on", "data", r.dir, "free_bytes", free, "kept_free_bytes", need, "err", err)
		} else {
			r.log.Info("disk has room again", "data", r.dir, "free_bytes", free)
		}
	}
	if !full {
		return nil
	}
	return &wire.Error{
		Code: wire.Unavailable, RetryAfterMS: fullRetry,
		Message: fmt.Sprintf("disk full: less than %d MiB are left where %s is: make room there", need>>20, r.dir),
	}
}
