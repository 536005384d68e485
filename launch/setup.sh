#!/usr/bin/env bash
# Installs what Sequela needs on Debian 12 / Ubuntu:  launch/setup.sh [program|tests|transformers]
#   program (default)  what building and running `sequela` needs
#   tests              that, and what the test suite, the format check and the sanitizer builds need
#   transformers       that, and PyTorch and Hugging Face's transformers in .venv, for the tests that open our
#                      checkpoints there: two minutes and 6 GB. They are skipped without
# As root, or with sudo that asks no password, it installs Debian packages; without such rights it
# names exactly what is missing and stops. Arrow has no Debian package: the pyarrow wheel in a virtual
# environment of this folder (.venv) serves, unless CMake finds an installed Arrow.
set -euo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
if (( $# > 1 )); then
  echo "launch/setup.sh: one argument at most, 'program', 'tests' or 'transformers'" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
want=${1:-program}
pyarrow_version=26.0.1
cuobjdump_version=13.2.51
tensorboard_version=2.21.0
torch_version=2.15.0
transformers_version=5.24.0

program_packages=(g++ cmake ninja-build pkg-config python3-venv libopenmpi-dev openmpi-bin libhdf5-dev
  libdnnl-dev libhwy-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev
  libpcre2-dev)
test_packages=(git ccache libgtest-dev libgmock-dev libbenchmark-dev clang-14 clang-format-14 clang-tidy-14
  libomp-14-dev libclang-rt-14-dev hdf5-tools)
packages=("${program_packages[@]}")
case "$want" in
  program) ;;
  tests|transformers) packages+=("${test_packages[@]}") ;;
  *) echo "launch/setup.sh: unknown argument '$want'; expected 'program', 'tests' or 'transformers'" >&2; exit 2 ;;
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
# Independent readers of our files, for the tests: the official MEDS schema, h5py, safetensors, TensorBoard; cuobjdump
# reads kernels.
if [ "$want" != program ]; then
  python_packages=("pyarrow==$pyarrow_version" meds h5py numpy safetensors "tensorboard==$tensorboard_version"
    "nvidia-cuda-cuobjdump==$cuobjdump_version")
fi
# PyPI's torch for Linux comes with CUDA's libraries, and does not start without them.
if [ "$want" = transformers ]; then
  python_packages+=("torch==$torch_version" "transformers==$transformers_version")
fi
if (( ${#python_packages[@]} > 0 )); then
  versions=$pyarrow_version-$cuobjdump_version-$tensorboard_version-$torch_version-$transformers_version
  marker=.venv/.sequela-$want-$versions
  if [ ! -e "$marker" ] && [ ! -e ".venv/.sequela-transformers-$versions" ]; then
    echo "Installing into .venv: ${python_packages[*]}"
    [ -x .venv/bin/python3 ] || python3 -m venv .venv
    # Without compiling: most of what these packages bring is never imported.
    if ! .venv/bin/pip install -q --no-compile --disable-pip-version-check "${python_packages[@]}"; then
      echo "launch/setup.sh: pip could not install ${python_packages[*]}. Without internet: install Apache" >&2
      echo "Arrow's own packages, or put the wheels in a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER." >&2
      exit 4
    fi
    touch "$marker"
  fi
fi
