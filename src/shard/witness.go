package shard

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Storage takes a torn end of its manifest, the list of its tables, for a list that was being written when the power went:
// it opens without the tables that the lost lines name, and removes them. A witness knows how much of it was there.

// witnessName is a file with the name of the manifest, how many bytes of it are on disk, and their checksum.
const witnessName = "WITNESS"

// witness follows the manifest, a moment behind: what was added in that moment is not vouched for, and a longer manifest is
// never wrong.
type witness struct {
	fs  vfs.FS
	dir string
	log *slog.Logger

	mu       sync.Mutex
	manifest string // which one is in use

	changed chan struct{}
	done    chan struct{}
}

func newWitness(fs vfs.FS, dir string, log *slog.Logger) *witness {
	return &witness{fs: fs, dir: dir, log: log, changed: make(chan struct{}, 1), done: make(chan struct{})}
}

// listener hears of what changes the manifest, from storage that holds its locks.
func (w *witness) listener() *pebble.EventListener {
	return &pebble.EventListener{
		ManifestCreated: func(info pebble.ManifestCreateInfo) {
			if info.Err == nil {
				w.mu.Lock()
				w.manifest = w.fs.PathBase(info.Path)
				w.mu.Unlock()
			}
			w.change()
		},
		FlushEnd:      func(pebble.FlushInfo) { w.change() },
		CompactionEnd: func(pebble.CompactionInfo) { w.change() },
	}
}

func (w *witness) change() {
	select {
	case w.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// run writes what is true until close.
func (w *witness) run() {
	defer close(w.done)
	for range w.changed {
		w.write()
	}
	w.write()
}

// close ends run; storage is closed, and says nothing any more.
func (w *witness) close() {
	close(w.changed)
	<-w.done
}

func (w *witness) write() {
	w.mu.Lock()
	name := w.manifest
	w.mu.Unlock()
	text, err := w.see(name)
	if errors.Is(err, os.ErrNotExist) {
		return // there is a newer one, and it will be told of
	}
	if err == nil {
		err = replaceFile(w.fs, w.dir, witnessName, text)
	}
	if err != nil { // the one before stays true
		w.log.Warn("the manifest's witness could not be written", "err", err)
	}
}

// see reads a manifest, makes sure that what was read is on disk, and returns what is to be remembered of it.
func (w *witness) see(name string) (string, error) {
	b, err := readFile(w.fs, w.fs.PathJoin(w.dir, name), true)
	return seal(fmt.Sprintf("%s %d %016x", name, len(b), xxhash.Sum64(b))), err
}

// seal adds a text's own checksum.
func seal(text string) string { return fmt.Sprintf("%s %016x\n", text, xxhash.Sum64String(text)) }

// check returns an error that wraps [ErrDamaged] where the manifest is less than it was. A folder without a witness, and one
// whose manifest was replaced by a newer one, is taken as it is.
func (w *witness) check() error {
	text, err := readFile(w.fs, w.fs.PathJoin(w.dir, witnessName), false)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var name string
	var size int
	var sum, own uint64
	if _, err := fmt.Sscanf(string(text), "%s %d %x %x\n", &name, &size, &sum, &own); err != nil || seal(fmt.Sprintf("%s %d %016x", name, size, sum)) != string(text) {
		return fmt.Errorf("%w: %s: %q is not as it was written", ErrDamaged, witnessName, text)
	}
	b, err := readFile(w.fs, w.fs.PathJoin(w.dir, name), false)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return w.succeeded(name)
	case err != nil:
		return err
	case len(b) < size:
		return fmt.Errorf("%w: %s: %d bytes, %d were written", ErrDamaged, name, len(b), size)
	case xxhash.Sum64(b[:size]) != sum:
		return fmt.Errorf("%w: %s: its first %d bytes are not as they were written", ErrDamaged, name, size)
	}
	return nil
}

// known reports whether the folder has been in use: storage must not be made anew there.
func (w *witness) known() bool {
	_, err := w.fs.Stat(w.fs.PathJoin(w.dir, witnessName))
	return err == nil
}

// succeeded returns nil where there is a newer manifest than one that is gone.
func (w *witness) succeeded(name string) error {
	names, err := w.fs.List(w.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "MANIFEST-") && (len(n) > len(name) || len(n) == len(name) && n > name) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is gone", ErrDamaged, name)
}

// readFile reads a file; synced says that what was read is to be on disk before it returns.
func readFile(fs vfs.FS, path string, synced bool) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err == nil && synced {
		err = f.Sync()
	}
	return b, errors.Join(err, f.Close())
}

// replaceFile makes a file's text another one, all of it or nothing, on disk before it returns.
func replaceFile(fs vfs.FS, dir, name, text string) error {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(fs, dir)
}

// syncFolder makes what was renamed into a folder, or out of it, durable.
func syncFolder(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
