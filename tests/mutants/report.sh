# What runs of mutants have found, from the directories that they left (mutants, fallen/*, sound/whole). Sourced by run.

list() { # TITLE FILE
    say "$1:"
    sed 's/^/  /' "$2"
}

# Into DIR/sum of the first. True when each mutant failed what it may and no less, the rest is excused, and conformance/unproven.txt names what
# no mutant has proven (asked of a report of all kinds of mutants alone).
report() { # DIR...
    local sum=$1/sum dir
    rm -rf "$sum"
    mkdir -p "$sum"
    : >"$sum/all"
    for dir in "$@"; do
        cat "$dir/mutants" >>"$sum/mutants"
        if [ -e "$dir/beside" ]; then
            cp "$sum/all" "$sum/kept"
        else
            awk 'FNR == NR { anew[$1]; next } !($1 in anew)' "$dir/mutants" "$sum/all" >"$sum/kept"
        fi
        cat "$sum/kept" "$dir"/fallen/* >"$sum/all"
        awk '$2 == "pass" { sub(/^[0-9]+:/, "", $1); print $1 }' "$dir/sound/whole" >>"$sum/sound"
    done
    sort -u -o "$sum/mutants" "$sum/mutants"
    sort -u -o "$sum/all" "$sum/all"
    sort -u -o "$sum/sound" "$sum/sound"
    cut -d ' ' -f 1 "$sum/all" | sort -u >"$sum/killed"
    comm -23 "$sum/mutants" "$sum/killed" >"$sum/alive"
    sed 's/[ #].*//; /^$/d' "$here/survivors" | sort >"$sum/excused"
    comm -23 "$sum/alive" "$sum/excused" >"$sum/survived"
    comm -12 "$sum/excused" "$sum/killed" >"$sum/risen"

    {
        cat "$here/expected"
        cat "$here"/hand/*.txt | awk '$1 == "mutant" { name = $2 } $1 == "fails" { $1 = "hand:" name; print }'
    } >"$sum/may"
    grep -v ' \*$' "$sum/may" >"$sum/may.named"
    grep -v ' \*$' "$sum/all" >"$sum/falls" || true
    awk -f "$here/allowed.awk" "$sum/may" "$sum/falls" >"$sum/beyond"
    awk -f "$here/allowed.awk" "$sum/may.named" "$sum/falls" | comm -23 "$sum/falls" - | cut -d ' ' -f 2 | sort -u >"$sum/proven"
    comm -23 "$sum/sound" "$sum/proven" >"$sum/unproven"
    : >"$sum/listed"
    : >"$sum/unlisted"
    if [ "$(cut -d : -f 1 "$sum/mutants" | sort -u | wc -l)" = 4 ]; then
        { grep '^[a-z]' "$house/conformance/unproven.txt" || true; } | sort >"$sum/list"
        comm -12 "$sum/list" "$sum/proven" >"$sum/listed"
        comm -23 "$sum/unproven" "$sum/list" >"$sum/unlisted"
    fi

    list "clauses that pass and that no mutant has failed" "$sum/unproven"
    grep ' \*$' "$sum/all" | cut -d ' ' -f 1 | comm -23 - <(cut -d ' ' -f 1 "$sum/falls" | sort -u) >"$sum/broken" || true
    list "seen, but only because a probe broke" "$sum/broken"
    list "proven, though conformance/unproven.txt names them" "$sum/listed"
    list "unproven, and conformance/unproven.txt does not name them" "$sum/unlisted"
    list "survived" "$sum/survived"
    list "killed though tests/mutants/survivors excuses it" "$sum/risen"
    list "failed though no row of tests/mutants/expected allows it" "$sum/beyond"
    say "$(wc -l <"$sum/mutants") mutants, $(grep -c '^hand:' "$sum/mutants") by hand: $(wc -l <"$sum/killed") killed ($(wc -l <"$sum/broken") by breaking), $(wc -l <"$sum/survived") survived," \
        "$(comm -12 "$sum/alive" "$sum/excused" | wc -l) excused, $(wc -l <"$sum/beyond") beyond what they may; $(wc -l <"$sum/proven") clauses proven, $(wc -l <"$sum/unproven") not"
    [ ! -s "$sum/survived" ] && [ ! -s "$sum/risen" ] && [ ! -s "$sum/beyond" ] && [ ! -s "$sum/listed" ] && [ ! -s "$sum/unlisted" ]
}
