#!/bin/bash
# Runs test programs on a processor that this machine lacks: in Bochs, under a small Linux.
#
#   tests/emulation/run.sh [--model=M] [--without=F,F] [--env=NAME=VALUE] [--limit=SECONDS] \
#       program[=gtest filter]...
#
# The default, Sapphire Rapids without AMX, has AVX-512 with BF16, as Zen 4 does; --model=tigerlake
# has AVX-512 alone, --without= nothing leaves AMX in. Expect 1/50 to 1/500 of the machine's speed
# and a minute for the boot: choose tests by their filters. Ends with 0 if all programs did.
#
# Needs busybox-static, cpio, isolinux and xorriso (Debian packages), and
#   BOCHS             a Bochs newer than 2.7, which knows no BF16, from
#                     https://github.com/bochs-emu/Bochs: ./configure --enable-x86-64 --enable-avx
#                     --enable-evex --enable-amx --enable-all-optimizations --with-nogui
#   BOCHS_BIOS        a folder with BIOS-bochs-latest and VGABIOS-lgpl-latest.bin of its sources
#   EMULATION_KERNEL  a vmlinuz, such as that in Debian's package linux-image-*-cloud-amd64
set -euo pipefail

model=sapphire_rapids
without=amx,amx_int8,amx_bf16
limit_s=3600
variables=(OMP_WAIT_POLICY=passive)  # one processor: threads that spin only delay the others
while [[ ${1:-} == --* ]]; do
  case $1 in
    --model=*) model=${1#*=} ;;
    --without=*) without=${1#*=} ;;
    --env=*) variables+=("${1#*=}") ;;
    --limit=*) limit_s=${1#*=} ;;
    *) echo "run.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
(($# > 0)) || { echo "run.sh: which test programs?" >&2; exit 2; }
: "${BOCHS:?}" "${BOCHS_BIOS:?}" "${EMULATION_KERNEL:?}"

work=$(mktemp -d "${TMPDIR:-/tmp}/emulation.XXXXXX")
emulator=
trap '[[ -z $emulator ]] || kill "$emulator" 2>/dev/null || true; rm -rf "$work"' EXIT

# A file system in memory: the programs with the libraries that they name.
root=$work/root
mkdir -p "$root"/{bin,programs,proc,dev,tmp} "$work/cd"
cp "$(command -v busybox)" "$root/bin/busybox"
cat > "$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1 </dev/null
/bin/busybox grep -m1 "^flags" /proc/cpuinfo
cd /tmp
END
for variable in "${variables[@]}"; do printf 'export %q\n' "$variable"; done >> "$root/init"
for item in "$@"; do
  program=${item%%=*}
  name=$(basename "$program")
  filter=${item:${#program}}
  cp "$program" "$root/programs/$name"
  ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -nL "$library" "$root$library"
  done
  printf '/programs/%s --gtest_color=no --gtest_filter=%q; echo "== %s ended with $?"\n' \
      "$name" "${filter:1}" "$name" | sed "s/=''/=\\\\*/" >> "$root/init"
done
# The pause lets the serial port send its last lines.
printf 'echo "== all done"\n/bin/busybox sleep 2\n/bin/busybox poweroff -f\n' >> "$root/init"
chmod +x "$root/init"

# Bochs has no MSR for fast string moves: Linux then drops ERMS, keeps FSRM, and its memmove breaks.
(cd "$root" && find . | cpio -o -H newc --quiet) > "$work/cd/initrd"
cp "$EMULATION_KERNEL" "$work/cd/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/cd/"
cat > "$work/cd/isolinux.cfg" <<'END'
default linux
label linux
  kernel vmlinuz
  append initrd=initrd console=ttyS0 loglevel=4 clearcpuid=fsrm mitigations=off tsc=reliable panic=-1
END
xorriso -as mkisofs -quiet -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table -o "$work/cd.iso" "$work/cd" 2>/dev/null

# A low clock rate keeps waiting for the serial port short.
exclude=
[[ -z $without ]] || exclude=", exclude_features=\"$without\""
cat > "$work/bochsrc" <<END
display_library: nogui
romimage: file=$BOCHS_BIOS/BIOS-bochs-latest
vgaromimage: file=$BOCHS_BIOS/VGABIOS-lgpl-latest.bin
megs: 2048
cpu: model=$model, ips=10000000$exclude
ata0-master: type=cdrom, path=$work/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
log: $work/log
panic: action=fatal
END
touch "$work/serial"
nice -n 19 timeout "$limit_s" "$BOCHS" -q -f "$work/bochsrc" > "$work/out" 2>&1 &
emulator=$!
tail -f --pid="$emulator" -n +1 "$work/serial" | tee "$work/report"
wait "$emulator" || true
emulator=
if ! grep -q '^== all done' "$work/report"; then
  cat "$work/out" >&2
  echo "run.sh: the programs did not end within $limit_s s, or the machine stopped" >&2
  exit 1
fi
! grep -qE '^== .* ended with [1-9]' "$work/report"
