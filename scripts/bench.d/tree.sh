# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# What the stacks of scripts/bench are made from, once, in the cache: a source tree split over three layers, a git
# repository of it, Debian's python3; and the lists of names that workloads go through. Needs ui.sh, install.sh and
# "$cache", "$run", "$quick". Sourced, never run.

# What 12,000 files of the kernel are taken from, in this order.
kernel_parts='fs include net kernel lib mm tools/lib tools/include tools/build tools/arch tools/scripts scripts'
kernel_files=12000

# kernel_package: the name of the package that linux-source stands for; nothing where apt does not know it.
kernel_package() { apt-cache depends linux-source 2>/dev/null | sed -n 's/^ *Depends: \(linux-source-.*\)$/\1/p' | head -n 1; }

# fetch_kernel TARGET: the first files of those parts of Debian's linux-source package.
fetch_kernel() {
    local package at=$run/fetch archive
    need apt-get=apt dpkg-deb=dpkg xz=xz-utils
    package=$(kernel_package)
    if [[ -z $package ]]; then
        apt-get -qq update
        package=$(kernel_package)
    fi
    [[ -n $package ]] || die "apt knows no linux-source package" "The tree is made from it; its sources need the archive's main section. Or: --quick"
    say "  $package: $kernel_files files of it, once (a minute)"
    mkdir -p "$at" "$1"
    # apt's own user may read the directory, or apt says on stderr that it goes without.
    chmod 755 "$at"
    (cd "$at" && apt-get -qq download "$package" 2>"$run/log") || die "apt-get download $package: $(tail -n 3 "$run/log")"
    dpkg-deb -x "$at/$package"_*.deb "$at/package"
    archive=$(find "$at/package/usr/src" -name 'linux-source-*.tar.xz')
    # Each name as "RANK<tab>NAME", so that the order is that of the parts, and within a part that of the archive.
    tar -tf "$archive" | grep -v '/$' | awk -F / -v parts="$kernel_parts" '
        BEGIN { n = split(parts, part, " "); for (i = 1; i <= n; i++) rank[part[i]] = i }
        { p = $2 == "tools" ? $2 "/" $3 : $2; if (p in rank) print rank[p] "\t" $0 }
    ' | sort -s -n -k 1,1 | cut -f 2 | awk -v most="$kernel_files" 'NR <= most' >"$at/names"
    tar -xf "$archive" -C "$1" --strip-components=1 --no-same-owner -T "$at/names"
    rm -rf --one-file-system "$at"
}

# small_tree TARGET: what --quick takes instead: this repository's own text, and a C program.
small_tree() {
    local n
    mkdir -p "$1/app"
    cp -r "$here/../src" "$here/../docs" "$here/../tests" "$1/"
    for n in $(seq 1 20); do
        printf '#include "app.h"\nint part_%s(int x) { return x * %s + 1; }\n' "$n" "$n" >"$1/app/part_$n.c"
        printf 'int part_%s(int x);\n' "$n" >>"$1/app/app.h"
    done
    cat >"$1/app/Makefile" <<'MAKE'
objects = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
app.a: $(objects)
	$(AR) rcs $@ $^
$(objects): app.h
MAKE
}

# split_tree TREE LAYERS: files of TREE over LAYERS/{top,mid,base}/linux, so that all directories of some size merge: of four files
# two are in the base; every tenth is in the base, too, and differs there. TREE then is what the union shows.
split_tree() {
    local tree=$1 layers=$2 layer
    (cd "$tree" && find . ! -type d -printf '%P\n' | LC_ALL=C sort) >"$run/names"
    awk 'NR % 4 < 2' "$run/names" >"$run/names.base"
    awk 'NR % 4 == 2' "$run/names" >"$run/names.mid"
    awk 'NR % 4 == 3' "$run/names" >"$run/names.top"
    # What a layer above has instead. Only where one line more means nothing: a comment in C and in Rust.
    grep -E '\.(c|h|rs)$' "$run/names.base" | awk 'NR % 10 == 5' >"$run/names.shadowed"
    awk 'NR % 2' "$run/names.shadowed" >>"$run/names.mid"
    awk 'NR % 2 == 0' "$run/names.shadowed" >>"$run/names.top"
    for layer in base mid top; do
        mkdir -p "$layers/$layer/linux"
        (cd "$tree" && tr '\n' '\0' <"$run/names.$layer" | xargs -0 cp -a --parents -t "$layers/$layer/linux")
        # After the base, so that the layers above get what is new.
        if [[ $layer == base ]]; then
            (cd "$tree" && while IFS= read -r name; do printf '/* Changed in a layer above. */\n' >>"$name"; done <"$run/names.shadowed")
        fi
    done
}

# make_repository TREE REPOSITORY: two branches, whose trees differ in every fortieth file; main is checked out as TREE.
make_repository() {
    local tree=$1
    (
        cd "$tree" || exit
        # shellcheck source=bench.d/programs.sh
        . "$here/bench.d/programs.sh"
        export GIT_DIR=$2 GIT_WORK_TREE=$tree
        git init --quiet --initial-branch=main
        git config core.bare false
        git config gc.auto 0
        git add --force .
        git commit --quiet --message "The tree"
        git checkout --quiet -b other
        git ls-files -z -- '*.c' '*.h' '*.rs' | awk -v RS='\0' 'NR % 40 == 1' | while IFS= read -r name; do
            printf '/* On a branch. */\n' >>"$name"
        done
        git commit --quiet --all --message "A branch"
        git checkout --quiet main
        git gc --quiet
        rm -rf "$GIT_DIR/hooks" "$GIT_DIR/logs"
    )
}

