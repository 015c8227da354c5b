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

# help_from FILE: prints a script's own head comment, from its second line to the first line that is no comment.
help_from() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$1"; }
