# Prints the lines "MUTANT CLAUSE" of the second file that no row "MUTANT-PATTERN CLAUSE-GLOB..." of the first allows.
function regex(glob) {
    gsub(/[.+?(){}|^$\\]/, "\\\\&", glob)
    gsub(/\*/, ".*", glob)
    return "^" glob "$"
}
FNR == NR {
    if ($0 !~ /^#/ && NF > 1) {
        pattern[++rows] = regex($1)
        count[rows] = NF - 1
        for (i = 2; i <= NF; i++)
            globs[rows, i - 1] = regex($i)
    }
    next
}
$1 != mutant {
    mutant = $1
    matching = 0
    for (r = 1; r <= rows; r++)
        if (mutant ~ pattern[r])
            row[++matching] = r
}
{
    for (k = 1; k <= matching; k++)
        for (i = 1; i <= count[row[k]]; i++)
            if ($2 ~ globs[row[k], i])
                next
    print
}
