package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A pid file is locked by its process for as long as that lives: the process inherits the open file. So a pid that the system
// has given to somebody else since is never taken for ours, and nothing of ours is overlooked. Whoever only looks takes the
// lock shared, so that lookers do not take each other for the process.

// lockPid opens the pid file of a process that is about to start, empty and locked.
func lockPid(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := claim(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func claim(f *os.File, path string) error {
	free, err := tryLock(f, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	if !free {
		return fmt.Errorf("%s: it runs already", path)
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Stat(path); err != nil || !os.SameFile(mine, named) {
		return fmt.Errorf("%s was removed just now by another run: try again", path)
	}
	return f.Truncate(0)
}

// alive tells whether the process of a pid file lives.
func alive(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return held(f)
}

// held tells whether the process of an open pid file lives.
func held(f *os.File) (bool, error) {
	free, err := tryLock(f, syscall.LOCK_SH)
	return !free, err
}

// tryLock takes the file's lock, shared or exclusive, where it is free for that. Closing the file gives it back.
func tryLock(f *os.File, how int) (bool, error) {
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}

func readPid(f *os.File) (int, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 64))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s: %q is no pid, though a process holds the file: end it by hand (fuser shows it)", f.Name(), b)
	}
	return pid, nil
}
