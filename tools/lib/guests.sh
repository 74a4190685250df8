# Debian's kernels as guests: sourced by tools/check after shell.sh. Each function is one step's work and prints its measure last.
results=$house/build/check/results
mkdir -p "$results"
linux=$house/images/linux

# boot RESULT BUILD SCENARIO FLAVOUR [OPTION...]: runs scenarios/linux/SCENARIO.yaml on Debian's FLAVOUR kernel; fails unless
# every expectation is met. The result becomes $results/RESULT.json.
boot() {
    local result=$1 build=$2 scenario=$3 flavour=$4
    shift 4
    timeout 600 "build/$build/orrery" run "scenarios/linux/$scenario.yaml" --quiet --json "$results/$result.json" \
        --set KERNEL="$linux/$flavour/vmlinuz" --set INITRD="$linux/initramfs.cpio" "$@"
    measure "$result"
}

measure() { # RESULT
    local file=$results/$1.json
    printf '%s, %s instructions, %.1f s of CPU\n' "$(json_value digest "$file")" "$(json_value instructions "$file")" \
        "$(json_value cpu_seconds "$file")"
}

# same RESULT RESULT: two runs ended alike and their digest chains are equal, link by link.
same() {
    local first=$results/$1.json second=$results/$2.json key
    for key in end digest cycles instructions; do
        [ -n "$(json_value $key "$first")" ]
        [ "$(json_value $key "$first")" = "$(json_value $key "$second")" ] || { say "$1 and $2 differ in $key"; return 1; }
    done
    diff <(chain "$first") <(chain "$second")
    say "$(chain "$first" | wc -l) links are equal"
}

chain() { # FILE: the epochs, one line each
    sed -n '/^  "epochs": \[/,/^  \]/p' "$1" | tr -d ' \n' | sed 's/},{/}\n{/g; s/$/\n/'
}

# twice BOOT-ARGUMENTS: boots twice, and the chains of digests are equal
twice() {
    boot "$1-first" "${@:2}"
    boot "$1-second" "${@:2}"
    same "$1-first" "$1-second"
    measure "$1-second"
}

# threads RESULT OPTION...: a thread on each VP, whose translations are flushed by hypercall
threads() {
    gcc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pic -no-pie -Wall -Wextra -o "$results/threads" scenarios/linux/threads.c
    scenarios/linux/build-initramfs --alone "$results/threads" "$results/threads.cpio"
    boot "$1" release threads cloud --set INITRD="$results/threads.cpio" "${@:2}"
}
