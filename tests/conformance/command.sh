#!/bin/sh
# orrery conform as a user meets it, with a ledger of four clauses and a stand-in for a probe (stand-in.s).
#   command.sh PATH-OF-ORRERY        prints one line a claim that fails; exits 0 when all hold
orrery=$(realpath "$1")
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
conform() { # CODE ARGUMENT...: orrery conform ends with CODE; out and err hold what it said
    want=$1
    shift
    "$orrery" conform --probes probes "$@" >out 2>err </dev/null
    got=$?
    [ "$got" -eq "$want" ] || { echo "conform $*: exit code $got, not $want"; cat out err; return 1; }
}
complains() { # TEXT ARGUMENT...: exit code 2, and a line on standard error that holds TEXT
    text=$1
    shift
    conform 2 "$@" || return 1
    grep -qF -e "$text" err || { echo "conform $*: no \"$text\""; cat err; return 1; }
}
has() { # TEXT FILE
    grep -qF -e "$1" "$2" || { echo "no \"$1\" in $2:"; cat "$2"; return 1; }
}
word() { # MODE CLAUSE VERDICT: what the stand-in's mode makes of a clause
    CODE=1
    [ "$1" != good ] || [ -n "${EXPECTED:-}" ] || CODE=0
    mode "$1"
    conform $CODE --json report.json || return 1
    got=$(sed -n '/"id": "'"$2"'"/,/"verdict"/s/.*"verdict": "\(.*\)",/\1/p' report.json | head -n 1)
    [ "$got" = "$3" ] || { echo "mode $1: $2 is \"$got\", not $3"; return 1; }
}
mode() { # the stand-in's command line
    cat >conformance/scenarios/one.yaml <<END
orrery: 1
scenario: conformance/one
partition: { profile: "\${PROFILE:-ws2019}", memory: 4 MiB, seed: 3 }
guest: { multiboot: { kernel: "\${PROBES}/standin.elf", cmdline: "$1 edition=\${EDITION:-60}" } }
limits: { time: 1 s }
expect: [ end: "debug-exit:0"${EXPECTED:-} ]
END
}

mkdir -p probes conformance/clauses conformance/suites conformance/sections conformance/scenarios
as --32 -o standin.o "$here/stand-in.s" && ld -m elf_i386 -N -Ttext=0x100000 -o probes/standin.elf standin.o 2>ld.log || exit 2
cat >conformance/clauses/t.yaml <<'END'
chapter: t
title: Things & <others>
clauses:
  - { id: t.first, doc: tlfs, editions: "2.0+", section: { "6.0": "11.8.5" }, kind: required, gate: [],
      statement: The first <holds>., tests: [standin/first] }
  - { id: t.second, doc: tlfs, editions: "5.0+", section: { "6.0": "11.8.5" }, kind: behaviour, gate: [AccessSynicRegs],
      statement: The second holds., tests: [standin/second] }
  - { id: t.third, doc: tlfs, editions: "6.0", section: { "6.0": "11.8.5" }, kind: optional, gate: [AccessVpIndex],
      statement: The third holds., tests: [standin/second] }
  - { id: t.old, doc: tlfs, editions: "2.0-4.0", section: { "2.0": "14.6.5" }, kind: required, gate: [],
      statement: It once held., tests: [standin/old] }
  - { id: t.none, doc: tlfs, editions: "2.0+", section: { "2.0": "14.6.5" }, kind: required, gate: [],
      statement: Only a parent sees it., reason: parent-only }
END
for edition in tlfs-2.0 tlfs-5.0 tlfs-6.0 requirements-2012; do
    printf '11.8.5\tSINTx Registers\n14.6.5\tSINTx Registers\nHypercall Interface\tHypercall Interface\n' >conformance/sections/$edition.txt
