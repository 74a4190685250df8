# The table of speeds. Reads instructions.txt (case, count), the rows of `cases`, runs.txt (case, engine, CPU seconds, RSS).
# Ratios are QEMU's seconds by Orrery's: above 1, Orrery is the faster. Exit 1 when a target is missed.
function median(name, engine,   n, i, j, t, v) {
    n = count[name, engine]
    for (i = 1; i <= n; i++) {
        t = seconds[name, engine, i]
        for (j = i - 1; j > 0 && v[j] > t; j--)
            v[j + 1] = v[j]
        v[j + 1] = t
    }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
FILENAME ~ /instructions.txt$/ && $2 == "unfinished" { unfinished[$1] = 1; next }
FILENAME ~ /instructions.txt$/ { instructions[$1] = $2; next }
FILENAME ~ /runs.txt$/ { seconds[$1, $2, ++count[$1, $2]] = $3; next }
{
    order[++cases] = $1; letter[$1] = $2; rounds[$1] = $3; target[$1] = $5
    what[$1] = ""
    for (i = 6; i <= NF; i++)
        what[$1] = what[$1] (i > 6 ? " " : "") $i
}
END {
    printf "\nCPU seconds, median of %d; ratio: QEMU's time by Orrery's, above 1 Orrery is faster, with its least and greatest run by run;\n", runs
    print "net: the same without each engine's time for the empty guest, which also gives ns for a round; the target is for net."
    printf "\n%-3s %-44s %8s %8s %8s  %-21s %7s %6s %-6s %14s %6s %10s %10s %10s\n", "", "case", "orrery", "qemu", "bochs", "ratio (min..max)", "net", "target", "", "instructions", "MIPS", "orrery ns", "qemu ns", "bochs ns"
    for (k = 1; k <= cases; k++) {
        name = order[k]
        if (!count[name, "orrery"])
            continue
        o = median(name, "orrery"); q = median(name, "qemu"); b = count[name, "bochs"] ? median(name, "bochs") : 0
        least = 1e9; greatest = 0
        for (i = 1; i <= count[name, "orrery"]; i++) {
            r = seconds[name, "qemu", name in unfinished ? 1 : i] / seconds[name, "orrery", i]
            if (r < least) least = r
            if (r > greatest) greatest = r
        }
        if (name == "empty") {
            start["orrery"] = o; start["qemu"] = q; start["bochs"] = b
        }
        net = name == "empty" || letter[name] == "a" ? q / o : (q - start["qemu"]) / (o - start["orrery"])
        verdict = ""
        if (target[name] != "-") {
            verdict = net >= target[name] ? "met" : "MISSED"
            missed += verdict != "met"
            print (verdict == "met" ? "met" : "missed") >(FOLDER "/speed-" name)
        }
        if (name in unfinished)
            verdict = verdict " (qemu did not end: at least this)"
        ns = ""
        if (rounds[name] != "-" && name != "empty")
            ns = sprintf(" %10.1f %10.1f %10s", (o - start["orrery"]) / rounds[name] * 1e9, (q - start["qemu"]) / rounds[name] * 1e9,
                b ? sprintf("%.1f", (b - start["bochs"]) / rounds[name] * 1e9) : "-")
        printf "%-3s %-44s %8.3f %8.3f %8s  %-21s %7s %6s %-6s %14d %6.0f%s\n", letter[name] == "-" ? "" : "(" letter[name] ")", substr(name ": " what[name], 1, 44),
            o, q, b ? sprintf("%.3f", b) : "-", sprintf("%.2f (%.2f..%.2f)", q / o, least, greatest), name == "empty" ? "" : sprintf("%.2f", net), target[name], verdict,
            instructions[name], instructions[name] / o / 1e6, ns
    }
    exit missed > 0
}
