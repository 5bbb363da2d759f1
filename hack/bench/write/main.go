// Command write makes docs/benchmarks.md out of what the benchmarks printed: hack/bench.sh calls it once all have run.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: write FOLDER FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		os.Exit(1)
	}
}

func write(folder, file string) error {
	names, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no benchmark's output in %s: run make bench (%w)", folder, err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Benchmarks\n\nWritten by `make bench` on %s: %d processors, %s, %s/%s. The machine is shared: absolute figures mean little,\nratios of figures taken in turns in one run do. Medians. A missed goal stands here too.\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		title := strings.TrimSuffix(filepath.Base(name), ".txt")
		if err := section(&out, filepath.Dir(file), title, string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// row is one of a RESULT line.
type row struct {
	Name, Peer, Unit, Goal string
	Ours, Ratio            float64
	Theirs                 *float64
	Met                    *bool
}

// section turns one benchmark's output into a section: its RESULT line as a table, its curves, then the Markdown tables that it
// printed. Rows that are points of a curve stand in its drawing and in the table.
func section(out *bytes.Buffer, folder, title, text string) error {
	_, line, found := strings.Cut(text, "\nRESULT ")
	if !found {
		return fmt.Errorf("no RESULT line: the run did not end")
	}
	var result struct{ Rows []row }
	if err := json.Unmarshal([]byte(line), &result); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n## make bench-%s\n\n| row | ours | theirs | unit | ratio | goal | met | peer |\n|---|---|---|---|---|---|---|---|\n", title)
	for _, r := range result.Rows {
		theirs, met := "", ""
		if r.Theirs != nil {
			theirs = fmt.Sprintf("%g", *r.Theirs)
		}
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "**no**"}[*r.Met]
		}
		fmt.Fprintf(out, "| %s | %g | %s | %s | %g | %s | %s | %s |\n", r.Name, r.Ours, theirs, r.Unit, r.Ratio, r.Goal, met, r.Peer)
	}
	if err := plot(out, folder, title, result.Rows); err != nil {
		return err
	}
	table := false
	for line := range strings.Lines(text) {
		inside := strings.HasPrefix(line, "|")
		if inside && !table {
			out.WriteByte('\n')
		}
		if table = inside; inside {
			out.WriteString(line)
		}
	}
	return nil
}
