package shard

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"quotes/src/shard/chunk"
)

// ErrDamaged says that files of the data folder are not as they were written. Nothing is served from such a folder: with
// Config.Rebuild it is set aside at the next start, and all is copied from the twins.
var ErrDamaged = errors.New("damaged")

// Names in the data folder.
const (
	damageMark = "DAMAGED" // says what was found, so that no later start trusts the folder
	asideName  = "damaged" // what was set aside
)

// damage watches over a data folder. Storage finds damage where it reads, in any goroutine.
type damage struct {
	fs    vfs.FS
	dir   string
	log   *slog.Logger
	once  sync.Once
	found chan error // gets one error that wraps ErrDamaged
}

func newDamage(fs vfs.FS, dir string, log *slog.Logger) *damage {
	return &damage{fs: fs, dir: dir, log: log, found: make(chan error, 1)}
}

// listen makes storage report here instead of ending the process.
func (d *damage) listen(o *pebble.Options) {
	o.EventListener = &pebble.EventListener{DataCorruption: func(info pebble.DataCorruptionInfo) {
		d.report(fmt.Errorf("%s: %w", info.Path, info.Details))
	}}
}

// report marks the folder and tells Run, once.
func (d *damage) report(err error) {
	d.once.Do(func() {
		if err = oneLine(err); !errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if marked := d.mark(err); marked != nil {
			d.log.Error("damaged data folder not marked", "data", d.dir, "err", marked)
		}
		d.found <- err
	})
}

func (d *damage) mark(err error) error {
	return replaceFile(d.fs, d.dir, damageMark, err.Error())
}

// marked returns what an earlier run found, as an error that wraps [ErrDamaged], or nil.
func (d *damage) marked() error {
	f, err := d.fs.Open(d.fs.PathJoin(d.dir, damageMark))
	if err != nil {
		return nil // not there, or what is wrong shows when the folder is opened
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fmt.Errorf("%w: an earlier run found: %s", ErrDamaged, text)
}

// diagnose tells damage from what else keeps a folder from being opened.
func diagnose(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) {
		return err
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, errBadRow) || errors.Is(err, errBadKey) || errors.Is(err, chunk.ErrBad) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// readFailed looks at why something could not be read: damage is reported, all else is the reader's.
func (s *Shard) readFailed(err error) {
	if err = diagnose(err); errors.Is(err, ErrDamaged) {
		s.damage.report(err)
	}
}

// diagnoseOpening does so for what storage says when it opens its files, and has no type for. What the system refuses is
// no damage, but for a file that is not there; nor is a folder of a newer build.
func diagnoseOpening(err error) error {
	_, refused := errors.AsType[syscall.Errno](err)
	switch {
	case err == nil, strings.Contains(err.Error(), "unknown format major version"):
		return err
	case refused && !errors.Is(err, os.ErrNotExist):
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// setAside moves all that is in the folder to a folder within it, for people to look at, in the place of what was set aside before. The
// folder itself may be a mount point, and stays. It is marked as damaged until that is done: a start that finds it half done goes on.
// The error is [ErrInUse] while another process has the folder.
func (d *damage) setAside(why error) (err error) {
	lock, err := pebble.LockDirectory(d.dir, d.fs)
	if err != nil {
		return lockError(err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if d.marked() == nil {
		if err := d.mark(oneLine(why)); err != nil {
			return err
		}
	}
	names, err := d.fs.List(d.dir)
	if err != nil {
		return err
	}
	moving, aside, mark := d.fs.PathJoin(d.dir, asideName+".new"), d.fs.PathJoin(d.dir, asideName), d.fs.PathJoin(d.dir, damageMark)
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains([]string{asideName, asideName + ".new", damageMark, ballastName, "LOCK", "lost+found"}, name)
	})
	if len(names) > 0 {
		if err := d.fs.MkdirAll(moving, 0o750); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := d.fs.Rename(d.fs.PathJoin(d.dir, name), d.fs.PathJoin(moving, name)); err != nil {
			return err
		}
	}
	if _, err := d.fs.Stat(moving); err == nil {
		err = errors.Join(syncFolder(d.fs, moving), syncFolder(d.fs, d.dir), d.fs.RemoveAll(aside))
		if err == nil {
			err = errors.Join(d.fs.Rename(moving, aside), syncFolder(d.fs, d.dir))
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(d.fs.Rename(mark, d.fs.PathJoin(aside, damageMark)), syncFolder(d.fs, aside), syncFolder(d.fs, d.dir))
}
