# shellcheck shell=bash disable=SC2154 # `root` comes from common.sh
# How scripts/test runs its steps and counts. Sourced after common.sh, never run.
#
# A step's output is shown as it comes and kept in a log. A failed step does not stop the run: the
# later ones do not depend on it.

passed=0
failed=0
skipped=0
step_lines=()    # result, seconds and name of each step
skip_lines=()    # name and reason of what was skipped
failed_steps=()
skip_status=77   # by convention the exit status of a step that cannot run here
log_tail_lines=80

begin_run() {
    cd -- "$root" || exit 1
    run_dir=$CARGO_TARGET_DIR/test-run
    rm -rf -- "$run_dir"
    mkdir -p -- "$run_dir" || exit 1
    rocksdb_builds_before=$run_dir/rocksdb-before
    rocksdb_builds_seen=$run_dir/rocksdb-builds
    rocksdb_builds | sort >"$rocksdb_builds_before"
    : >"$rocksdb_builds_seen"
    # A test that cannot run on this machine appends `name: reason` to this file, and passes.
    export SEDGE_TEST_SKIPS=$run_dir/skips
    : >"$SEDGE_TEST_SKIPS"
    trap 'exit 130' INT TERM
}

# For the functions that are steps: ends the step as skipped, with the reason.
skip() {
    echo "skipped: $*"
    return "$skip_status"
}

note_skipped() { # name, reason
    skipped=$((skipped + 1))
    skip_lines+=("$1: $2")
}

# Runs a step, sets `step_status` and `step_log`.
run_step() { # name, command...
    local name=$1
    shift
    step_log=$run_dir/${name// /-}.log
    printf '\n==> %s\n' "$name"
    "$@" </dev/null 2>&1 | tee -- "$step_log"
    step_status=${PIPESTATUS[0]}
    # Looked at after each step: a later build in the same place would hide an earlier one.
    { rocksdb_builds | sort | comm -13 "$rocksdb_builds_before" -; cat "$rocksdb_builds_seen"; } |
        sort -u -o "$rocksdb_builds_seen"
}

end_step() { # name, seconds, result
    local line
    line=$(printf '%-8s %5d s  %s' "$3" "$2" "$1")
    step_lines+=("$line")
    printf '%s\n' "$line"
    if [[ $3 == failed ]]; then
        failed_steps+=("$1")
    fi
}

# A step that counts as one.
check_step() { # name, command...
    local began=$SECONDS result
    run_step "$@"
    case $step_status in
        0)
            result=passed
            passed=$((passed + 1))
            ;;
        "$skip_status")
            result=skipped
            note_skipped "$1" "$(sed -n 's/^skipped: //p' "$step_log" | tail -n 1)"
            ;;
        *)
            result=failed
            failed=$((failed + 1))
            ;;
    esac
    end_step "$1" $((SECONDS - began)) "$result"
}

# The sums of cargo test's `test result:` lines: passed, failed, ignored.
test_counts() { # log
    awk '/^test result: / {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed;/) passed += $(i - 1)
                if ($i ~ /^failed;/) failed += $(i - 1)
                if ($i ~ /^ignored;/) ignored += $(i - 1)
            }
        }
        END { print passed + 0, failed + 0, ignored + 0 }' "$1"
}

# A step of cargo test, where every test counts.
tests_step() { # name, command...
    local began=$SECONDS result=passed ok bad ignored line name
    run_step "$@"
    read -r ok bad ignored < <(test_counts "$step_log")

    # What tests skipped by themselves counts as passed for cargo. One test is one line.
    while IFS= read -r line; do
        note_skipped "${line%%: *}" "${line#*: }"
        if ((ok > 0)); then
            ok=$((ok - 1))
        fi
    done < <(awk -F ': ' 'NF && !seen[$1]++' "$SEDGE_TEST_SKIPS")
    : >"$SEDGE_TEST_SKIPS"
    skipped=$((skipped + ignored))
    while IFS= read -r line; do
        name=${line%% ... ignored*}
        line=${line#*" ... ignored"}
        line=${line#, }
        skip_lines+=("${name#test }: ${line:-marked #[ignore] without a reason}")
    done < <(grep -E '^test .+ \.\.\. ignored(,|$)' "$step_log")

    # A command can fail without a failed test: the code does not compile, or a test kills its process.
    if ((step_status != 0 && bad == 0)); then
        bad=1
    fi
    # Nothing found is no success, but for doc tests, which need not exist.
    if ((step_status == 0 && ok + ignored == 0)) && [[ $1 != "doc tests" ]]; then
        echo "no test ran" | tee -a -- "$step_log"
        bad=1
    fi
    if ((bad > 0)); then
        result=failed
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    end_step "$1" $((SECONDS - began)) "$result"
}

# Without cargo every further step would fail for the same reason.
stop_without_cargo() {
    if ! command -v cargo >/dev/null; then
        end_run
    fi
}

# Shows what a reader of a long output looks for, the counts last, and ends the script.
end_run() {
    local name line
    for name in "${failed_steps[@]}"; do
        printf '\n==> the last lines of %s, which failed (all of it: %s)\n' \
            "$name" "$run_dir/${name// /-}.log"
        tail -n "$log_tail_lines" -- "$run_dir/${name// /-}.log"
    done
    printf '\n'
    for line in "${step_lines[@]}"; do
        printf '%s\n' "$line"
    done
    printf '%-8s %5d s\n' "total" "$SECONDS"
    for line in "${skip_lines[@]}"; do
        printf 'SKIPPED: %s\n' "$line"
    done
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    if ((failed > 0)); then
        exit 1
    fi
    exit 0
}
