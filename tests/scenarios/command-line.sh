#!/bin/sh
# The orrery command as a user meets it: exit codes, where output goes, files whole or absent.
#   command-line.sh PATH-OF-ORRERY        prints one line a claim; exits 0 when all hold
orrery=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0
failed=0

claim() { # TEXT COMMAND...: holds when the command succeeds
    text=$1
    shift
    if "$@" >claim.out 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $text"
        sed 's/^/    /' claim.out
    fi
}
exits() { # CODE ARGUMENT...: orrery ends with CODE
    want=$1
    shift
    "$orrery" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" -eq "$want" ] || { echo "orrery $*: exit code $got, not $want"; cat err; return 1; }
}
complains() { # TEXT ARGUMENT...: exit code 2, one line on standard error that holds TEXT, nothing on standard output
    text=$1
    shift
    exits 2 "$@" || return 1
    [ "$(wc -l <err)" -eq 1 ] || { echo "orrery $*: not one line"; cat err; return 1; }
    grep -qF -e "$text" err || { echo "orrery $*: no \"$text\""; cat err; return 1; }
    [ ! -s out ] || { echo "orrery $*: output"; cat out; return 1; }
}
same_result() { # equal but for the host's seconds
    grep -v cpu_seconds "$1" >one
    grep -v cpu_seconds "$2" >two
    cmp one two
}

# mov si, 0x7c16; mov dx, 0x3f8; 1: lodsb; test al, al; jz 2f; out dx, al; jmp 1b; 2: mov dx, 0xf4; mov al, 3; out dx, al; hlt; "hi\n\0"
printf '\276\026\174\272\370\003\254\204\300\164\003\356\353\370\272\364\000\260\003\356\364\220hi\n\000' >guest.bin
printf '\353\376' >spin.bin
{
    echo 'orrery: 1'
    echo 'scenario: command-line'
    echo 'partition: { profile: none, memory: 1 MiB, epoch: 2 us }'
    echo 'limits: { time: 1 s }'
    # shellcheck disable=SC2016
    echo 'guest: { flat: { image: "${IMAGE:-guest.bin}", address: 0x7c00, mode: 16 } }'
} >base.yaml
{ cat base.yaml; echo 'expect: [ { console: "^hi$" }, { end: "debug-exit:3" } ]'; } >good.yaml
{ cat base.yaml; echo 'expect: [ { console: "^ho$" } ]'; } >unmet.yaml

claim "help and version are on standard output, exit 0" exits 0 --help
claim "help fits one screen" test "$(wc -l <out)" -le 24
claim "the help of run fits one screen" sh -c "'$orrery' run --help | wc -l | { read n; [ \$n -le 24 ]; }"
claim "version" exits 0 --version
claim "no command is a usage error" exits 2
claim "an unknown command is named" complains '"frob"' frob
claim "a planned command says that it is not built" complains "not built yet" debug x
claim "an unknown option is named" complains '"--frob"' run --frob good.yaml
claim "an option without its value is named" complains '"--save"' run good.yaml --save
claim "run without a file is a usage error" complains "needs a scenario file" run
claim "numbers are checked" complains '"1x"' run good.yaml --chunk 1x
claim "a chunk of 0 is refused" complains "at least 1" run good.yaml --chunk 0
claim "--set wants NAME=VALUE" complains "NAME=VALUE" run good.yaml --set 1=2
claim "a missing scenario is named with its place" complains "nope.yaml:1:1:" run nope.yaml
claim "a missing image is named with its place" complains 'good.yaml:5:25: cannot use image "nope"' run good.yaml --set IMAGE=nope
claim "an unknown cost table is refused" complains '"free"' run good.yaml --cost free
claim "an unknown profile is refused" complains '"ws1"' profile ws1
claim "profile --diff shows what came" sh -c "'$orrery' profile --diff ws2012r2 ws2016 | grep -q 'AccessReenlightenmentControls  *-  *announced'"
claim "profile --diff of one and the same shows nothing" sh -c "'$orrery' profile --diff ws2016 ws2016 | grep -q '^no difference'"
claim "profile --diff wants two" complains 'takes two names' profile --diff ws2016
claim "profile shows what is withheld and why" sh -c "'$orrery' profile ws2016 | grep -q 'withheld  MsrBitmapsInUse: '"
claim "check accepts without running" exits 0 check good.yaml
claim "check refuses each bad file" sh -c "! '$orrery' check good.yaml '$here'/bad/*.yaml 2>err && [ \$(wc -l <err) -eq \$(ls '$here'/bad/*.yaml | wc -l) ]"

