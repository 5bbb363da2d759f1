package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ending is how a process was ended.
type ending int

const (
	absent ending = iota // it did not run
	left                 // it went when asked
	killed               // it had to be killed
)

// end asks the process of a pid file to leave, kills it where it has not within wait, and removes the file. It returns when
// the process is gone.
func end(path string, wait time.Duration) (ending, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return absent, err
	}
	defer f.Close()
	how, err := endHolder(f, wait)
	if err != nil {
		return how, err
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return how, err
	}
	return how, nil
}

// endHolder ends the process that holds the file. The process is taken hold of before the lock is looked at: where the lock is
// held then, the pid was that of its holder all the time.
func endHolder(f *os.File, wait time.Duration) (ending, error) {
	pid, noPid := readPid(f)
	var proc *os.Process
	if noPid == nil {
		var err error
		if proc, err = os.FindProcess(pid); err != nil {
			return absent, err
		}
		defer func() { _ = proc.Release() }()
	}
	if runs, err := held(f); !runs || err != nil {
		return absent, err
	}
	if noPid != nil {
		return absent, noPid
	}
	if gone, err := signalAndWait(proc, f, syscall.SIGTERM, wait); gone || err != nil {
		return left, err
	}
	gone, err := signalAndWait(proc, f, syscall.SIGKILL, wait)
	if err == nil && !gone {
		err = fmt.Errorf("pid %d is still there %v after SIGKILL", pid, wait)
	}
	return killed, err
}

// signalAndWait waits until the process has let go of the file, which it does when it is gone.
func signalAndWait(proc *os.Process, f *os.File, sig os.Signal, wait time.Duration) (gone bool, err error) {
	if err := proc.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, err
	}
	for until := time.Now().Add(wait); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if runs, err := held(f); !runs || err != nil {
			return !runs, err
		}
	}
	return false, nil
}
