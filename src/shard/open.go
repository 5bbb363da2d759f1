package shard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quotes/src/placement"
	"quotes/src/shard/engine"
)

// The keys of meta.
const (
	metaFormat = "format" // the version of our own keys and values
	metaName   = "name"   // whose folder it is
	metaFence  = "fence"  // the newest core
	metaShards = "shards" // the names of all shards that the records were placed on; a folder of an older build has none
)

// ourFormat is the version of keys.go and row.go. Version 1 had no chunks; such a folder becomes one of ours when it is opened.
const (
	ourFormat   = "2"
	firstFormat = "1"
)

// errForeign says that a data folder is not this shard's.
var errForeign = errors.New("foreign data")

// load checks whose data the engine has, marks it ours where it is empty, and reads what is known into the state.
func load(e engine.Engine, name string, s *state) error {
	v := e.View()
	defer func() { _ = v.Close() }()
	shards := namesOf(s.table)
	fresh, err := identify(v, name, shards)
	if err != nil {
		return err
	}
	if fresh {
		err = e.Commit(func(b engine.Batch) error {
			return errors.Join(b.Set(keyOfMeta(metaFormat), []byte(ourFormat)), b.Set(keyOfMeta(metaName), []byte(name)), b.Set(keyOfMeta(metaShards), []byte(shards)))
		})
		if err != nil {
			return err
		}
	}
	f, err := v.Get(keyOfMeta(metaFence))
	if err == nil && f != nil {
		s.fence, err = parseFence(f)
	}
	if err != nil {
		return fmt.Errorf("read the fence: %w", err)
	}
	if err := loadHoldings(v, s); err != nil {
		return err
	}
	return loadFloors(v, s)
}

// loadFloors reads where retention stands.
func loadFloors(v engine.View, s *state) error {
	var floors []floorOf
	lo, hi := allOf(floorKey)
	err := engine.Walk(v, lo, hi, false, func(key, value []byte) (bool, error) {
		t, err := parseTopicKey(key)
		if err != nil {
			return false, fmt.Errorf("floor %q: %w", key, err)
		}
		p, err := parseFloor(value)
		floors = append(floors, floorOf{t, p})
		return err == nil, err
	})
	s.raise(floors)
	return err
}

// namesOf returns the names of all shards, in their own order: slots are placed by them, whatever the order of --shards.
func namesOf(t *placement.Table) string {
	var names []string
	for _, s := range t.Shards() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// identify reports whether the folder is to be marked as ours: it is empty, or older. One of another shard or of a newer build is an
// error, and one whose records were placed on other shards: slots would have owners that know nothing of them, and call that all.
func identify(v engine.View, name, shards string) (fresh bool, err error) {
	format, err := v.Get(keyOfMeta(metaFormat))
	if err != nil {
		return false, err
	}
	owner, err := v.Get(keyOfMeta(metaName))
	if err != nil {
		return false, err
	}
	placed, err := v.Get(keyOfMeta(metaShards))
	switch {
	case err != nil:
		return false, err
	case format == nil && owner == nil:
		return true, nil
	case string(format) != ourFormat && string(format) != firstFormat:
		return false, fmt.Errorf("%w: format %q, this build reads %s", errForeign, format, ourFormat)
	case string(owner) != name:
		return false, fmt.Errorf("%w: it belongs to %s, not %s", errForeign, owner, name)
	case placed != nil && string(placed) != shards:
		return false, fmt.Errorf("%w: its records were placed on %s, and --shards names %s: growing is not built yet, keep the former", errForeign, placed, shards)
	}
	return string(format) != ourFormat || placed == nil, nil
}

// loadHoldings reads what is held of each topic.
func loadHoldings(v engine.View, s *state) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lo, hi := allOf(spansKey)
	return engine.Walk(v, lo, hi, false, func(key, value []byte) (bool, error) {
		t, epoch, err := parseSpansKey(key)
		if err != nil {
			return false, fmt.Errorf("spans %q: %w", key, err)
		}
		h, err := parseHolding(epoch, value)
		if err != nil {
			return false, fmt.Errorf("spans of %s in epoch %d: %w", t, epoch, err)
		}
		s.topic(t).put(h)
		return true, nil
	})
}
