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

// processes lists the packages that are a process each. They never import one another, not in tests either.
func processes() []string { return []string{"exchange", "core", "broker", "shard", "aggregator"} }

// allowed says what of ours each package may import, its tests left aside: the table of docs/architecture.md. A package's
// sub-packages count as itself.
func allowed() map[string][]string {
	libraries := []string{"quote", "wire", "breaker", "scatter", "placement"}
	process := append([]string{"service"}, libraries...)
	table := map[string][]string{
		"cmd/external":   {"exchange", "service"},
		"cmd/broker":     {"broker", "service"},
		"cmd/core":       {"core", "service"},
		"cmd/shard":      {"shard", "service"},
		"cmd/aggregator": {"aggregator", "service"},
		"cmd/quotectl":   {"cli", "service"},

		"quote":     nil,
		"wire":      {"quote"},
		"breaker":   nil,
		"scatter":   {"breaker"},
		"placement": nil,
		"service":   nil,
		"archtest":  nil,
		"exchange":  {"quote", "wire", "service"},
		"cluster":   slices.Concat(process, processes()),
		"cli":       append([]string{"cluster"}, libraries...),
	}
	for _, p := range processes()[1:] {
		table[p] = process
	}
	return table
}

// check walks a source tree and returns one line for each rule that is broken, with what to do.
func check(root string, allowed map[string][]string) (faults []string, err error) {
	docs := map[string]bool{} // by folder with Go files: whether one is doc.go
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		docs[dir] = docs[dir] || d.Name() == "doc.go"
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		faults = append(faults, checkLength(filepath.ToSlash(rel), string(text))...)
		found, err := checkImports(filepath.ToSlash(rel), text, allowed)
		faults = append(faults, found...)
		return err
	})
	for dir, has := range docs {
		if !has && !strings.HasPrefix(dir, "cmd/") {
			faults = append(faults, dir+": has no doc.go: say there what the package guarantees and what it does not")
		}
	}
	slices.Sort(faults)
	return faults, err
}

func checkLength(rel, text string) []string {
	most, what := maxFile, "it is more than one idea, split it"
	if strings.HasPrefix(rel, "cmd/") && !strings.HasSuffix(rel, "_test.go") {
		most, what = maxMain, "a main only wires, move what works to its package"
	}
	if n := strings.Count(text, "\n"); n > most {
		return []string{fmt.Sprintf("%s: %d lines, at most %d: %s", rel, n, most, what)}
	}
	return nil
}

func checkImports(rel string, text []byte, allowed map[string][]string) (faults []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), rel, text, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	own := packageOf(rel)
	may, known := allowed[own]
	if !known {
		return []string{fmt.Sprintf("%s: package %s is not in the table: add it here and in docs/architecture.md", rel, own)}, nil
	}
	test := strings.HasSuffix(rel, "_test.go")
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		ours, found := strings.CutPrefix(imported, "quotes/src/")
		if !found {
			continue
		}
		target := packageOf(ours + "/")
		meet := slices.Contains(processes(), own) && slices.Contains(processes(), target)
		switch {
		case target == own:
		case meet:
			faults = append(faults, fmt.Sprintf("%s: imports %s: processes meet over the wire only, test them together in src/cluster", rel, imported))
		case !test && !slices.Contains(may, target):
			faults = append(faults, fmt.Sprintf("%s: imports %s, which %s may not: move what both need to a library below them", rel, imported, own))
		}
	}
	return faults, nil
}

// packageOf returns the row of the table that a file belongs to: its first folder, the first two under cmd.
func packageOf(rel string) string {
	parts := strings.Split(rel, "/")
	if parts[0] == "cmd" && len(parts) > 2 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
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
	imports := func(path string) string { return fmt.Sprintf("package x\n\nimport _ %q\n", "quotes/src/"+path) }
	// What is right.
	write("core/doc.go", "// Package core.\npackage core\n")
	write("core/good.go", imports("wire"))
	write("core/good_test.go", imports("cluster"))
	write("core/testdata/long.go", strings.Repeat("\n", maxFile+1))
	write("exchange/doc.go", imports("exchange/fault"))
	write("cmd/external/main.go", imports("exchange/replay")+strings.Repeat("\n", maxMain-3))
	write("wire/doc.go", "package wire\n"+strings.Repeat("\n", maxFile-1))
	write("cmd/external/main_test.go", "package main\n"+strings.Repeat("\n", maxMain))
	// What is not.
	write("cmd/core/main.go", imports("broker"))
	write("cmd/core/more.go", "package main\n"+strings.Repeat("\n", maxMain))
	write("core/bad.go", imports("cluster"))
	write("core/bad_test.go", imports("broker"))
	write("exchange/fault/bad.go", imports("placement"))
	write("quote/long.go", "package quote\n"+strings.Repeat("\n", maxFile))
	write("toy/doc.go", "package toy\n")
	faults, err := check(root, allowed())
	require.NoError(t, err)
	want := []string{
		"cmd/core/main.go: imports quotes/src/broker, which cmd/core may not",
		"cmd/core/more.go: 61 lines, at most 60",
		"core/bad.go: imports quotes/src/cluster, which core may not",
		"core/bad_test.go: imports quotes/src/broker: processes meet over the wire",
		"exchange/fault/bad.go: imports quotes/src/placement, which exchange may not",
		"exchange/fault: has no doc.go",
		"quote/long.go: 451 lines, at most 450",
		"quote: has no doc.go",
		"toy/doc.go: package toy is not in the table",
	}
	require.Len(t, faults, len(want), strings.Join(faults, "\n"))
	for i := range want {
		require.True(t, strings.HasPrefix(faults[i], want[i]), "want %s\n got %s", want[i], faults[i])
	}
}

func TestAFileThatIsNoGoIsAnError(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "bad.go"), []byte("import nothing"), 0o644))
	_, err := check(root, allowed())
	require.ErrorContains(t, err, "bad.go:1:1")
}
