# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts of this directory share; sourced, never run.

set -o errexit -o nounset -o pipefail

# shellcheck disable=SC2034 # the scripts use it
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${CLOUD_RECORDING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cloud-recording}

say() {
    printf '==> %s\n' "$*" >&2
}

# The calling script runs alone from here on: two builds of one thing would only race for the processors.
take_turns() {
    mkdir -p "$cache"
    exec {turn}>"$cache/$1.lock"
    flock --nonblock "$turn" || { say "waiting for another $1 to end" && flock "$turn"; }
}
