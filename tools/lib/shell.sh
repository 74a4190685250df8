# What the house's scripts share: sourced, never run. Sets `house` (the top of the tree) and goes there.
# Results go to stdout, diagnostics to stderr; any failing command ends the script.
set -euo pipefail
export LC_ALL=C.UTF-8
house=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$house"

say() {
    printf '%s\n' "$*"
}

complain() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
}

give_up() {
    complain "$@"
    exit 2
}

# Runs a command with the rights to install packages, or says that there are none.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        complain "'$*' needs root, and there is no sudo"
        return 1
    fi
}

# Two jobs at a time on two cores; more only where there are more.
jobs_at_once() {
    nproc
}

# json_value KEY FILE: a text or number at the outermost level of a result that `orrery run --json` wrote.
json_value() {
    sed -n 's/^  "'"$1"'": "\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' "$2"
}
