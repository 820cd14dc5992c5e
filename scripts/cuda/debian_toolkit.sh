#!/usr/bin/env bash
# Lays out the CUDA 12.4 toolkit of Debian 13 (non-free) as one folder, without installing it: what nvcc needs to compile
# libeva_clip_cuda.so, so that the library runs on the drivers of CUDA 12, too.
#   bash scripts/cuda/debian_toolkit.sh FOLDER && CUDACXX=FOLDER/bin/nvcc npm run build:cuda     (in a fresh build folder)
# Requires Debian's apt-get and keyring. Downloads 1 GB from the mirror that the system uses.
set -euo pipefail

target=$(mkdir -p "${1:?usage: debian_toolkit.sh FOLDER}" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) *([^ ]+\/debian)\/?( .*)?$/\3/p' \
  /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2> /dev/null | head -n 1 || true)
mkdir -p "$work"/{lists,archives}/partial "$work"/files
cat > "$work/debian.sources" << SOURCES
Types: deb
URIs: ${mirror:?no Debian mirror in the sources of apt}
Suites: trixie
Components: main non-free
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
apt() {
  apt-get -q -o Dir::Etc::sourcelist="$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= \
    -o Dir::Cache::srcpkgcache= "$@"
}
apt update
cd "$work/archives"
apt download nvidia-cuda-toolkit nvidia-cuda-dev libnvvm4 libcudart12 libcu++-dev
for package in *.deb; do dpkg -x "$package" "$work/files"; done

from=$work/files/usr
mkdir -p "$target"/{bin,include,lib64,nvvm/bin,nvvm/lib64,nvvm/libdevice}
cp "$from"/bin/{cudafe++,fatbinary,nvlink,ptxas,bin2c,cuobjdump,__nvcc_device_query} "$target/bin"
cp -r "$from"/lib/nvidia-cuda-toolkit/bin/{nvcc,crt} "$target/bin"
cp "$from"/lib/nvidia-cuda-toolkit/bin/cicc "$target/nvvm/bin"
cp "$from"/lib/nvidia-cuda-toolkit/libdevice/* "$target/nvvm/libdevice"
cp -a "$from"/lib/x86_64-linux-gnu/libnvvm* "$target/nvvm/lib64"
cp -r "$from"/include/* "$target/include"
cp -a "$from"/lib/x86_64-linux-gnu/libcuda{rt,devrt}[._]* "$target/lib64"
# Debian's names the system's folders.
cat > "$target/bin/nvcc.profile" << 'PROFILE'
TOP                = $(_HERE_)/..
CICC_PATH          = $(TOP)/nvvm/bin
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
LD_LIBRARY_PATH   += $(TOP)/lib64:
PATH              += $(CICC_PATH):$(_HERE_):
INCLUDES          += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES         =+ $(_SPACE_) "-L$(TOP)/lib64"
PROFILE
"$target/bin/nvcc" --version | tail -n 2
