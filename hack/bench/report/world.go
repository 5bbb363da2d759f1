package main

import (
	"bufio"
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
)

// world is the seven processes, each by itself, with their default features, on free ports.
type world struct {
	dir   string
	addr  map[string]string // admin listeners under name-admin
	args  map[string][]string
	runs  map[string]*exec.Cmd
	names []string
}

const symbolCount = 8

func symbols() (out []string) {
	for i := range symbolCount {
		out = append(out, fmt.Sprintf("SYM%d", i))
	}
	return out
}

func newWorld() (*world, error) {
	dir, err := os.MkdirTemp("", "bench-report")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, addr: map[string]string{}, args: map[string][]string{}, runs: map[string]*exec.Cmd{}, names: []string{"external", "broker", "shard-0", "shard-1", "shard-2", "core", "aggregator"}}
	if out, err := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "bin")+"/", "./src/cmd/...").CombinedOutput(); err != nil {
		return w, fmt.Errorf("build: %w: %s", err, out)
	}
	if err := w.ports(append([]string{"slow"}, w.names...)...); err != nil {
		return w, err
	}
	list := w.list(func(name string) string { return w.addr[name] })
	w.market(500)
	w.args["core"] = []string{"--external", w.addr["external"], "--broker", w.addr["broker"], "--shards", list}
	w.args["aggregator"] = []string{"--core", w.addr["core"], "--broker", w.addr["broker"], "--shards", list}
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		w.args[name] = []string{"--name", name, "--data", filepath.Join(dir, name), "--shards", list}
	}
	for _, name := range w.names {
		if err := w.start(name); err != nil {
			return w, err
		}
	}
	return w, nil
}

// market sets the rate of quotes a second and symbol for the exchange's next start.
func (w *world) market(rate int) {
	w.args["external"] = []string{"sim", "--chaos", "calm", "--rate", strconv.Itoa(rate), "--symbols", strings.Join(symbols(), ",")}
}

func (w *world) list(addr func(string) string) string {
	var out []string
	for i := range 3 {
		name := fmt.Sprintf("shard-%d", i)
		out = append(out, name+"="+addr(name))
	}
	return strings.Join(out, ",")
}

func (w *world) ports(names ...string) error {
	for _, name := range names {
		for _, key := range []string{name, name + "-admin"} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer ln.Close()
			w.addr[key] = ln.Addr().String()
		}
	}
	return nil
}

// start starts a process and waits until it is ready. "slow" is a second aggregator.
func (w *world) start(name string) error {
	exe, _, _ := strings.Cut(name, "-")
	if name == "slow" {
		exe = "aggregator"
	}
	cmd := exec.Command(filepath.Join(w.dir, "bin", exe), append(w.args[name], "--listen", w.addr[name], "--admin", w.addr[name+"-admin"], "--log-level", "warn")...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.runs[name] = cmd
	return await(name+" ready", func() bool {
		resp, err := http.Get("http://" + w.addr[name+"-admin"] + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// end stops a process with a signal and waits for that.
func (w *world) end(name string, sig os.Signal) {
	cmd := w.runs[name]
	if cmd == nil {
		return
	}
	delete(w.runs, name)
	_ = cmd.Process.Signal(sig)
	_ = cmd.Wait()
}

func (w *world) signal(name string, sig os.Signal) error { return w.runs[name].Process.Signal(sig) }

func (w *world) close() {
	for name := range w.runs {
		w.end(name, syscall.SIGKILL)
	}
	_ = os.RemoveAll(w.dir)
}

// restart starts a process anew where it is not running, and waits until every slot is in sync on both owners.
func (w *world) restart(name string) error {
	if err := w.start(name); err != nil {
		return err
	}
	return w.synced()
}

func (w *world) synced() error {
	return await("in sync", func() bool {
		body, err := get("http://" + w.addr["aggregator"] + "/v1/status")
		return err == nil && !strings.Contains(body, `"in_sync":[]`) && strings.Count(body, `"shard-`) > 1000 && inSync(body)
	})
}

// hold disables the aggregator's breakers before the shards: they let everything through.
func (w *world) hold(verb string) error {
	for i := range 3 {
		url := fmt.Sprintf("http://%s/-/breaker/shard-%d/%s", w.addr["aggregator-admin"], i, verb)
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

// metric returns a metric of a process, summed over the lines that begin with a prefix.
func (w *world) metric(name, prefix string) (sum float64, err error) {
	resp, err := http.Get("http://" + w.addr[name+"-admin"] + "/metrics")
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

// rss returns the resident memory of a process in bytes.
func (w *world) rss(name string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.runs[name].Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize()), err
}

func get(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

var errLate = errors.New("not within a minute")

func await(what string, ok func() bool) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", what, errLate)
}
