# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# Workloads that are programs in use: git, a compiler, python3. See workloads.sh. Sourced, never run.

on_tree() { git --git-dir="$PWD/repo" --work-tree="$PWD/linux" "$@"; }

workload git-status tree changes kept "git status, once more"
before:git-status() { on_tree status --porcelain >/dev/null; }
timed:git-status() { on_tree status --porcelain; }
result:git-status() { cat "$out/out"; }

workload git-checkout tree changes kept "git checkout of a branch that differs in every fortieth file"
before:git-checkout() { on_tree status --porcelain >/dev/null; }
timed:git-checkout() { on_tree checkout --quiet other; }
result:git-checkout() { on_tree status --porcelain --branch && same_content "$lists/all"; }

workload c-build tree changes kept "make -j2 of C programs of the tree"
timed:c-build() { xargs -a "$lists/builds" -I '{}' make -s -j2 -C '{}'; }
result:c-build() { find linux -name '*.[oa]' | sort; }

# import_modules: prints how many modules there are then, and from where.
import_modules() {
    PYTHONHOME=$PWD/python python/bin/python3 -B -s -S -c '
import json, os, sys
for name in open(sys.argv[1]).read().split(): __import__(name)
print(len(sys.modules), os.path.relpath(json.__file__))
' "$lists/modules"
}

workload python-cold tree reads cold "python3 starts and imports 200 modules, on a fresh mount, with dropped caches"
timed:python-cold() { import_modules; }
result:python-cold() { cat "$out/out"; }

workload python-again tree reads kept "python3 starts and imports 200 modules, once more"
before:python-again() { import_modules; }
timed:python-again() { import_modules; }
result:python-again() { cat "$out/out"; }
