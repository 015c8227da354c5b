# shellcheck shell=bash
# shellcheck disable=SC2154 # the variable run is real-rootfs's
# What a tree looks like, as sorted text, and how two such texts are compared. Used by real-rootfs. Sourced, never run.
#
# A snapshot is a directory with three files, each sorted by path:
#   list     path, type, mode, owner:group, size, link count, time of change, link target; separated by tabs
#   content  path, sha256; regular files only
#   xattrs   as getfattr prints them
# A time of change is a number of seconds when it is older than the run ("$run/started"), which is what packages and copies
# must keep; else it is the word "new". A directory's link count and size say what the file system below does, not what the
# union does: they are "-".

# snapshot ROOT OUT: a snapshot of the tree at ROOT, this file system only, into the new directory OUT.
snapshot() {
    local root=$1 out=$2 started
    started=$(cat "$run/started")
    mkdir "$out"
    # shellcheck disable=SC2030,SC2031 # the locale is meant to be the subshell's only
    (
        export LC_ALL=C
        cd "$root" || exit
        find . -xdev -printf '%p\t%y\t%m\t%U:%G\t%s\t%n\t%T@\t%l\0' | sort -z | tr '\n\0' '?\n' |
            awk -F '\t' -v OFS='\t' -v started="$started" '$7 + 0 >= started { $7 = "new" } $2 == "d" { $5 = $6 = "-" } { print }' >"$out/list"
        find . -xdev -type f -print0 | sort -z | xargs -0 -r sha256sum -- | sed 's/^\\\{0,1\}\([0-9a-f]*\)  \(.*\)$/\2\t\1/' >"$out/content"
        find . -xdev -print0 | sort -z | xargs -0 -r getfattr -h -d -m - -e hex -- >"$out/xattrs"
    )
}

# fingerprint LAYER: text that changes when anything in a layer does: names, attributes, times, content, xattrs. Access times
# are left out, as reading is no change.
fingerprint() {
    # shellcheck disable=SC2030,SC2031 # as above
    (
        export LC_ALL=C
        cd "$1" || exit
        find . -printf '%p\t%y\t%m\t%U:%G\t%s\t%n\t%T@\t%C@\t%l\0' | sort -z | tr '\n\0' '?\n'
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum --
        find . -print0 | sort -z | xargs -0 -r getfattr -h -d -m - -e hex --
    )
}

# same_file ONE OTHER: silent when equal, else the first lines of the difference.
same_file() {
    local out
    out=$(diff "$1" "$2") && return 0
    head -n 20 <<<"$out"
    return 1
}

# same_snapshot ONE OTHER: every line of both is equal.
same_snapshot() {
    local name code=0
    for name in list content xattrs; do same_file "$1/$name" "$2/$name" || code=1; done
    return "$code"
}

# differences ONE OTHER: one line a difference, sorted: path, what differs, one's value, the other's.
differences() {
    {
        awk -F '\t' -v OFS='\t' '
            BEGIN { split("path type mode owner size links time target", field, " ") }
            NR == FNR { one[$1] = $0; next }
            !($1 in one) { print $1, "presence", "absent", "present"; next }
            {
                split(one[$1], a, "\t"); delete one[$1]
                for (i = 2; i <= 8; i++) if (a[i] "" != $i "") print $1, field[i], a[i], $i
            }
            END { for (path in one) print path, "presence", "present", "absent" }' "$1/list" "$2/list"
        awk -F '\t' -v OFS='\t' '
            NR == FNR { one[$1] = $2; next }
            ($1 in one) && one[$1] != $2 { print $1, "content", one[$1], $2 }' "$1/content" "$2/content"
        awk -v OFS='\t' '
            /^# file: / { path = substr($0, 9); next }
            /^$/ { next }
            { key = path SUBSEP $0 }
            NR == FNR { one[key] = 1; next }
            key in one { delete one[key]; next }
            { print "./" path, "xattr", "absent", $0 }
            END { for (key in one) { split(key, k, SUBSEP); print "./" k[1], "xattr", k[2], "absent" } }' "$1/xattrs" "$2/xattrs"
    } | LC_ALL=C sort
}

# same_but_for ALLOWED ONE OTHER: prints every difference: the allowed ones grouped by their reason, then the others, up to
# 40. Returns 1 when there are others. A line of the file ALLOWED is: what differs (comma-separated), a regular expression
# for the whole path, the reason; separated by tabs. Lines that begin with # are comments.
same_but_for() {
    local allowed=$1 one=$2 other=$3
    differences "$one" "$other" | awk -F '\t' -v allowed="$allowed" '
        BEGIN {
            while ((getline <allowed) > 0) {
                if (/^#/ || /^$/) continue
                n++; what[n] = "," $1 ","; path[n] = "^(" $2 ")$"; reason[n] = $3
            }
        }
        {
            for (i = 1; i <= n; i++) if (index(what[i], "," $2 ",") && $1 ~ path[i]) {
                count[i]++
                if (count[i] <= 3) shown[i] = shown[i] sprintf("\n    %s (%s)", $1, $2)
                next
            }
            if (++others <= 40) list[others] = sprintf("  %s: %s: %s, %s", $1, $2, $3, $4)
        }
        END {
            for (i = 1; i <= n; i++) if (count[i]) {
                printf "explained: %s%s\n", reason[i], shown[i]
                if (count[i] > 3) printf "    and %d more\n", count[i] - 3
            }
            if (others) printf "NOT explained: %d\n", others
            for (i = 1; i <= others && i <= 40; i++) print list[i]
            exit others > 0
        }'
}
