# Sourced, in the root: modules lists the folders of all Go modules with code, the main one first. hack/tools has none.
modules() { find . -name go.mod -not -path '*/testdata/*' -not -path './out/*' -not -path ./hack/tools/go.mod -printf '%h\n' | sort; }
