# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# The environment of programs whose time is taken: nothing of whoever measures. Sourced, never run.

export LC_ALL=C TZ=UTC HOME=/nonexistent
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_TERMINAL_PROMPT=0 GIT_CEILING_DIRECTORIES=/
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE=2020-01-01T00:00:00Z
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
unset GREP_OPTIONS LS_COLORS TAR_OPTIONS MAKEFLAGS GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
