# Every proof the project promises, as rows of one dated table: sourced by tools/check, which calls prove_all after the builds
# that the proofs use. A row is `proof ID CLAIM COMMAND...`; README.md repeats the table.
report=$house/build/full-report.md
details=$house/build/full-details.md
wanted_proofs= # an extended expression for ids; empty: all

proof() { # ID CLAIM COMMAND...: a step that also becomes a row, and its whole output a chapter of the details
    local id=$1 claim=$2 verdict=met
    [[ -z $wanted_proofs || $id =~ ^($wanted_proofs)$ ]] || return 0
    shift 2
    step "$id $claim" "$@"
    [ "$last_outcome" = 0 ] || verdict='**not met**'
    put_row "$id" "| $id | $claim | $verdict | ${last_measure//|/\\|} | $last_seconds | $(date -u +%Y-%m-%d) |"
    {
        printf '\n## %s %s\n\n`%s`, %s s: %s\n\n```\n' "$id" "$claim" "$*" "$last_seconds" "$verdict"
        cat "$last_log"
        printf '```\n'
    } >>"$details"
}

put_row() { # ID ROW: in the place of the row that the report has, or at its end
    ID=$1 ROW=$2 awk 'BEGIN { id = "| " ENVIRON["ID"] " |" }
        index($0, id) == 1 { if (!put++) print ENVIRON["ROW"]; next }
        { print }
        END { if (!put) print ENVIRON["ROW"] }' "$report" >"$results/report"
    cat "$results/report" >"$report"
}

begin_report() {
    : >"$details"
    {
        say "Debian $(cat /etc/debian_version), $(nproc) cores of $(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo),"
        say "$(cat "$linux/cloud/vmlinuz.package"); gcc $(gcc -dumpfullversion), clang $(clang -dumpversion)."
        say
        say "| proof | claim | verdict | measured | s | on |"
        say "|---|---|---|---|---|---|"
    } >"$report"
}

oracle() { # NAME: one oracle with all its cases, its table and exclusions
    local log=$results/oracle-$1.log
    ORRERY_ORACLE_CASES=2000 ctest --test-dir build/release -R "^oracle\\.$1\$" --no-tests=error --verbose --timeout 7200 >"$log" ||
        { cat "$log" && return 1; }
    sed -n 's/^[0-9]*: //p' "$log" | grep -v '^Test \(command\|timeout\|Working\)\|^Working Directory'
}

unit() { # PATTERN: the unit tests of a subject
    ctest --test-dir build/release -R "^unit\\.($1)" --no-tests=error --output-on-failure -j "$(jobs_at_once)" | tee "$results/unit.log"
    grep 'tests passed' "$results/unit.log"
}

labelled() { # TEST
    ctest --test-dir build/release -R "^$1\$" --no-tests=error --output-on-failure
    say "passes"
}

kernels() { # VPS VENDOR: for both of Debian's kernels
    local flavour
    for flavour in cloud generic; do
        proof "guest.$flavour.$1.$2" "$flavour kernel, $1 VP, $2: to /init, checks, power-off" \
            boot "$flavour-$1-$2" release $flavour $flavour --set VPS="$1" --set VENDOR="$2"
    done
}

