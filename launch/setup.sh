#!/usr/bin/env bash
# Installs what Sequela needs on Debian 12 / Ubuntu:  launch/setup.sh [program|tests]
#   program (default)  what building and running `sequela` needs
#   tests              that, and what the test suite, the format check and the sanitizer builds need
# As root, or with sudo that asks no password, it installs Debian packages; without such rights it
# names exactly what is missing and stops. Arrow has no Debian package: the pyarrow wheel in a virtual
# environment of this folder (.venv) serves, unless CMake finds an installed Arrow.
set -euo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
if (( $# > 1 )); then
  echo "launch/setup.sh: one argument at most, 'program' or 'tests'" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
want=${1:-program}
pyarrow_version=26.0.1
cuobjdump_version=13.2.51

program_packages=(g++ cmake ninja-build pkg-config python3-venv libopenmpi-dev openmpi-bin libhdf5-dev
  libdnnl-dev libhwy-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev
  libpcre2-dev)
test_packages=(git ccache libgtest-dev libgmock-dev libbenchmark-dev clang-14 clang-format-14 clang-tidy-14
  libomp-14-dev libclang-rt-14-dev hdf5-tools)
packages=("${program_packages[@]}")
case "$want" in
  program) ;;
  tests) packages+=("${test_packages[@]}") ;;
  *) echo "launch/setup.sh: unknown argument '$want'; expected 'program' or 'tests'" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done

if (( ${#missing[@]} > 0 )); then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      echo "launch/setup.sh: these Debian packages are missing and there is no right to install them:" >&2
      echo "  ${missing[*]}" >&2
      echo "Ask an administrator to run:  apt-get install ${missing[*]}" >&2
      exit 2
    fi
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -q &&
         "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
           "${missing[@]}"; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "launch/setup.sh: installing the packages failed (whole log: $log)" >&2
    exit 4
  fi
  rm -f "$log"
fi

has_arrow_package() { [ -n "$(find /usr/lib /usr/local/lib -name ArrowConfig.cmake -print -quit 2>/dev/null)" ]; }
python_packages=()
if [ -z "${SEQUELA_ARROW_PYTHON:-}" ] && ! has_arrow_package; then
  python_packages+=("pyarrow==$pyarrow_version")
fi
# Independent readers of our files, for the tests: the official MEDS schema, h5py, safetensors; cuobjdump reads kernels.
[ "$want" = tests ] && python_packages=("pyarrow==$pyarrow_version" meds h5py numpy safetensors
  "nvidia-cuda-cuobjdump==$cuobjdump_version")
if (( ${#python_packages[@]} > 0 )); then
  marker=.venv/.sequela-$want-$pyarrow_version-$cuobjdump_version
  if [ ! -e "$marker" ]; then
    echo "Installing into .venv: ${python_packages[*]}"
    [ -x .venv/bin/python3 ] || python3 -m venv .venv
    if ! .venv/bin/pip install -q --disable-pip-version-check "${python_packages[@]}"; then
      echo "launch/setup.sh: pip could not install ${python_packages[*]}. Without internet: install Apache" >&2
      echo "Arrow's own packages, or put the wheels in a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER." >&2
      exit 4
    fi
    touch "$marker"
  fi
fi
