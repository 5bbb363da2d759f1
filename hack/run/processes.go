package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// process is one of the seven: its name, executable, documented ports and flags beyond the defaults.
type process struct {
	name  string
	exe   string
	data  string // HOST:PORT
	admin string // HOST:PORT
	args  []string
}

// adminOffset lies between a process's data port and its admin port.
const adminOffset = 10000

func newProcess(exe, name string, port int, args ...string) process {
	local := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	return process{name: name, exe: exe, data: local(port), admin: local(port + adminOffset), args: args}
}

// processes lists the seven in the order of their start; they are ended in the opposite order, so that core has stopped
// before what it writes to. REPLAY, SNAPSHOTS, CHAOS, SYMBOLS and RATE come from the environment.
func processes(bin string, env func(string) string) ([]process, error) {
	flags, err := externalFlags(env)
	if err != nil {
		return nil, err
	}
	all := []process{
		newProcess(filepath.Join(bin, "external"), "external", 8080, flags...),
		newProcess(filepath.Join(bin, "broker"), "broker", 8081),
	}
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		all = append(all, newProcess(filepath.Join(bin, "shard"), name, 9001+i, "--name", name, "--data", "out/data/"+name))
	}
	return append(all,
		newProcess(filepath.Join(bin, "core"), "core", 8082),
		newProcess(filepath.Join(bin, "aggregator"), "aggregator", 8000)), nil
}

func externalFlags(env func(string) string) ([]string, error) {
	var args []string
	file, symbols, rate, chaos := env("REPLAY"), env("SYMBOLS"), env("RATE"), env("CHAOS")
	if file != "" && (symbols != "" || rate != "") {
		return nil, errors.New("SYMBOLS and RATE are for the simulated market: leave them out with REPLAY")
	}
	snapshots := env("SNAPSHOTS")
	switch {
	case file != "":
		args = append(args, "replay", "--file", file, "--loop")
		if snapshots != "" {
			args = append(args, "--snapshots", snapshots)
		}
	case snapshots != "":
		return nil, errors.New("SNAPSHOTS belong to a recorded session: name that with REPLAY")
	}
	if symbols != "" {
		args = append(args, "--symbols", symbols)
	}
	if rate != "" {
		args = append(args, "--rate", rate)
	}
	if chaos != "" {
		args = append(args, "--chaos", chaos)
	}
	return args, nil
}

// next says what a new user does then.
func next(env func(string) string) string {
	topic, symbol := "PETR4", "PETR4"
	if first, _, _ := strings.Cut(env("SYMBOLS"), ","); first != "" {
		topic, symbol = first, first
	}
	if env("REPLAY") != "" {
		topic, symbol = "quotes.*", "" // a report without symbol is of the capture's first
	}
	sub, report := "bin/quotectl sub '"+topic+"'", "bin/quotectl report "+symbol
	return fmt.Sprintf(`
  %-34s live quotes, until Ctrl-C
  %-34s price and history, and how complete they are
  %-34s who is up, and the breakers
  %-34s end it

Without quotectl:

  printf '{"type":"SUBSCRIBE","topic":"%s"}\n' | timeout 5 nc 127.0.0.1 8081
  timeout 5 nc 127.0.0.1 8000 </dev/null

Logs are in out/run; tail -f out/run/core.log shows the breaker at work.
`, sub, report, "bin/quotectl status", "make stop-all", topic)
}
