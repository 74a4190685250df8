# Numbered steps and their count: sourced by tools/check after shell.sh.
#
# A step is a command or a function. It runs with its output in $logs/NN-name.log; what it prints last is its measure, shown beside
# its name. `ok`/`not ok` lines, numbers and the final count follow from here alone, so nothing can pass unseen.
logs=$house/build/check
rm -rf "$logs"
mkdir -p "$logs"
steps=0
passed=0
failed=0
last_log= # of the latest step
last_outcome=0
last_measure=
last_seconds=0

# step NAME COMMAND...: counts one. Never write `step ... ||`, nor put it behind `if`: bash would then let the command run on past
# its failures. $last_outcome tells.
step() {
    local name=$1 began=$SECONDS
    shift
    steps=$((steps + 1))
    last_log=$(printf '%s/%02d-%s.log' "$logs" $steps "$(tr -cs 'A-Za-z0-9\n' - <<<"$name")")
    set +e
    (
        set -e
        "$@"
    ) >"$last_log" 2>&1
    last_outcome=$?
    set -e
    last_seconds=$((SECONDS - began))
    last_measure=$(tail -n 1 "$last_log" | cut -c 1-120)
    if [ $last_outcome = 0 ]; then
        passed=$((passed + 1))
        say "ok $steps - $name ($last_seconds s): $last_measure"
    else
        failed=$((failed + 1))
        say "not ok $steps - $name ($last_seconds s), exit $last_outcome; from ${last_log#"$house"/}:"
        {
            awk '/error|FAILED|not ok|not met/ && n++ < 10' "$last_log"
            echo ...
            tail -n 10 "$last_log"
        } | cut -c 1-200 | sed 's/^/    /'
    fi
}

# step_of_tests NAME COMMAND...: for a ctest run, which counts each of its tests. One that ran none has failed.
step_of_tests() {
    local ran=0 lost=0
    step "$@"
    read -r lost ran < <(sed -n 's/.* tests passed, \([0-9]*\) tests* failed out of \([0-9]*\)$/\1 \2/p' "$last_log" | tail -n 1) || true
    if [ "${ran:-0}" -gt 0 ]; then
        if [ "$lost" = 0 ]; then
            passed=$((passed - 1 + ran))
        else
            failed=$((failed - 1 + lost))
            passed=$((passed + ran - lost))
        fi
    fi
}
