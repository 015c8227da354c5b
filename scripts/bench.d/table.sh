# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the scripts that source this set and use what it shares with them
# From what was measured to what is shown. Needs ui.sh, systems.sh, targets.sh. Sourced, never run.

# summarise: "$run/out/summary" from "$run/out/times" (WORKLOAD SYSTEM MICROSECONDS, tab-separated, a line a measurement) and
# "$run/out/errors" (WORKLOAD SYSTEM REASON). A line a workload and system, in the order of the table, tab-separated:
#   WORKLOAD SYSTEM STATE MEDIAN MIN MAX RATIO LIMIT VERDICT VALUES
# STATE is measured, error, or unsupported; times are seconds; what there is none of is '-'; VALUES has commas between.
summarise() {
    local name system state
    for name in "${chosen[@]}"; do
        for system in "${systems[@]}"; do
            state=measured
            can "$system" "${effect_of[$name]}" || state=unsupported
            printf '%s\t%s\t%s\t%s\n' "$name" "$system" "$state" "$(limit_of "$name" "${class_of[$system]}")"
        done
    done | awk -F '\t' -v OFS='\t' '
        function median(key,    v, n, i, j, t) {
            n = split(values[key], v, ",")
            for (i = 2; i <= n; i++) {
                t = v[i] + 0
                for (j = i - 1; j >= 1 && v[j] + 0 > t; j--) v[j + 1] = v[j]
                v[j + 1] = t
            }
            least[key] = v[1]; most[key] = v[n]
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        FILENAME ~ /times$/ { key = $1 FS $2; values[key] = values[key] (key in values && values[key] != "" ? "," : "") $3 / 1e6; next }
        FILENAME ~ /errors$/ { failed[$1 FS $2] = 1; next }
        {
            key = $1 FS $2
            state = failed[key] ? "error" : $3
            if (state == "measured" && !(key in values)) next
            if (state != "measured") { print $1, $2, state, "-", "-", "-", "-", "-", "-", "-"; next }
            middle = median(key)
            if ($2 == "kernel") base[$1] = middle
            # Of what is shown, so that a table can be checked by hand.
            ratio = base[$1] > 0 ? sprintf("%.2f", middle / base[$1]) : "-"
            limit = $4 == "" ? "-" : $4
            verdict = ratio == "-" || limit == "-" ? "-" : (ratio + 0 <= limit + 0 ? "met" : "not met")
            print $1, $2, state, sprintf("%.4f", middle), sprintf("%.4f", least[key]), sprintf("%.4f", most[key]), ratio, limit, verdict, values[key]
        }
    ' "$run/out/times" "$run/out/errors" - >"$run/out/summary"
}

# show_seconds: each workload and system with its times, and what became of its target.
show_seconds() {
    heading "Seconds: the median, and from the fastest to the slowest"
    printf '%s%-17s %-20s %9s  %-17s %6s  %-7s %s%s\n' "$ui_bold" workload system "median s" "min..max" ratio target verdict "$ui_off"
    awk -F '\t' -v green="$ui_green" -v red="$ui_red" -v off="$ui_off" '
        {
            name = $1 == last ? "" : $1
            last = $1
            if ($3 != "measured") { printf "%-17s %-20s %9s  %s\n", name, $2, "-", $3; next }
            colour = $9 == "met" ? green : $9 == "not met" ? red : ""
            printf "%-17s %-20s %9.4f  %-17s %6s  %-7s %s\n", name, $2, $4, sprintf("%.4f..%.4f", $5, $6), $7,
                $8 == "-" ? "" : "<= " $8, $9 == "-" ? "" : colour $9 (colour == "" ? "" : off)
        }
    ' "$run/out/summary"
}

# first_lamina: the configuration that the table of ratios judges.
first_lamina() {
    local system
    for system in "${systems[@]}"; do
        if [[ ${kind_of[$system]} == lamina ]]; then printf '%s' "$system"; return; fi
    done
}

# show_ratios: a line a workload, as a table in Markdown.
show_ratios() {
    [[ " ${systems[*]} " == *" kernel "* ]] || { note "No ratios: the kernel's overlay was not measured."; return 0; }
    heading "Ratios of the medians to the kernel's overlay"
    awk -F '\t' -v systems="${systems[*]}" -v judged="$(first_lamina)" '
        function line(    i) {
            printf "| %-15s |", cell[0]
            for (i = 1; i <= n; i++) printf " %*s |", width[i], cell[i]
            if (judged != "") printf " %6s | %-7s |", cell[n + 1], cell[n + 2]
            printf "\n"
        }
        function flush() { if (last != "") line(); split("", cell) }
        BEGIN {
            n = split(systems, named, " ")
            cell[0] = "workload"
            for (i = 1; i <= n; i++) {
                column[named[i]] = i
                cell[i] = named[i] == "kernel" ? "kernel, s" : named[i]
                width[i] = length(cell[i]) > 7 ? length(cell[i]) : 7
            }
            cell[n + 1] = "target"
            cell[n + 2] = judged
            line()
            printf "|%s|", "---"
            for (i = 1; i <= n; i++) printf "%s|", "--:"
            if (judged != "") printf "%s|%s|", "--:", "---"
            printf "\n"
        }
        $1 != last { flush(); last = $1; cell[0] = $1 }
        {
            cell[column[$2]] = $3 != "measured" ? ($3 == "error" ? "error" : "-") : $2 == "kernel" ? sprintf("%.3f", $4) : $7
            if ($2 == judged) {
                cell[n + 1] = $8 == "-" ? "" : $8
                cell[n + 2] = $9 == "-" ? "" : $9
            }
        }
        END { flush() }
    ' "$run/out/summary"
}

# show_depth: what the number of layers costs a lookup.
show_depth() {
    awk -F '\t' '
        $3 == "measured" && $1 == "layers-1-look" { one[$2] = $4 }
        $3 == "measured" && $1 == "layers-128-look" && one[$2] > 0 { printf "  %-20s %6.2f\n", $2, $4 / one[$2] }
    ' "$run/out/summary" >"$run/out/depth"
    [[ -s $run/out/depth ]] || return 0
    heading "layers-128-look, as a multiple of layers-1-look on the same system"
    cat "$run/out/depth"
}

show_errors() {
    [[ -s $run/out/errors ]] || return 0
    heading "Not measured, because it went wrong"
    awk -F '\t' '{ printf "  %s on %s: %s\n", $1, $2, $3 }' "$run/out/errors"
}

# in_json TEXT: as a JSON string.
in_json() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[$'\001'-$'\037']/ }"
}