done
suite() { # NAME EDITION PROFILE
    cat >"conformance/suites/$1.yaml" <<END
suite: $1
title: Suite of $2
edition: "$2"
profiles: [$3]
scenarios: [ scenarios/*.yaml ]
END
}
suite new 6.0 ws2019
suite old 2.0 ws2008r2
mode good

claim "help fits one screen" sh -c "'$orrery' conform --help | wc -l | { read n; [ \$n -le 24 ]; }"
claim "the ledger is good" conform 0 --check
claim "and counted" has "5 clauses: 0 of requirements, 5 of tlfs; 3 required, 1 optional, 0 prohibited, 1 behaviour" out
claim "suites are listed" conform 0 --list
claim "with their clauses" has "new        Suite of 6.0: 4 clauses, 3 with tests" out

# ---- verdicts ----
claim "what passes passes" word good t.first pass
claim "what is not announced is not-supported" word good t.third not-supported
claim "a clause of another edition is not asked for" sh -c 'sed "/\"old\"/,\$d" report.json | grep -q t.first && ! sed "/\"old\"/,\$d" report.json | grep -q "\"id\": \"t.old\""'
claim "what fails fails" word failing t.second fail
claim "and the others stand" word failing t.first pass
claim "a short report breaks what is missing" word short t.third broken
claim "and keeps what was said" word short t.second pass
claim "junk is no verdict" word junk t.second broken
claim "a number out of order is no verdict" word junk t.third broken
claim "an exit code that contradicts is trouble, but lines stand" word yes t.third fail
claim "a probe that dies breaks what it did not say" word crash t.second broken
claim "and keeps what it said" word crash t.first pass
EXPECTED=', console: "this nobody says"'
claim "what the scenario contradicts is no pass" word good t.first broken
EXPECTED=
mv probes/standin.elf probes/hidden
claim "a probe that is not there breaks its clauses" word good-but-absent t.first broken
mv probes/hidden probes/standin.elf

# ---- evidence ----
mode failing
conform 1 --json report.json --html page --junit junit.xml --ktap tap
claim "evidence is a command" has 'orrery run conformance/scenarios/one.yaml --set EDITION=60 --set PROFILE=ws2019 --set PROBES=probes --seed 3 --stop-at ' report.json
sed -n '/"new"/,$ { /"id": "t.second"/,/"evidence"/ s/.*"evidence": "orrery \(.*\)",*/\1/p }' report.json >evidence
# shellcheck disable=SC2046
claim "that ends with the verdict's line" sh -c "'$orrery' $(cat evidence) | grep -v '^[a-z]*met\|^NOT\|^conformance' | tail -n 1 | grep -q '^not ok 2 second t.second # stand-in.s:9: got <0x1>, want 0x0$'"
claim "JUnit escapes" has 'message="stand-in.s:9: got &#60;0x1&#62;, want 0x0"' junit.xml
claim "JUnit counts" has '<testsuite name="new.ws2019" tests="3" failures="1" errors="0" skipped="0">' junit.xml
claim "KTAP says it" has '    not ok 2 t.second # stand-in.s:9' tap
claim "the page escapes" has 'got &lt;0x1&gt;, want 0x0' page/index.html
claim "and shows the trace" has '<pre class="trace">' page/index.html
claim "up to the verdict" has 'the verdict</u>' page/index.html

# ---- jobs and shards say the same ----
cp conformance/scenarios/one.yaml conformance/scenarios/two.yaml
mode good
conform 1 --json whole.json --jobs 1
claim "any number of jobs, one report" sh -c "'$orrery' conform --probes probes --json again.json --jobs 5 >out; cmp whole.json again.json"
for i in 1 2 3; do "$orrery" conform --probes probes --json part$i.json --shard $i/3 >out; done
claim "shards merge to the whole" conform 1 --merge part2.json part1.json part3.json --json merged.json
claim "byte for byte" cmp whole.json merged.json
claim "a shard cannot be missing" complains "shard 2 of 3, and 2 reports were given" --merge part2.json part1.json
claim "nor come twice" complains "shard 1 of 3 came before" --merge part1.json part1.json part3.json
echo '{"suites": [ { "suite": "new", "profile": "ws2019", "runs": [ { "number": -1 } ] } ]}' >bad.json
claim "what is no report is refused" complains "a run's record is not as conform writes it" --merge bad.json
claim "one clause alone" conform 0 --clause t.first --json one.json
claim "and no other" sh -c '! grep -q "\"id\": \"t.second\"" one.json'
rm conformance/scenarios/two.yaml

# ---- baseline and known failures ----
mode good
claim "a baseline is written" conform 0 --update-baseline
claim "of what passes" sh -c 'grep -v "^#" conformance/baseline/new@ws2019.txt | tr "\n" " " | grep -qx "t.first t.second "'
mode failing
claim "what falls out of it is told" sh -c "'$orrery' conform --probes probes new >out; [ \$? = 1 ] && grep -q '^fallen  new ws2019  t.second' out"
echo 'known: [ { clause: t.second, profile: ws2019, cause: it is odd } ]' >conformance/known.yaml
sed -i /t.second/d conformance/baseline/new@ws2019.txt
claim "a known failure is no failure" conform 0 new
claim "and is told" has 'known: it is odd' out
mode good
claim "an unexpected pass is told" sh -c "'$orrery' conform --probes probes new >out; [ \$? = 0 ] && grep -q '^unexpected pass  new ws2019  t.second' out"
claim "a new pass is told" has '1 passes are not in the baseline yet' out
echo 'known: [ { clause: t.nowhere, profile: ws2019, cause: it is odd } ]' >conformance/known.yaml
claim "known wants clauses of the ledger" complains 'conformance/known.yaml:1:20: "t.nowhere" is no clause of the ledger'
rm conformance/known.yaml

# ---- a ledger that is wrong ----
wrong() { # TEXT SED-SCRIPT: --check says it of the edited ledger
    cp conformance/clauses/t.yaml good.yaml
    sed -i "$2" conformance/clauses/t.yaml
    complains "$1" --check
    code=$?
    mv good.yaml conformance/clauses/t.yaml
    return $code
}
claim "an unknown section" wrong 'clauses/t.yaml:4:67: t.first: edition 6.0 has no section "11.8.9"' '0,/11.8.5/s//11.8.9/'
claim "an edition that is not cited" wrong 'edition "2.0" cannot be cited here' '/t.second/s/"6.0": "11/"2.0": "11/'
claim "an unknown test" wrong 't.first: probe standin has no test fist' 's/first\]/fist]/'
claim "an unknown probe" wrong 't.first: there is no probe sitin in probes' 's/standin.first\]/sitin\/first]/'
claim "a test that does not name it back" wrong 't.first: the test standin/second does not name this clause' 's/standin.first\]/standin\/second]/'
claim "a clause that does not name its test" wrong 't.second: the test standin/second judges this clause, which does not name it' '/second holds/s/tests: .*\]/reason: not-built/'
claim "a test of a clause that is nowhere" wrong 'the test second names t.third, which is no clause of the ledger' 's/t.third/t.thirty/'
claim "an id twice" wrong 'clause t.first already stands in conformance/clauses/t.yaml:4' 's/t.second/t.first/'
claim "tests and a reason" wrong 'both "tests" and "reason"' 's/tests: .standin.old./tests: [standin\/old], reason: not-built/'
claim "neither of them" wrong 'neither of "tests" and "reason"' 's/, reason: parent-only//'
claim "an unknown reason" wrong '"too-hard" is unknown; expected one of parent-only' 's/parent-only/too-hard/'
claim "an unknown feature" wrong '"AccessSynic" is no feature' 's/AccessSynicRegs/AccessSynic/'
claim "a bad id" wrong '"t..first" is no clause id' 's/t\.first/t..first/'
claim "a suite that does not ask" sh -c "
    sed -i 's/scenarios: .*/scenarios: []/' conformance/suites/old.yaml
    '$orrery' conform --probes probes --check 2>err >out; [ \$? = 2 ] && grep -q 't.old: suite old runs no scenario with one of its probes' err"
claim "an unknown suite" complains 'no suite has the name "nine"' nine
claim "a profile that no suite has" complains 'no suite runs under profile "hv1-minimal"' --profile hv1-minimal
claim "a bad shard" complains '--shard "5/4": expected I/N' --shard 5/4

echo "$passed claims hold, $failed do not"
[ "$failed" -eq 0 ]