claim "all met: exit 0" exits 0 run good.yaml
claim "the console and the verdicts are on standard output" grep -q '^met .*console: "^hi\$"' out
claim "nothing is on standard error when all is met" test ! -s err
claim "not met: exit 1" exits 1 run unmet.yaml
claim "then registers, code and exits are on standard error" sh -c "grep -q '^VP 0' err && grep -q '=>' err && grep -q '^The last 4 exits' err"
claim "an environment variable is a value" env IMAGE="$work/guest.bin" "$orrery" run --quiet good.yaml
claim "one file gives one object" exits 0 run good.yaml --quiet --json one.json
claim "it begins with the verdict" sh -c "sed -n '1,2p' one.json | tr -d '\n ' | grep -qF '{\"verdict\":\"met\",'"
claim "--account tells where the cycles went" sh -c "'$orrery' run good.yaml --quiet --account | grep -q '^all VPs  *count  *cycles'"
claim "--account is an object in the JSON" sh -c "'$orrery' run good.yaml --quiet --account --json acc.json && grep -q '\"account\": {' acc.json"
claim "several files give a list" sh -c "'$orrery' run good.yaml good.yaml --quiet --json two.json && head -1 two.json | grep -qF '['"
claim "one of several not met: exit 1" exits 1 run good.yaml unmet.yaml --quiet
claim "options for one file refuse several" complains "for one FILE" run good.yaml good.yaml --save x
claim "--console has the raw bytes" sh -c "'$orrery' run good.yaml --quiet --console raw && printf 'hi\n' | cmp - raw"
claim "the chunk is not visible" sh -c "'$orrery' run good.yaml --quiet --chunk 1 --json a.json"
claim "... in the result" same_result one.json a.json
claim "a run stops at a cycle and is saved" exits 1 run good.yaml --quiet --stop-at 2000 --save half
claim "another process goes on from there" exits 0 run good.yaml --quiet --restore half --json b.json
claim "... to the same result" same_result one.json b.json
claim "another seed cannot go on from there" complains "another scenario" run good.yaml --quiet --seed 1 --restore half
claim "another image cannot go on from there" complains "another scenario" run good.yaml --quiet --set IMAGE=spin.bin --restore half
claim "what is no saved run is refused" complains "not a saved state" run good.yaml --quiet --restore guest.bin
claim "after bad input no file is left" sh -c "! '$orrery' run good.yaml --quiet --restore guest.bin --json no1 --save no2 --console no3 2>/dev/null; ! ls no* 2>/dev/null"
claim "a path that cannot be written is told before the run" complains "/nonexistent/x" run good.yaml --quiet --json /nonexistent/x
claim "a full standard output is told" sh -c "'$orrery' run good.yaml >/dev/full 2>/dev/null; [ \$? -eq 2 ]"
claim "a trace is read by babeltrace2" sh -c "'$orrery' run good.yaml --quiet --trace t && babeltrace2 t | grep -q port_out"
claim "Ctrl-C writes the result, exit 1" sh -c "timeout -s INT 0.3 '$orrery' run base.yaml --set IMAGE=spin.bin --quiet --json int.json; [ -s int.json ]"
claim "... interrupted" grep -q '"end": "interrupted"' int.json

echo "$passed claims hold, $failed do not"
[ "$failed" -eq 0 ]
