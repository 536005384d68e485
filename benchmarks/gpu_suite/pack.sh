#!/usr/bin/env bash
# Builds what benchmarks/gpu_suite.sh needs on a bare machine with a GPU, and packs it into one archive:
#   benchmarks/gpu_suite.sh pack [FILE] [--program SEQUELA] [--no-archive]
# FILE: build/gpu_suite.tar.xz unless said otherwise. --program: a `sequela` built with Arrow, which makes the small
# chain store (default: build/release/bin/sequela). Built without Arrow and MPI in build/gpu_suite; nothing of NVIDIA's
# is packed: cuBLASLt and the tools are the GPU machine's. CMAKE_BUILD_PARALLEL_LEVEL limits the compilers at once.
# --no-archive leaves the folder as it is and prints its path last.
set -euo pipefail
cd "$(dirname "$0")/../.."
most_mib=60
archive=build/gpu_suite.tar.xz
program=build/release/bin/sequela
pack=yes
while (( $# > 0 )); do
  case $1 in
    --program) program=$2; shift ;;
    --no-archive) pack=no ;;
    -*) echo "pack: what is $1?" >&2; exit 2 ;;
    *) archive=$1 ;;
  esac
  shift
done
build=build/gpu_suite
package=$build/package
say() { echo "pack: $*" >&2; }
need() { command -v "$1" > /dev/null || { say "needs $1"; exit 2; }; }
for tool in cmake ninja strip ldd xz tar; do need $tool; done

# Test programs that know the CUDA backend, by their first line (tests/CMakeLists.txt).
test_targets() {
  grep -lrE --include='*_test.cc' '^// ctest:.* cuda' tests | sed -e 's,^tests/,,' -e 's,/,_,g' -e 's,\.cc$,,' \
    | grep -v '_mpi_test$' | sort
}

build_programs() {
  local options=(-DSEQUELA_WITH_ARROW=OFF -DSEQUELA_WITH_MPI=OFF -DSEQUELA_WITH_CUDA=ON -DSEQUELA_BUILD_TESTS=ON
                 -DSEQUELA_BUILD_BENCHMARKS=ON
                 # Programs find the libraries beside them, and those find each other.
                 -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN/../lib'
                 -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags)
  if command -v ccache > /dev/null; then
    export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
    options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  cmake --preset release -B $build "${options[@]}" >&2
  ninja -C $build -j "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" sequela kernels_cuda_benchmark trainer_step_benchmark \
    $(test_targets) >&2
}

copy_programs() {
  rm -rf $package
  mkdir -p $package/{bin,tests,benchmarks,lib/compiler,data}
  cp $build/bin/sequela $package/bin/
  cp $build/benchmarks/{kernels_cuda_benchmark,trainer_step_benchmark} $package/benchmarks/
  local target
  for target in $(test_targets); do cp $build/tests/"$target" $package/tests/; done
  strip $package/{bin,tests,benchmarks}/*
}

# Every library that the programs load, but those of the C library, which every machine has in a version of its own,
# and NVIDIA's. The compiler's are a last resort: the GPU machine's own are newer as a rule.
copy_libraries() {
  local own='^(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil|libnsl|libanl|libmvec)\.so'
  local nvidia='^(libcublas|libcuda|libnv|libnccl)'
  local compiler='^(libstdc\+\+|libgcc_s|libgomp)\.so'
  local name path
  ldd $package/{bin,tests,benchmarks}/* | awk '$2 == "=>" {print $1, $3}' | sort -u | while read -r name path; do
    if [[ $name =~ $own ]]; then continue
    elif [[ $name =~ $nvidia ]]; then echo "$name" >> $build/nvidia_libraries
    elif [ "$path" = not ]; then say "$name is not found here"; exit 2
    elif [[ $name =~ $compiler ]]; then cp -L "$path" $package/lib/compiler/"$name"
    else cp -L "$path" $package/lib/"$name"
    fi
  done
}

# A small chain store of simulated records; made once.
make_store() {
  if [ ! -d $build/store ]; then
    if ! { [ -x "$program" ] && "$program" simulate --help; } > /dev/null 2>&1; then
      say "no program with Arrow at $program (--program): the archive has no store, and the training run will not run"
      return
    fi
    rm -rf $build/meds $build/store.tmp
    "$program" simulate $build/meds --subjects 1500 --seed 1 >&2
    "$program" ingest $build/meds --out $build/store.tmp >&2
    mv $build/store.tmp $build/store
    rm -rf $build/meds
  fi
  cp -r $build/store $package/data/store
}

# What the interpreter of tests/ptx makes of the kernels: the GPU's results are held against it.
record_interpreted() {
  SEQUELA_TEST_BACKEND=ptx SEQUELA_AGREEMENT=$PWD/$package/data/interpreted \
    $build/tests/ptx_agreement_test --gtest_brief=1 --gtest_filter='*Record*' >&2
}

write_facts() {
  local commit toolkit changed=""
  commit=$(git rev-parse --short=12 HEAD 2> /dev/null || echo "not known")
  [ -z "$(git status --porcelain --untracked-files=no 2> /dev/null)" ] || changed=", with uncommitted changes"
  toolkit=$(sed -n 's/^CMAKE_CUDA_COMPILER_VERSION.*=//p; s/^set(CMAKE_CUDA_COMPILER_VERSION "\(.*\)")/\1/p' \
            $build/CMakeCache.txt $build/CMakeFiles/*/CMakeCUDACompiler.cmake 2> /dev/null | head -1) || toolkit="?"
  local libraries=""
  [ -e $build/nvidia_libraries ] && libraries=$(sort -u $build/nvidia_libraries | sed 's/.*/"&"/' | paste -sd,)
  printf '{"commit": "%s", "toolkit": "%s", "nvidia_libraries": [%s]}\n' \
    "$commit$changed" "$toolkit" "$libraries" > $package/facts.json
}

build_programs
copy_programs
rm -f $build/nvidia_libraries
copy_libraries
make_store
cp benchmarks/gpu_suite/experiment.yaml $package/data/
record_interpreted
write_facts
if [ $pack = no ]; then realpath $package; exit; fi

# The programs share most of their bytes, the kernels: a dictionary as large as all of them finds that, and a quick
# search is enough for it.
say "compressing $(du -sm $package | cut -f1) MiB"
tar -C $build --sort=name --owner=0 --group=0 -cf - package | xz -T1 --lzma2=preset=0,dict=512MiB > "$archive.tmp"
mv "$archive.tmp" "$archive"
size=$(( ($(stat -c %s "$archive") + (1 << 20) - 1) >> 20 ))
say "$archive: $size MiB"
if (( size > most_mib )); then say "more than $most_mib MiB"; exit 1; fi
