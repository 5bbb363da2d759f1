// Command write puts what the benchmarks printed into docs/benchmarks.md: hack/bench.sh calls it once all have run.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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

const head = `# Benchmarks

Written by make bench; each section says when it was taken. The machines were shared: absolute figures mean little, ratios of figures
taken in turns in one run do. Medians; the spread is of ours, from the lowest to the highest round over the median. A missed goal
stands here too.
`

// write replaces in file the sections of the benchmarks whose output is in folder, and keeps the others as they are.
func write(folder, file string) error {
	names, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no benchmark's output in %s: run make bench (%w)", folder, err)
	}
	sections, err := read(file)
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		title := strings.TrimSuffix(filepath.Base(name), ".txt")
		sections[title], err = section(filepath.Dir(file), title, string(text), info.ModTime())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	out := []byte(head)
	for _, title := range slices.Sorted(maps.Keys(sections)) {
		out = append(append(out, '\n'), sections[title]...)
	}
	return os.WriteFile(file, out, 0o644)
}

const heading = "## make bench-"

// read gives the document's sections by the benchmark's name; there are none where there is no document.
func read(file string) (map[string][]byte, error) {
	sections := map[string][]byte{}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for i, part := range strings.Split(string(text), "\n"+heading) {
		if i > 0 {
			title, _, _ := strings.Cut(part, "\n")
			sections[title] = []byte(heading + strings.TrimSuffix(part, "\n") + "\n")
		}
	}
	return sections, nil
}

// row is one of a RESULT line.
type row struct {
	Name, Peer, Unit, Goal string
	Ours, Ratio, Spread    float64
	Theirs                 *float64
	Met                    *bool
}

// section turns one benchmark's output into a section: its RESULT line as a table, its curves, then the Markdown tables and the lines
// behind NOTE that it printed. Rows that are points of a curve stand in its drawing and in the table.
func section(folder, title, text string, taken time.Time) ([]byte, error) {
	_, line, found := strings.Cut(text, "\nRESULT ")
	if !found {
		return nil, errors.New("no RESULT line: the run did not end")
	}
	var result struct{ Rows []row }
	if err := json.Unmarshal([]byte(line), &result); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s%s\n\nTaken on %s: %d processors, %s, %s/%s.\n\n", heading, title,
		taken.UTC().Format(time.DateOnly), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	out.WriteString("| row | ours | spread | theirs | unit | ratio | goal | met | peer |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range result.Rows {
		theirs, met, spread := "", "", ""
		if r.Spread > 0 {
			spread = fmt.Sprintf("%.0f %%", 100*r.Spread)
		}
		if r.Theirs != nil {
			theirs = fmt.Sprintf("%g", *r.Theirs)
		}
		if r.Met != nil {
			met = map[bool]string{true: "yes", false: "**no**"}[*r.Met]
		}
		fmt.Fprintf(&out, "| %s | %g | %s | %s | %s | %g | %s | %s | %s |\n", r.Name, r.Ours, spread, theirs, r.Unit, r.Ratio, r.Goal, met, r.Peer)
	}
	if err := plot(&out, folder, title, result.Rows); err != nil {
		return nil, err
	}
	table := false
	for line := range strings.Lines(text) {
		if note, is := strings.CutPrefix(line, "NOTE "); is {
			out.WriteString("\n" + note)
		}
		inside := strings.HasPrefix(line, "|")
		if inside && !table {
			out.WriteByte('\n')
		}
		if table = inside; inside {
			out.WriteString(line)
		}
	}
	return out.Bytes(), nil
}
