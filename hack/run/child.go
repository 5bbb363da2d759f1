package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is a process that was started now.
type child struct {
	process
	done chan struct{} // closed when it has ended
	err  error         // how it ended; valid after done
}

// start starts a process in a session of its own, so that it outlives make and the terminal, and Ctrl-C does not reach it.
// It inherits the locked pid file. out is closed when the process has ended.
func start(p process, path string, out io.WriteCloser) (*child, error) {
	pid, err := lockPid(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), out.Close())
	}
	defer pid.Close()
	cmd := exec.Command(p.exe, p.args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{pid}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), os.Remove(path), out.Close())
	}
	c := &child{process: p, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = errors.Join(cmd.Wait(), out.Close())
	}()
	if _, err := fmt.Fprintln(pid, cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill() // nobody could find it later
		<-c.done
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), os.Remove(path))
	}
	return c, nil
}

// ended says that a process ended by itself, which none should.
func (c *child) ended() error {
	if c.err != nil {
		return fmt.Errorf("%s has ended: %w", c.name, c.err)
	}
	return fmt.Errorf("%s has ended by itself", c.name)
}
