package archtest_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Bounds of a file, in lines.
const (
	maxFile = 450
	maxMain = 60
)

// allowed says what of ours each package may import, tests left aside: the table of docs/architecture.md. A package's
// sub-packages count as itself.
func allowed() map[string][]string {
	libraries := []string{"quote", "wire", "breaker", "scatter", "placement"}
	process := append([]string{"service"}, libraries...)
	processes := []string{"exchange", "core", "broker", "shard", "aggregator"}
	table := map[string][]string{
		"quote":     nil,
		"wire":      {"quote"},
		"breaker":   nil,
		"scatter":   {"breaker"},
		"placement": nil,
		"service":   nil,
		"archtest":  nil,
		"exchange":  {"quote", "wire", "service"},
		"cluster":   slices.Concat(process, processes),
		"cli":       append([]string{"cluster"}, libraries...),
		"cmd":       slices.Concat([]string{"service", "cli"}, processes),
	}
	for _, p := range processes[1:] {
		table[p] = process
	}
	return table
}

// check walks a source tree and returns one line for each rule that is broken.
func check(root string, allowed map[string][]string) (faults []string, err error) {
	docs := map[string]bool{}
	dirs := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		dir := filepath.Dir(rel)
		dirs[dir] = true
		docs[dir] = docs[dir] || filepath.Base(rel) == "doc.go"
		found, err := checkFile(path, rel, allowed)
		faults = append(faults, found...)
		return err
	})
	for dir := range dirs {
		if !docs[dir] && !strings.HasPrefix(dir, "cmd"+string(filepath.Separator)) {
			faults = append(faults, dir+": has no doc.go: say there what the package guarantees and what it does not")
		}
	}
	slices.Sort(faults)
	return faults, err
}

func checkFile(path, rel string, allowed map[string][]string) (faults []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	most := maxFile
	if strings.HasPrefix(rel, "cmd/") && filepath.Base(rel) == "main.go" {
		most = maxMain
	}
	if n := strings.Count(string(text), "\n"); n > most {
		faults = append(faults, fmt.Sprintf("%s: %d lines, at most %d: it is more than one idea, split it", rel, n, most))
	}
	if strings.HasSuffix(rel, "_test.go") {
		return faults, nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	own, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	may, known := allowed[own]
	if !known {
		return append(faults, fmt.Sprintf("%s: package %s is not in the table: add it here and in docs/architecture.md", rel, own)), nil
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		ours, found := strings.CutPrefix(imported, "quotes/src/")
		if !found {
			continue
		}
		if target, _, _ := strings.Cut(ours, "/"); target != own && !slices.Contains(may, target) {
			faults = append(faults, fmt.Sprintf("%s: imports %s, which %s may not: processes meet over the wire, libraries do not know their users", rel, imported, own))
		}
	}
	return faults, nil
}

func TestTheTreeKeepsTheArchitecture(t *testing.T) {
	faults, err := check("..", allowed())
	require.NoError(t, err)
	require.Empty(t, faults, strings.Join(faults, "\n"))
}

func TestBrokenRulesAreSeen(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write("core/doc.go", "// Package core.\npackage core\n")
	write("core/bad.go", "package core\n\nimport _ \"quotes/src/broker\"\n")
	write("core/good.go", "package core\n\nimport _ \"quotes/src/wire\"\n")
	write("core/bad_test.go", "package core\n\nimport _ \"quotes/src/broker\"\n")
	write("wire/long.go", "package wire\n"+strings.Repeat("\n", maxFile))
	write("cmd/core/main.go", "package main\n"+strings.Repeat("\n", maxMain))
	write("toy/doc.go", "package toy\n")
	faults, err := check(root, allowed())
	require.NoError(t, err)
	require.Len(t, faults, 5, strings.Join(faults, "\n"))
	for i, want := range []string{"cmd/core/main.go: 61 lines", "core/bad.go: imports quotes/src/broker", "toy/doc.go: package toy", "wire/long.go: 451 lines", "wire: has no doc.go"} {
		require.True(t, strings.HasPrefix(faults[i], want), "%s\n%s", want, faults[i])
	}
}
