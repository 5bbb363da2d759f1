package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// system is a broker under test: how to run it, publish to it and read from it.
type system struct {
	name    string // the words of the command that runs it: this program again
	version string
	publish func(addr string, topics []string) (publisher, error)
	// subscribe reads what the patterns match; each gets every payload, which is valid until it returns.
	subscribe func(addr string, patterns []string, each func(payload []byte)) (reader, error)
}

// publisher puts payloads on topics, by their number, in order; flush sends what is buffered.
type publisher interface {
	publish(topic int, payload []byte) error
	flush() error
	close()
}

// reader is a subscriber. lost returns how many messages it was told, or knows, that it did not get.
type reader interface {
	lost() int
	close()
}

// process is a server by itself.
type process struct {
	cmd  *exec.Cmd
	addr string
}

// run starts this program as the system's server and waits for the line that names its address.
func (s *system) run(args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{"serve", s.name}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", s.name, err), cmd.Wait())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return &process{cmd, strings.TrimSpace(line)}, nil
}

func (p *process) close() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// cpu returns the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat not understood: %q", stat)
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // a tick is 10 ms on every Linux that Go runs on
}
