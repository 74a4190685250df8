# Mutants by hand: hand.txt's records, each one change to one line of the source. Sourced by run.
#
#     mutant NAME
#     file tlfs/synic.c
#     - the line as it stands, without its indentation; it stands once in the file
#     + what takes its place (more such lines may follow)
#     fails CLAUSE-GLOB...
hand_tree=$house/build/mutants/hand

hand_count() {
    grep -c '^mutant ' "$here/hand.txt"
}

hand_mutants() {
    local name
    mkdir -p "$hand_tree"
    (cd "$house" && git ls-files -z | grep -zv '^tests/' | tar --null -T - -cf -) | tar -xf - -C "$hand_tree"
    cmake -G Ninja -S "$hand_tree" -B "$hand_tree/build" -DCMAKE_BUILD_TYPE=Release -DORRERY_TESTS=OFF >"$out/hand.log"
    cmake --build "$hand_tree/build" >>"$out/hand.log"
    sed -n 's/^mutant //p' "$here/hand.txt" | while read -r name; do
        # shellcheck disable=SC2254
        case hand:$name in $only) hand_mutant "$name" ;; esac
    done
}

hand_mutant() { # NAME
    local name=$1 file
    file=$(awk -v name="$name" '$1 == "mutant" { on = $2 == name } on && $1 == "file" { print $2 }' "$here/hand.txt")
    awk -v name="$name" -v records="$here/hand.txt" '
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
        END { exit found != 1 }' "$house/$file" >"$hand_tree/$file" || give_up "hand.txt: $name: its line does not stand once in $file"
    if cmake --build "$hand_tree/build" --target orrery >"$out/hand.log" 2>&1; then
        passing "$hand_tree/build/orrery" "$out/hand_${name//[^a-z0-9-]/_}" && judge "hand:$name"
    else
        cat "$out/hand.log" >&2
        give_up "hand.txt: $name does not compile"
    fi
    cp "$house/$file" "$hand_tree/$file"
}