# copy_python TARGET: Debian's python3 with its library, which runs there by PYTHONHOME.
copy_python() {
    local program version
    need /usr/bin/python3=python3
    program=$(realpath /usr/bin/python3)
    version=${program##*/}
    mkdir -p "$1/bin" "$1/lib"
    cp "$program" "$1/bin/python3"
    cp -a "/usr/lib/$version" "$1/lib/"
    rm -rf "$1/lib/$version"/{dist-packages,test,idlelib,ensurepip,EXTERNALLY-MANAGED} "$1/lib/$version"/config-*
    find "$1" -type l ! -exec test -e {} \; -delete
}

# python_modules PYTHON: 200 modules that can be imported together, one a line; fewer if it has no more.
python_modules() {
    PYTHONHOME=$1 "$1/bin/python3" -B -s -S - 2>/dev/null <<'PYTHON'
import importlib, os, pkgutil, sys
unwanted = {"antigravity", "this", "turtle", "turtledemo", "tkinter", "idlelib", "test", "lib2to3", "pydoc_data", "__phello__"}
names = [n for n in sorted(sys.stdlib_module_names) if n not in unwanted]
for package in ("json", "email", "asyncio", "concurrent", "http", "urllib", "xml", "logging", "importlib", "multiprocessing",
                "unittest", "wsgiref", "html", "collections", "ctypes", "zoneinfo", "encodings"):
    try:
        path = importlib.import_module(package).__path__
    except Exception:
        continue
    names += [m.name for m in pkgutil.walk_packages(path, package + ".") if not m.name.endswith("__main__")]
found = []
for name in names:
    if len(found) == 200:
        break
    try:
        module = importlib.import_module(name)
    except BaseException:
        continue
    if (getattr(module, "__file__", None) or "").startswith(os.environ["PYTHONHOME"]):
        found.append(name)
print("\n".join(found))
PYTHON
}

# nul_list FILE: writes a list as files.c and xargs -0 read it, of the names of the tree that come on stdin.
nul_list() { sed 's,^,linux/,' | tr '\n' '\0' >"$1"; }

# make_lists TREE LISTS: which files the workloads go through, relative to the root of the union.
make_lists() {
    local tree=$1 lists=$2
    mkdir -p "$lists"
    (cd "$tree" && find . -type f -printf '%s\t%P\n' | LC_ALL=C sort -k 2) >"$run/sizes"
    cut -f 2 "$run/sizes" | nul_list "$lists/all"
    # Small ones, evenly spread.
    awk -F '\t' '$1 <= 16384 { print $2 }' "$run/sizes" | spread 5000 | nul_list "$lists/small"
    cut -f 2 "$run/sizes" | spread 3000 >"$run/names.3000"
    nul_list "$lists/some" <"$run/names.3000"
    tar -cf "$lists/some.tar" --owner=0 --group=0 -C "$tree" --verbatim-files-from -T "$run/names.3000"
    split -n r/4 -d -a 1 -t '\0' "$lists/small" "$lists/small."
    if [[ -d $tree/tools/lib/traceevent ]]; then
        printf '%s\n' linux/tools/lib/traceevent linux/tools/lib/subcmd >"$lists/builds"
    else
        printf '%s\n' linux/app >"$lists/builds"
    fi
}

# spread N: N of the lines on stdin, or all of fewer, evenly spread.
spread() { awk -v n="$1" '{ line[NR] = $0 } END { for (i = 1; i <= NR; i++) if (NR <= n || int(i * n / NR) != int((i - 1) * n / NR)) print line[i] }'; }

# make_tree TARGET: layers/{top,mid,base} and lists.
make_tree() {
    local at=$1 tree=$run/tree
    mkdir -p "$at"
    if [[ -n $quick ]]; then small_tree "$tree"; else fetch_kernel "$tree"; fi
    split_tree "$tree" "$at/layers"
    make_lists "$tree" "$at/lists"
    make_repository "$tree" "$at/layers/base/repo"
    copy_python "$at/layers/base/python"
    python_modules "$at/layers/base/python" >"$at/lists/modules"
    [[ -s $at/lists/modules ]] || die "the copied python3 does not run"
    rm -rf --one-file-system "$tree"
}

# tree_from_cache: "$made/layers" and "$made/lists", made where they are not there yet.
tree_from_cache() {
    if [[ -n $quick ]]; then
        made=$run/made
        make_tree "$made"
        return
    fi
    # The number changes when what is made changes.
    made=$cache/tree-1
    [[ ! -d $made ]] || return 0
    making=$(mktemp -d "$cache/making.XXXXXX")
    make_tree "$making/tree"
    mv "$making/tree" "$made"
    rmdir "$making"
    making=''
}
