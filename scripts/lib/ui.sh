# shellcheck shell=bash
# shellcheck disable=SC2034
# What the scripts say, and how: headings, commands as typed, errors. Plain text when the output is not a terminal or
# NO_COLOR is set. Sourced, never run.

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    ui_bold=$'\e[1m' ui_dim=$'\e[2m' ui_red=$'\e[31m' ui_green=$'\e[32m' ui_yellow=$'\e[33m' ui_blue=$'\e[34m' ui_off=$'\e[0m'
else
    ui_bold='' ui_dim='' ui_red='' ui_green='' ui_yellow='' ui_blue='' ui_off=''
fi

# heading TEXT: the start of a section.
heading() { printf '\n%s%s%s\n' "$ui_bold$ui_blue" "$*" "$ui_off"; }

# say TEXT: a plain sentence.
say() { printf '%s\n' "$*"; }

# note TEXT: a sentence about what the script does to the machine, or what it leaves out; never to be overlooked.
note() { printf '%s%s%s\n' "$ui_yellow" "$*" "$ui_off"; }

# good TEXT, bad TEXT: a verdict.
good() { printf '%s%s%s\n' "$ui_green" "$*" "$ui_off"; }
bad() { printf '%s%s%s\n' "$ui_red" "$*" "$ui_off"; }

# die TEXT [WHAT-TO-DO]: ends the script with exit code 1.
die() {
    printf '%s: %serror:%s %s\n' "${0##*/}" "$ui_red" "$ui_off" "$1" >&2
    [[ $# -lt 2 ]] || printf '  %s\n' "$2" >&2
    exit 1
}

# usage_error TEXT: a wrong command line ends the script with exit code 2.
usage_error() {
    printf '%s: %serror:%s %s (see --help)\n' "${0##*/}" "$ui_red" "$ui_off" "$1" >&2
    exit 2
}

# help_from FILE: prints a script's own head comment, from its second line to the first line that is no comment, filled
# to 80 columns. An indented line, `  --flag    what it does` or `  1. what happens`, goes on below its second column.
help_from() {
    awk '
        function flush() {
            if (text != "") fill(text)
            text = ""
        }
        function fill(text,    words, count, i, line, width) {
            count = split(text, words, " ")
            line = first
            width = length(first)
            for (i = 1; i <= count; i++) {
                if (i > 1 && width + 1 + length(words[i]) > 80) {
                    print line
                    line = sprintf("%" hang "s", "")
                    width = hang
                } else if (i > 1) {
                    line = line " "
                    width++
                }
                line = line words[i]
                width += length(words[i])
            }
            print line
        }
        NR == 1 { next }
        !/^#/ { exit }
        {
            sub(/^# ?/, "")
            match($0, /^ */)
            indent = RLENGTH
            if ($0 == "") { flush(); print ""; next }
            if (text != "" && (lead == 0 ? indent == 0 : indent > lead)) {
                text = text " " $0
            } else {
                flush()
                first = substr($0, 1, indent)
                lead = hang = indent
                text = substr($0, indent + 1)
                if (indent > 0 && (match(text, /^[0-9]+\. /) || match(text, /[^ ]   */))) {
                    first = first substr(text, 1, RSTART + RLENGTH - 1)
                    hang = length(first)
                    text = substr(text, RSTART + RLENGTH)
                }
            }
            if (/:$/) flush()
        }
        END { flush() }
    ' "$1"
}

# cargo_build ARGUMENTS: builds, and shows the progress where someone may be watching.
cargo_build() {
    if [[ -t 2 ]]; then cargo build "$@"; else cargo build --quiet "$@"; fi
}
