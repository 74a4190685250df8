# The full proof's own parts: builds of five kinds, and the cloud kernel on all of them. Sourced by `run`.

variants="gcc-O3 gcc-O0 clang-O3 clang-O0 asan"
build_of() {
    printf '%s' "$builds/$1"
}
command_of() {
    printf '%s' "$builds/$1/orrery"
}

# build_variant NAME CMAKE-ARGUMENT...
build_variant() {
    local name=$1
    shift
    cmake -S "$top" -B "$(build_of "$name")" -G Ninja "$@" >"$work/build-$name.log" 2>&1 &&
        cmake --build "$(build_of "$name")" --target orrery determinism_moments >>"$work/build-$name.log" 2>&1
}
full_builds() {
    title "builds: $variants"
    check "build gcc -O3" build_variant gcc-O3 -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O3
    check "build gcc -O0" build_variant gcc-O0 -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug
    check "build clang -O3" build_variant clang-O3 -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O3
    check "build clang -O0" build_variant clang-O0 -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug
    check "build clang ASan UBSan" build_variant asan -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DORRERY_SANITIZE=ON
    orrery=$(command_of gcc-O3)
    moments=$(build_of gcc-O3)/tests/determinism/determinism_moments
}

# The guests on the other builds; then 100 moments each from gcc -O3 to clang with ASan.
full_guests() {
    local guest variant
    for guest in long-smp modes; do
        for variant in gcc-O0 clang-O3 clang-O0 asan; do
            guest_on_build $guest $variant "$(command_of $variant)"
            guest_stalest $guest "$(command_of $variant)" $variant
        done
    done
    title "small guests: saved by gcc -O3, restored by clang with ASan"
    guest_saves long-smp 17 "$(command_of gcc-O3)" "$(command_of asan)" "any rep shadow pending fault uart"
    guest_saves modes 20 "$(command_of gcc-O3)" "$(command_of asan)" "any rep shadow pending fault"
}

# kernel_on_builds VPS: gcc -O3 decides; all builds agree.
kernel_on_builds() {
    local vps=$1 first=cloud-$1 n variant
    boot_arguments "$vps"
    check "cloud, $vps VPs: boots" result "$first" "$(command_of gcc-O3)" "${boot[@]}"
    check "cloud, $vps VPs: verdict" met "$first"
    for n in 1000 10007 1000000; do
        check "cloud, $vps VPs: chunks of $n" same "$first" "$first-run" "$(command_of gcc-O3)" "${boot[@]}" --chunk $n
    done
    check "cloud, $vps VPs: host TLB of 16 entries" same "$first" "$first-run" "$(command_of gcc-O3)" "${boot[@]}" --test-host-tlb 16
    check "cloud, $vps VPs: host caches emptied every 5 000 blocks or so, chunks of 10 007" \
        same "$first" "$first-run" "$(command_of gcc-O3)" "${boot[@]}" --test-host-flush 5000 --chunk 10007
    check "cloud, $vps VPs: traced" traced "$first" "$first-trace" "$(command_of gcc-O3)" "${boot[@]}"
    rm -rf "$work/$first-trace.ctf"
    without_aslr "$(command_of gcc-O3)"
    check "cloud, $vps VPs: without a random address space" same "$first" "$first-run" "$work/without-aslr" "${boot[@]}"
    for variant in clang-O3 gcc-O0 clang-O0 asan; do
        check "cloud, $vps VPs: $variant, the whole boot" same "$first" "$first-run" "$(command_of $variant)" "${boot[@]}"
    done
}

# Restored by ASan, a run goes on over the next link but one; its chain so far must be the beginning of the uninterrupted one's.
kernel_saved_at() {
    local name=$1 first=$2 cycle=$3 links stop
    result "$name-save" "$(command_of gcc-O3)" "${boot[@]}" --stop-at "$cycle" --save "$work/$name.orrery" || return 1
    links=$(links "$work/$name-save.json" | wc -l)
    same "$name-save" "$name-there" "$(command_of asan)" "${boot[@]}" --restore "$work/$name.orrery" --stop-at "$cycle" || return 1
    stop=$((cycle + 10100000))
    result "$name" "$(command_of asan)" "${boot[@]}" --restore "$work/$name.orrery" --stop-at $stop || return 1
    rm -f "$work/$name.orrery"
    same_beginning "$first" "$name" "$links"
}
kernel_saves() {
    local vps=4 class cycle end
    boot_arguments $vps
    end=$(value cycles "$work/cloud-$vps.json")
    if ! "$moments" "${boot[@]:1}" "${boot[0]}" 33 $((end - 20000000)) 300 3000 >"$work/cloud-moments"; then
        check "cloud: moments" false
        return
    fi
    while read -r class cycle; do
        check "cloud, $vps VPs: saved by gcc -O3 at $cycle ($class), restored by clang with ASan" \
            kernel_saved_at cloud-saved cloud-$vps "$cycle"
    done <"$work/cloud-moments"
}

full_kernel() {
    local vps
    check "the kernel is there (tools/fetch-images)" kernel_there
    kernel_there || return
    for vps in 1 2 4; do
        title "the cloud kernel with $vps VPs"
        kernel_on_builds $vps
    done
    title "the cloud kernel saved and restored"
    kernel_saves
}
