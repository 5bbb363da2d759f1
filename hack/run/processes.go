package main

import (
	"fmt"
	"net"
	"strconv"
)

// process is one of the seven: its name, binary, documented port and flags beyond the defaults.
type process struct {
	name string
	bin  string
	port int
	args []string
}

func (p process) addr() string  { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }
func (p process) admin() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port+10000)) }

// processes lists the seven in the order of their start. REPLAY, CHAOS, SYMBOLS and RATE come from the environment.
func processes(env func(string) string) []process {
	external := []string{}
	if file := env("REPLAY"); file != "" {
		external = append(external, "replay", "--file", file, "--loop")
	} else {
		for flag, value := range map[string]string{"--symbols": env("SYMBOLS"), "--rate": env("RATE")} {
			if value != "" {
				external = append(external, flag, value)
			}
		}
	}
	if chaos := env("CHAOS"); chaos != "" {
		external = append(external, "--chaos", chaos)
	}
	all := []process{{"external", "external", 8080, external}, {"broker", "broker", 8081, nil}}
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		all = append(all, process{name, "shard", 9001 + i, []string{"--name", name, "--data", "out/data/" + name, "--admin", fmt.Sprintf("127.0.0.1:%d", 19001+i)}})
	}
	return append(all, process{"core", "core", 8082, nil}, process{"aggregator", "aggregator", 8000, nil})
}
