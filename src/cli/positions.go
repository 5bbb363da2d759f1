package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"quotes/src/quote"
)

// loadPositions reads what savePositions wrote. A file that does not exist holds none.
func loadPositions(path string) (map[quote.Topic]quote.Point, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[quote.Topic]quote.Point{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	var at map[quote.Topic]quote.Point
	if err := json.Unmarshal(b, &at); err != nil {
		return nil, fmt.Errorf("read positions: %s is not what quotectl sub --resume wrote: %w", path, err)
	}
	if at == nil {
		at = map[quote.Topic]quote.Point{}
	}
	for topic := range at {
		if _, err := quote.ParseTopic(string(topic)); err != nil {
			return nil, fmt.Errorf("read positions: %s: %w", path, err)
		}
	}
	return at, nil
}

// savePositions writes positions for the next run: all or nothing.
func savePositions(path string, at map[quote.Topic]quote.Point) error {
	b, err := json.MarshalIndent(at, "", "  ")
	if err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync() // a rename may be on disk before what it names
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	return nil
}
