// Package world runs the seven processes of a benchmark: real binaries, each by itself, on free ports of this machine.
//
// It guarantees that they end with the benchmark, whatever ends that, and that nothing of them is left on disk after Close.
package world

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quotes/src/placement"
)

// World is the seven processes, each by itself, with their default features, on free ports.
type World struct {
	Dir   string
	Addr  map[string]string // admin listeners under name-admin
	Args  map[string][]string
	Runs  map[string]*exec.Cmd
	Names []string

	symbols []string
}

// Symbols returns the names of so many symbols.
func Symbols(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("SYM%d", i))
	}
	return out
}

// New builds and starts all seven, with a calm market of the symbols at a rate of quotes a second each. It must be run where the
// product's module is. What it returns must be closed, also where there is an error.
func New(symbols []string, rate int) (*World, error) {
	dir, err := os.MkdirTemp("", "quotes-bench-")
	if err != nil {
		return nil, err
	}
	w := &World{symbols: symbols, Dir: dir, Addr: map[string]string{}, Args: map[string][]string{}, Runs: map[string]*exec.Cmd{}, Names: []string{"external", "broker", "shard-0", "shard-1", "shard-2", "core", "aggregator"}}
	if out, err := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "bin")+"/", "./src/cmd/...").CombinedOutput(); err != nil {
		return w, fmt.Errorf("build: %w: %s", err, out)
	}
	if err := w.Ports(append([]string{"slow"}, w.Names...)...); err != nil {
		return w, err
	}
	list := w.List(func(name string) string { return w.Addr[name] })
	w.Market(rate)
	w.Args["core"] = []string{"--external", w.Addr["external"], "--broker", w.Addr["broker"], "--shards", list}
	w.Args["aggregator"] = []string{"--core", w.Addr["core"], "--broker", w.Addr["broker"], "--shards", list}
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		w.Args[name] = []string{"--name", name, "--data", filepath.Join(dir, name), "--shards", list}
	}
	for _, name := range w.Names {
		if err := w.Start(name); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Market sets the rate of quotes a second and symbol for the exchange's next start.
func (w *World) Market(rate int) {
	w.Args["external"] = []string{"sim", "--chaos", "calm", "--rate", strconv.Itoa(rate), "--symbols", strings.Join(w.symbols, ",")}
}

// List is the shards' flag, with the addresses that addr gives their names.
func (w *World) List(addr func(string) string) string {
	var out []string
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		out = append(out, name+"="+addr(name))
	}
	return strings.Join(out, ",")
}

// Ports finds a free data and admin port for each name.
func (w *World) Ports(names ...string) error {
	for _, name := range names {
		for _, key := range []string{name, name + "-admin"} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer ln.Close()
			w.Addr[key] = ln.Addr().String()
		}
	}
	return nil
}

// Start starts a process and waits until it is ready. "slow" is a second aggregator.
func (w *World) Start(name string) error {
	exe, _, _ := strings.Cut(name, "-")
	if name == "slow" {
		exe = "aggregator"
	}
	cmd := exec.Command(filepath.Join(w.Dir, "bin", exe), append(w.Args[name], "--listen", w.Addr[name], "--admin", w.Addr[name+"-admin"], "--log-level", "warn")...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.Runs[name] = cmd
	return Await(name+" ready", func() bool {
		resp, err := http.Get("http://" + w.Addr[name+"-admin"] + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// End stops a process with a signal and waits for that.
func (w *World) End(name string, sig os.Signal) {
	cmd := w.Runs[name]
	if cmd == nil {
		return
	}
	delete(w.Runs, name)
	_ = cmd.Process.Signal(sig)
	_ = cmd.Wait()
}

// Signal sends a process a signal.
func (w *World) Signal(name string, sig os.Signal) error { return w.Runs[name].Process.Signal(sig) }

// Close ends all processes and removes their data.
func (w *World) Close() {
	for name := range w.Runs {
		w.End(name, syscall.SIGKILL)
	}
	_ = os.RemoveAll(w.Dir)
}

// Restart starts a process anew where it is not running, and waits until every slot is in sync on both owners.
func (w *World) Restart(name string) error {
	if err := w.Start(name); err != nil {
		return err
	}
	return w.Synced()
}

// Synced waits until every slot is in sync on both owners.
func (w *World) Synced() error {
	return Await("in sync", func() bool {
		body, err := Get("http://" + w.Addr["aggregator"] + "/v1/status")
		return err == nil && !strings.Contains(body, `"in_sync":[]`) && strings.Count(body, `"shard-`) > 1000 && inSync(body)
	})
}

// Hold disables the aggregator's breakers before the shards: they let everything through.
func (w *World) Hold(verb string) error {
	for i := range 3 {
		url := fmt.Sprintf("http://%s/-/breaker/shard-%d/%s", w.Addr["aggregator-admin"], i, verb)
		resp, err := http.Post(url, "", nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("POST %s: %s", url, resp.Status)
		}
	}
	return nil
}

// Metric returns a metric of a process, summed over the lines that begin with a prefix.
func (w *World) Metric(name, prefix string) (sum float64, err error) {
	resp, err := http.Get("http://" + w.Addr[name+"-admin"] + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		if line := in.Text(); strings.HasPrefix(line, prefix) {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum, nil
}

// RSS returns the resident memory of a process in bytes.
func (w *World) RSS(name string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.Runs[name].Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize()), err
}

// Get returns the body that a URL answers.
func Get(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

var errLate = errors.New("not within a minute")

// Await waits for a condition, a minute at most.
func Await(what string, ok func() bool) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", what, errLate)
}

// inSync reports whether every slot has both its owners in sync.
func inSync(body string) bool {
	var s struct {
		Slots []struct {
			Owners []string
			InSync []string `json:"in_sync"`
		}
	}
	if json.Unmarshal([]byte(body), &s) != nil {
		return false
	}
	for _, slot := range s.Slots {
		if len(slot.InSync) < len(slot.Owners) {
			return false
		}
	}
	return len(s.Slots) == placement.Slots
}
