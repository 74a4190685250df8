# The three engines and the guests they run: sourced by tests/bench/run after tools/lib/shell.sh. Guests, logs and raw numbers go
# to build/bench.
work=$house/build/bench
orrery=$(realpath -m "${ORRERY:-$house/build/release/orrery}")
: "${KERNEL:=$house/images/linux/cloud/vmlinuz}" "${INITRD:=$house/images/linux/initramfs.cpio}"
cpu_limit_seconds=${BENCH_LIMIT:-300}

# Model v2 as far as this QEMU's TCG has it: no PCID, INVPCID, RDSEED, x2APIC or TSC deadline. (On qemu64 with the same features the
# cloud kernel does not get past its CPU bugs under -icount sleep=off within 300 s.)
qemu_cpu=Nehalem,-vme,+rdtscp,+pdpe1gb,+fsgsbase,+smep,+smap,+umip,+xsave,+arat,+monitor,+rdrand
boot_cmdline='console=ttyS0,115200 nokaslr mitigations=off no5lvl panic=-1 rdinit=/bin/busybox -- poweroff -f'

build_tools() {
    mkdir -p "$work" "$work/verdicts"
    rm -f "$work"/verdicts/* "$work"/*.unfinished
    gcc -std=gnu17 -O2 -Wall -Wextra -o "$work/measure" "$bench/measure.c"
    as --64 -o "$work/start.o" "$bench/guests/start.s"
    say c >"$work/go.rc"
}

# guest_build NAME ROUNDS [FILE]: builds a guest as FILE.bin, for bochs also as FILE.rom.
guest_build() {
    local name=$1 rounds=$2 file=$work/${3:-$1} define=()
    case $name in
    empty | features | integer | copy | copy-rep | chase | sse2 | hypervisor-*)
        [ $name != copy-rep ] || define=(-DCOPY_REP)
        [[ $name != hypervisor-* ]] || define=("-DHV_${name#hypervisor-}")
        gcc -std=gnu17 -O2 -Wall -Wextra -ffreestanding -fno-pic -mno-red-zone -fno-stack-protector -fcf-protection=none \
            -fno-asynchronous-unwind-tables -march=x86-64 "${define[@]}" -c -o "$file.o" "$bench/guests/${name%-*}.c"
        ;;
    *) as --64 --defsym "EVENT_$name=1" -o "$file.o" "$bench/guests/events.s" ;;
    esac
    ld -T "$bench/guests/guest.ld" -nostdlib -z noexecstack --no-warn-rwx-segments --defsym=bench_rounds="$rounds" \
        -o "$file.elf" "$work/start.o" "$file.o"
    objcopy -O binary "$file.elf" "$file.bin"
    mkdir -p "$file.rom"
    cp "$file.bin" "$file.rom/guest.bin"
    as --32 -I "$file.rom" -o "$file.rom/rom.o" "$bench/guests/rom.s"
    objcopy -O binary "$file.rom/rom.o" "$file.rom/rom.bin"
}

# run_once ENGINE CASE: runs it, leaves its console in CASE.ENGINE.console, prints "case engine cpu-seconds rss-KiB".
run_once() {
    local engine=$1 name=$2 cpu rss status measured
    measured=$(cd "$work" && "run_$engine" "$name" 3>&1 >"$name.$engine.log" 2>&1 </dev/null)
    read -r cpu rss status <<<"$measured"
    # QEMU may not bring up a machine in any reasonable time; what it spent until then is the least it would have needed.
    if [ "$engine:${name%[0-9]}:$status" = qemu:boot:137 ]; then
        complain "$name under qemu did not end within $cpu_limit_seconds s of CPU; last: $(tail -n 1 "$work/$name.qemu.console")"
        : >"$work/$name.qemu.unfinished"
    elif ! ended_well "$engine" "$name" "$status"; then
        tail -n 20 "$work/$name.$engine.log" >&2
        give_up "$name under $engine ended with status $status after $cpu s of CPU"
    fi
    say "$name $engine $cpu $rss"
}

run_orrery() {
    local scenario=(guest.yaml --set GUEST="$1.bin")
    case $1 in
    boot*) scenario=(boot.yaml --set KERNEL="$KERNEL" --set INITRD="$INITRD" --set VPS="${1#boot}" --set CMDLINE="$boot_cmdline") ;;
    *) scenario=(guest.yaml --set GUEST="$work/$1.bin") ;;
    esac
    ./measure $cpu_limit_seconds "$orrery" run "$bench/${scenario[0]}" "${scenario[@]:1}" --quiet --json "$1.json" --console "$1.orrery.console"
}

run_qemu() {
    local machine=(-m 256M -kernel "$1.bin" -device isa-debugcon,iobase=0xe9,chardev=console)
    case $1 in
    boot*) machine=(-m 512M -smp "${1#boot}" -kernel "$KERNEL" -initrd "$INITRD" -append "$boot_cmdline" -device isa-serial,chardev=console) ;;
    esac
    ./measure $cpu_limit_seconds qemu-system-x86_64 -accel tcg,thread=single -icount shift=0,sleep=off -rtc base=2026-01-01,clock=vm \
        -cpu "$qemu_cpu" -nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 \
        -chardev file,id=console,path="$1.qemu.console" "${machine[@]}"
}

run_bochs() {
    (cd "$1.rom" && ../measure $cpu_limit_seconds bochs-bin -q -f "$bench/bochsrc" -rc ../go.rc)
    grep -aE '^[0-9a-f ]+$|^!' "$1.bochs.log" >"$1.bochs.console" || true
}

# QEMU's debug exit gives 2N+1; bochs panics on "Shutdown", so its console is the witness.
ended_well() { # ENGINE CASE STATUS
    local console=$work/$2.$1.console
    case $1:$2 in
    *:boot*) [ "$3" = 0 ] && grep -q 'Run /bin/busybox as init process' "$console" && grep -q 'Power down' "$console" ;;
    orrery:*) [ "$3" = 0 ] ;;
    qemu:*) [ "$3" = 33 ] ;;
    bochs:*) grep -q '^[0-9a-f]\{16\}$' "$console" ;;
    esac
}

# The last line of every engine's console is the guest's checksum: all engines computed the same.
same_results() { # CASE ENGINE...
    local name=$1 engine
    [[ $name != boot* ]] || return 0
    shift
    for engine in "$@"; do
        tail -n 1 "$work/$name.$engine.console" >"$work/$name.$engine.sum"
        cmp -s "$work/$name.orrery.sum" "$work/$name.$engine.sum" ||
            give_up "$name: $engine computed $(cat "$work/$name.$engine.sum"), orrery $(cat "$work/$name.orrery.sum")"
    done
}

verdict() { # NAME MET? : for the count at the end
    if [ "$2" = yes ]; then say met; else say missed; fi >"$work/verdicts/$1"
    [ "$2" = yes ]
}

# Which features of cpu/features.def each engine advertises to the guest.
features_table() {
    local engine
    guest_build features 1
    for engine in orrery qemu bochs; do
        run_once $engine features >/dev/null
        sed "s/^/$engine /" "$work/features.$engine.console"
    done >"$work/features.txt"
    say "orrery: $("$orrery" --version); model v2, intel"
    say "qemu:   $(qemu-system-x86_64 --version | head -n 1); -cpu $qemu_cpu"
    say "bochs:  $(bochs-bin --help cpu 2>&1 | grep -o 'Bochs x86 Emulator.*' | head -n 1), Debian's build with debugger; $(grep -o 'model=[a-z0-9_]*' "$bench/bochsrc")"
    awk -f "$bench/features.awk" "$work/features.txt" "$house/cpu/features.def"
}

# The hypervisor's own events, which no other engine here has: host nanoseconds for one, from its request to its end, and how many fit
# into a second. The empty guest's time is taken off.
hypervisor_table() {
    local name rounds what n file=$work/hypervisor.txt
    complain "hypervisor events"
    say
    say "events of the hypervisor, median of $runs"
    while read -r name rounds what; do
        guest_build "hypervisor-$name" "$rounds"
        for ((n = 0; n < runs; n++)); do
            (cd "$work" && ./measure $cpu_limit_seconds "$orrery" run "$bench/hypervisor.yaml" --set GUEST="$work/hypervisor-$name.bin" --quiet \
                --console "$name.console" 3>&1 >"$name.log" 2>&1 </dev/null) || true
            [ "$(cat "$work/$name.console")" = "$(printf '%016x' "$rounds")" ] || give_up "hypervisor-$name: $(cat "$work/$name.console") of $rounds; see $work/$name.log"
        done >"$file"
        sort -n "$file" | awk -v rounds="$rounds" -v what="$what" -v start="$(awk '$1 == "empty" && $2 == "orrery" { print $3; exit }' "$work/runs.txt")" \
            '{ t[NR] = $1 } END { s = (t[int((NR + 1) / 2)] - start) / rounds; printf "  %-66s %8.1f ns %12.0f a second\n", what, s * 1e9, 1 / s }'
    done <<'END'
CALL 4000000 null hypercall: HvCallNotifyLongSpinWait, fast, there and back
EVENT 2000000 HvCallSignalEvent to its interrupt's end, SIEF page read and cleared
MESSAGE 2000000 HvCallPostMessage to its interrupt's end, echoed into a free slot
STIMER 2000000 synthetic timer, armed 100 ns ahead, HLT, direct interrupt, its end
END
}

# Peak RSS against the RAM that the guest touches: known for the guests that we wrote.
memory_table() {
    local name touched rss met=0
    say
    say "peak resident memory of orrery, MiB (target: guest RAM touched + 64)"
    while read -r name touched; do
        rss=$(awk -v name="$name" '$1 == name && $2 == "orrery" && $4 > most { most = $4 } END { print int(most / 1024 + 0.999) }' "$work/runs.txt")
        [ "$rss" != 0 ] || continue
        printf '  %-9s %5s of %s + 64\n' "$name" "$rss" "$touched"
        [ "$rss" -le $((touched + 64)) ] && verdict "memory-$name" yes || { verdict "memory-$name" no || met=1; }
    done <<'END'
empty 1
chase 5
copy 129
END
    return $met
}

# Host instructions of a small guest with trace points that are off (not even the ring of last exits listens, which `orrery run` otherwise
# keeps for the evidence of a failed run), against a build that has none.
trace_table() {
    local without=$house/build/bench/no-trace with=$house/build/bench/with-trace name rounds build counts met=0
    complain "trace points"
    cmake -G Ninja -S "$house" -B "$with" -DCMAKE_BUILD_TYPE=Release -DORRERY_TESTS=OFF >"$work/build.log"
    cmake -G Ninja -S "$house" -B "$without" -DCMAKE_BUILD_TYPE=Release -DORRERY_TESTS=OFF -DORRERY_NO_TRACE=ON >>"$work/build.log"
    cmake --build "$with" --target orrery >>"$work/build.log"
    cmake --build "$without" --target orrery >>"$work/build.log"
    say
    say "host instructions by callgrind, trace points off against none (target: under 1 % more)"
    while read -r name rounds; do
        guest_build "$name" "$rounds" "small-$name"
        counts=()
        for build in "$with" "$without"; do
            (cd "$work" && valgrind --tool=callgrind --callgrind-out-file=/dev/null "$build/orrery" run "$bench/guest.yaml" --test-no-ring \
                --set GUEST="$work/small-$name.bin" --quiet >callgrind.out 2>callgrind.log </dev/null) || give_up "callgrind: see $work/callgrind.log"
            counts+=("$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/callgrind.log")")
        done
        awk -v name="$name" -v with="${counts[0]}" -v without="${counts[1]}" \
            'BEGIN { more = (with / without - 1) * 100; printf "  %-9s %12d against %12d: %+.3f %%\n", name, with, without, more; exit more >= 1 }' &&
            verdict "trace-$name" yes || { verdict "trace-$name" no || met=1; }
    done <<'END'
integer 100
int3 200000
syscall 200000
rdmsr 200000
lapic 200000
cr3 30000
END
    return $met
}
