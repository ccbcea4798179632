#!/usr/bin/env bash
# What depends on the Python and on numpy, on each Python that can be had: mypy, the library's fast tests,
# the vectors, the attacks and one signed round through the real flow. `make test` comes before it.
#
# 1. A Python is looked for among pyenv's versions, on the PATH and with uv. Which ran and which could not
#    be had is said at the end. One that could not be had is no failure.
# 2. Each has a .venv of its own below .pythons/, by scripts/setup-venv.sh, with what the lock pins there.
#    The one of .venv was tested by `make test`, and runs here only with another numpy.
# 3. The newest of them runs again with the newest numpy that the lock's other packages bear, unless the
#    lock has that one.
# 4. One runs after the other, or HYPERFED_AT_ONCE at a time; a run by itself fills one core.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

WANTED=(3.11 3.12 3.13)
# Of the property tests those that depend on the Python: the others are the same on each.
TESTS=(tests/unit tests/vectors tests/attack
    tests/property/test_codec.py tests/property/test_two_readers.py tests/property/test_fifty_nights.py
    tests/flow/test_federation_round.py::test_a_good_night_commits_and_its_page_says_who_was_counted)
AT_ONCE=${HYPERFED_AT_ONCE:-1}
HOME_OF=.pythons
mkdir -p "$HOME_OF"

eval "$(.venv/bin/python scripts/pip_settings.py || true)"

say() { printf 'pythons: %s\n' "$*"; }
version_of() { "$1" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null; }

find_python() { # WANTED: where it is; nothing where it cannot be had
    local candidate
    for candidate in $(printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python | sort -rV) "python$1" \
        "$(.venv/bin/uv python find --no-project --no-python-downloads "$1" 2>/dev/null)"; do
        case "$(version_of "$candidate")" in "$1".*) command -v "$candidate" && return ;; esac
    done
}

numpy_of() { "$1/bin/python" -c 'import numpy; print(numpy.__version__)'; }

newest_numpy() { # VENV: the newest numpy beside what else is installed there; nothing where it has that one
    "$1/bin/uv" pip freeze --python "$1/bin/python" --exclude-editable | grep -v '^numpy==' >"$1/others.txt"
    "$1/bin/uv" pip install --python "$1/bin/python" --dry-run --upgrade-package numpy -r "$1/others.txt" numpy 2>&1 |
        sed -n 's/^ + numpy==//p'
}

run_tests() { # NAME VENV
    local began=$SECONDS status=0
    {
        "$2/bin/python" -m mypy --cache-dir "$HOME_OF/$1.mypy" &&
            HYPOTHESIS_STORAGE_DIRECTORY="$HOME_OF/$1.hypothesis" "$2/bin/python" -m pytest "${TESTS[@]}" \
                -m "not slow and not browser" -q -o cache_dir="$HOME_OF/$1.cache"
    } >"$HOME_OF/$1.log" 2>&1 || status=$?
    printf '%s\n' "$status" >"$HOME_OF/$1.status"
    say "$1: $(tail -1 "$HOME_OF/$1.log") ($((SECONDS - began)) s)"
}

queued=() said=()
queue() { # NAME VENV
    rm -f "$HOME_OF/$1.status"
    while [ "$(jobs -rp | wc -l)" -ge "$AT_ONCE" ]; do wait -n || true; done
    say "$1 begins; what it says goes to $HOME_OF/$1.log"
    run_tests "$1" "$2" &
    queued+=("$1")
}

tested=$(version_of .venv/bin/python)
for wanted in "${WANTED[@]}"; do
    python=$(find_python "$wanted")
    if [ -z "$python" ]; then
        said+=("$wanted could not be had")
        continue
    fi
    venv=$HOME_OF/$wanted version=$(version_of "$python")
    if [ "${tested%.*}" = "$wanted" ]; then
        said+=("$wanted is .venv's $tested: \`make test\` has run it with the lock")
        venv=.venv
    else
        PYTHON=$python HYPERFED_VENV=$venv scripts/setup-venv.sh
        queue "$version" "$venv"
    fi
    last=$wanted last_python=$python last_version=$version last_venv=$venv
done
if [ -n "${last:-}" ]; then
    newest=$(newest_numpy "$last_venv")
    if [ -n "$newest" ]; then
        venv=$HOME_OF/$last-numpy
        PYTHON=$last_python HYPERFED_VENV=$venv scripts/setup-venv.sh
        rm -f "$venv/.stamp" # it is not what the lock says from here on
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "numpy==$newest"
        queue "$last_version-numpy-$newest" "$venv"
    else
        said+=("$last: the lock's numpy $(numpy_of "$last_venv") is the newest there")
    fi
fi
while [ -n "$(jobs -rp)" ]; do wait -n || true; done

failed=0
for line in ${said[@]+"${said[@]}"}; do say "$line"; done
for name in ${queued[@]+"${queued[@]}"}; do
    if [ "$(cat "$HOME_OF/$name.status" 2>/dev/null)" = 0 ]; then
        say "$name: passed"
    else
        failed=1
        say "$name: FAILED"
        tail -60 "$HOME_OF/$name.log"
    fi
done
exit "$failed"
