# Sourced: modules lists the folders of all Go modules here, the main one first.
modules() { git ls-files --cached --others --exclude-standard 'go.mod' '*/go.mod' | xargs -n1 dirname; }
