package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// killWait is how long a process may take to drain.
const killWait = 10 * time.Second

// running returns the pid in the process's pid file, where that process still is the one we started. A pid may have been
// given to somebody else since: the executable tells.
func (r *runner) running(p process) (int, bool) {
	b, err := os.ReadFile(r.file(p, "pid"))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0, false
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return 0, false // gone, or a zombie
	}
	want, err := filepath.Abs(filepath.Join(r.bin, p.bin))
	if err != nil {
		return 0, false
	}
	if real, err := filepath.EvalSymlinks(want); err == nil {
		want = real
	}
	return pid, strings.TrimSuffix(exe, " (deleted)") == want
}

// down ends what up started, the last one first, and removes the pid files.
func (r *runner) down() error {
	var errs []error
	ended := 0
	for _, p := range slices.Backward(r.all) {
		if pid, ok := r.running(p); ok {
			if err := r.end(p, pid); err != nil {
				errs = append(errs, err)
				continue
			}
			ended++
		}
		if err := os.Remove(r.file(p, "pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if ended == 0 && len(errs) == 0 {
		fmt.Fprintln(r.stdout, "nothing was running")
	} else {
		fmt.Fprintf(r.stdout, "%d processes ended\n", ended)
	}
	return errors.Join(errs...)
}

// end asks a process to leave, and ends it where it does not.
func (r *runner) end(p process, pid int) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end %s, pid %d: %w", p.name, pid, err)
		}
		for until := time.Now().Add(killWait); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			if _, ok := r.running(p); !ok {
				return nil
			}
		}
		fmt.Fprintf(r.stdout, "%s, pid %d, did not leave within %v\n", p.name, pid, killWait)
	}
	return fmt.Errorf("%s, pid %d, can't be ended", p.name, pid)
}