# write_json FILE: all of it, with every single time.
write_json() {
    local system comma=''
    {
        printf '{\n  "date": %s,\n  "kernel": %s,\n  "cpu": %s,\n  "cpus": %s,\n  "memory_kib": %s,\n' "$(in_json "$(date -u +%Y-%m-%dT%H:%M:%SZ)")" \
            "$(in_json "$(uname -srm)")" "$(in_json "$(cpu_model)")" "$(nproc)" "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
        printf '  "on": %s,\n  "as": %s,\n  "quick": %s,\n  "rounds": %s,\n  "systems": [' "$(in_json "$file_system")" "$(in_json "$who")" \
            "$(if [[ -n $quick ]]; then printf true; else printf false; fi)" "$rounds"
        for system in "${systems[@]}"; do
            printf '%s\n    {"name": %s, "kind": %s, "program": %s, "options": %s, "class": %s}' "$comma" "$(in_json "$system")" \
                "$(in_json "${kind_of[$system]}")" "$(in_json "${origin_of[${program_of[$system]:-none}]:-${program_of[$system]}}")" "$(in_json "${options_of[$system]}")" "$(in_json "${class_of[$system]}")"
            comma=,
        done
        printf '\n  ],\n  "results": ['
        awk -F '\t' '
            function number(text) { return text == "-" ? "null" : text }
            {
                printf "%s\n    {\"workload\": \"%s\", \"system\": \"%s\", \"state\": \"%s\", \"median\": %s, \"min\": %s, \"max\": %s, \"ratio\": %s, \"target\": %s, \"met\": %s, \"seconds\": [%s]}",
                    (NR > 1 ? "," : ""), $1, $2, $3, number($4), number($5), number($6), number($7), number($8),
                    ($9 == "-" ? "null" : $9 == "met" ? "true" : "false"), $10 == "-" ? "" : $10
            }
            END { printf "\n  ],\n" }
        ' "$run/out/summary"
        printf '  "errors": ['
        comma=''
        while IFS=$'\t' read -r name system reason; do
            printf '%s\n    {"workload": %s, "system": %s, "reason": %s}' "$comma" "$(in_json "$name")" "$(in_json "$system")" "$(in_json "$reason")"
            comma=,
        done <"$run/out/errors"
        printf '\n  ]\n}\n'
    } >"$run/out/json"
    cat "$run/out/json" >"$1"
}

cpu_model() { sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1; }
