# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# All workloads, in the order of the table. Needs "$here". Sourced, never run.

# shellcheck source=bench.d/workloads.sh
. "$here/bench.d/workloads.sh"
# shellcheck source=bench.d/read.sh
. "$here/bench.d/read.sh"
# shellcheck source=bench.d/write.sh
. "$here/bench.d/write.sh"
# shellcheck source=bench.d/data.sh
. "$here/bench.d/data.sh"
# shellcheck source=bench.d/use.sh
. "$here/bench.d/use.sh"
# shellcheck source=bench.d/deep.sh
. "$here/bench.d/deep.sh"
