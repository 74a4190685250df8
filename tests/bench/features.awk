# Reads "engine leaf eax ebx ecx edx" (hexadecimal), then cpu/features.def; says which features the engines do not share.
function number(hex,   i, value) {
    for (i = 1; i <= length(hex); i++)
        value = value * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return value
}
function bit(value, n) {
    return int(value / 2 ^ n) % 2
}
FNR == NR {
    if (NF == 6) {
        leaf = $2
        register[$1, leaf, "EAX"] = number($3); register[$1, leaf, "EBX"] = number($4)
        register[$1, leaf, "ECX"] = number($5); register[$1, leaf, "EDX"] = number($6)
        known[leaf] = 1
    }
    next
}
/^FEATURE\(/ {
    split($0, field, /[(), "]+/)
    leaf = field[4] ~ /^0x/ ? substr(field[4], 3) : sprintf("%08d", field[4])
    if (!(leaf in known))
        next
    who = ""
    for (i = 1; i <= 3; i++) {
        engine = i == 1 ? "orrery" : i == 2 ? "qemu" : "bochs"
        if (bit(register[engine, leaf, field[6]], field[7]))
            who = who " " engine
    }
    list[who] = list[who] " " field[3]
}
END {
    print "features that all advertise:" list[" orrery qemu bochs"]
    for (i = 1; i <= 6; i++) {
        who = i == 1 ? " orrery qemu" : i == 2 ? " orrery bochs" : i == 3 ? " qemu bochs" : i == 4 ? " orrery" : i == 5 ? " qemu" : " bochs"
        if (list[who] != "")
            print "only" who ":" list[who]
    }
}
