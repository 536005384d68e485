#!/usr/bin/env bash
# Makes a tarball of the program that runs where nothing can be built:  launch/package.sh [FOLDER] [-DCMAKE_OPTION ...]
# FOLDER (default: build) gets sequela-VERSION-linux-ARCHITECTURE.tar.gz and its SHA-256. It holds the program, the
# libraries that it needs beside it (found by $ORIGIN), the scripts for mpirun and Slurm, configs and docs. The machine
# that it runs on needs Open MPI 4, and a C library no older than this machine's (printed; Debian 12: 2.36). The
# release build is taken, as launch/build.sh makes it; -DSEQUELA_WITH_CUDA=OFF leaves out the GPU's libraries (1 GB).
set -euo pipefail
case "${1:-}" in
  -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
cd "$(dirname "$0")/.."
folder=build
if (( $# > 0 )) && [[ "$1" != -* ]]; then folder=$1; shift; fi
for option in "$@"; do
  if [[ "$option" != -D* ]]; then
    echo "package.sh: '$option' is neither a folder nor an option -D...; usage: launch/package.sh [FOLDER] [-DCMAKE_OPTION ...]" >&2
    exit 2
  fi
done
for tool in readelf strip; do
  command -v $tool > /dev/null || { echo "package.sh: $tool is missing (Debian: binutils)" >&2; exit 4; }
done

launch/build.sh release "$@" -- sequela
version=$(sed -n 's/^project(sequela VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=sequela-$version-linux-$(uname -m)
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
tree=$staging/$name
cmake --install build/release --prefix "$tree" --strip > "$staging/log" || { cat "$staging/log" >&2; exit 4; }
# The names of the documentation's commands.
for entry in launch configs docs README.md LICENSE; do ln -s "share/sequela/$entry" "$tree/$entry"; done

# What the licences of the libraries ask for: their texts.
mkdir -p "$tree/share/sequela/licenses"
for library in "$tree"/lib/sequela/*; do
  [ -L "$library" ] && continue
  package=$(dpkg-query -S "*/$(basename "$library")" 2>/dev/null | sed -n '1s/:.*//p') || true
  copyright=/usr/share/doc/${package:-none}/copyright
  [ -e "$copyright" ] && cp "$copyright" "$tree/share/sequela/licenses/$package.txt"
done
arrow_link=build/release/arrow/libarrow.so
if [ -e "$arrow_link" ]; then  # Arrow of the Python wheel
  wheel=$(dirname "$(readlink -f "$arrow_link")")
  for text in "$wheel"/../pyarrow-*.dist-info/{,licenses/}{LICENSE,NOTICE}.txt; do
    [ -e "$text" ] && cp "$text" "$tree/share/sequela/licenses/arrow-$(basename "$text")"
  done
fi

glibc=$(find "$tree/bin" "$tree/lib" -type f -exec readelf -V {} + 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
echo "This program needs Linux on $(uname -m), glibc $glibc or newer, and Open MPI 4 (libmpi.so.40)." > "$tree/REQUIRES"
env -i PATH="$PATH" "$tree/bin/sequela" --version > /dev/null || { echo "package.sh: the installed program does not start" >&2; exit 4; }

mkdir -p "$folder"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
  -C "$staging" -cf - "$name" | gzip -n > "$folder/$name.tar.gz"
( cd "$folder" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256" )
echo "$folder/$name.tar.gz: $(du -h "$folder/$name.tar.gz" | cut -f 1); $(cat "$tree/REQUIRES")"