prove_all() {
    local vps vendor name
    [ -n "$wanted_proofs" ] && [ -s "$report" ] || begin_report
    for vps in 1 2 4; do
        for vendor in amd intel; do
            kernels $vps $vendor
        done
    done
    proof guest.seabios "Debian's SeaBIOS starts at the reset vector" \
        build/release/orrery run scenarios/rom/seabios.yaml --quiet --set ROM=/usr/share/seabios/bios.bin
    proof guest.reboot "cloud kernel reboots and comes up again" boot reboot release reboot cloud

    proof determinism "chunks, compilers, optimisation, ASan, caches, tracing, save and restore: one digest chain" \
        tests/determinism/run --full

    for name in integer unicorn sse x87 mpfr_x87 decoder; do
        proof "oracle.$name" "$(oracle_claim $name)" oracle $name
    done
    proof system.faults "faults, segments, IRET, tasks, debug" unit 'cpu_(system|faults)'
    proof system.paging "the paging access matrix" unit 'paging'
    proof fuzz "decoder, processor, YAML, boot loaders, restored state, hypervisor: five minutes each" fuzz 300

    proof conform.ledger "ids, tests, reasons, probes and citations of every clause" build/release/orrery conform --check
    proof conform.hv1 "the Requirements document on one profile" \
        build/release/orrery conform hv1 --profile hv1-minimal --jobs 1 --quiet
    proof conform.all "every suite on all its profiles" build/release/orrery conform --jobs 2 --quiet
    proof conform.asan "the same under ASan and UBSan" build/asan/orrery conform --jobs 2 --quiet
    proof conform.restored "every probe saved and restored at random cycles, in another build" \
        tests/determinism/probes --orrery build/release/orrery --other build/asan/orrery
    proof conform.lint "each rule of the linter is broken by one guest and kept by another" labelled conformance.lint
    proof conform.mutants "each fault in the tables and by hand fails what it may; what none has proven is listed" tests/mutants/run
    proof conform.hostile "a hundred thousand random MSR writes, overlays and hypercalls each, under ASan and UBSan" \
        tests/guests/hostile build/asan/orrery build/asan/probes 100000 1
    for vps in 2 4 9; do
        proof guest.hypercalls.cloud.$vps "cloud kernel, $vps VPs, by hypercalls, twice: equal digests" \
            twice "smp-$vps" release smp cloud --set VPS=$vps --set PROFILE=ws2019
    done
    for vps in 2 4 9; do
        proof guest.hypercalls.generic.$vps "generic kernel, $vps VPs, by hypercalls" \
            boot "smp-generic-$vps" release smp generic --set VPS=$vps --set PROFILE=ws2019
    done
    proof guest.generic.9 "generic kernel with 9 VPs" boot generic-9 release generic generic --set VPS=9
    for vps in 2 4 9; do
        proof guest.threads.$vps "a thread on each of $vps VPs sees no translation that Linux has flushed by hypercall, where others stay" \
            threads "threads-$vps" --set VPS=$vps --set TRANSLATION=stalest
    done
    proof guest.65 "cloud kernel with 65 VPs" boot cloud-65 release cloud cloud --set VPS=65 --set MEMORY="1 GiB"
    proof guest.adversary "cloud kernel under an adversarial but legal hypervisor" boot adversary release adversary cloud
    proof guest.panic "cloud kernel panics and tells the hypervisor" boot panic release panic cloud

    proof speed "against QEMU icount and bochs; trace points; memory" tests/bench/run
    cat "$report"
    [ -z "$wanted_proofs" ] || return 0
    step "README.md has a row for every proof" readme_has_all
}

readme_has_all() {
    diff <(rows "$report") <(rows README.md) || { say "check --publish repeats the table there" && return 1; }
    say "$(rows "$report" | wc -l) rows"
}

rows() { # FILE: the proofs of its table
    sed -n 's/^| \([a-z0-9_.]*\) | .* | .* |$/\1/p' "$1" | grep -v '^proof$'
}

# The table of the last full run, into README.md between its marks.
publish() {
    [ -s "$report" ] || give_up "no full run has written ${report#"$house"/}"
    awk -v report="$report" '
        /^<!-- full-report -->$/ { print; while ((getline line < report) > 0) print line; skip = 1 }
        /^<!-- \/full-report -->$/ { skip = 0 }
        !skip' README.md >"$results/README.md"
    cat "$results/README.md" >README.md
}

oracle_claim() {
    case $1 in
    integer) say "integer instructions against the host's processor" ;;
    unicorn) say "integer instructions of all code sizes against unicorn" ;;
    sse) say "MMX and SSE to SSE4.2 against the host's processor, all rounding modes" ;;
    x87) say "x87 against the host's processor" ;;
    mpfr_x87) say "x87 transcendentals against MPFR, within 1 ulp" ;;
    decoder) say "decoder lengths against capstone" ;;
    esac
}
