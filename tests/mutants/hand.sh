# Mutants by hand: the records of hand/*.txt, each one change to one line of the source. Sourced by run.
#
#     mutant NAME
#     file tlfs/synic.c
#     - the line as it stands, without its indentation; it stands once in the file
#     + what takes its place (more such lines may follow)
#     fails CLAUSE-GLOB...
hand_tree=$house/build/mutants/hand

# The tree as it is, into $hand_tree. Only files that differ are touched, so that what a broken-off run left is built again.
hand_copy() {
    local file
    (cd "$house" && git ls-files | grep -v '^tests/') | while read -r file; do
        cmp -s "$house/$file" "$hand_tree/$file" || {
            mkdir -p "$(dirname "$hand_tree/$file")"
            cp "$house/$file" "$hand_tree/$file"
        }
    done
}

hand_records() {
    cat "$here"/hand/*.txt
}

hand_mutants() { # prints the names of those it ran
    local name names=()
    for name in $(hand_records | sed -n 's/^mutant //p'); do
        ! wanted "hand:$name" || names+=("$name")
    done
    [ ${#names[@]} -gt 0 ] || return 0
    hand_copy
    cmake -G Ninja -S "$hand_tree" -B "$hand_tree/build" -DCMAKE_BUILD_TYPE=Release -DORRERY_TESTS=OFF >"$out/hand.log"
    cmake --build "$hand_tree/build" >>"$out/hand.log"
    for name in "${names[@]}"; do
        hand_mutant "$name"
        say "hand:$name"
    done
}

hand_mutant() { # NAME
    local name=$1 file
    file=$(hand_records | awk -v name="$name" '$1 == "mutant" { on = $2 == name } on && $1 == "file" { print $2 }')
    awk -v name="$name" -v records=<(hand_records) '
        BEGIN {
            while ((getline line < records) > 0) {
                if (line ~ /^mutant /) on = substr(line, 8) == name
                else if (on && line ~ /^- /) find = substr(line, 3)
                else if (on && line ~ /^\+/) put = put substr(line, 3) "\n"
            }
        }
        { bare = $0; sub(/^[ \t]+/, "", bare) }
        bare == find { printf "%s", put; found++; next }
        { print }
        END { exit found != 1 }' "$house/$file" >"$hand_tree/$file" || give_up "hand: $name: its line does not stand once in $file"
    cmake --build "$hand_tree/build" --target orrery >"$out/hand.log" 2>&1 || { cat "$out/hand.log" >&2 && give_up "hand: $name does not compile"; }
    if judged "$out/hand.judged" "$hand_tree/build/orrery" --jobs "$jobs"; then
        fallen "hand:$name" "$out/sound/whole" "$out/hand.judged" >"$out/fallen/hand_$name"
    else
        say "hand:$name *" >"$out/fallen/hand_$name"
    fi
    cp "$house/$file" "$hand_tree/$file"
}
